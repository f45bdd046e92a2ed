"""Whether a week is ready, or what blocks it: one evaluation for core_data_readiness, `spine status` and `spine verify`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import NamedTuple

from market_spine import clock
from market_spine.app.forecast import Forecast
from market_spine.calendar import publication
from market_spine.calendar.publication import EXCHANGE, Calendar, Due
from market_spine.core import anomalies, events, judgements, manifest
from market_spine.core.manifest import StageRow
from market_spine.db import Connection, writing
from market_spine.partition import DOMAIN, TIERS, Partition, partition_key

READY_FOR = "trading"
NOTHING = Forecast()
STALE_RESULT = "Week totals and tier split are missing or stale"
_RESULTS = "finra_otc_transparency_current_week"


class Readiness(NamedTuple):
    """Whether a week may be used, and what blocks it."""

    is_ready: bool
    blocking_issues: list[str]


class Findings(NamedTuple):
    """What blocks a week or a tier, by the manifest and the anomalies."""

    awaiting: tuple[Due, ...]
    missing_tiers: tuple[str, ...]
    incomplete: tuple[str, ...]
    withdrawn: tuple[str, ...]
    critical: int
    held: tuple[str, ...] = ()

    @property
    def is_present(self) -> bool:
        return not self.missing_tiers and not self.awaiting

    @property
    def only_awaits(self) -> bool:
        """Whether it is not ready, and only because FINRA has not published a tier yet."""
        return bool(self.awaiting) and not (self.missing_tiers or self.incomplete or self.withdrawn or self.critical)

    def issues(self) -> list[str]:
        """The blocking issues, in words."""
        issues = [*self.withdrawn, *self.held]
        if self.awaiting:
            tiers = ", ".join(f"{due.partition.tier} (due {due.day})" for due in self.awaiting)
            issues.append(f"Awaiting publication: {tiers}")
        if self.missing_tiers:
            issues.append(f"Missing tiers: {', '.join(self.missing_tiers)}")
        issues += self.incomplete
        if self.critical:
            issues.append(f"{self.critical} unresolved CRITICAL anomalies")
        return issues


class Evidence(NamedTuple):
    """What is stored of a week and decides its readiness.

    `criticals` is the tier (None for the week itself) of each unresolved CRITICAL anomaly; `results` the week-level results of
    the current captures, None in a database that has only the core tables.
    """

    rows: list[StageRow]
    criticals: list[str | None]
    results: list[str] | None


class Judgement(NamedTuple):
    """The findings of a week, and of each of its tiers."""

    week: Findings
    tiers: Mapping[str, Findings]


def evaluate_readiness(
    week_ending: date | str,
    db_connection: Connection,
    ready_for: str = READY_FOR,
    *,
    now: datetime | None = None,
    calendar: Calendar | None = EXCHANGE,
) -> Readiness:
    """Evaluates a week and writes the judgement to core_data_readiness, in one transaction.

    With `now`, the publication calendar separates what is awaited from what is missing, and each tier is judged too, in a row
    of its own: Tier 1 can be used two weeks before the others exist.
    """
    issues = evaluate(week_ending, db_connection, ready_for, now=now, calendar=calendar).issues()
    return Readiness(not issues, issues)


def evaluate(
    week_ending: date | str, db_connection: Connection, ready_for: str, *, now: datetime | None, calendar: Calendar | None
) -> Findings:
    """The same, with what was found of the week."""
    week, stamp = str(week_ending), clock.stamp(now or clock.utc_now())
    with writing(db_connection):
        judged = look(week, db_connection, now, calendar)
        rows = {partition_key(week): judged.week}
        if now:
            rows |= {partition_key(week, tier): findings for tier, findings in judged.tiers.items()}
        _write(db_connection, rows, ready_for, stamp)
    return judged.week


def counts_as_ready(partition: Partition, connection: Connection) -> bool:
    """Whether a partition or its week is stored as ready."""
    row = connection.execute(
        "SELECT 1 FROM core_data_readiness WHERE domain = ? AND partition_key IN (?, ?) AND is_ready = 1 LIMIT 1",
        (DOMAIN, partition.key, partition_key(partition.week)),
    ).fetchone()
    return row is not None


def look(
    week_ending: date | str, connection: Connection, now: datetime | None = None, calendar: Calendar | None = EXCHANGE,
    forecast: Forecast = NOTHING,
) -> Judgement:
    """The same judgement, without writing it; with a `forecast`, what it will be once that has happened."""
    week, day = str(week_ending), date.fromisoformat(str(week_ending))
    rows, results = forecast.rows(manifest.week_rows(week, connection), day), _results(week, connection)
    if results is not None and day in forecast.results:
        results = [*results, str(forecast.results[day].capture_id)]
    criticals = [tier for tier, stage in _criticals(week, connection) if (day, tier, stage) not in forecast.resolved]
    return judge(Evidence(rows, criticals, results), expected(week, rows, now, calendar))


def judge(evidence: Evidence, expected: Mapping[str, Due]) -> Judgement:
    """The week and its tiers; what is CRITICAL for the week is so for each of them."""
    tiers = {}
    for tier in TIERS:
        critical = sum(affected in (tier, None) for affected in evidence.criticals)
        own = {name: due for name, due in expected.items() if name == tier}
        tiers[tier] = examine([row for row in evidence.rows if row.tier == tier], critical, own, (tier,))
    return Judgement(examine(evidence.rows, len(evidence.criticals), expected, TIERS, evidence.results), tiers)


def expected(week: str, rows: list[StageRow], now: datetime | None, calendar: Calendar | None) -> dict[str, Due]:
    """By absent tier, what is not yet due on the day of `now`."""
    if now is None or calendar is None:
        return {}
    stages, day = manifest.current_stages(rows), clock.market_date(now)
    absent = [Partition(date.fromisoformat(week), tier) for tier in TIERS if manifest.RAW not in stages.get(tier, {})]
    return {p.tier: Due(publication.due_date(p, calendar), p) for p in absent if publication.awaited(p, day, calendar)}


def examine(
    rows: list[StageRow],
    critical: int,
    expected: Mapping[str, Due] | None = None,
    tiers: tuple[str, ...] = TIERS,
    results: list[str] | None = None,
) -> Findings:
    """Every tier present, every stage of its current capture made from the same content, nothing withdrawn or held without a
    successor; and, where `results` are given, one that was made from exactly these captures."""
    stages = manifest.current_stages(rows)
    absent = [tier for tier in tiers if manifest.RAW not in stages.get(tier, {})]
    awaiting = tuple(due for tier, due in (expected or {}).items() if tier in absent)
    awaited = {due.partition.tier for due in awaiting}
    held = tuple(f"held: {row.tier}: {row.metadata.get('reason')}" for row in manifest.holds(rows))
    incomplete = [issue for tier in tiers if tier not in absent for issue in _incomplete(tier, stages[tier])]
    is_whole = not absent and not incomplete and _all_accepted(rows, stages)
    if results is not None and is_whole and not _is_fresh(rows, stages, results):
        incomplete.append(STALE_RESULT)
    missing = tuple(tier for tier in absent if tier not in awaited)
    return Findings(awaiting, missing, tuple(incomplete), tuple(_rollbacks(rows)), critical, held)


def _incomplete(tier: str, done: Mapping[str, StageRow]) -> list[str]:
    """The stages that a capture lacks, or measures that were made from other rows than it has now."""
    missing = [f"Missing {stage} stage for {tier}" for stage in (manifest.NORMALIZED, manifest.CALC) if stage not in done]
    if missing or _ingest_no(done[manifest.NORMALIZED]) == _ingest_no(done[manifest.CALC]):
        return missing
    return [f"Measures of older rows for {tier}"]


def _is_fresh(rows: list[StageRow], stages: Mapping[str, Mapping[str, StageRow]], results: list[str]) -> bool:
    """Whether a current result was made from exactly these captures, with exactly these contents."""
    made_from = {}
    for tier, done in stages.items():
        row = done[manifest.CALC]
        made_from[tier] = {"capture_id": row.capture_id, "ingest_no": _ingest_no(row)}
    of_week = (row for row in rows if row.tier is None and row.stage == manifest.CALC)
    return any(row.capture_id in results and row.metadata.get("made_from") == made_from for row in of_week)


def _ingest_no(row: StageRow) -> object:
    return row.metadata.get("ingest_no")


def _rollbacks(rows: list[StageRow]) -> list[str]:
    """A manual rollback counts until a capture newer than the withdrawn one is normalized, unless its day was a mistake."""
    issues = []
    for row in rows:
        if row.stage != manifest.WITHDRAWN or manifest.is_of_a_mistaken_day(row):
            continue
        if not manifest.is_superseded(row, rows):
            issues.append(f"Manual rollback: {row.tier}: {row.metadata.get('reason', 'no reason given')}")
    return issues


def _all_accepted(rows: list[StageRow], stages: Mapping[str, Mapping[str, StageRow]]) -> bool:
    """Whether each tier shows a capture that is current: of a tier that has only a held one there are no results."""
    accepted = {row.capture_id for row in manifest.accepted(rows)}
    return all(row.capture_id in accepted for done in stages.values() for row in done.values())


def _criticals(week: str, connection: Connection) -> list[tuple[str | None, str]]:
    """The tier (None for the week itself) and the stage of each unresolved CRITICAL anomaly."""
    rows = connection.execute(
        """
        SELECT json_extract(partition_key, '$.tier'), stage FROM core_anomalies
        WHERE json_extract(partition_key, '$.week_ending') = ? AND domain = ? AND severity = ? AND resolved_at IS NULL
        """,
        (week, DOMAIN, anomalies.CRITICAL),
    ).fetchall()
    return [(tier, stage) for tier, stage in rows]


def _results(week: str, connection: Connection) -> list[str] | None:
    """The week-level results of the captures that are current; None where only the core tables exist."""
    if not _has_results(connection):
        return None
    rows = connection.execute("SELECT capture_id FROM finra_otc_transparency_current_week WHERE week_ending = ?", (week,))
    return [capture_id for (capture_id,) in rows.fetchall()]


def _has_results(connection: Connection) -> bool:
    """Whether the view of the week-level results exists: always in a Database, not always behind a plain sqlite3.Connection."""
    if hasattr(connection, "has_table"):
        return True
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_RESULTS,)).fetchone() is not None


_COLUMNS = """domain, partition_key, ready_for, is_ready, all_partitions_present, all_stages_complete, no_critical_anomalies,
               blocking_issues, created_at, updated_at"""
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REPLACE = """
    ON CONFLICT (domain, partition_key, ready_for) DO UPDATE SET
        is_ready = excluded.is_ready, all_partitions_present = excluded.all_partitions_present,
        all_stages_complete = excluded.all_stages_complete, no_critical_anomalies = excluded.no_critical_anomalies,
        blocking_issues = excluded.blocking_issues, updated_at = excluded.updated_at
