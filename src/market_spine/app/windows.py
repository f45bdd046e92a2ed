"""The windows of CALC: made for whatever changed since they were made last, in milliseconds, from the database's state.

The log of events holds every change of a capture, so it is the list of what to look at: of each partition that changed, the
windows that hold its week. A window whose captures are all current and measured is made, unless it exists: what a killed run
left out is made by the next one, and an undone withdrawal finds the old window.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from market_spine import clock
from market_spine.app.context import Run
from market_spine.core import events, windows
from market_spine.core.events import Kind
from market_spine.core.windows import Input, Plan, Stored
from market_spine.db import Database
from market_spine.outcome import Outcome, Phase, Status
from market_spine.parse.columns import Venue, millionths
from market_spine.partition import TIERS, weeks_of, weeks_with
from market_spine.query import as_of

if TYPE_CHECKING:
    from market_spine.measure.windows import Figures, Week

Span = tuple[date, str, int]  # the last week, the tier and the length of a window


def follow(run: Run, week_ending: date) -> Outcome:
    """Makes the windows that captures changed since the last time ask for; `week_ending` is what a failure is filed under."""
    with run.db.transaction():
        run.db.transaction_lock("windows")
        seq, lengths = windows.progress(run.db)
        touched = windows.touched(run.db, seq)
        made = _make_all(run, spans_with(touched, lengths)) if touched else 0
        if touched:
            windows.follow(run.db, events.head(run.db).size, lengths)
    status = Status.DONE if made else Status.SKIPPED
    return Outcome(Phase.CALC, status, week_ending, None, f"Made {made:,} windows", rows=made)


def keep_lengths(run: Run, lengths: Iterable[int]) -> None:
    """Keeps windows of these lengths from now on; those of the weeks that are stored are made by the next `follow`."""
    with run.db.transaction():
        windows.follow(run.db, 0, sorted(set(lengths)))


def remake(run: Run, week_ending: date, weeks: AbstractSet[str]) -> Outcome:
    """Computes every window that holds one of these weeks again, from the captures it was made of; one with a pruned capture
    keeps its figures."""
    log: list[_Made] = []
    with run.db.transaction():
        run.db.transaction_lock("windows")
        measured = _Measured(run.db)
        for stored in windows.between(run.db, "", "9"):
            inputs = _inputs_of(run.db, stored.window_key)
            if len(inputs) < stored.length or weeks.isdisjoint({each.week for each in inputs}):
                continue
            windows.clear(run.db, stored.window_key)
            plan = Plan(stored.week, stored.tier, stored.length, inputs)
            log.append(_compute(run, plan, stored.window_key, measured, stored))
        _log(run, log)
    made = len(log)
    return Outcome(Phase.CALC, Status.DONE, week_ending, None, f"Rebuilt {made:,} windows", rows=made)


def missing(db: Database, weeks: Collection[date], *, lost: bool = False) -> list[Plan]:
    """The windows that end with these weeks and are not made, although each of their weeks has a measured current capture; with
    `lost` only those that the next run does not make."""
    if not weeks:
        return []
    (seq, lengths), first, last = windows.progress(db), min(weeks), max(weeks)
    coming = set(spans_with(windows.touched(db, seq), lengths)) if lost else set()
    spans = sorted({(week, tier, length) for week in weeks for tier in TIERS for length in lengths} - coming)
    needed = weeks_of(last, (last - first).days // 7 + max(lengths))
    known = {each.identity for each in windows.between(db, str(first), str(last))}
    return [plan for plan in plans(spans, _current(db, needed, None)) if plan.identity not in known]


class Difference(NamedTuple):
    """What is stored of a window and differs from what its captures give; where only figures do, `remake` repairs it."""

    plan: Plan
    what: str
    is_of_figures: bool


def differences(db: Database) -> Iterator[Difference]:
    """The first difference of every window, but of those with a pruned capture."""
    measured = _Measured(db)
    for filed in windows.every(db):
        plan = Plan(filed.week, filed.tier, filed.length, _inputs_of(db, filed.window_key))
        if len(plan.inputs) < plan.length:
            continue
        stored = windows.figures(db, filed.window_key)
        if plan.inputs_hash != filed.inputs_hash:
            yield Difference(plan, f"is filed under {filed.inputs_hash}, and its captures are {plan.inputs_hash}", False)
        elif stored.tier is None:
            yield Difference(plan, "has no figures", False)
        elif what := _difference(stored.tier, stored.venues, measured.figures(plan)):
            yield Difference(plan, what, True)


def _difference(tier: tuple[Any, ...], venues: Sequence[tuple[Any, ...]], made: Figures) -> str | None:
    """The first figure that differs; those of the tier have names."""
    for name, kept, value in zip(made.tier._fields, tier, made.tier, strict=True):
        if kept != value:
            return f"has {kept} as {name}, its captures give {value}"
    differ = set[tuple[Any, ...]](made.venues) ^ set(map(tuple, venues))
    return f"has figures of venues that its captures do not give: {len(differ)} rows differ" if differ else None


def spans_with(partitions: Iterable[tuple[str, str]], lengths: Iterable[int]) -> list[Span]:
    """Every window that holds one of these weeks of its tier, by its last week."""
    lengths = tuple(lengths)
    spans = {
        (last, tier, length)
        for week, tier in partitions
        for length in lengths
        for last in weeks_with(date.fromisoformat(week), length)
    }
    return sorted(spans)


def plans(spans: Iterable[Span], current: Mapping[tuple[str, str], Input]) -> list[Plan]:
    """Those of which every week has a capture that is current and measured."""
    made = []
    for last, tier, length in spans:
        inputs = [current.get((week.isoformat(), tier)) for week in weeks_of(last, length)]
        kept = tuple(each for each in inputs if each is not None)
        if len(kept) == length:
            made.append(Plan(last.isoformat(), tier, length, kept))
    return made


class _Moment(NamedTuple):
    """A time by which captures are current, None for now; windows are dated `made_at`."""

    before: str | None
    made_at: str


def _make_all(run: Run, spans: list[Span]) -> int:
    """Makes what is missing of these windows; returns how many."""
    first, last = spans[0][0], spans[-1][0]
    stored = windows.between(run.db, first.isoformat(), last.isoformat())
    newest = {(each.week, each.tier, each.length): each for each in stored}
    known = {each.identity for each in stored}
    weeks = sorted({week for span in spans for week in weeks_of(span[0], span[2])})
    measured, log = _Measured(run.db), list[_Made]()
    for moment in _moments(run, weeks):
        for plan in plans(spans, _current(run.db, weeks, moment.before)):
            if plan.identity in known:
                continue
            key = windows.add(run.db, plan, _week_before(plan), moment.made_at)
            log.append(_compute(run, plan, key, measured, newest.get((plan.week, plan.tier, plan.length))))
            known.add(plan.identity)
    _log(run, log)
    return len(log)


def _moments(run: Run, weeks: list[date]) -> list[_Moment]:
    """Now; of content that was loaded under a past day, the end of that day and of every later day that it may change."""
    if not run.as_observed:
        return [_Moment(None, run.stamp)]
    changes = as_of.spells(run.db, weeks)
    days = {date.fromisoformat(spell.day) for spells in changes.values() for spell in spells} | {run.run_date}
    return [_Moment(as_of.end_of(day), clock.stamp(clock.moment_of(day))) for day in sorted(days) if day >= run.run_date]


def _week_before(plan: Plan) -> str:
    """The end of the window before it, with which ranks are compared."""
    return (date.fromisoformat(plan.week) - timedelta(weeks=plan.length)).isoformat()


def _current(db: Database, weeks: list[date], before: str | None) -> dict[tuple[str, str], Input]:
    """The captures of these weeks that are current and measured, by week and tier."""
    hashes = dict(_hashes(db, weeks[0].isoformat(), weeks[-1].isoformat()))
    limit = before or "9"
    return {
        (c.week, c.tier): Input(c.week, c.capture_key, c.capture_id, hashes[c.capture_key])
        for c in as_of.current_captures(db, before, weeks)
        if c.capture_key in hashes and c.measured_at is not None and c.measured_at < limit
    }


def _hashes(db: Database, first: str, last: str) -> Iterator[tuple[int, str]]:
    rows = db.execute(
        "SELECT capture_key, content_hash FROM finra_otc_transparency_capture WHERE week_ending >= ? AND week_ending <= ?",
        (first, last),
    )
    yield from ((capture_key, content_hash) for capture_key, content_hash in rows)


def _inputs_of(db: Database, window_key: int) -> tuple[Input, ...]:
    """The inputs of a window that are not pruned."""
    rows = db.execute(
        """
        SELECT i.week_ending, i.capture_key, c.capture_id, c.content_hash FROM finra_otc_transparency_window_input i
        JOIN finra_otc_transparency_capture c ON c.capture_key = i.capture_key
        JOIN finra_otc_transparency_tier_measure m ON m.capture_key = i.capture_key
        WHERE i.window_key = ? ORDER BY i.position
        """,
        (window_key,),
    )
    return tuple(map(Input._make, rows))


class _Made(NamedTuple):
    """A window that was made: its partition, and what the log holds of it."""

    subject: str
    facts: Mapping[str, object]


def _compute(run: Run, plan: Plan, window_key: int, measured: _Measured, before: Stored | None) -> _Made:
    """Stores the figures of a window; returns how its headline changed, for the log. Call it inside a transaction."""
    tier, venues = measured.figures(plan)
    windows.put(run.db, window_key, tier, venues)
    facts: dict[str, object] = {
        "length": plan.length, "inputs_hash": plan.inputs_hash, "hhi": events.figure(tier.hhi),
        "total_shares": events.figure(tier.total_shares),
    }
    if before is not None:
        facts |= {"hhi_before": events.figure(before.hhi), "total_shares_before": events.figure(before.total_shares)}
    return _Made(f"{plan.week}/{plan.tier}", facts)


def _log(run: Run, log: Iterable[_Made]) -> None:
    """One event for the windows of a partition. Call it inside the transaction that made them."""
    by_subject: dict[str, list[Mapping[str, object]]] = {}
    for made in log:
        by_subject.setdefault(made.subject, []).append(made.facts)
    for subject, facts in by_subject.items():
        events.record(run.db, Kind.WINDOW_MADE, subject, run.stamp, windows=facts)


@dataclass(slots=True)
class _Measured:
    """The measures of captures, each read once: the windows of neighbouring weeks share them."""

    db: Database
    _weeks: dict[int, Week] = field(default_factory=dict)
    _least: dict[int, int] = field(default_factory=dict)  # by venue id, the least one of the same venue

    def figures(self, plan: Plan) -> Figures:
        """The figures of a window."""
        from market_spine.measure.windows import measure_window  # only here: what only reads imports this module, but not numpy

        return measure_window([self._week(each) for each in plan.inputs])

    def _week(self, capture: Input) -> Week:
        """What a capture measured."""
        if capture.capture_key not in self._weeks:
            self._weeks[capture.capture_key] = self._read(capture)
        return self._weeks[capture.capture_key]

    def _read(self, capture: Input) -> Week:
        from market_spine.measure.windows import Week, basis_of, parts_of

        row = _Totals._make(self.db.execute(_TOTALS, (capture.capture_key,)).fetchone())
        venues: dict[int, int] = {}
        for venue_id, shares in self.db.execute(_VENUES, (capture.capture_key, capture.capture_key)):
            least = self._least_id(venue_id)
            venues[least] = venues.get(least, 0) + millionths(shares)
        total = millionths(row.shares)
        return Week(
            date.fromisoformat(capture.week), basis_of(row.basis), total, millionths(row.ats_shares), row.trades, row.hhi, venues,
            parts_of(venues, total),
        )

    def _least_id(self, venue_id: int) -> int:
        if venue_id not in self._least:
            ids: dict[tuple[object, ...], int] = {}
            rows = self.db.execute(
                "SELECT venue_id, venue_class, mpid, firm_crd, venue_name FROM finra_otc_transparency_venue ORDER BY venue_id"
            )
            for number, *facts in rows:
                self._least[number] = ids.setdefault(Venue._make(facts).identity, number)
        return self._least[venue_id]


class _Totals(NamedTuple):
    """A row of _TOTALS."""

    basis: str | None
    shares: float
    ats_shares: float
    trades: int
    hhi: float | None


_TOTALS = """
SELECT c.basis, m.total_shares, m.ats_shares, m.total_trades, m.hhi FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_tier_measure m ON m.capture_key = c.capture_key WHERE c.capture_key = ?
"""
# The venues as finra_otc_transparency_venue_share counts them.
_VENUES = """
SELECT m.venue_id, m.total_shares FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_venue_measure m ON m.capture_key = c.capture_key
WHERE c.capture_key = ? AND COALESCE(c.basis, 'symbol_rows') = 'symbol_rows'
UNION ALL
SELECT f.venue_id, f.total_shares FROM finra_otc_transparency_capture c
JOIN finra_otc_transparency_firm_total f ON f.capture_key = c.capture_key
WHERE c.capture_key = ? AND c.basis = 'firm_total'
"""
