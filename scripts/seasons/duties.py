"""What a weekly run must have done: no week forgotten, nothing overlooked, nothing refused made current, the right exit code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from seasons.finra import TIERS, Finra, Partition, Served
from seasons.ledger import Capture, Ledger

WINDOW = 6  # weeks
SETTLED = 13  # weeks after the window in which a change without a date is found
TURNS = 4  # runs within which every content is compared
OPEN = 26  # weeks before the window in which what is refused is tried again, and fails the run


def window(day: date) -> list[date]:
    """The Fridays a run of that day looks at, newest first."""
    last = day - timedelta(days=(day.weekday() - 4) % 7)
    return [last - timedelta(weeks=n) for n in range(WINDOW)]


@dataclass(slots=True)
class Duties:
    """What is expected of runs. `unseen`: on which days whole runs passed over a change without a date; `swept`: the day up to
    which the last whole run asked for revisions."""

    dated: bool  # the source has dates that are asked first: the API
    first_week: dict[str, date] = field(default_factory=dict)
    unseen: dict[Partition, set[date]] = field(default_factory=dict)
    swept: date = date.min

    def asked(self, weeks: list[date], tiers: tuple[str, ...] = TIERS) -> None:
        """From its first week on, a tier's partitions are open until they are complete."""
        for tier in tiers:
            self.first_week[tier] = min([*weeks, self.first_week.get(tier, date.max)])

    def captured(self, ledger: Ledger) -> None:
        for partition in ledger.partitions():
            self.asked([partition.week], (partition.tier,))

    def scope(self, finra: Finra) -> list[Partition]:
        """What a run of today must look after."""
        newest = window(finra.today)[0]
        return sorted(p for p in finra.partitions if self.first_week.get(p.tier, date.max) <= p.week <= newest)

    def _since_first(self, today: date) -> list[Partition]:
        """Every partition from its tier's first week on."""
        newest = window(today)[0]
        weeks = {tier: range((newest - first).days // 7 + 1) for tier, first in self.first_week.items()}
        return [Partition(newest - timedelta(weeks=n), tier) for tier, back in weeks.items() for n in back]

    def after_run(self, finra: Finra, ledger: Ledger, out_of_order: frozenset[str], exit_code: int) -> list[str]:
        """What a whole run left undone."""
        weeks = window(finra.today)
        self.asked(weeks)
        faults = []
        looked_at = [p for p in self.scope(finra) if p.tier not in out_of_order]
        taken = {c.partition for c in ledger.captures.values() if c.day == finra.today}
        touched = {p.week for p in taken if _has_changed(ledger.of(p))}  # a change in one tier is reason to look at the others
        for partition in looked_at:
            faults += [f"{partition.week} {partition.tier}: {fault}" for fault in self._taken(partition, finra, ledger, touched)]
            faults += [f"{partition.week} {partition.tier}: {fault}" for fault in _complete(partition, ledger)]
        faults += _results(ledger)
        faults += self._code(finra, ledger, out_of_order, exit_code)
        if not out_of_order:
            self.swept = finra.today
        return faults

    def _taken(self, partition: Partition, finra: Finra, ledger: Ledger, touched: set[date]) -> Iterator[str]:
        """Whether the store knows what FINRA shows."""
        served, known = finra.partitions[partition], ledger.newest(partition)
        if known is None:
            yield f"FORGOTTEN: due {partition.due}, and not there"
            return
        stored = known[0].versions[known[1]]
        if ledger.stored(stored) == ledger.stored(served) and stored.raw == served.raw:
            self.unseen.pop(partition, None)
            return
        if ledger.is_withdrawn(partition, served):
            return  # refused; whether it is stored once more is the program's affair
        if not self.dated or self._shows(partition, stored, served, known[0], finra) or partition.week in touched:
            yield f"OVERLOOKED: changed on {served.changed}, and the content of {known[0].day} is still the newest"
            return
        self.unseen.setdefault(partition, set()).add(finra.today)  # a run repeated on the same day does not look further
        settled = window(finra.today)[-1] - timedelta(weeks=SETTLED)
        if partition.week >= settled and len(self.unseen[partition]) >= TURNS:
            yield f"OVERLOOKED: changed on {served.changed} without a date, and not found on {TURNS} days with runs"

    def _shows(self, partition: Partition, stored: Served, served: Served, capture: Capture, finra: Finra) -> bool:
        """Whether dates and counts show the change: within the window any difference, before it a date since the last run."""
        if partition.week >= window(finra.today)[-1]:
            same = served.newest == stored.newest and len(served.lines) == len(stored.lines)
            return not same or served.changed == capture.day == served.newest
        return served.newest >= max(self.swept, stored.newest + timedelta(days=1))

    def _code(self, finra: Finra, ledger: Ledger, out_of_order: frozenset[str], exit_code: int) -> Iterator[str]:
        reach = window(finra.today)[-1] - timedelta(weeks=OPEN)
        failing = [*self._absent(finra, ledger, out_of_order), *refused(ledger, reach)]
        maybe: list[object] = [*failing, *passed_over(ledger)]
        maybe += [p for p in self.scope(finra) if ledger.is_withdrawn(p, finra.partitions[p])]
        if exit_code not in ((1, 2) if failing else (0, 1) if maybe else (0,)):
            yield f"EXIT {exit_code} with {len(failing)} failing: {failing[:2]}"
        if out_of_order == frozenset(TIERS) and not self._late(finra.today) and exit_code != 2:
            yield f"EXIT {exit_code} although nothing could be reached"

    def _late(self, today: date) -> bool:
        """Whether a partition is only late: due, and within the grace. An API that does not answer fails for it all the same."""
        recent = [Partition(week, tier).due for week in window(today) for tier in TIERS]
        return not self.dated and any(due <= today <= due + timedelta(days=1) for due in recent)

    def _absent(self, finra: Finra, ledger: Ledger, out_of_order: frozenset[str]) -> list[str]:
        """The partitions of the window and the open ones that are due and that the source does not give."""
        today, grace = finra.today, 0 if self.dated else 1
        every = [Partition(week, tier) for week in window(today) for tier in TIERS]
        every += [p for p in self._since_first(today) if p not in every and ledger.newest(p) is None]
        return [
            f"{p.week} {p.tier} absent"
            for p in every
            if (p.tier in out_of_order and p.due + timedelta(days=grace) < today + timedelta(days=self.dated))
            or (p.tier not in out_of_order and p not in finra.partitions and p.due + timedelta(days=1) < today)
        ]


def refused(ledger: Ledger, since: date) -> list[str]:
    """The newest contents of these weeks that may not become current."""
    newest = [ledger.newest(partition) for partition in ledger.partitions() if partition.week >= since]
    standing = [found[0] for found in newest if found is not None and found[0].capture_id not in ledger.withdrawn]
    return [reason for capture in standing for reason in _refusal(ledger, capture)]


def passed_over(ledger: Ledger) -> list[str]:
    """Contents that may not become current, of any capture: one that is withdrawn or has a newer beside it is refused once."""
    return [reason for capture in ledger.captures.values() if not capture.pruned for reason in _refusal(ledger, capture)]


def _refusal(ledger: Ledger, capture: Capture) -> Iterator[str]:
    fault = capture.versions[capture.newest].fault
    withdrawn = capture.hashes[capture.newest] in ledger.withdrawn_hashes(capture.partition)
    is_left = capture.normalized != capture.newest or capture.held == capture.newest
    if is_left and (fault or withdrawn):
        yield f"{capture.capture_id}@{capture.newest} {fault or 'WITHDRAWN_CONTENT'}"


def _has_changed(captures: list[Capture]) -> bool:
    """Whether the last capture has another content than the one before; a forced one may have the same."""
    return len(captures) > 1 and captures[-1].hashes[captures[-1].newest] != captures[-2].hashes[captures[-2].newest]


def _complete(partition: Partition, ledger: Ledger) -> Iterator[str]:
    """Whether the newest content is current and measured, unless it must be refused."""
    newest = ledger.newest(partition)
    if newest is None or newest[0].capture_id in ledger.withdrawn:
        return
    capture, number = newest
    acceptable = not capture.versions[number].fault and capture.hashes[number] not in ledger.withdrawn_hashes(partition)
    if acceptable and capture.normalized != number:
        yield f"UNFINISHED: {capture.capture_id}@{number} is not normalized"
    current = ledger.current(partition)
    if current is not None and current.measured != current.normalized:
        yield f"UNFINISHED: {current.capture_id} has no measures of its rows"


def _results(ledger: Ledger) -> Iterator[str]:
    picture = ledger.picture()
    weeks = {partition.week for partition in picture.captures}
    for week in sorted(weeks):
        if all(Partition(week, tier) in picture.captures for tier in TIERS) and str(week) not in picture.weeks:
            yield f"UNFINISHED: {week} has no result of its current captures"


def at_the_end(finra: Finra, ledger: Ledger, duties: Duties) -> Iterator[str]:
    """Once everything is repaired, every due partition is there and equal to what FINRA serves, settled weeks included."""
    settled = window(finra.today)[-1] - timedelta(weeks=SETTLED)
    for partition in duties.scope(finra):
        served, known = finra.partitions[partition], ledger.newest(partition)
        if known is None:
            yield f"{partition.week} {partition.tier}: FORGOTTEN for ever"
        elif partition.week >= settled or not duties.dated:
            stored = known[0].versions[known[1]]
            if ledger.stored(stored) != ledger.stored(served) and not ledger.is_withdrawn(partition, served):
                yield f"{partition.week} {partition.tier}: not what FINRA serves at the end"
