"""Weeks: the heat map of all, one week with its three tiers, and one partition with its captures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from market_spine.app import coverage
from market_spine.calendar.publication import EXCHANGE, due_date
from market_spine.core import checks
from market_spine.operate import evidence, status, status_grid
from market_spine.operate.evidence import Evidence
from market_spine.operate.status_grid import Cell, WeekStatus
from market_spine.page.looking import Look
from market_spine.page.parts import (
    Card,
    Cards,
    Column,
    Commands,
    Fact,
    Heat,
    Kind,
    Linked,
    Log,
    Notice,
    Page,
    Part,
    Shown,
    Table,
    difference,
    to,
)
from market_spine.page.views import TIER_NAMES, count, state_of
from market_spine.partition import TIERS, Partition, weeks_back
from market_spine.query import answer, changes, history, windows
from market_spine.query.answer import Question
from market_spine.query.history import Entry
from market_spine.query.views import VIEWS

MOST = 1040  # twenty years


def listed(look: Look, first: date | None, last: date | None) -> Page:
    """The heat map: since the first week that is kept, or of a range."""
    grid = look.weeks()[:MOST] if first is None and last is None else _between(look, first, last)
    blocked = [week for week in grid if week.state is status_grid.WeekState.BLOCKED]
    parts: list[Part] = [Heat("Weeks and tiers", grid)]
    if command := status.next_command(blocked):
        parts.insert(0, Commands("Type this next", [("for the gravest problem, oldest first", command)]))
    parts.append(_blocked(blocked))
    tally = status_grid.tally(grid)
    lead = f"{', '.join(f'{number:,} {state.value}' for state, number in tally.items())}, from {grid[-1].week} to {grid[0].week}."
    return Page(to("weeks"), "Weeks", lead, parts)


def _between(look: Look, first: date | None, last: date | None) -> list[WeekStatus]:
    """The weeks of a range, newest first; without an end at least twelve, at most MOST."""
    known, end = coverage.known_weeks(look.run.db), min(last or look.day, look.day)
    start = first or min(known.values(), default=look.day)
    span = max((end - start).days // 7 + 1, 1 if last else status_grid.STRIP_WEEKS)
    return status_grid.read(look.run, weeks_back(min(span, MOST), end), known)


def _blocked(blocked: Sequence[WeekStatus]) -> Table:
    rows: list[tuple[Shown, ...]] = []
    for week in blocked:
        cells = [cell for cell in week.cells if cell.problem or cell.state not in status_grid.QUIET]
        for cell in cells:
            where = to("weeks", week.week, cell.partition.tier)
            tier = Linked(TIER_NAMES[cell.partition.tier], where)
            rows.append((Linked(week.week, to("weeks", week.week)), tier, cell.state.value, cell.problem, cell.command))
        if not cells or week.problem:
            rows.append((Linked(week.week, to("weeks", week.week)), "week", "blocked", "; ".join(week.blocks), week.command))
    columns = [
        Column("week_ending", "Week", Kind.DAY), Column("tier", "Tier"), Column("state", "State", Kind.STATE),
        Column("problem", "Blocked by", Kind.PROSE), Column("command", "Command", Kind.TYPED),
    ]
    return Table("blocked", "Blocked weeks", columns, rows, "No week is blocked.")


def week(look: Look, ending: date) -> Page:
    """One week: its tiers side by side, its totals, and its story."""
    stored = evidence.read(look.run.db, ending, ending)
    (status_of,) = status_grid.grid(look.run, [ending], stored)
    parts: list[Part] = [_judged(status_of)]
    if commands := _next(status_of):
        parts.append(Commands("Type this next", commands))
    parts.append(Cards([_card(look, stored, cell) for cell in status_of.cells]))
    totals, split = _totals(look, ending), _split(look, ending)
    parts += [totals, *([split] if split.rows else []), _story(look, ending, TIERS)]
    before, after = ending - timedelta(weeks=1), ending + timedelta(weeks=1)
    trail = [("Weeks", to("weeks")), (f"← {before}", to("weeks", before))]
    trail += [(f"{after} →", to("weeks", after))] if after <= look.day else []
    return Page(to("weeks", ending), f"Week ending {ending}", f"Monday {_monday(ending)} to Friday {ending}.", parts, trail)


def _next(shown: WeekStatus) -> list[tuple[str, str]]:
    """The command for its gravest problem, and the way out for each tier that is held."""
    command = status.next_command([shown])
    held = [cell for cell in shown.cells if cell.state is status_grid.CellState.HELD]
    releases = [(f"let {TIER_NAMES[each.partition.tier]} become current, if it is right", _release(each)) for each in held]
    return [*([("for the gravest problem of this week", command)] if command else []), *releases]


def _release(cell: Cell) -> str:
    return f'spine release {cell.partition.week} {cell.partition.tier} --reason "…"'


def _monday(ending: date) -> date:
    return ending - timedelta(days=4)


def _judged(shown: WeekStatus) -> Notice:
    if shown.is_ready:
        return Notice("good", [["Every tier is present and measured, and nothing critical is open."]], "Ready")
    tone = "bad" if shown.state is status_grid.WeekState.BLOCKED else "note"
    return Notice(tone, [[line] for line in shown.blocks], shown.state.value.capitalize())


def _card(look: Look, stored: Evidence, cell: Cell) -> Card:
    partition = cell.partition
    entries = stored.entries.get(partition, ())
    current = next((entry for entry in entries if entry.capture_id == cell.capture_id), entries[-1] if entries else None)
    facts = [Fact("State", state_of(cell))]
    if current:
        facts += [
            Fact("Rows", current.rows, Kind.NUMBER), Fact("Shares", current.shares, Kind.NUMBER),
            Fact("Captured", current.run_date, Kind.DAY), Fact("Captures", len(entries), Kind.NUMBER),
            Fact("Stage", current.stage, Kind.CODE),
        ]
    facts.append(Fact("Due", due_date(partition, look.run.expected.calendar or EXCHANGE), Kind.DAY))
    return Card(TIER_NAMES[partition.tier], to("weeks", partition.week, partition.tier), cell, facts)


def _totals(look: Look, ending: date) -> Table:
    columns = [
        Column("total_shares", "Shares", Kind.NUMBER), Column("ats_shares", "Of these on ATSs", Kind.NUMBER),
        Column("total_trades", "Trades", Kind.NUMBER), Column("symbol_count", "Symbols", Kind.NUMBER),
        Column("venue_count", "Venues", Kind.NUMBER), Column("capture_id", "Result", Kind.CODE),
    ]
    return _viewed(look, "weekly_totals", ending, "totals", "Totals of the week", columns, "Made once every tier is measured.")


def _split(look: Look, ending: date) -> Table:
    columns = [
        Column("tier", "Tier", Kind.CODE), Column("total_shares", "Shares", Kind.NUMBER), Column("share", "Share", Kind.SHARE),
        Column("total_trades", "Trades", Kind.NUMBER),
    ]
    return _viewed(look, "tier_split", ending, "split", "The tiers", columns, "Made once every tier is measured.")


def _viewed(
    look: Look, view: str, ending: date, name: str, title: str, columns: Sequence[Column], empty: str
) -> Table:
    """A table of some columns of a view."""
    question = Question(VIEWS[view], (ending,), TIERS, as_of=look.as_of)
    at = [question.view.columns.index(column.name) for column in columns]
    rows = [[values[number] for number in at] for values in answer.answer(look.db, question)]
    return Table(name, title, columns, rows, empty)


def _story(look: Look, ending: date, tiers: Sequence[str]) -> Log:
    entries = [each for each in changes.of_week(look.db, ending, tiers) if each["at"] < (look.before or "9")]
    lines = [(line.at, line.subject.partition(" / ")[2] or "week", line.words) for line in changes.lines(entries, tiers)]
    return Log("What happened, UTC", lines, "Nothing has happened to it yet.")


def partition(look: Look, shown: Partition) -> Page:
    """One partition: its captures as a list of vintages, the verdicts of the gates, and what depends on it."""
    ending = shown.week_ending
    stored = evidence.read(look.run.db, ending, ending)
    (status_of,) = status_grid.grid(look.run, [ending], stored)
    cell = status_of.cells[TIERS.index(shown.tier)]
    parts: list[Part] = [_state(cell), Commands("Commands", _commands(look, cell)), _vintages(_entries(look, stored, shown))]
    parts.append(_verdicts(look, stored, cell))
    parts.append(_windows(look, shown))
    parts.append(_story(look, ending, (shown.tier,)))
    trail = [("Weeks", to("weeks")), (str(ending), to("weeks", ending))]
    trail += [(TIER_NAMES[tier], to("weeks", ending, tier)) for tier in TIERS if tier != shown.tier]
    title = f"{TIER_NAMES[shown.tier]}, week ending {ending}"
    lead = f"Due {due_date(shown, look.run.expected.calendar or EXCHANGE)}."
    return Page(to("weeks", ending, shown.tier), title, lead, parts, trail)


def _state(cell: Cell) -> Notice:
    tone = "good" if cell.state is status_grid.CellState.READY and not cell.problem else "note"
    tone = "bad" if cell.problem and cell.state not in status_grid.QUIET else tone
    return Notice(tone, [[cell.problem]] if cell.problem else [], f"{cell.glyph} {state_of(cell)}")


def _commands(look: Look, cell: Cell) -> list[tuple[str, str]]:
    week_ending, tier = cell.partition.week, cell.partition.tier
    day = f" --as-of {look.as_of}" if look.as_of else ""
    commands = [("what it needs", cell.command)] if cell.command else []
    if cell.state is status_grid.CellState.HELD:
        commands.append(("let it become current, if the figures are right", _release(cell)))
    if cell.stage is None:
        return [*commands, ("why it is absent", f"spine doctor --weeks {week_ending}")]
    return [
        *commands,
        ("the stored content, byte for byte", f"spine raw {week_ending} {tier}{day}"),
        ("the verdicts of the gates, computed again", f"spine gates explain {week_ending} {tier}"),
        ("the evidence: that the log of events is whole", "spine audit verify"),
    ]


def _entries(look: Look, stored: Evidence, shown: Partition) -> list[Entry]:
    """Its captures; those of a past day with what the log of events does not hold: why each was taken, and the dates in it."""
    entries = list(stored.entries.get(shown, ()))
    if look.as_of is None:
        return entries
    kept = {entry.capture_id: entry for entry in history.list_captures(look.db, shown.week_ending, (shown.tier,))}
    return [
        replace(e, reason=k.reason, published_on=k.published_on, revised_on=k.revised_on) if (k := kept.get(e.capture_id)) else e
        for e in entries
    ]


def _vintages(entries: Sequence[Entry]) -> Table:
    rows: list[tuple[Shown, ...]] = []
    for number, entry in enumerate(entries):
        before = entries[number - 1] if number else None
        rows.append(
            (
                entry.run_date, entry.state, entry.rows, entry.shares, _moved(before, entry), entry.reason, entry.stage,
                entry.published_on, entry.revised_on, entry.content_hash, entry.capture_id,
                entry.withdrawn_reason or entry.held_reason or (f"pinned as {entry.pinned_as}" if entry.pinned_as else None),
            )
        )
    columns = [
        Column("run_date", "Captured", Kind.DAY), Column("state", "State", Kind.STATE), Column("rows", "Rows", Kind.NUMBER),
        Column("shares", "Shares", Kind.NUMBER), Column("shares_change", "Change", Kind.SIGNED),
        Column("reason", "Why", Kind.CODE), Column("stage", "Stage", Kind.CODE), Column("published_on", "Published", Kind.DAY),
        Column("revised_on", "Last changed", Kind.DAY), Column("content_hash", "Content", Kind.CODE),
        Column("capture_id", "Capture", Kind.CODE), Column("note", "Note", Kind.PROSE),
    ]
    return Table("captures", "Captures, oldest first", columns, rows, "Nothing is captured yet.")


def _moved(before: Entry | None, entry: Entry) -> Shown:
    """By how many shares a capture differs from the one before it; leads to their difference."""
    if before is None or before.shares is None or entry.shares is None:
        return None
    return Linked(entry.shares - before.shares, difference(before.capture_id, entry.capture_id))


def _verdicts(look: Look, stored: Evidence, cell: Cell) -> Table:
    """Of every gate on the content that is current, else on the newest one."""
    entries = stored.entries.get(cell.partition, ())
    capture_id = cell.capture_id or (entries[-1].capture_id if entries else "")
    staged = [row for row in stored.rows.get(cell.partition.week_ending, ()) if row.capture_id == capture_id]
    numbers = [int(row.metadata.get("ingest_no", 0)) for row in staged]
    verdicts = checks.checks_of(look.db, capture_id, max(numbers, default=0))
    rows = [(c.gate, c.verdict, c.y, c.expected, c.low, c.high, c.z, c.n, c.explanation) for c in verdicts]
    columns = [
        Column("gate", "Gate", Kind.CODE), Column("verdict", "Verdict", Kind.STATE), Column("is", "Is", Kind.DECIMAL),
        Column("expected", "Expected", Kind.DECIMAL), Column("passes_from", "Passes from", Kind.DECIMAL),
        Column("passes_to", "Passes up to", Kind.DECIMAL), Column("z", "Usual deviations", Kind.DECIMAL),
        Column("weeks", "Weeks", Kind.NUMBER), Column("explanation", "Explanation", Kind.PROSE),
    ]
    return Table("gates", "Verdicts of the gates", columns, rows, "Nothing was judged.")


def _windows(look: Look, shown: Partition) -> Table:
    rows = [
        (Linked(each.week, to("weeks", each.week, shown.tier)), each.length, each.state, each.reason, each.hhi, each.total_shares)
        for each in windows.dependents(look.db, shown.week_ending, shown.tier, look.before)
    ]
    columns = [
        Column("week_ending", "Last week", Kind.DAY), Column("length", "Weeks", Kind.NUMBER),
        Column("state", "State"), Column("reason", "Reason", Kind.PROSE), Column("hhi", "HHI", Kind.INDEX),
        Column("total_shares", "Shares", Kind.NUMBER),
    ]
    title = f"Windows that hold this week: {count(len(rows), 'window')}"
    return Table("windows", title, columns, rows, "No window holds it.")
