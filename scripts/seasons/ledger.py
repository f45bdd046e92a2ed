"""What the store must hold: every content it was shown, what was made of it, what was taken back, and each past day as it ended.

When the program looked is its own affair (duties.py says when it must). What it then stored is compared with what FINRA served
at that moment, and from there on the ledger alone says what every view shows, now and as of every day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from seasons.engine import Observed, Stored
from seasons.finra import TIERS, Content, Partition, Served
from seasons.measures import Firm, Shown


@dataclass(slots=True)
class Capture:
    """A partition as stored on one day. `versions` by ingest number; `normalized`, `measured` and `held` name one of them."""

    capture_id: str
    partition: Partition
    day: date
    captured_at: str
    versions: dict[int, Served] = field(default_factory=dict)
    hashes: dict[int, str] = field(default_factory=dict)
    normalized: int | None = None
    measured: int | None = None
    held: int | None = None
    pruned: bool = False
    pinned: bool = False

    @property
    def newest(self) -> int:
        return max(self.versions)

    @property
    def content_hash(self) -> str:
        """Of its rows, or of its newest content where it has none."""
        return self.hashes[self.normalized or self.newest]

    @property
    def is_accepted(self) -> bool:
        """Whether it has rows that nothing holds."""
        return self.normalized is not None and self.held != self.normalized


class Showing(NamedTuple):
    """A current capture, which of its contents, and whether it has its measures."""

    shown: Shown
    number: int
    measured: bool


class WeekShowing(NamedTuple):
    """A current week-level result."""

    result_id: str
    week: str
    captured_at: str
    tiers: tuple[tuple[str, Content], ...]


class Picture(NamedTuple):
    """What every view shows at a moment."""

    captures: Mapping[Partition, Showing]
    weeks: Mapping[str, WeekShowing]


class Moment(NamedTuple):
    """In which circumstances a command ran."""

    day: date
    served: Mapping[Partition, Served]
    out_of_order: frozenset[str]
    forced: bool
    is_content: Callable[[str, Partition, Served], bool]


@dataclass(slots=True)
class Ledger:
    """The model of the store. `stored`: what of a content reaches the store; `firms`: its firm totals, which came with it."""

    stored: Callable[[Served], Content]
    firms: Callable[[Partition, Served], tuple[Firm, ...] | None]
    captures: dict[str, Capture] = field(default_factory=dict)
    withdrawn: list[str] = field(default_factory=list)  # capture ids, in the order of their rollbacks
    taken_back: list[tuple[Partition, str, Served]] = field(default_factory=list)  # contents of captures that hold another since
    reinstated: dict[tuple[Partition, str], str] = field(default_factory=dict)  # withdrawn contents that stand again, and as what
    results: dict[str, list[tuple[str, str, str, dict[str, tuple[str, int]]]]] = field(default_factory=dict)
    history: dict[date, Picture] = field(default_factory=dict)

    def of(self, partition: Partition) -> list[Capture]:
        """Its captures, oldest first; pruned ones too."""
        return sorted((c for c in self.captures.values() if c.partition == partition), key=lambda c: c.day)

    def partitions(self) -> list[Partition]:
        return sorted({capture.partition for capture in self.captures.values()})

    def current(self, partition: Partition) -> Capture | None:
        standing = [c for c in self.of(partition) if c.is_accepted and c.capture_id not in self.withdrawn and not c.pruned]
        return standing[-1] if standing else None

    def newest(self, partition: Partition) -> tuple[Capture, int] | None:
        """What the source showed last."""
        captures = [capture for capture in self.of(partition) if not capture.pruned]
        return (captures[-1], captures[-1].newest) if captures else None

    def withdrawn_hashes(self, partition: Partition) -> set[str]:
        """The contents of the partition that may not become current."""
        return {content_hash for content_hash, _ in self._withdrawn_contents(partition)}

    def is_withdrawn(self, partition: Partition, served: Served) -> bool:
        """Whether that content of the partition was taken back."""
        contents = [content for _, content in self._withdrawn_contents(partition)]
        return any(self.stored(content) == self.stored(served) and content.raw == served.raw for content in contents)

    def _withdrawn_contents(self, partition: Partition) -> Iterator[tuple[str, Served]]:
        captures = [self.captures[name] for name in self.withdrawn if self.captures[name].partition == partition]
        contents = [(c.content_hash, c.versions[c.normalized or c.newest]) for c in captures]
        contents += [(content_hash, content) for where, content_hash, content in self.taken_back if where == partition]
        for content_hash, content in contents:
            again = self.reinstated.get((partition, content_hash))
            if again is None or again in self.withdrawn or self.captures[again].pruned:
                yield content_hash, content

    def withdraw(self, capture: Capture) -> None:
        """An operator withdraws a capture, and its content also where that stood again."""
        self.withdrawn.append(capture.capture_id)
        self.reinstated.pop((capture.partition, capture.content_hash), None)

    def undo(self, capture_id: str) -> None:
        """An operator ends a withdrawal, and that of the same content before it."""
        capture = self.captures[capture_id]
        content = (capture.partition, capture.content_hash)
        self.withdrawn.remove(capture_id)
        self.taken_back = [each for each in self.taken_back if each[:2] != content]
        self._reinstate(capture, capture.content_hash)

    def _reinstate(self, capture: Capture, content_hash: str) -> None:
        """The content of a capture stands, also where it was withdrawn as that of another one."""
        if content_hash in self.withdrawn_hashes(capture.partition):
            self.reinstated[(capture.partition, content_hash)] = capture.capture_id

    def is_ready(self, week: str, results: Mapping[str, WeekShowing]) -> bool:
        """Every tier current and measured, the week's result made of just these, no rollback or hold without a newer capture."""
        partitions = [Partition(date.fromisoformat(week), tier) for tier in TIERS]
        current = [self.current(partition) for partition in partitions]
        if any(c is None or c.measured != c.normalized for c in current) or week not in results:
            return False
        for name in self.withdrawn:
            gone = self.captures[name]
            if gone.partition in partitions and not gone.pruned:
                latest = self.current(gone.partition)
                if latest is None or latest.day <= gone.day:
                    return False
        return not any(self.is_held(partition) for partition in partitions)

    def is_held(self, partition: Partition) -> bool:
        """Whether a content is held and no newer capture was accepted since."""
        standing = [c for c in self.of(partition) if not c.pruned and c.capture_id not in self.withdrawn]
        latest = max((n for n, c in enumerate(standing) if c.is_accepted and c.held is None), default=-1)
        return any(c.held is not None for c in standing[latest + 1 :])

    def picture(self) -> Picture:
        """What every view shows now."""
        current = {p: c for p in self.partitions() if (c := self.current(p))}
        shown = {p: self._showing(c) for p, c in current.items()}
        weeks: dict[str, WeekShowing] = {}
        for week in sorted({p.week for p in current}):
            tiers = [current.get(Partition(week, tier)) for tier in TIERS]
            if all(tiers) and (result := self._result(str(week), [c for c in tiers if c])):
                weeks[str(week)] = result
        return Picture(shown, weeks)

    def _showing(self, capture: Capture) -> Showing:
        served, partition = capture.versions[capture.normalized or 0], capture.partition
        facts = (capture.capture_id, str(partition.week), partition.tier, self.stored(served), capture.captured_at)
        shown = Shown(*facts, self.firms(partition, served))
        return Showing(shown, capture.normalized or 0, capture.measured == capture.normalized)

    def _result(self, week: str, current: list[Capture]) -> WeekShowing | None:
        """The newest result made of just these contents, if they are measured."""
        wanted = {c.partition.tier: (c.capture_id, c.measured) for c in current}
        for _, result_id, captured_at, made_from in sorted(self.results.get(week, []), reverse=True):
            if made_from == wanted and all(c.measured == c.normalized for c in current):
                tiers = tuple((c.partition.tier, self.stored(c.versions[c.measured or 0])) for c in current)
                return WeekShowing(result_id, week, captured_at, tiers)
        return None

    # What a command left behind.

    def learn(self, seen: Observed, moment: Moment) -> list[str]:
        """Takes over what a command stored; returns what it may not have done."""
        faults = [f"{name} is gone, and was not pruned" for name in self._vanished(seen)]
        for name, stored in sorted(seen.captures.items()):
            faults += [f"{name}: {fault}" for fault in self._learn_capture(stored, moment)]
        faults += self._learn_weeks(seen, moment)
        return faults

    def _vanished(self, seen: Observed) -> list[str]:
        return [name for name, c in self.captures.items() if not c.pruned and name not in seen.captures]

    def _learn_capture(self, stored: Stored, moment: Moment) -> Iterator[str]:
        partition = Partition(date.fromisoformat(stored.week), stored.tier)
        before = self.newest(partition)
        known = self.captures.get(stored.capture_id)
        if known is None or known.pruned:
            known = Capture(stored.capture_id, partition, date.fromisoformat(stored.run_date), stored.captured_at)
        if stored.ingested not in known.versions:
            yield from self._learn_content(known, stored, moment, before)
        if known.captured_at != stored.captured_at and known.day != moment.day:
            yield f"its captured_at was rewritten on {moment.day}"
        known.captured_at, known.pinned = stored.captured_at, stored.pinned
        yield from self._learn_stages(known, stored, moment)
        if stored.withdrawn != (stored.capture_id in self.withdrawn):
            yield f"is {'' if stored.withdrawn else 'not '}withdrawn"

    def _learn_content(self, known: Capture, stored: Stored, moment: Moment, before: tuple[Capture, int] | None) -> Iterator[str]:
        partition, number = known.partition, stored.ingested
        moved = before is not None and before[0].hashes[before[1]] == stored.ingested_hash
        waiting = moved and before is not None and before[0].normalized != before[1] and before[0].day != moment.day
        if known.day != moment.day:
            yield f"a content of {moment.day} was stored under a past day"
        if moved and not (waiting or moment.forced):
            yield "the same content was stored again"
        served = moment.served.get(partition)
        if before is not None and waiting:
            known.versions[number] = before[0].versions[before[1]]
        elif served is None or partition.tier in moment.out_of_order:
            yield "was stored while the source had nothing"
            known.versions[number] = served or Served((), moment.day, "NOTHING")
        else:
            if not moment.is_content(stored.ingested_hash, partition, served):
                yield "the stored bytes are not what was served"
            known.versions[number] = before[0].versions[before[1]] if moved and before else served
        known.hashes[number] = stored.ingested_hash
        self.captures[known.capture_id] = known

    def _learn_stages(self, known: Capture, stored: Stored, moment: Moment) -> Iterator[str]:
        if stored.normalized is not None and stored.normalized != known.normalized:
            served = known.versions.get(stored.normalized)
            if served is None:
                yield f"was normalized from an unknown content @{stored.normalized}"
                return
            if served.fault == "SHRUNK_CAPTURE" and self.current(known.partition) is None:
                served = known.versions[stored.normalized] = served._replace(fault="")  # there was nothing to shrink from
            if served.fault and stored.held != stored.normalized:
                yield f"{served.fault}: a content that must be held was normalized, and is not held"
            if known.hashes[stored.normalized] in self.withdrawn_hashes(known.partition) and not moment.forced:
                yield "a withdrawn content was made current again"
            if known.normalized is not None and known.day != moment.day:
                yield f"its rows were replaced on {moment.day}"
            if stored.held != stored.normalized:
                self._accept(known, stored.normalized)
        if stored.normalized is None and known.normalized is not None and known.day != moment.day:
            yield f"lost its rows on {moment.day}"
        yield from self._learn_hold(known, stored)
        known.normalized, known.measured = stored.normalized, stored.measured
        if known.normalized and stored.content_hash != known.hashes[known.normalized]:
            yield "its content_hash is not that of the rows it holds"
        if known.measured is not None and known.normalized is None:
            yield "is measured and not normalized"

    def _accept(self, known: Capture, normalized: int) -> None:
        """A content that is accepted is not taken back any more; if another one of that day was, its capture is current again."""
        partition, accepted = known.partition, known.hashes[normalized]
        if known.capture_id in self.withdrawn:
            self.withdrawn.remove(known.capture_id)
            before = known.normalized or known.newest
            self.taken_back.append((partition, known.hashes[before], known.versions[before]))
        self.taken_back = [each for each in self.taken_back if each[:2] != (partition, accepted)]
        self._reinstate(known, accepted)

    def _learn_hold(self, known: Capture, stored: Stored) -> Iterator[str]:
        """What is held must be wrong, and what was wrong stays held until there is nothing that it would replace."""
        if stored.held is not None and not known.versions[stored.held].fault:
            yield f"@{stored.held} is held without a fault"
        before = known.held
        if before is not None and stored.held is None and before == known.normalized == stored.normalized:
            served = known.versions[before]
            if served.fault == "SHRUNK_CAPTURE" and self.current(known.partition) is None:
                known.versions[before] = served._replace(fault="")
            else:
                yield f"{served.fault}: @{before} was released by nobody"
        known.held = stored.held

    def _learn_weeks(self, seen: Observed, moment: Moment) -> Iterator[str]:
        known = {entry[1]: (week, entry) for week, entries in self.results.items() for entry in entries}
        for name, result in sorted(seen.weeks.items()):
            entry = (result.run_date, name, result.captured_at, result.made_from)
            if name in known and known[name][1] != entry and result.run_date != str(moment.day):
                yield f"{name}: a week-level result of a past day was rewritten on {moment.day}"
            entries = [other for other in self.results.get(result.week, []) if other[1] != name]
            self.results[result.week] = [*entries, entry]
        for name in known.keys() - seen.weeks.keys():
            week, entry = known[name]
            if entry[0] != str(moment.day):
                yield f"{name}: a week-level result is gone"
            self.results[week].remove(entry)  # one of today goes with the rows it was made from; a complete run makes the next
