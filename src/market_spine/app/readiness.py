"""Ready, or what stands against it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from market_spine import anomalies, clock, manifest, publication
from market_spine.db import Connection, writing
from market_spine.manifest import StageRow
from market_spine.partition import DOMAIN, TIERS, Partition, partition_key
from market_spine.publication import EXCHANGE, Calendar, Due

READY_FOR = "trading"


class Readiness(NamedTuple):
    """Whether a week may be used, and what stands against it."""

    is_ready: bool
    blocking_issues: list[str]


class Findings(NamedTuple):
    """What the manifest and the anomalies say of a week, before anything is written."""

    awaiting: tuple[Due, ...]
    missing_tiers: tuple[str, ...]
    incomplete: tuple[str, ...]
    withdrawn: tuple[str, ...]
    critical: int

    def issues(self) -> list[str]:
        """The blocking issues, in words."""
        issues = list(self.withdrawn)
        if self.awaiting:
            tiers = ", ".join(f"{due.partition.tier} (due {due.day})" for due in self.awaiting)
            issues.append(f"Awaiting publication: {tiers}")
        if self.missing_tiers:
            issues.append(f"Missing tiers: {', '.join(self.missing_tiers)}")
        issues += self.incomplete
        if self.critical:
            issues.append(f"{self.critical} unresolved CRITICAL anomalies")
        return issues


def evaluate_readiness(
    week_ending: date | str,
    db_connection: Connection,
    ready_for: str = READY_FOR,
    *,
    now: datetime | None = None,
    calendar: Calendar | None = EXCHANGE,
) -> Readiness:
    """Judges a week and writes the judgement to core_data_readiness, in one transaction.

    With `now`, the day's publication calendar tells what is awaited from what is missing, and each tier is judged for itself
    too, in a row of its own: a desk can use Tier 1 two weeks before the others exist.
    """
    week, stamp = str(week_ending), clock.stamp(now or clock.utc_now())
    with writing(db_connection):
        rows, criticals = manifest.week_rows(week, db_connection), _criticals(week, db_connection)
        expected = _expected(week, rows, now, calendar)
        findings = examine(rows, len(criticals), expected)
        _write(db_connection, partition_key(week), ready_for, findings, stamp)
        for tier in TIERS if now else ():
            against = sum(of in (tier, None) for of in criticals)
            own = examine([row for row in rows if row.tier == tier], against, expected, (tier,))
            _write(db_connection, partition_key(week, tier), ready_for, own, stamp)
    return Readiness(not findings.issues(), findings.issues())


def _expected(week: str, rows: list[StageRow], now: datetime | None, calendar: Calendar | None) -> dict[str, Due]:
    """By tier that is not there, what is not yet due on the day of `now`."""
    if now is None or calendar is None:
        return {}
    stages, day = manifest.current_stages(rows), clock.market_date(now)
    absent = [Partition(date.fromisoformat(week), tier) for tier in TIERS if manifest.RAW not in stages.get(tier, frozenset())]
    return {p.tier: Due(publication.due_date(p, calendar), p) for p in absent if publication.awaited(p, day, calendar)}


def examine(
    rows: list[StageRow], critical: int, expected: Mapping[str, Due] | None = None, tiers: tuple[str, ...] = TIERS
) -> Findings:
    """Every tier present, every stage of its current capture done, nothing withdrawn without a successor."""
    stages = manifest.current_stages(rows)
    absent = [tier for tier in tiers if manifest.RAW not in stages.get(tier, frozenset())]
    awaiting = tuple(due for tier, due in (expected or {}).items() if tier in absent)
    awaited = {due.partition.tier for due in awaiting}
    incomplete = tuple(
        f"Missing {stage} stage for {tier}"
        for tier in tiers
        if tier not in absent
        for stage in (manifest.NORMALIZED, manifest.CALC)
        if stage not in stages[tier]
    )
    missing = tuple(tier for tier in absent if tier not in awaited)
    return Findings(awaiting, missing, incomplete, tuple(_rollbacks(rows)), critical)


def _rollbacks(rows: list[StageRow]) -> list[str]:
    """A tier's manual rollback counts until a capture newer than the withdrawn one is normalized."""
    issues = []
    for row in rows:
        if row.stage != manifest.WITHDRAWN:
            continue
        newer = (r for r in manifest.standing(rows) if r.tier == row.tier and r.stage == manifest.NORMALIZED)
        if not any(r.captured_at > row.captured_at for r in newer):
            issues.append(f"Manual rollback: {row.tier}: {row.metadata.get('reason', 'no reason given')}")
    return issues


def _criticals(week: str, connection: Connection) -> list[str | None]:
    """The tier (None for the week itself) of each unresolved CRITICAL anomaly."""
    rows = connection.execute(
        """
        SELECT json_extract(partition_key, '$.tier') FROM core_anomalies
        WHERE json_extract(partition_key, '$.week_ending') = ? AND domain = ? AND severity = ? AND resolved_at IS NULL
        """,
        (week, DOMAIN, anomalies.CRITICAL),
    ).fetchall()
    return [row[0] for row in rows]


def _write(connection: Connection, key: str, ready_for: str, findings: Findings, moment: str) -> None:
    """Makes or updates the row of a week, or of a tier of it."""
    issues, present = findings.issues(), not findings.missing_tiers and not findings.awaiting
    said = (
        int(not issues),
        int(present),
        int(present and not findings.incomplete),
        int(not findings.critical),
        json.dumps(issues) if issues else None,
    )
    with writing(connection):
        connection.execute(
            """
            INSERT INTO core_data_readiness (domain, partition_key, ready_for, is_ready, all_partitions_present,
                                             all_stages_complete, no_critical_anomalies, blocking_issues, created_at, updated_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (domain, partition_key, ready_for) DO UPDATE SET
                is_ready = excluded.is_ready, all_partitions_present = excluded.all_partitions_present,
                all_stages_complete = excluded.all_stages_complete, no_critical_anomalies = excluded.no_critical_anomalies,
                blocking_issues = excluded.blocking_issues, updated_at = excluded.updated_at
            """,
            (DOMAIN, key, ready_for, *said, moment, moment),
        )
