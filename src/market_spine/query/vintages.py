"""Every version of a row, and from when to when it was known: the values to use on a day, without looking ahead.

    known_from   the later of the two days FINRA declares for the row, of its publication and of its last change: `declared`.
                 Where FINRA gives none, or our own captures contradict it (a change that moved no date, an old content
                 served again), the day from which we held it: `observed`.
    known_to     the day from which another version was known, or we held the partition without the row; None to this day

A capture counts from the day on which it was current to the day on which it no longer was, as query/as_of.py decides it: on
every such first day the version known is the row that `as_of` shows. FINRA's day may lie before ours, never before its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from market_spine.db import Database
from market_spine.errors import UsageError
from market_spine.query.answer import Question
from market_spine.query.as_of import Known, Spell, spells
from market_spine.query.views import VERSIONS, VIEWS

DECLARED, OBSERVED = "declared", "observed"
Key = tuple[object, ...]


class Row(NamedTuple):
    """A row of the view `normalized`."""

    capture_id: str | None
    week_ending: str
    tier: str
    symbol: str
    issue_name: str
    product_type: str
    venue_class: str
    mpid: str
    firm_crd: int | None
    venue_name: str
    total_shares: float | None
    total_trades: int | None
    total_notional: float | None
    captured_at: str | None
    published_on: str | None
    revised_on: str | None

    @property
    def key(self) -> Key:
        """The natural key within the partition; a venue's name is part of it only where it has neither MPID nor CRD number."""
        unnamed = "" if self.mpid or self.firm_crd else self.venue_name
        return (self.symbol, self.issue_name, self.product_type, self.venue_class, self.mpid, self.firm_crd or 0, unnamed)


class Version(NamedTuple):
    """A row as it was known on every day d with known_from <= d < known_to. `row` is of the first of the captures that hold it;
    without captures its figures are unknown."""

    row: Row
    held_from: str | None
    basis: str
    known_from: str | None
    known_to: str | None
    capture_ids: tuple[str, ...]

    @property
    def values(self) -> tuple[object, ...]:
        """The version under the columns of VERSIONS."""
        return (*self.row, self.held_from, self.basis, self.known_from, self.known_to)

    def entry(self) -> dict[str, object]:
        """The version, for machines."""
        return dict(zip(VERSIONS.columns, self.values, strict=True)) | {"capture_ids": self.capture_ids}


@dataclass(frozen=True, slots=True)
class Vintages:
    """A partition's versions by row, oldest first, and the captures that were current once and pruned since: versions that only
    these had are gone. `began` is the day from which we held the partition, `changed` the earliest change dated in it then."""

    week: str
    tier: str
    versions: tuple[Version, ...]
    pruned: tuple[Known, ...]
    began: str | None
    changed: str | None


class FirstReleases(NamedTuple):
    """The first version of each row of a partition; `revised` of them had been revised before we first saw them."""

    versions: list[Version]
    revised: int


class Releases:
    """The versions of what a question is about, or only the first of each row, read partition by partition. What is counted is
    complete once they have been read."""

    def __init__(self, db: Database, question: Question, *, first: bool) -> None:
        if question.view.name != "normalized":
            hint = f"spine query normalized --{'first-release' if first else 'all-releases'}"
            raise UsageError(f"{question.view.name} has no releases: its figures are measured from many rows", hint=hint)
        self._db, self._question, self._first = db, question, first
        self._rows, self._revised = Counter[str](), Counter[str]()
        self.pruned: list[Known] = []

    def read(self) -> Generator[tuple[object, ...], None, None]:
        """The versions under the columns of VERSIONS."""
        for partition in vintages(self._db, self._question):
            self.pruned += partition.pruned
            firsts = first_releases(partition) if self._first else FirstReleases(list(partition.versions), 0)
            self._rows[partition.week] += len(firsts.versions)
            self._revised[partition.week] += firsts.revised
            yield from (version.values for version in firsts.versions)

    @property
    def revised_before_capture(self) -> int:
        """How many rows have no first release."""
        return self._revised.total()

    def remark(self) -> str | None:
        """What share of the rows has no first release, in a line; None where all have one."""
        if not self.revised_before_capture:
            return None
        weeks = [week for week, count in self._rows.items() if count]
        part = 100 * self.revised_before_capture / self._rows.total()
        of_weeks = weeks[0] if len(weeks) == 1 else f"{len(weeks)} weeks"
        return f"{part:.1f} % of rows of {of_weeks} were revised before we first saw them"


def vintages(db: Database, question: Question) -> Iterator[Vintages]:
    """The partitions a question is about, by week and tier, one after the other; `as_of` does not count."""
    for (week, tier), of_partition in spells(db, question.weeks, question.tiers).items():
        yield read_vintages(db, week, tier, of_partition, question.symbol)


