"""The front page: one sentence of state, what is open and what to type, the last weeks, and how long FINRA takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from statistics import median

from market_spine.calendar import publication
from market_spine.calendar.publication import EXCHANGE, Due
from market_spine.core.anomalies import SEVERITIES
from market_spine.db import Database
from market_spine.operate import anomalies, card, runs, status_grid
from market_spine.operate.runs import RunRow
from market_spine.operate.status_grid import STRIP_WEEKS, WeekState, WeekStatus
from market_spine.page.looking import Look
from market_spine.page.parts import Column, Commands, Fact, Facts, Heat, Kind, Linked, Notice, Page, Part, Shown, Table, to
from market_spine.page.views import TIER_NAMES, count
from market_spine.partition import TIERS

_MOST_PROBLEMS = 5
_RUNS = 50


def overview(look: Look) -> Page:
    """What is to be known this morning."""
    shown = card.of_weeks(look.run, look.weeks(), (), "spine status")
    last = next((run for run in runs.list_runs(look.db, _RUNS, before=look.before) if run.pipeline == runs.WEEKLY), None)
    open_by_severity = anomalies.count_open(look.run.db, look.day)
    parts: list[Part] = [_state(shown.weeks, shown.problems), _figures(shown.weeks, last, open_by_severity, look)]
    if shown.problems:
        parts.append(Commands("Type this next", [("for the gravest problem, oldest first", shown.command)]))
    parts += [Heat("The last twelve weeks", shown.weeks[:STRIP_WEEKS], is_strip=True), _lag(look.run.db)]
    return Page(to(), "Overview", "FINRA's weekly OTC Transparency data: what is stored, what is ready, and what is open.", parts)


def _state(shown: Sequence[WeekStatus], problems: Sequence[str]) -> Notice:
    """The sentence of state."""
    if not problems:
        return Notice("good", [[_ready(shown)]], "Nothing is open")
    blocked = sum(week.state is WeekState.BLOCKED for week in shown)
    title = f"{count(blocked, 'week')} blocked" if blocked else f"{count(len(problems), 'problem')} open"
    links = dict(_links(shown))
    lines = [links.get(problem, [problem]) for problem in problems[:_MOST_PROBLEMS]]
    if len(problems) > _MOST_PROBLEMS:
        lines.append([Linked(f"… and {len(problems) - _MOST_PROBLEMS:,} more", to("weeks"))])
    return Notice("bad", [*lines, [_ready(shown)]], title)


def _links(shown: Sequence[WeekStatus]) -> Iterator[tuple[str, list[Shown]]]:
    """The problems of partitions, as the card has them, with a link to each."""
    for week in shown:
        for cell in week.cells if week.state is WeekState.BLOCKED else ():
            where, what = f"{week.week} / {cell.partition.tier}", f": {cell.problem or cell.state}"
            yield where + what, [Linked(where, to("weeks", week.week, cell.partition.tier)), what]


def _ready(shown: Sequence[WeekStatus]) -> str:
    ends = [_ready_to(shown, number) for number in range(len(TIERS))]
    listed = ", ".join(f"{TIER_NAMES[tier]} to {end}" for tier, end in zip(TIERS, ends, strict=True) if end)
    return f"Ready: {listed}." if listed else "No week is ready yet."


def _ready_to(shown: Sequence[WeekStatus], number: int) -> date | None:
    """The newest week of a tier that is ready; `shown` is newest first."""
    return next((week.week for week in shown if week.cells[number].state.value == "ready"), None)


def _figures(shown: Sequence[WeekStatus], last: RunRow | None, counts: dict[str, int], look: Look) -> Facts:
    tally = status_grid.tally(shown)
    grave = ", ".join(f"{counts[severity]:,} {severity}" for severity in reversed(SEVERITIES) if counts.get(severity))
    coming = publication.next_due(look.day, calendar=look.run.expected.calendar or EXCHANGE)
    return Facts(
        [
            Fact("Weeks ready", tally[WeekState.READY], Kind.NUMBER, f"{tally[WeekState.AWAITING]:,} awaiting FINRA"),
            Fact("Weeks blocked", tally[WeekState.BLOCKED], Kind.NUMBER, "somebody has to look"),
            Fact("Open anomalies", sum(counts.values()), Kind.NUMBER, grave or "none"),
            Fact("Last run", last.run_date if last else "none", Kind.DAY, _ended(last)),
            Fact("Next from FINRA", coming[0].day, Kind.DAY, _named(coming)),
        ]
    )


def _ended(last: RunRow | None) -> str:
    if last is None:
        return "no run yet"
    return "not finished" if last.exit_code is None else f"{last.pipeline}, exit {last.exit_code}"


def _named(coming: Sequence[Due]) -> str:
    by_week: dict[str, list[str]] = {}
    for due in coming:
        by_week.setdefault(due.partition.week, []).append(card.SHORT[due.partition.tier])
    return "; ".join(f"{', '.join(tiers)} of {week}" for week, tiers in by_week.items())


def _lag(db: Database) -> Table:
    """How many days after the end of a week its first capture came, by tier."""
    firsts = db.execute(
        """
        SELECT tier, week_ending, MIN(run_date) FROM finra_otc_transparency_capture
        GROUP BY tier, week_ending ORDER BY week_ending
        """
    )
    days: dict[str, list[int]] = {tier: [] for tier in TIERS}
    for tier, week, first in firsts:
        days[tier].append((date.fromisoformat(first) - date.fromisoformat(week)).days)
    columns = [
        Column("tier", "Tier"), Column("weeks", "Weeks", Kind.NUMBER), Column("median_days", "Median days", Kind.NUMBER),
        Column("last_days", "Days, last week", Kind.NUMBER), Column("fewest_days", "Fewest", Kind.NUMBER),
        Column("most_days", "Most", Kind.NUMBER),
    ]
    title = "Days from the end of a week to its first capture"
    return Table("lag", title, columns, list(_lag_rows(days)), "Nothing is captured yet.")


def _lag_rows(days: dict[str, list[int]]) -> Iterator[tuple[str | float, ...]]:
    for tier, each in days.items():
        if each:
            yield TIER_NAMES[tier], len(each), median(each), each[-1], min(each), max(each)
