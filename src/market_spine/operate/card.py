"""The card: what an operator sees at nine on a Friday. At most twelve lines: the day, the last run, the weeks, what is open in
any week, what was restated, what comes next, and one command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from market_spine import clock
from market_spine.app import coverage
from market_spine.app.context import Expectations, Run
from market_spine.calendar import publication
from market_spine.calendar.publication import Due
from market_spine.db import Database
from market_spine.operate import anomalies, evidence, runs, status, status_grid
from market_spine.operate.anomalies import Anomaly
from market_spine.operate.evidence import Evidence
from market_spine.operate.runs import RunRow
from market_spine.operate.status_grid import STRIP_WEEKS, WeekState, WeekStatus
from market_spine.partition import TIERS
from market_spine.query import restatements
from market_spine.query.restatements import Restatement

MOST_LINES, LABEL = 12, 14
_RECENT = timedelta(days=7)
_MOST_OPEN = 2
_GRAVE = ("ERROR", "CRITICAL")
SHORT = dict(zip(TIERS, ("T1", "T2", "OTC"), strict=True))


@dataclass(frozen=True, slots=True)
class Card:
    """What the card shows; `weeks` are all that are kept, newest first, and `problems` one line each."""

    today: date
    database: str
    last_run: RunRow | None
    newest_run: RunRow | None  # of any kind
    weeks: Sequence[WeekStatus]
    problems: Sequence[str]
    open_anomalies: int
    restated: Sequence[Restatement]
    coming: Sequence[Due]
    command: str

    @property
    def exit_code(self) -> int:
        """1 when something is open, in any week; else 0."""
        return int(bool(self.problems))

    def entry(self) -> dict[str, object]:
        """The card, for machines."""
        counts = status_grid.tally(self.weeks)
        return {
            "today": self.today, "database": self.database, "last_run": self.last_run.entry() if self.last_run else None,
            "weeks": {state.value: count for state, count in counts.items()}, "open": list(self.problems),
            "open_anomalies": self.open_anomalies, "restatements": [each.entry() for each in self.restated],
            "next_publication": {
                "day": self.coming[0].day,
                "partitions": [{"week_ending": due.partition.week, "tier": due.partition.tier} for due in self.coming],
            },
            "grid": [week.entry() for week in self.weeks[:STRIP_WEEKS]], "next": self.command, "exit_code": self.exit_code,
        }

    def lines(self, as_typed: Callable[[str], str] = str) -> list[str]:
        """The card as text: the grid is that of the last weeks, oldest first; the command comes last, as `as_typed` writes it."""
        counts = status_grid.tally(self.weeks)
        shown = self.weeks[:STRIP_WEEKS][::-1]
        strips = [f"{SHORT[tier]} {''.join(week.cells[n].glyph for week in shown)}" for n, tier in enumerate(TIERS)]
        rows = [
            ("Market Spine", f"{self.today:%A %Y-%m-%d} · {self.database}"),
            ("Last run", _last_run(self.last_run, self.newest_run, self.today)),
            ("Weeks", ", ".join(f"{count} {state.value}" for state, count in counts.items())),
            ("", f"{'  '.join(strips)}  to {shown[-1].week}"),
            *_labelled("Open", self._open_lines()),
            *_labelled("Restated", self._restated_lines()),
            ("Next", _publication(self.coming)),
        ]
        return [*(f"{label:<{LABEL}}{text}".rstrip() for label, text in rows), f"next: {as_typed(self.command)}"]

    def _open_lines(self) -> list[str]:
        more = len(self.problems) - _MOST_OPEN
        return [*self.problems[:_MOST_OPEN], *([f"… and {more} more"] if more > 0 else [])] or ["nothing"]

    def _restated_lines(self) -> list[str]:
        more = len(self.restated) - 1
        return [f"{each.where}: {each.change}{f', and {more} more' if more else ''}" for each in self.restated[:1]]


def looking_at(db: Database, day: date, now: datetime, expected: Expectations | None) -> Run:
    """What the card is read with, where no run is at hand."""
    return Run(db, day, now, "", expected=expected or Expectations())


def read(run: Run, command: str = "spine status") -> Card:
    """The card on the run's day. `command` is what to type where nothing is open."""
    first_weeks = coverage.known_weeks(run.db)
    kept = status_grid.kept_weeks(run.run_date, first_weeks)
    stored = evidence.read(run.db, kept[-1], kept[0], first_weeks)
    return of_weeks(run, status_grid.grid(run, kept, stored), _restated(stored, run.run_date - _RECENT), command)