def read_vintages(db: Database, week: str, tier: str, of_partition: Sequence[Spell], symbol: str | None = None) -> Vintages:
    """The versions of a partition whose captures were current in these spells."""
    pruned = tuple(dict.fromkeys(spell.capture for spell in of_partition if spell.capture and spell.capture.pruned_at))
    kept = [spell for spell in of_partition if spell.capture not in pruned]
    held = ((spell.day, _rows(db, spell.capture, symbol)) for spell in kept)
    first = next((spell for spell in kept if spell.capture), None)
    began, changed = (first.day, _first_change(db, first.capture)) if first and first.capture else (None, None)
    return Vintages(week, tier, tuple(versions_of(held)), pruned, began, changed)


def _first_change(db: Database, capture: Known) -> str | None:
    """The earliest revised_on among the rows of a capture."""
    dates = db.execute(
        """
        SELECT MIN(revised_on) FROM (
            SELECT revised_on FROM finra_otc_transparency_capture WHERE capture_key = ?
            UNION ALL SELECT revised_on FROM finra_otc_transparency_row_date WHERE capture_key = ?) dated
        """,
        (capture.capture_key, capture.capture_key),
    ).fetchone()
    return str(dates[0]) if dates[0] else None


def _rows(db: Database, capture: Known | None, symbol: str | None) -> list[Row]:
    if capture is None:
        return []
    view = VIEWS["normalized"]
    if symbol is None:
        return [Row._make(row) for row in db.execute(view.of_capture, (capture.capture_id,))]
    return [Row._make(row) for row in db.execute(str(view.of_symbol), (capture.capture_id, symbol))]


def versions_of(held: Iterable[tuple[str, Iterable[Row]]]) -> list[Version]:
    """The versions of the rows that were held from one day to the next, by row and then by day."""
    standing: dict[Key, Version] = {}
    ended: list[tuple[Key, Version]] = []
    before: str | None = None
    for day, rows in held:
        of_day = {row.key: row for row in rows}
        for key in standing.keys() - of_day.keys():
            ended.append((key, _until(standing.pop(key), day)))
        for key, row in of_day.items():
            old = standing.get(key)
            if old is not None and _shown(old.row) == _shown(row):
                standing[key] = _held_by(old, row)
                continue
            standing[key] = new = _begin(row, day, before)
            if old is not None:
                ended.append((key, _until(old, str(new.known_from))))
        before = day
    ordered = sorted([*ended, *standing.items()], key=lambda pair: (pair[0], pair[1].held_from))
    return [version for _, version in ordered]


_shown = attrgetter(
    "venue_name", "total_shares", "total_trades", "total_notional", "published_on", "revised_on"
)  # what makes another version of a row


def _begin(row: Row, day: str, before: str | None) -> Version:
    """The version we hold from `day` on, having held another one, or none, on the day `before`."""
    declared = max((date for date in (row.published_on, row.revised_on) if date), default=None)
    ids = (row.capture_id,) if row.capture_id else ()
    if declared is None or (before is not None and declared <= before):
        return Version(row, day, OBSERVED, day, None, ids)
    return Version(row, day, DECLARED, declared, None, ids)


def _held_by(version: Version, row: Row) -> Version:
    if row.capture_id is None or row.capture_id in version.capture_ids:
        return version
    return version._replace(capture_ids=(*version.capture_ids, row.capture_id))


def _until(version: Version, day: str) -> Version:
    """Ended on that day; one that FINRA dates later than we lost it was never known."""
    return version._replace(known_to=max(day, version.known_from or day))


def first_releases(partition: Vintages) -> FirstReleases:
    """Each row's first version. One that was revised before our first capture has none: its figures are unknown."""
    firsts = [next(of_row) for _, of_row in groupby(partition.versions, key=lambda version: version.row.key)]
    shown = [_unknown(v) if v.held_from == partition.began and _was_revised(v.row, partition.changed) else v for v in firsts]
    return FirstReleases(shown, sum(not version.capture_ids for version in shown))


def _was_revised(row: Row, changed: str | None) -> bool:
    """Whether a row of the first capture had been revised. Where no day of publication is given, the earliest change in that
    capture is taken for it, which it is unless every row was revised."""
    published = row.published_on or changed
    return row.revised_on is not None and published is not None and row.revised_on > published


def _unknown(version: Version) -> Version:
    """The version before the first one we hold."""
    row = version.row._replace(
        capture_id=None, total_shares=None, total_trades=None, total_notional=None, captured_at=None, revised_on=None
    )
    return Version(row, None, DECLARED, row.published_on, version.known_from, ())


def known_on(versions: Iterable[Version], day: str) -> Iterator[Version]:
    """The versions that were known on a day."""
    return (v for v in versions if (v.known_from or "9") <= day and (v.known_to is None or day < v.known_to))
