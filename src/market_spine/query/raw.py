"""The stored content of a partition, byte for byte: the current one, that as of a past day, or any version by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from market_spine.core import captures, contents
from market_spine.core.captures import Version
from market_spine.db import Database
from market_spine.errors import NotFound, Pruned, UsageError
from market_spine.partition import Partition
from market_spine.query import as_of
from market_spine.query.history import find_capture


@dataclass(frozen=True, slots=True)
class Content:
    """One version of a capture's content, with a name that identifies it."""

    capture_id: str
    version: Version

    @property
    def name(self) -> str:
        """`finra.otc_transparency:OTC:2025-12-26:20260109@1`: the capture, and the number of the content."""
        return f"{self.capture_id}@{self.version.ingest_no}"

    @property
    def is_canonical(self) -> bool:
        """Whether it is the canonical document of an API's responses (equal rows give equal bytes), not the bytes received."""
        return "dataset" in self.version.metadata

    def description(self) -> str:
        """What it is, in one line."""
        canonical = "the canonical document of FINRA's API responses, not the bytes received,"
        uri = self.version.metadata.get("source_uri", "an unknown source")
        what = canonical if self.is_canonical else "the exact bytes"
        return f"{self.name}: {what} of {uri}, SHA-256 {self.version.content_hash}"

    def entry(self) -> dict[str, object]:
        """The content, for machines."""
        return {
            "name": self.name, "capture_id": self.capture_id, "sha256": self.version.content_hash,
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
    return contents.read_raw(db, content.version.content_hash)


def list_contents(db: Database, capture_id: str) -> list[Content]:
    """Every content a capture has had, oldest first."""
    return [Content(capture_id, version) for version in captures.versions(db, capture_id)]


def _named(db: Database, partition: Partition, name: str) -> Content:
    text, _, number = name.partition("@")
    entry = find_capture(db, text)
    if (entry.week, entry.tier) != (partition.week, partition.tier):
        right = f"spine raw {entry.week} {entry.tier} --capture {name}"
        raise UsageError(f"{entry.capture_id} is not of {partition}", hint=right)
    if not number:
        return _of_rows(db, entry.capture_id)
    contents = list_contents(db, entry.capture_id)
    for content in contents:
        if str(content.version.ingest_no) == number:
            return content
    numbers = ", ".join(f"@{content.version.ingest_no}" for content in contents)
    raise NotFound(f"{entry.capture_id} has no content @{number}; it has {numbers}", hint=f"spine captures {partition.week}")


def _of_rows(db: Database, capture_id: str) -> Content:
    """The content the capture's rows are made of; the newest of several equal ones."""
    (content_hash,) = db.execute(
        "SELECT content_hash FROM finra_otc_transparency_capture WHERE capture_id = ?", (capture_id,)
    ).fetchone()
    return next(c for c in reversed(list_contents(db, capture_id)) if c.version.content_hash == content_hash)
