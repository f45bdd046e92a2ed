"""What a run prints: the phase lines, the summary that the runbook describes, and the JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from market_spine import __version__
from market_spine.categories import Severity
from market_spine.outcome import Outcome, Phase, Reason, Status
from market_spine.query.restatements import Restatement

if TYPE_CHECKING:
    from market_spine.app.context import Run
    from market_spine.app.daily_list import Taken
    from market_spine.app.plan import Plan
    from market_spine.app.scheduler import Result

SCHEMA_VERSION = 1

MARK = {
    Status.DONE: "✓",
    Status.READY: "✓",
    Status.SKIPPED: "→",
    Status.AWAITING: "→",
    Status.LATE: "⚠",
    Status.WARNING: "⚠",
    Status.NOT_READY: "⚠",
    Status.FAILED: "✗",
    Status.HELD: "✗",
}
_RULE = "=" * 70
_LISTED = 8  # more weeks than these are written as a range
_NORMAL_REJECTS = 0.01


class Facts(NamedTuple):
    """What a run finds out once its phases are done: how many weeks are in which state, how many anomalies of which severity it
    observed, what it took in that replaces something, what to type next, how long each phase took, and how far the log of
    events goes at its end."""

    weeks: Mapping[str, int] = MappingProxyType({})
    anomalies: Mapping[str, int] = MappingProxyType({})
    restated: Sequence[Restatement] = ()
    command: str | None = None
    seconds: Mapping[str, float] = MappingProxyType({})
    checkpoint: str = ""


NO_FACTS = Facts()


def mark_of(outcome: Outcome) -> str:
    """The mark of a line: ⚠ only where somebody should look at it, not for a stray bad line or a week that is not due."""
    details, rows = outcome.details, outcome.rows or 0
    if outcome.status is Status.NOT_READY and details.get("only_awaits"):
        return MARK[Status.AWAITING]
    rejects = details.get("rejects")
    if outcome.status is Status.WARNING and isinstance(rejects, int) and not details.get("totals_problem"):
        return MARK[Status.WARNING if rejects > rows * _NORMAL_REJECTS else Status.DONE]
    return MARK[outcome.status]


def line(outcome: Outcome) -> str:
    """`2026-01-09 / NMS_TIER_1: ✓ Ingested 48,765 rows (NEW, capture …:20260109)`."""
    hint = f". Try: {outcome.hint}" if outcome.hint else ""
    return f"{outcome.where}: {mark_of(outcome)} {outcome.message}{hint}"


def summary(result: Result, facts: Facts = NO_FACTS) -> str:
    """The summary of a run; what failed stands again at its end."""
    plan = result.plan
    weeks, tiers = len(plan.weeks), len(plan.tiers)
    lines = [
        "SUMMARY",
        _RULE,
        f"Target weeks:         {_weeks(plan.weeks)}",
        f"Weeks processed:      {weeks}",
        f"Total partitions:     {weeks * tiers} ({weeks} weeks × {tiers} tiers)",
        *([f"Open:                 {_open(plan)}"] if plan.open_count else []),
        *([f"Revised earlier:      {len(plan.revised)} partitions outside these weeks"] if plan.revised else []),
        "",
        *_phase_lines(result),
        "",
        "Readiness:",
        *([f"  Weeks:              {_tally(facts.weeks)}"] if facts.weeks else []),
        f"  Weeks ready:        {result.count(Phase.READINESS, Status.READY)}",
        f"  Weeks not ready:    {result.count(Phase.READINESS, Status.NOT_READY)}",
        *(["", f"Anomalies:            {_severities(facts.anomalies)}"] if facts.anomalies else []),
        *_section("Restated", [f"{each.where}: {each.change}" for each in facts.restated]),
        *_section("Seconds", [f"{phase} {seconds:.2f}" for phase, seconds in facts.seconds.items()]),
        *(["", f"Checkpoint:           {facts.checkpoint}"] if facts.checkpoint else []),
        *_section("Failures", [line(outcome) for outcome in result.outcomes if outcome.status in (Status.FAILED, Status.HELD)]),
        *([f"next: {facts.command}"] if facts.command else []),
        _RULE,
        f"Exit code: {result.exit_code}",
    ]
    return "\n".join(lines)


def _phase_lines(result: Result) -> list[str]:
    """What the first three phases did, in numbers."""
    count = result.count
    calculated, failed = _calculations(result)
    awaiting, late = count(Phase.INGEST, Status.AWAITING), count(Phase.INGEST, Status.LATE)
    return [
        "Ingestion:",
        f"  Ingested:           {count(Phase.INGEST, Status.DONE)}",
        f"  Skipped (unchanged): {count(Phase.INGEST, Status.SKIPPED)}",
        *([f"  Awaiting publication: {awaiting}"] if awaiting else []),
        *([f"  Late (within grace): {late}"] if late else []),
        f"  Failed:             {count(Phase.INGEST, Status.FAILED)}",
        "",
        "Normalization:",
        f"  Normalized:         {sum(outcome.rows is not None for outcome in result.of(Phase.NORMALIZE))}",
        *([f"  Held:               {count(Phase.NORMALIZE, Status.HELD)}"] if count(Phase.NORMALIZE, Status.HELD) else []),
        f"  Failed:             {count(Phase.NORMALIZE, Status.FAILED)}",
        "",
        "Analytics:",
        f"  Calculations OK:    {calculated}",
        f"  Calculations failed: {failed}",
    ]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"{title}:", *(f"  {each}" for each in lines)] if lines else []


def _weeks(weeks: Sequence[date]) -> str:
    """The weeks, or the first and the last of many."""
    if len(weeks) <= _LISTED:
        return ", ".join(map(str, weeks))
    return f"{weeks[0]} to {weeks[-1]} ({len(weeks)} weeks)"


def _tally(weeks: Mapping[str, int]) -> str:
    """`1 ready, 5 awaiting, 0 blocked`."""
    return ", ".join(f"{count} {state}" for state, count in weeks.items())


def _severities(counts: Mapping[str, int]) -> str:
    """`0 CRITICAL, 1 ERROR, 1 WARN, 15 INFO`."""
    return ", ".join(f"{counts.get(severity, 0)} {severity}" for severity in reversed(Severity))


def one_line(result: Result, facts: Facts) -> str:
    """`2 ingested, 16 unchanged; weeks: 6 ready, 0 awaiting, 0 blocked; 2025-12-26 / OTC restated: +500 shares`."""
    return "; ".join([partitions_line(result), f"weeks: {_tally(facts.weeks)}", *map(str, facts.restated)])


def partitions_line(result: Result) -> str:
    """`2 ingested, 16 unchanged`."""
    count, plan = result.count, result.plan
    parts = [f"{count(Phase.INGEST, Status.DONE)} ingested", f"{count(Phase.INGEST, Status.SKIPPED)} unchanged"]
    absent = {"awaiting publication": Status.AWAITING, "late": Status.LATE}
    parts += [f"{count(Phase.INGEST, status)} {words}" for words, status in absent.items() if count(Phase.INGEST, status)]
    failed = sum(outcome.status is Status.FAILED for outcome in result.outcomes)
    held = count(Phase.NORMALIZE, Status.HELD)
    parts += [*([f"{held} held"] if held else []), *([f"{failed} failed"] if failed else [])]
    parts += [_open(plan)] if plan.open_count else []
    return ", ".join(parts)


def _open(plan: Plan) -> str:
    return f"+{plan.open_count} open from earlier weeks"


def _calculations(result: Result) -> tuple[int, int]:
    """Weeks whose calculations are as they should be, and weeks where one failed."""
    outcomes = result.of(Phase.CALC)
    failed = {outcome.week_ending for outcome in outcomes if outcome.status is Status.FAILED}
    made = {
        o.week_ending for o in outcomes if o.status not in (Status.WARNING, Status.AWAITING) or o.details.get("measured_tiers")
    }
    return len(made - failed), len(failed)


def document(result: Result, run: Run, mode: str, facts: Facts = NO_FACTS) -> dict[str, object]:
    """The content of the summary and the phase lines, for machines. A contract: `schema_version` changes with its shape."""
    plan = result.plan
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run.execution_id,
        "version": __version__,
        "mode": mode,
        "run_date": run.run_date.isoformat(),
        "database": run.db.label,
        "weeks": [week.isoformat() for week in plan.weeks],
        "tiers": list(plan.tiers),
        "revised": [{"week_ending": p.week, "tier": p.tier} for p in plan.revised],
        "open": [
            *({"week_ending": p.week, "tier": p.tier} for p in plan.open),
            *({"week_ending": week.isoformat(), "tier": None} for week in plan.open_weeks_results),
        ],
        "partitions": [entry(outcome) for outcome in result.outcomes if outcome.phase is not Phase.READINESS],
        "readiness": [
            {
                "week_ending": outcome.week_ending.isoformat(),
                "is_ready": outcome.status is Status.READY,
                "blocking_issues": outcome.details.get("blocking_issues", []),
            }
            for outcome in result.of(Phase.READINESS)
        ],
        "counts": _counts(result) | {f"weeks_{state}": facts.weeks[state] for state in ("awaiting", "blocked") if facts.weeks},
        "anomalies": dict(facts.anomalies),
        "line": partitions_line(result),
        "restatements": [each.entry() for each in facts.restated],
        "exit_code": result.exit_code,
        "error": None,
    }


def _counts(result: Result) -> dict[str, int]:
    calculated, failed = _calculations(result)
    count = result.count
    return {
        "weeks": len(result.plan.weeks),
        "partitions": len(result.plan.partitions),
        "ingested": count(Phase.INGEST, Status.DONE),
        "skipped": count(Phase.INGEST, Status.SKIPPED),
        "awaiting": count(Phase.INGEST, Status.AWAITING),
        "late": count(Phase.INGEST, Status.LATE),
        "ingest_failed": count(Phase.INGEST, Status.FAILED),
        "normalized": sum(outcome.rows is not None for outcome in result.of(Phase.NORMALIZE)),
        "held": count(Phase.NORMALIZE, Status.HELD),
        "normalize_failed": count(Phase.NORMALIZE, Status.FAILED),
        "calculations_ok": calculated,
        "calculations_failed": failed,
        "weeks_ready": count(Phase.READINESS, Status.READY),
        "weeks_not_ready": count(Phase.READINESS, Status.NOT_READY),
    }


def failure(message: str, hint: str | None, exit_code: int) -> dict[str, object]:
    """The document of a run that could not start or had to stop."""
    return {
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "partitions": [],
        "readiness": [],
        "exit_code": exit_code,
        "error": {"message": message, "hint": hint},
    }


def skipped(message: str) -> dict[str, object]:
    """The document of a run that did nothing because another run holds the lock."""
    return {
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "partitions": [],
        "readiness": [],
        "exit_code": 0,
        "error": None,
        "skipped": message,
    }


def entry(outcome: Outcome) -> dict[str, object]:
    """An outcome, for machines."""
    return {
        "week_ending": outcome.week_ending.isoformat(),
        "tier": outcome.tier,
        "phase": outcome.phase.value,
        "outcome": outcome.status.value,
        "reason": outcome.reason or outcome.category,
        "message": outcome.message,
        "hint": outcome.hint,
        "capture_id": outcome.capture_id,
        "rows": outcome.rows,
        **({"details": dict(outcome.details)} if outcome.details else {}),
    }


def dry_weeks(weeks: Sequence[date]) -> str:
    """`Would process weeks: 2026-01-09, 2026-01-02`."""
    return f"Would process weeks: {_weeks(weeks)}"


def dry_line(outcome: Outcome) -> str:
    """`[DRY-RUN] Would ingest 2026-01-09 / NMS_TIER_1 (NEW)`."""
    return f"[DRY-RUN] Would {_would(outcome)}"


def daily_list_line(taken: Taken) -> str:
    """`Daily list of 2026-01-09: ✓ Captured 135 rows (NEW)`."""
    hint = f". Try: {taken.hint}" if taken.hint else ""
    return f"Daily list of {taken.day}: {MARK[taken.status]} {taken.message}{hint}"


def dry_daily_list(taken: Taken) -> str:
    """`[DRY-RUN] Would capture the daily list of 2026-01-09 (135 rows, NEW)`."""
    verb = {Status.DONE: "capture", Status.SKIPPED: "skip"}.get(taken.status, "miss")
    facts = taken.message if taken.status is Status.WARNING else f"{taken.rows:,} rows, {taken.reason}"
    return f"[DRY-RUN] Would {verb} the daily list of {taken.day} ({facts})"


def _would(outcome: Outcome) -> str:
    where, phase = outcome.where, outcome.phase
    if outcome.status is Status.FAILED:
        return f"fail {where} ({outcome.message})"
    if outcome.status is Status.HELD:
        return f"hold {where} ({outcome.message})"
    if phase is Phase.READINESS:
        return f"find {where} ready" if outcome.status is Status.READY else f"find {where} not ready ({_blocking(outcome)})"
    if outcome.status is Status.SKIPPED:
        return f"skip {where} ({Reason.UNCHANGED.value if phase is Phase.INGEST else outcome.message})"
    if phase is Phase.NORMALIZE and outcome.rows is not None:
        return f"normalize {where} ({outcome.rows:,} rows)"
    if outcome.status is Status.DONE:
        return f"ingest {where} ({outcome.reason})" if phase is Phase.INGEST else f"calculate {where}"
    return f"pass over {where} ({outcome.message})"


def _blocking(outcome: Outcome) -> str:
    issues = outcome.details["blocking_issues"]
    return "; ".join(issues) if isinstance(issues, list) else ""


def dry_summary(result: Result) -> str:
    """The result of a dry run, in three lines."""
    count = result.count
    parts = [f"{count(Phase.INGEST, Status.DONE)} ingests", f"{count(Phase.INGEST, Status.SKIPPED)} skips"]
    others = {
        "failures": sum(outcome.status is Status.FAILED for outcome in result.outcomes),
        "to hold": count(Phase.NORMALIZE, Status.HELD),
        "awaiting": count(Phase.INGEST, Status.AWAITING, Status.LATE),
        "to normalize": sum(outcome.rows is not None for outcome in result.of(Phase.NORMALIZE)),
        "to calculate": count(Phase.CALC, Status.DONE),
    }
    parts += [f"{number} {name}" for name, number in others.items() if number]
    parts += [_open(result.plan)] if result.plan.open_count else []
    return f"Summary: {', '.join(parts)}\nNo database writes performed.\nExit code: {result.exit_code}"
