"""What was done and what is to be done: anomalies, gates, runs, the queue, and FINRA's calendar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from market_spine.app import judging
from market_spine.calendar.publication import EXCHANGE, due_date, next_due, state_by
from market_spine.core import checks
from market_spine.core.anomalies import SEVERITIES
from market_spine.errors import NotFound
from market_spine.operate import anomalies, runs
from market_spine.operate import gates as gates_of
from market_spine.operate.runs import RunRow
from market_spine.page.looking import Look
from market_spine.page.parts import (
    Choices,
    Column,
    Commands,
    Fact,
    Facts,
    Kind,
    Linked,
    Notice,
    Page,
    Part,
    Shown,
    Table,
    to,
)
from market_spine.page.views import TIER_NAMES, count
from market_spine.partition import TIERS, Partition, weeks_back
from market_spine.work import queue
from market_spine.work.item import Item, State

A_PAGE = 100
_RUNS = 50
_DECISIONS = 10
_CALENDAR_WEEKS = 13
_BACKTESTED = 60
_QUEUE = "Work items that workers execute."


def anomaly_list(look: Look, severity: str | None, everything: bool, offset: int) -> Page:
    """The anomalies that are not resolved, or all, a page at a time."""
    which = anomalies.Which((severity,) if severity else SEVERITIES, unresolved=not everything)
    listed = anomalies.page(look.run.db, which, A_PAGE, offset)
    whole = "yes" if everything else None
    shown = [
        (name, to("anomalies", severity=value, all=whole), value == severity)
        for name, value in (("every severity", None), *((each, each) for each in reversed(SEVERITIES)))
    ]
    state = [
        ("unresolved", to("anomalies", severity=severity), not everything),
        ("resolved, too", to("anomalies", severity=severity, all="yes"), everything),
    ]
    parts: list[Part] = [Choices("Severity", shown), Choices("State", state), _anomaly_table(look, listed.items)]
    parts += _pages(listed.total, offset, severity, whole)
    first_open = next((a for a in listed.items if a.state(look.day) == "open"), None)
    if first_open:
        parts.append(Commands("Commands", _for_anomaly(first_open)))
    lead = f"{count(listed.total, 'anomaly')}{'' if everything else ' not resolved'}, newest first."
    return Page(to("anomalies", severity=severity, all=whole, offset=offset or None), "Anomalies", lead, parts)


def _for_anomaly(anomaly: anomalies.Anomaly) -> list[tuple[str, str]]:
    return [
        (f"everything about anomaly {anomaly.id}, and the command against it", f"spine anomalies show {anomaly.id}"),
        ("close it", anomalies.resolve_command(anomaly.id)),
    ]


def _anomaly_table(look: Look, listed: Sequence[anomalies.Anomaly]) -> Table:
    rows: list[tuple[Shown, ...]] = [
        (
            anomaly.id, anomaly.severity, anomaly.state(look.day), anomaly.category, _where(anomaly), anomaly.message,
            anomaly.last_seen_at, anomaly.seen_count, anomaly.resolution_note or anomaly.acknowledged_reason,
        )
        for anomaly in listed
    ]
    columns = [
        Column("id", "Id", Kind.NUMBER), Column("severity", "Severity", Kind.STATE), Column("state", "State", Kind.STATE),
        Column("category", "Category", Kind.CODE), Column("where", "Where"), Column("message", "Message", Kind.PROSE),
        Column("last_seen_at", "Last seen, UTC", Kind.MOMENT), Column("seen_count", "Times", Kind.NUMBER),
        Column("note", "Note", Kind.PROSE),
    ]
    return Table("anomalies", "Anomalies", columns, rows, "No anomaly.")


def _where(anomaly: anomalies.Anomaly) -> Shown:
    if anomaly.week is None:
        return None
    return Linked(anomaly.where, to("weeks", anomaly.week, *([anomaly.tier] if anomaly.tier else [])))


def _pages(total: int, offset: int, severity: str | None, everything: str | None) -> list[Part]:
    if total <= A_PAGE:
        return []
    starts = range(0, total, A_PAGE)
    near = [start for start in starts if abs(start - offset) <= 4 * A_PAGE or start in (starts[0], starts[-1])]
    links = [to("anomalies", severity=severity, all=everything, offset=start or None) for start in near]
    names = [f"{start + 1:,}–{min(start + A_PAGE, total):,}" for start in near]
    return [Choices("Page", [(name, link, start == offset) for name, link, start in zip(names, links, near, strict=True)])]


def gates(look: Look) -> Page:
    """The limits in force, the history they rest on, and the last decisions."""
    profile = judging.profile_of(look.db, look.before)
    limits = [
        (name, t.c_w, _finite(t.delta_w), _finite(t.c_h), _finite(t.delta_h), t.beta, t.floor)
        for name, t in sorted(profile.thresholds.items())
    ]
    columns = [
        Column("gate", "Gate", Kind.CODE), Column("warns_from", "Warns from, z", Kind.DECIMAL),
        Column("warns_change", "and a change of", Kind.DECIMAL), Column("holds_from", "Holds from, z", Kind.DECIMAL),
        Column("holds_change", "and a change of", Kind.DECIMAL), Column("beta", "Short weeks", Kind.DECIMAL),
        Column("floor", "Least deviation", Kind.DECIMAL),
    ]
    weeks = checks.accepted_weeks(look.db)
    facts = Facts(
        [
            Fact("Profile", profile.profile_id, Kind.CODE, profile.source),
            *(Fact(f"{TIER_NAMES[tier]}, accepted weeks", weeks.get(tier, 0), Kind.NUMBER) for tier in TIERS),
        ]
    )
    terminal = Commands(
        "Commands",
        [
            ("the same over all weeks, and which faults they would hold", "spine gates backtest --faults"),
            ("limits from this store's own history", "spine gates fit --dry-run"),
        ],
    )
    parts: list[Part] = [
        facts, _decisions(look), _alarms(look), Table("limits", "Limits in force", columns, limits), terminal
    ]
    remark = "The accepted weeks, and the false alarms in them, are those of now." if look.as_of else ""
    lead = "What keeps a capture from becoming current: every content is compared with the weeks before it."
    return Page(to("gates"), "Gates", lead, parts, remark=remark)


def _alarms(look: Look) -> Table:
    """How often the limits would have warned of, or held, weeks that were accepted. Of the last ones: all would take long."""
    rows: list[tuple[Shown, ...]] = []
    profile = judging.profile_of(look.db, look.before)
    able = [each for each in gates_of.backtest(look.db, profile=profile, newest=_BACKTESTED) if each.weeks.weeks]
    for tested in able:
        (warned, held), weeks = tested.weeks.upper, tested.weeks
        rows.append((TIER_NAMES[tested.tier], weeks.weeks, weeks.warned, warned, weeks.held, held))
    columns = [
        Column("tier", "Tier"), Column("weeks", "Weeks judged", Kind.NUMBER), Column("warned", "Warned", Kind.NUMBER),
        Column("warned_at_most", "at most", Kind.SHARE), Column("held", "Held", Kind.NUMBER),
        Column("held_at_most", "at most", Kind.SHARE),
    ]
    title = f"False alarms of these limits in the last {_BACKTESTED} accepted weeks (at most: with 95 % confidence)"
    return Table("false_alarms", title, columns, rows, "Too few weeks are accepted yet to judge one by those before it.")


def _finite(value: float) -> float | None:
    return None if value == float("inf") else value


def _decisions(look: Look) -> Table:
    rows: list[tuple[Shown, ...]] = []
    for each in checks.decisions(look.db, look.before, _DECISIONS):
        where = Linked(f"{each.week} / {TIER_NAMES[each.tier]}", to("weeks", each.week, each.tier))
        rows.append((each.judged_at, each.gate, each.verdict, where, each.explanation))
    columns = [
        Column("judged_at", "Judged, UTC", Kind.MOMENT), Column("gate", "Gate", Kind.CODE),
        Column("verdict", "Verdict", Kind.STATE), Column("where", "Where"), Column("explanation", "Explanation", Kind.PROSE),
    ]
    title = "The last ten warnings, holds and refusals of each gate"
    return Table("decisions", title, columns, rows, "No gate has warned, held or refused.")


def run_list(look: Look, offset: int) -> Page:
    """The runs, newest first."""
    listed = runs.list_runs(look.db, _RUNS + 1, before=look.before, offset=offset)
    rows = [
        (
            Linked(run.execution_id, to("runs", run.execution_id)), run.pipeline, run.run_date, run.started_at, run.seconds,
            _exit(run), run.result,
        )
        for run in listed[:_RUNS]
    ]
    columns = [
        Column("run_id", "Run", Kind.CODE), Column("pipeline", "Pipeline", Kind.CODE), Column("run_date", "Run date", Kind.DAY),
        Column("started_at", "Started, UTC", Kind.MOMENT), Column("seconds", "Seconds", Kind.RATIO),
        Column("exit", "Exit", Kind.STATE), Column("result", "Result", Kind.PROSE),
    ]
    parts: list[Part] = [Table("runs", "Runs, newest first", columns, rows, "No run yet.")]
    pages = [("newer", to("runs", offset=max(offset - _RUNS, 0) or None), False)] * bool(offset)
    pages += [("older", to("runs", offset=offset + _RUNS), False)] * (len(listed) > _RUNS)
    parts += [Choices("Page", pages)] if pages else []
    return Page(to("runs", offset=offset or None), "Runs", "Every run and operation that changed the store.", parts)


def _exit(run: RunRow) -> str:
    return "not finished" if run.exit_code is None else f"exit {run.exit_code}"


def run(look: Look, execution_id: str) -> Page:
    """One run: how it ended, its phases, and what it did to each partition. Raises NotFound."""
    shown = runs.as_of(runs.find(look.db, execution_id), look.before)
    if shown is None:
        raise NotFound(f"the run {execution_id} had not begun by {look.as_of}", hint="spine runs")
    facts = [
        Fact("Result", _exit(shown), Kind.STATE, shown.did), Fact("Run date", shown.run_date, Kind.DAY),
        Fact("Seconds", shown.seconds, Kind.RATIO, f"began {shown.started_at[:16].replace('T', ' ')} UTC"),
        Fact("Version", shown.version, Kind.CODE, f"on {shown.host} by {shown.actor or 'somebody'}"),
    ]
    parts: list[Part] = [Facts(facts)]
    if shown.failures:
        parts.append(Commands("Type this next", [("repeat what failed", f"spine retry {shown.execution_id}")]))
    if restated := [str(each["text"]) for each in shown.report.get("restatements", [])]:
        parts.append(Notice("note", [[line] for line in restated], "Restated"))
    parts.append(_outcomes(shown.report.get("partitions", [])))
    return Page(to("runs", shown.execution_id), shown.pipeline, shown.execution_id, parts, [("Runs", to("runs"))])


def _outcomes(partitions: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[tuple[Shown, ...]] = []
    for entry in partitions:
        week, tier = str(entry["week_ending"]), entry["tier"]
        address = to("weeks", week, *([tier] if tier else []))
        named = tier and TIER_NAMES.get(tier, tier)
        rows.append((Linked(week, address), named, entry["phase"], entry["outcome"], entry["message"]))
    columns = [
        Column("week_ending", "Week", Kind.DAY), Column("tier", "Tier"), Column("phase", "Phase"),
        Column("outcome", "Outcome", Kind.STATE), Column("message", "Message", Kind.PROSE),
    ]
    return Table("outcomes", "Outcomes", columns, rows, "No outcome is recorded.")


def work_queue(look: Look) -> Page:
    """The work items: those to be done, and those that failed."""
    if look.before is not None:
        return _queue_then(look, look.before)
    counts = queue.counts(look.db)
    parts: list[Part] = [Facts(_by_state(counts))]
    waiting, failed = (queue.listed(look.db, queue.Filter(states), limit=A_PAGE) for states in (queue.OPEN, (State.FAILED,)))
    parts.append(_items("open", "To be done, in the order they are claimed", waiting.items))
    parts.append(_items("failed", "Failed", failed.items))
    if counts.get(State.FAILED):
        parts.append(Commands("Commands", [("make the failed ones due now", 'spine work retry --failed --reason "…"')]))
    return Page(to("queue"), "Queue", _QUEUE, parts)


def _by_state(counts: Mapping[State, int]) -> list[Fact]:
    return [Fact(state.value.replace("_", " ").capitalize(), counts.get(state, 0), Kind.NUMBER) for state in State]


def _queue_then(look: Look, before: str) -> Page:
    """The items that had been enqueued by then. An item keeps only its last state: of those that changed since, no more is shown
    than when they were enqueued."""
    then = queue.enqueued_before(look.db, before, A_PAGE)
    parts: list[Part] = [
        Facts(_by_state(then.counts)), _items("open", "To be done, in the order they are claimed", then.open),
        _items("failed", "Failed", then.failed), _changed_since(then.changed),
    ]
    remark = "An item keeps only its last state: of one that changed since this day, only when it was enqueued is known."
    return Page(to("queue"), "Queue", _QUEUE, parts, remark=remark)


def _changed_since(changed: queue.Page) -> Table:
    rows: list[tuple[Shown, ...]] = [
        (item.id, item.pipeline, _week_of(item), item.tier, item.created_at, item.updated_at) for item in changed.items
    ]
    columns = [
        Column("id", "Item", Kind.NUMBER), Column("pipeline", "Pipeline", Kind.CODE), Column("week_ending", "Week", Kind.DAY),
        Column("tier", "Tier", Kind.CODE), Column("enqueued_at", "Enqueued, UTC", Kind.MOMENT),
        Column("changed_at", "Last changed, UTC", Kind.MOMENT),
    ]
    title = f"Enqueued by that day, and changed since: {count(changed.total, 'item')}"
    return Table("changed", title, columns, rows, "None.")


def _week_of(item: Item) -> Linked:
    return Linked(str(item.week_ending), to("weeks", item.week_ending, *([item.tier] if item.tier else [])))


def _items(name: str, title: str, items: Sequence[Item]) -> Table:
    rows: list[tuple[Shown, ...]] = []
    for item in items:
        own = (item.id, item.pipeline, _week_of(item), item.tier, item.state.value)
        rows.append((*own, f"{item.attempt_count}/{item.max_attempts}", item.desired_at, item.last_error))
    columns = [
        Column("id", "Item", Kind.NUMBER), Column("pipeline", "Pipeline", Kind.CODE), Column("week_ending", "Week", Kind.DAY),
        Column("tier", "Tier", Kind.CODE), Column("state", "State", Kind.STATE), Column("attempts", "Attempts"),
        Column("desired_at", "Due, UTC", Kind.MOMENT), Column("last_error", "Last error", Kind.PROSE),
    ]
    return Table(name, title, columns, rows, "None.")


def calendar(look: Look) -> Page:
    """When FINRA publishes: the last weeks, and what comes next."""
    exchange, grace = look.run.expected.calendar or EXCHANGE, look.run.expected.grace_days
    coming = next_due(look.day, calendar=exchange)
    rows: list[tuple[Shown, ...]] = []
    for ending in weeks_back(_CALENDAR_WEEKS, look.day):
        row: list[Shown] = [Linked(ending, to("weeks", ending))]
        for tier in TIERS:
            due = due_date(Partition(ending, tier), exchange)
            row += [due, state_by(due, look.day, grace).value]
        rows.append(tuple(row))
    columns = [Column("week_ending", "Week ending", Kind.DAY)]
    for tier in TIERS:
        columns += [Column(f"{tier.lower()}_due", TIER_NAMES[tier], Kind.DAY), Column(f"{tier.lower()}_absence", "if absent")]
    named = ", ".join(f"{TIER_NAMES[due.partition.tier]} of {due.partition.week}" for due in coming)
    parts: list[Part] = [
        Notice("note", [[named]], f"Next: {coming[0].day:%A} {coming[0].day}"),
        Table("calendar", "When each week is published, and what its absence means", columns, rows),
    ]
    lead = "FINRA publishes NMS Tier 1 three weeks after the Monday of a week, NMS Tier 2 and OTC five."
    return Page(to("calendar"), "Calendar", lead, parts)
