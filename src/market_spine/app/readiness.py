"""Ready, or what stands against it."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import NamedTuple

from market_spine import anomalies, clock, manifest
from market_spine.db import Connection, writing
from market_spine.manifest import StageRow
from market_spine.partition import DOMAIN, TIERS, partition_key

READY_FOR = "trading"


class Readiness(NamedTuple):
    """Whether a week may be used, and what stands against it."""

    is_ready: bool
    blocking_issues: list[str]


class Findings(NamedTuple):
    """What the manifest and the anomalies say of a week, before anything is written."""

    missing_tiers: tuple[str, ...]
    incomplete: tuple[str, ...]
    withdrawn: tuple[str, ...]
    critical: int

    def issues(self) -> list[str]:
        """The blocking issues, in words."""
        issues = list(self.withdrawn)
        if self.missing_tiers:
            issues.append(f"Missing tiers: {', '.join(self.missing_tiers)}")
        issues += self.incomplete
        if self.critical:
            issues.append(f"{self.critical} unresolved CRITICAL anomalies")
        return issues


def evaluate_readiness(
    week_ending: date | str, db_connection: Connection, ready_for: str = READY_FOR, *, now: datetime | None = None
) -> Readiness:
    """Judges a week and writes the judgement to core_data_readiness."""
    week = str(week_ending)
    findings = examine(manifest.week_rows(week, db_connection), _critical(week, db_connection))
    issues = findings.issues()
    _write(db_connection, week, ready_for, findings, issues, clock.stamp(now or clock.utc_now()))
    return Readiness(not issues, issues)


def examine(rows: list[StageRow], critical: int) -> Findings:
    """Every tier present, every stage of its current capture done, nothing withdrawn without a successor."""
    stages = manifest.current_stages(rows)
    missing = tuple(tier for tier in TIERS if manifest.RAW not in stages.get(tier, frozenset()))
    incomplete = tuple(
        f"Missing {stage} stage for {tier}"
        for tier in TIERS
        if tier not in missing
        for stage in (manifest.NORMALIZED, manifest.CALC)
        if stage not in stages[tier]
    )
    return Findings(missing, incomplete, tuple(_rollbacks(rows)), critical)


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


def _critical(week: str, connection: Connection) -> int:
    row = connection.execute(
        """
        SELECT COUNT(*) FROM core_anomalies
        WHERE json_extract(partition_key, '$.week_ending') = ? AND domain = ? AND severity = ? AND resolved_at IS NULL
        """,
        (week, DOMAIN, anomalies.CRITICAL),
    ).fetchone()
    return int(row[0])


def _write(connection: Connection, week: str, ready_for: str, findings: Findings, issues: list[str], moment: str) -> None:
    """Makes or updates the week's row; one that says the same already is left alone."""
    said = (
        int(not issues),
        int(not findings.missing_tiers),
        int(not findings.missing_tiers and not findings.incomplete),
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
            (DOMAIN, partition_key(week), ready_for, *said, moment, moment),
        )