def of_weeks(run: Run, weeks: Sequence[WeekStatus], restated: Sequence[Restatement], command: str) -> Card:
    """The same where the weeks, and what was restated, are known."""
    last, newest = runs.last_weekly(run.db), next(iter(runs.list_runs(run.db, 1)), None)
    grave = [a for a in anomalies.list_anomalies(run.db, _GRAVE, unresolved=True) if a.state(run.run_date) == "open"]
    return Card(
        run.run_date, run.db.label, last, newest, weeks, _problems(last, weeks, grave, run.run_date), len(grave),
        restated, publication.next_due(run.run_date, calendar=_calendar(run)),
        status.next_command([w for w in weeks if w.state is WeekState.BLOCKED]) or _resolve(grave) or command,
    )


def _calendar(run: Run) -> publication.Calendar:
    return run.expected.calendar or publication.EXCHANGE


def _problems(last: RunRow | None, weeks: Sequence[WeekStatus], grave: Sequence[Anomaly], today: date) -> list[str]:
    """What is open: the last run that crashed or is long ago, the blocked weeks, and errors of no week; the oldest first."""
    problems = _of_run(last, today)
    for week in reversed(weeks):
        if week.state is WeekState.BLOCKED:
            quiet = status_grid.QUIET
            of_cells = [f"{week.week} / {c.partition.tier}: {c.problem or c.state}" for c in week.cells if c.state not in quiet]
            problems += of_cells or [f"{week.week}: {'; '.join(week.blocks)}"]
    blocked = {str(week.week) for week in weeks if week.state is WeekState.BLOCKED}
    return problems + [f"{a.where or 'store'}: {a.category}: {a.message}" for a in reversed(grave) if a.week not in blocked]


def _of_run(last: RunRow | None, today: date) -> list[str]:
    if last is None:
        return ["no weekly run yet"]
    if last.error:
        return [f"the last run ended with exit code {last.exit_code}: {last.error}"]
    days = (today - date.fromisoformat(last.run_date)).days
    return [f"the last weekly run was {days} days ago"] if timedelta(days) > _RECENT else []


def _resolve(grave: Sequence[Anomaly]) -> str | None:
    return anomalies.resolve_command(grave[-1].id) if grave else None


def _restated(stored: Evidence, since: date) -> list[Restatement]:
    """What was restated since a day, the newest and the largest first."""
    each = [r for entries in stored.entries.values() for r in restatements.of_partition(entries)]
    recent = [r for r in each if date.fromisoformat(r.after.run_date) > since]
    return sorted(recent, key=lambda r: (r.after.run_date, abs(r.shares)), reverse=True)


def _labelled(label: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    return [(label if n == 0 else "", text) for n, text in enumerate(texts)]


def _last_run(last: RunRow | None, newest: RunRow | None, today: date) -> str:
    """The last weekly run, and what was run after it."""
    if last is None:
        return "none yet"
    began = datetime.fromisoformat(last.started_at).astimezone(clock.market_zone())
    day = "today" if last.run_date == str(today) else f"{date.fromisoformat(last.run_date):%a} {last.run_date}"
    when = f"{day} {began:%H:%M}" if began.date().isoformat() == last.run_date else day
    code = "" if last.exit_code is None else f"exit {last.exit_code}, "
    is_later = newest is not None and newest.execution_id != last.execution_id
    later = f"; then {newest.pipeline}, exit {newest.exit_code}" if newest and is_later else ""
    return f"{when}: {code}{last.did}{later}"


def _publication(coming: Sequence[Due]) -> str:
    named = ", ".join(f"{due.partition.week} {SHORT[due.partition.tier]}" for due in coming)
    return f"{coming[0].day:%a %Y-%m-%d}: {named}"
