"""What a dry run would have stored by now. The phases read it along with the database, so that each decides as a real run would;
in a real run it stays empty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from market_spine.app.content import Reading
from market_spine.core import manifest
from market_spine.core.captures import Capture, Current
from market_spine.core.manifest import StageRow
from market_spine.errors import PartitionError
from market_spine.gates.past import Other, Week
from market_spine.partition import DOMAIN, TIERS, Partition, generate_capture_id
from market_spine.query.as_of import Known

if TYPE_CHECKING:
    from market_spine.app.judging import Verdicts
    from market_spine.gates.figures import Seen


class Used(NamedTuple):
    """A tier's current capture, which a week-level result is made from."""

    capture_key: int
    capture_id: str
    ingest_no: int


UsedTiers = Mapping[str, Used]


class Stored(NamedTuple):
    """A capture that ingest would store, with what normalize would read from it, or why it cannot."""

    capture: Capture
    lines: int
    reading: Reading | PartitionError


class Normalized(NamedTuple):
    """A capture that normalize would store rows of, their number and share volume, what the gates see of them, and whether they
    hold it."""

    capture: Capture
    rows: int
    shares: float
    seen: Seen
    held: str | None = None


@dataclass(slots=True)
class Forecast:
    """By partition, or by week: what each phase would have stored, and the stages whose anomalies it would have resolved."""

    stored: dict[Partition, Stored] = field(default_factory=dict)
    normalized: dict[Partition, list[Normalized]] = field(default_factory=dict)
    measured: dict[Partition, list[Capture]] = field(default_factory=dict)
    results: dict[date, StageRow] = field(default_factory=dict)
    resolved: set[tuple[date, str | None, str]] = field(default_factory=set)
    waiting: dict[Partition, tuple[Capture, str]] = field(default_factory=dict)  # held as bytes, and why
    released: set[str] = field(default_factory=set)  # captures whose hold would have ended
    _with_content: dict[str, set[Partition]] = field(default_factory=dict)

    # ------------------------------------------------------------------------------------------------- what would be done

    def resolve(self, week: date, tier: str | None, *stages: str) -> None:
        """The open anomalies of these stages would be resolved."""
        self.resolved.update((week, tier, stage) for stage in stages)

    def store(self, capture: Capture, lines: int, reading: Reading | PartitionError) -> None:
        """Ingest would store a capture. Of its rows only the figures are kept, which later checks sum."""
        if isinstance(reading, Reading):
            columns = reading.file.columns._replace(issues=[], venues=[])
            reading = reading._replace(file=reading.file._replace(columns=columns))
        self.stored[capture.partition] = Stored(capture, lines, reading)
        self.resolve(capture.partition.week_ending, capture.partition.tier, manifest.RAW)

    def normalize(self, capture: Capture, reading: Reading, run_date: date, judged: Verdicts) -> Capture:
        """Normalize would store its rows; a replay left over from an earlier day becomes a capture of today. Returns it."""
        from market_spine.parse.columns import whole_or_fraction
        from market_spine.parse.figures import total

        partition = capture.partition
        if capture.stage_no is not None and capture.run_date < run_date.isoformat():
            capture_id = generate_capture_id(DOMAIN, partition.week, partition.tier, run_date)
            capture = capture._replace(capture_id=capture_id, run_date=run_date.isoformat())
        capture = capture._replace(stage_no=None)
        shares = reading.file.columns.shares
        held = judged.judgement.sentence if judged.judgement.is_held else None
        made = Normalized(capture, len(shares), whole_or_fraction(total(shares)), judged.seen, held)
        self.normalized.setdefault(partition, []).append(made)
        if held is None:
            self._with_content.setdefault(capture.content_hash, set()).add(partition)
        self.resolve(partition.week_ending, partition.tier, manifest.NORMALIZED)
        return capture

    def hold(self, capture: Capture, judged: Verdicts) -> None:
        """Normalize would keep its bytes waiting, beside the rows of other content."""
        self.waiting[capture.partition] = (capture, judged.judgement.sentence)

    def release(self, capture: Capture, seen: Seen) -> None:
        """Normalize would find that a held capture passes the gates now."""
        done = capture._replace(stage_no=capture.ingest_no)
        self.released.add(capture.capture_id)
        made = Normalized(done, seen.figures.rows, seen.figures.shares, seen)
        self.normalized.setdefault(capture.partition, []).append(made)
        self.measured.setdefault(capture.partition, []).append(done)
        self.resolve(capture.partition.week_ending, capture.partition.tier, manifest.NORMALIZED)

    def measure(self, capture: Capture) -> None:
        """Calc would measure it."""
        self.measured.setdefault(capture.partition, []).append(capture)
        self.resolve(capture.partition.week_ending, capture.partition.tier, manifest.CALC)

    def measure_week(self, week: date, capture_id: str, made_from: Mapping[str, object], captured_at: str) -> None:
        """Calc would store the week's results."""
        metadata = {"made_from": made_from}
        self.results[week] = StageRow(None, manifest.CALC, capture_id, 1 + len(TIERS), metadata, captured_at)

    # ------------------------------------------------------------------------------------------- what would be read then

    def standing(self, stored: Iterable[Capture], partition: Partition, stage: str) -> list[Capture]:
        """The captures that a stage would work on, oldest first."""
        merged = {capture.capture_id: capture for capture in stored}
        if stage == manifest.CALC:
            merged |= {made.capture.capture_id: made.capture for made in self.normalized.get(partition, [])}
        elif ingested := self.stored.get(partition):
            merged[ingested.capture.capture_id] = ingested.capture
        return sorted(merged.values(), key=lambda capture: capture.run_date)

    def stores(self, capture: Capture) -> bool:
        """Whether it is a content that the database does not have yet."""
        stored = self.stored.get(capture.partition)
        return stored is not None and stored.capture == capture

    def reading_of(self, capture: Capture) -> Reading | None:
        """What normalize would read from a capture; None where the database has its bytes. Raises what reading would raise."""
        if not self.stores(capture):
            return None
        reading = self.stored[capture.partition].reading
        if isinstance(reading, PartitionError):
            raise reading
        return reading

    def supersedes(self, capture: Capture) -> bool:
        """Whether there would be a capture of a later day."""
        stored = self.stored.get(capture.partition)
        return stored is not None and stored.capture.run_date > capture.run_date

    def current(self, stored: Current | None, partition: Partition) -> Current | None:
        """The capture that would be current."""
        newest = self._newest(partition)
        if newest is None or (stored is not None and _day(stored.capture_id) > _day(newest.capture.capture_id)):
            return stored
        return Current(newest.capture.capture_id, newest.rows, newest.shares)

    def weeks_before(self, partition: Partition) -> dict[Partition, Week]:
        """The accepted weeks of a tier before this one that there would be, and are not stored."""
        before = {p: self._newest(p) for p in self.normalized if p.tier == partition.tier and p < partition}
        return {
            p: Week(p, made.capture.capture_id, made.capture.content_hash, made.seen.figures, made.seen.shape)
            for p, made in before.items()
            if made is not None
        }

    def seen_between(self, first: date, last: date) -> dict[Partition, Other]:
        """The accepted contents of these weeks that there would be, and are not stored."""
        newest = {p: self._newest(p) for p in self.normalized if first <= p.week_ending <= last}
        return {p: Other(p, made.seen) for p, made in newest.items() if made is not None}

    def twin(self, stored: Partition | None, partition: Partition, content_hash: str) -> Partition | None:
        """Another partition whose current content would be this one."""
        others = self._with_content.get(content_hash, set()) | ({stored} if stored else set())
        twins = [other for other in others - {partition} if self._has_content(other, content_hash)]
        return min(twins, default=None, key=lambda other: (other.week, other.tier))

    def used_tiers(self, stored: UsedTiers, week: date) -> dict[str, Used]:
        """The captures that would be current and measured."""
        used = dict(stored)
        for tier in TIERS:
            partition = Partition(week, tier)
            measured = {capture.capture_id: capture for capture in self.measured.get(partition, [])}
            normalized = self.normalized.get(partition, [])
            held = {made.capture.capture_id for made in normalized if made.held}
            ahead = [c for c in (*(made.capture for made in normalized), *measured.values()) if c.capture_id not in held]
            newest = max(ahead, key=lambda capture: capture.run_date, default=None)
            if newest is None or (tier in used and _day(used[tier].capture_id) > _day(newest.capture_id)):
                continue
            used.pop(tier, None)
            if newest.capture_id in measured:
                used[tier] = Used(newest.capture_key, newest.capture_id, newest.ingest_no)
        return used

    def known(self, stored: Iterable[Known], week: date, moment: str) -> list[Known]:
        """The captures that would be current as of the end of a day, where content is loaded under it."""
        seen = {known.tier: known for known in stored}
        for tier in TIERS:
            newest = self._newest(Partition(week, tier))
            if newest and (tier not in seen or seen[tier].run_date <= newest.capture.run_date):
                capture = newest.capture
                is_measured = any(other.capture_id == capture.capture_id for other in self.measured.get(capture.partition, []))
                facts = (capture.run_date, 0, capture.capture_id, moment, moment if is_measured else None)
                seen[tier] = Known(week.isoformat(), tier, *facts)
        return list(seen.values())

    def rows(self, stored: Iterable[StageRow], week: date) -> list[StageRow]:
        """The manifest rows the week would have, newest capture first."""
        ahead = {(row.capture_id, row.stage): row for row in self._rows(week)}
        remade = {capture_id for capture_id, stage in ahead if stage == manifest.NORMALIZED}
        gone = {(capture_id, stage) for capture_id in remade for stage in (manifest.CALC, manifest.WITHDRAWN, manifest.HELD)}
        kept = [row for row in stored if (row.capture_id, row.stage) not in gone | ahead.keys()]
        return sorted([*ahead.values(), *kept], key=lambda row: row.captured_at, reverse=True)

    def _rows(self, week: date) -> Iterable[StageRow]:
        for partition in (Partition(week, tier) for tier in TIERS):
            made = [(normalized.capture, normalized.rows) for normalized in self.normalized.get(partition, [])]
            held = [(n.capture, n.rows, n.held) for n in self.normalized.get(partition, []) if n.held]
            held += [(capture, 1, why) for capture, why in [self.waiting[partition]]] if partition in self.waiting else []
            for c, rows, why in held:
                facts = {"ingest_no": c.ingest_no, "reason": why}
                yield StageRow(partition.tier, manifest.HELD, c.capture_id, rows, facts, c.captured_at)
            raw = [(stored.capture, stored.lines)] if (stored := self.stored.get(partition)) else []
            measured = [(capture, 1) for capture in self.measured.get(partition, [])]
            for stage, captures in ((manifest.RAW, made + raw), (manifest.NORMALIZED, made), (manifest.CALC, measured)):
                for c, rows in captures:
                    yield StageRow(partition.tier, stage, c.capture_id, rows, {"ingest_no": c.ingest_no}, c.captured_at)
        if week in self.results:
            yield self.results[week]

    def _has_content(self, partition: Partition, content_hash: str) -> bool:
        """Whether it would be the partition's current content; a partition that the run leaves alone keeps its content."""
        newest = self._newest(partition)
        return newest is None or newest.capture.content_hash == content_hash

    def _newest(self, partition: Partition) -> Normalized | None:
        """Of the captures of a partition that would be normalized and not held, the one of the latest day."""
        made = [made for made in self.normalized.get(partition, []) if not made.held]
        return max(made, key=lambda made: made.capture.run_date, default=None)


def _day(capture_id: str) -> str:
    return capture_id[-8:]
