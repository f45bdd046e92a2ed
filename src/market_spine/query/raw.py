"""The stored content of a partition, byte for byte: the current one, that as of a past day, or any version by name; the responses
it was made from; and FINRA's daily list in the same way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

from market_spine.core import captures, contents, daily_lists, responses
from market_spine.core.captures import Version
from market_spine.core.responses import Response
from market_spine.db import Database
from market_spine.errors import NotFound, Pruned, UsageError
from market_spine.partition import Partition
from market_spine.query import as_of
from market_spine.query.history import find_capture


@dataclass(frozen=True, slots=True)
class Content:
    """One version of a capture's content, with a name that identifies it; with `of_totals` the document of its firm totals."""

    capture_id: str
    version: Version
    of_totals: bool = False

    @property
    def name(self) -> str:
        """`finra.otc_transparency:OTC:2025-12-26:20260109@1`: the capture, and the number of the content."""
        return f"{self.capture_id}@{self.version.ingest_no}"

    @property
    def sha256(self) -> str:
        """The hash of what is read."""
        return str(self.version.totals_hash) if self.of_totals else self.version.content_hash

    @property
    def is_canonical(self) -> bool:
        """Whether it is the canonical document of an API's responses (equal rows give equal bytes), not the bytes received."""
        return "dataset" in self.version.metadata

    def description(self) -> str:
        """What it is, in one line."""
        canonical = "the canonical document of FINRA's API responses, not the bytes received,"
        uri = self.version.metadata.get("source_uri", "an unknown source")
        what = canonical if self.is_canonical else "the exact bytes"
        totals = "the firm totals in " if self.of_totals else ""
        return f"{self.name}: {totals}{what} of {uri}, SHA-256 {self.sha256}"

    def entry(self) -> dict[str, object]:
        """The content, for machines."""
        return {
            "name": self.name, "capture_id": self.capture_id, "sha256": self.version.content_hash,
            "totals_sha256": self.version.totals_hash,
            "observed_at": self.version.observed_at, "rows": self.version.row_count, "is_canonical": self.is_canonical,
            "source_uri": self.version.metadata.get("source_uri"),
        }


def find(db: Database, partition: Partition, day: date | None = None, name: str | None = None) -> Content:
    """The content of the current capture, of the one current at the end of `day`, or of the capture or version `name`.

    Raises NotFound, Pruned, or UsageError when the name is of another partition.
    """
    if name is not None:
        return _named(db, partition, name)
    current = as_of.current_captures(db, as_of.end_of(day) if day else None, [partition.week_ending], (partition.tier,))
    if not current:
        when = f" as of {day}" if day else ""
        raise NotFound(f"{partition} has no current capture{when}", hint=f"spine captures {partition.week} {partition.tier}")
    if current[0].pruned_at:
        raise Pruned(f"the content of {current[0].capture_id} was pruned on {current[0].pruned_at[:10]}")
    return _of_rows(db, current[0].capture_id)


def read(db: Database, content: Content) -> Iterator[bytes]:
    """Its bytes in blocks of 512 KB. Raises DamagedRaw when they no longer match their hash."""
    return contents.read_raw(db, content.sha256)


def totals_of(content: Content) -> Content:
    """The document with a content's firm totals. Raises NotFound where there is none."""
    if content.version.totals_hash is None:
        raise NotFound(f"{content.name} has no firm totals: its source gave none, or was not asked")
    return replace(content, of_totals=True)


def list_contents(db: Database, capture_id: str) -> list[Content]:
    """Every content a capture has had, oldest first."""
    return [Content(capture_id, version) for version in captures.versions(db, capture_id)]


def daily_list(db: Database, day: date | None = None) -> Content:
    """The newest daily list, or the one that was the newest at the end of `day`. Raises NotFound."""
    listed = daily_lists.newest(db, day)
    if listed is None:
        when = f" as of {day}" if day else ""
        raise NotFound(f"there is no daily list{when}", hint=f"spine captures --dataset {daily_lists.DATASET}")
    return Content(listed.capture_id, listed.version)


def daily_list_contents(db: Database) -> list[Content]:
    """Every content of every daily list, oldest first."""
    return [Content(listed.capture_id, listed.version) for listed in daily_lists.list_all(db)]


def responses_of(db: Database, content: Content) -> list[Response]:
    """The HTTP responses it was made from, in the order they were received; none for a file, or where none were recorded."""
    return responses.of_content(db, content.capture_id, content.version.ingest_no)


def response_body(db: Database, content: Content, number: int) -> tuple[Response, Iterator[bytes]]:
    """One response, and its body after content encoding. Raises NotFound for another number, and for one that was not kept."""
    received = responses_of(db, content)
    response = next((one for one in received if one.page_no == number), None)
    if response is None:
        numbers = f"it has 1 to {len(received)}" if received else "none were recorded"
        hint = "list them with spine captures WEEK TIER --responses"
        raise NotFound(f"{content.name} has no response {number}; {numbers}", hint=hint)
    if not response.is_kept:
        what = f"the body of response {number} of {content.name} was not kept, only its SHA-256 {response.content_sha256}"
        raise NotFound(what, hint="run with --keep-wire to keep the responses from now on")
    return response, contents.read_raw(db, response.content_sha256)


def _named(db: Database, partition: Partition, name: str) -> Content:
    text, _, number = name.partition("@")
    entry = find_capture(db, text)
    if (entry.week, entry.tier) != (partition.week, partition.tier):
        right = f"spine raw {entry.week} {entry.tier} --capture {name}"
        raise UsageError(f"{entry.capture_id} is not of {partition}", hint=right)
    if not number:
        return _of_rows(db, entry.capture_id)
    every = list_contents(db, entry.capture_id)
    for content in every:
        if str(content.version.ingest_no) == number:
            return content
    numbers = ", ".join(f"@{content.version.ingest_no}" for content in every)
    raise NotFound(f"{entry.capture_id} has no content @{number}; it has {numbers}", hint=f"spine captures {partition.week}")


def _of_rows(db: Database, capture_id: str) -> Content:
    """The content the capture's rows are made of; the newest of several equal ones."""
    (content_hash,) = db.execute(
        "SELECT content_hash FROM finra_otc_transparency_capture WHERE capture_id = ?", (capture_id,)
    ).fetchone()
    return next(c for c in reversed(list_contents(db, capture_id)) if c.version.content_hash == content_hash)