"""


def _write(connection: Connection, judged: Mapping[str, Findings], ready_for: str, moment: str) -> None:
    """Inserts or updates the rows of a week and its tiers if any of them changed; rows for other purposes copy them.

    A run judges a week after each stage of each tier: mostly nothing changed, and one statement shows it. What changed for
    the purpose of trading is an event.
    """
    columns = {key: _columns(findings) for key, findings in judged.items()}
    stored = _stored(connection, list(columns), ready_for)
    changed = {key: findings for key, findings in judged.items() if stored.get(key) != columns[key]}
    if not changed:
        return
    _upsert(connection, columns, ready_for, moment)
    if ready_for == READY_FOR:
        issues = {events.subject_of(key): findings.issues() for key, findings in changed.items()}
        judgements.record(connection, issues, moment)


def _stored(connection: Connection, keys: list[str], ready_for: str) -> dict[str, tuple[object, ...]]:
    """What core_data_readiness holds of these keys, as _columns returns it."""
    rows = connection.execute(
        """
        SELECT partition_key, is_ready, all_partitions_present, all_stages_complete, no_critical_anomalies, blocking_issues
        FROM core_data_readiness WHERE domain = ? AND ready_for = ? AND partition_key IN (?, ?, ?, ?)
        """,
        (DOMAIN, ready_for, *_four(keys)),
    ).fetchall()
    return {key: tuple(columns) for key, *columns in rows}


def _four(keys: Iterable[str]) -> list[str]:
    """One key, or those of a week and its tiers, for a statement with four parameters."""
    return (list(keys) * 4)[:4]


def _upsert(connection: Connection, columns: Mapping[str, tuple[object, ...]], ready_for: str, moment: str) -> None:
    connection.execute(
        f"INSERT INTO core_data_readiness ({_COLUMNS}) VALUES {_ROW} {_REPLACE}"
        if len(columns) == 1
        else f"INSERT INTO core_data_readiness ({_COLUMNS}) VALUES {_ROW}, {_ROW}, {_ROW}, {_ROW} {_REPLACE}",
        [value for key, facts in columns.items() for value in (DOMAIN, key, ready_for, *facts, moment, moment)],
    )
    connection.execute(
        """
        UPDATE core_data_readiness AS other SET
            is_ready = judged.is_ready, all_partitions_present = judged.all_partitions_present,
            all_stages_complete = judged.all_stages_complete, no_critical_anomalies = judged.no_critical_anomalies,
            blocking_issues = judged.blocking_issues, updated_at = judged.updated_at
        FROM core_data_readiness AS judged
        WHERE judged.domain = ? AND judged.ready_for = ? AND judged.partition_key IN (?, ?, ?, ?)
          AND other.domain = judged.domain AND other.partition_key = judged.partition_key AND other.ready_for <> judged.ready_for
        """,
        (DOMAIN, ready_for, *_four(columns)),
    )


def _columns(findings: Findings) -> tuple[int, int, int, int, str | None]:
    """is_ready, all_partitions_present, all_stages_complete, no_critical_anomalies and blocking_issues."""
    issues, present = findings.issues(), findings.is_present
    complete = present and not findings.incomplete
    return int(not issues), int(present), int(complete), int(not findings.critical), json.dumps(issues) if issues else None


class Difference(NamedTuple):
    """A week (or a tier of it) for which core_data_readiness contradicts its captures."""

    week: date
    tier: str | None
    stored: bool
    is_ready: bool

    @property
    def what(self) -> str:
        words = {True: "ready", False: "not ready"}
        return f"core_data_readiness says {words[self.stored]}, its captures say {words[self.is_ready]}"


def differences(connection: Connection, week: date) -> list[Difference]:
    """Where the stored judgement of a week is out of date. A missing row counts as not ready."""
    rows = connection.execute(
        """
        SELECT json_extract(partition_key, '$.tier'), is_ready FROM core_data_readiness
        WHERE domain = ? AND partition_key IN (?, ?, ?, ?)
        """,
        (DOMAIN, partition_key(str(week)), *(partition_key(str(week), tier) for tier in TIERS)),
    ).fetchall()
    stored: dict[str | None, set[bool]] = {}
    for tier, is_ready in rows:
        stored.setdefault(tier, set()).add(bool(is_ready))
    return differing(week, stored, look(week, connection))


def differing(week: date, judged_before: Mapping[str | None, set[bool]], judged: Judgement) -> list[Difference]:
    """Where what was judged before, by tier (None for the week itself), differs from the judgement."""
    now = {None: judged.week} | dict(judged.tiers)
    stored = {None: {False}} | dict(judged_before)
    return [
        Difference(week, tier, not is_ready, is_ready)
        for tier, shown in stored.items()
        if tier in now and shown != {is_ready := not now[tier].issues()}
    ]


def results_between(connection: Connection, first: date, last: date) -> dict[date, list[str]]:
    """By week, the week-level results of the captures that are current; one statement, however many weeks."""
    rows = connection.execute(
        "SELECT week_ending, capture_id FROM finra_otc_transparency_current_week WHERE week_ending BETWEEN ? AND ?",
        (first.isoformat(), last.isoformat()),
    ).fetchall()
    results: dict[date, list[str]] = {}
    for week, capture_id in rows:
        results.setdefault(date.fromisoformat(week), []).append(capture_id)
    return results


def judged_between(connection: Connection, first: date, last: date) -> dict[date, dict[str | None, set[bool]]]:
    """By week and tier (None for the week itself), whether it is stored as ready; one statement, however many weeks."""
    rows = connection.execute(
        """
        SELECT json_extract(partition_key, '$.week_ending'), json_extract(partition_key, '$.tier'), is_ready
        FROM core_data_readiness
        WHERE domain = ? AND json_extract(partition_key, '$.week_ending') BETWEEN ? AND ?
        """,
        (DOMAIN, first.isoformat(), last.isoformat()),
    ).fetchall()
    judged: dict[date, dict[str | None, set[bool]]] = {}
    for week, tier, is_ready in rows:
        judged.setdefault(date.fromisoformat(week), {}).setdefault(tier, set()).add(bool(is_ready))
    return judged


def judged_weeks(connection: Connection) -> list[date]:
    """Every week that has captures or a stored judgement."""
    rows = connection.execute(
        """
        SELECT json_extract(partition_key, '$.week_ending') FROM core_manifest WHERE domain = ?
        UNION SELECT json_extract(partition_key, '$.week_ending') FROM core_data_readiness WHERE domain = ?
        """,
        (DOMAIN, DOMAIN),
    ).fetchall()
    return sorted(date.fromisoformat(week) for (week,) in rows if week)
