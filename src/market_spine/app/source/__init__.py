"""Where a partition's bytes come from. FINRA's own tier codes are mapped in this folder and nowhere else.

A source has eight methods. A new one is a class with these methods and one entry in SOURCES.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from market_spine.errors import ConfigurationError
from market_spine.partition import Partition

if TYPE_CHECKING:
    from market_spine.core.responses import Received
    from market_spine.db import Tell

DEFAULT_DATA_DIR = "data/fixtures/finra_otc"


class Offer(NamedTuple):
    """What a source delivers for a partition, and what it reports about it: the exact bytes of a file; of an API the canonical
    document of its rows, and the responses it was made from.

    `metadata` (JSON-able) goes into the manifest's metadata_json; `last_updated` is FINRA's newest lastUpdateDate where known.
    """

    content: bytes
    uri: str
    last_updated: datetime | None = None
    metadata: Mapping[str, object] = MappingProxyType({})
    fingerprint: str = ""  # identifies the content without reading it; empty where the source has no such thing
    responses: tuple[Received, ...] = ()  # what it was made from, in the order received


class Absent(NamedTuple):
    """The source has no such partition. Whether that is expected is up to the publication calendar."""

    where: str


class Glance(NamedTuple):
    """What a source reports of a partition without its content: its newest lastUpdateDate and how many rows it has."""

    last_updated: datetime
    row_count: int | None = None


class Listing(NamedTuple):
    """The contents of a folder: the fingerprint of each partition's file, and the names that match no partition."""

    files: Mapping[Partition, str]
    unknown: tuple[str, ...] = ()


class Source(Protocol):
    """Delivers weekly partitions. Every method may raise SourceError (a fault, never an absence)."""

    name: str
    sweeps: bool  # whether it can list what was revised

    def glance(self, partition: Partition) -> Glance | Absent | None:
        """What is known without the content; None where only the content can tell."""

    def fetch(self, partition: Partition) -> Offer | Absent:
        """The partition's whole content, proved complete."""

    def totals(self, partition: Partition, content: bytes) -> Offer | Absent | None:
        """The document with the firm totals of a content it has just given: `content` itself where that holds them; and the
        responses it was made from. None where it gives no totals, or is not to ask for them."""

    def revised_since(self, day: date, first_week: date, last_week: date) -> Iterable[Partition]:
        """Partitions of those weeks with rows updated on or after `day`; only of a source that `sweeps`."""

    def listing(self) -> Listing | None:
        """Every partition it has, of any week; None for a source that cannot list them."""

    def stop(self) -> None:
        """From another thread: what it fetches now or later ends with a SourceError."""

    def close(self) -> None:
        """Closes connections."""


@runtime_checkable
class CountsRows(Protocol):
    """A source whose partitions come in pages."""

    tell: Tell  # is called with how many rows of a partition have come, and of how many; 0 of 0 before the first and at the end


@runtime_checkable
class ListsDaily(Protocol):
    """A source that also has FINRA's daily list of symbol changes."""

    def daily_list(self, first: date, last: date) -> Offer:
        """The changes of these days, proved complete. Raises SourceError."""


class SourceSettings(NamedTuple):
    """The settings of all sources; each reads its own."""

    data_dir: str
    max_bytes: int
    allow_links: bool = False
    today: date = date.max  # the real day, even in a replay: FINRA moves weeks to its archive by it
    environ: Mapping[str, str] = MappingProxyType({})  # MARKET_SPINE_… settings by name
    keep_wire: bool = False  # whether the bodies of responses are kept beside what is made from them


# A source's name → its class, imported when it is used and created by its `of(settings)`.
SOURCES: Mapping[str, str] = {
    "file": "market_spine.app.source.files:FileSource",
    "api": "market_spine.app.source.api:ApiSource",
    "file_url": "market_spine.app.source.url:UrlSource",
}


def open_source(name: str, settings: SourceSettings) -> Source:
    """The source of that name. Raises ConfigurationError."""
    if name not in SOURCES:
        raise ConfigurationError(f"there is no source {name!r}", hint=f"the sources are {', '.join(SOURCES)}")
    module, _, kind = SOURCES[name].partition(":")
    source: Source = getattr(importlib.import_module(module), kind).of(settings)
    return source


def asks_totals(environ: Mapping[str, str]) -> bool:
    """Whether firm totals are wanted: MARKET_SPINE_FIRM_TOTALS is `warn`, the default, or `off`. Raises ConfigurationError."""
    setting = environ.get("MARKET_SPINE_FIRM_TOTALS", "").strip().lower()
    if setting not in ("", "warn", "off"):
        raise ConfigurationError(f"MARKET_SPINE_FIRM_TOTALS is not warn or off: {setting!r}", hint="the default is warn")
    return setting != "off"


def totals_within(content: bytes) -> Offer | None:
    """The content of a file, where it holds firm totals beside its rows."""
    from market_spine.parse.firm_totals import holds_totals

    return Offer(content, "") if holds_totals(content) else None


def seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    """A setting of the environment in seconds. Raises ConfigurationError."""
    text = environ.get(name, "").strip()
    try:
        number = float(text) if text else default
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e6:
        raise ConfigurationError(f"{name} is not a number of its kind: {text!r}", hint=f"the default is {default:g}")
    return number
