"""Ready, and right: one evaluation, which the stored judgement, the status page and verify share after every change."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk

from market_spine.app import readiness
from market_spine.app.readiness import STALE_RESULT
from market_spine.app.scheduler import Plan, run_schedule
from market_spine.core.anomalies import record_anomaly
from market_spine.core.manifest import StageRow
from market_spine.db import Database
from market_spine.operate import anomalies, doctor, gaps, prune, rebuild, rollback, status
from market_spine.operate.verify import verify
from market_spine.outcome import Outcome
from market_spine.partition import DOMAIN, NMS_TIER_1, NMS_TIER_2, OTC, TIERS, partition_key


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK])
    return desk


def stored(desk: Desk) -> bool:
    row = desk.db.execute(
        "SELECT is_ready FROM core_data_readiness WHERE partition_key = ?", (partition_key(str(WEEK)),)
    ).fetchone()
    return row is not None and bool(row[0])


def shown(desk: Desk, on: date = FRIDAYS[3]) -> bool:
    return status.examine(desk.context(on), [WEEK])[0].is_ready


def stage_row(stage: str, tier: str | None, ingest_no: int, capture: str = "c", **metadata: object) -> StageRow:
    return StageRow(tier, stage, f"{tier or 'WEEK'}:{capture}", 1, {"ingest_no": ingest_no, **metadata}, "2026-01-09")


def rows_of(normalized: int = 1, calculated: int = 1, made_from: int = 1) -> list[StageRow]:
    """A week whose stages were made from contents of these numbers."""
    numbers = {"RAW": 1, "NORMALIZED": normalized, "CALC": calculated}
    rows = [stage_row(stage, tier, number) for tier in TIERS for stage, number in numbers.items()]
    used = {tier: {"capture_id": f"{tier}:c", "ingest_no": made_from} for tier in TIERS}
    return [*rows, stage_row("CALC", None, 0, made_from=used)]


OLDER = tuple(f"Measures of older rows for {tier}" for tier in TIERS)
EVALUATIONS = {
    "all of one content": (rows_of(), ["WEEK:c"], ()),
    "a replay that is not normalized yet": ([*rows_of(), stage_row("RAW", OTC, 2)], ["WEEK:c"], ()),
    "measures of older rows": (rows_of(normalized=2), ["WEEK:c"], OLDER),
    "a result of older measures": (rows_of(2, 2, 1), ["WEEK:c"], (STALE_RESULT,)),
    "a result of a replay": (rows_of(2, 2, 2), ["WEEK:c"], ()),
    "a result of other captures": (rows_of(), ["WEEK:other"], (STALE_RESULT,)),
    "no result": (rows_of(), [], (STALE_RESULT,)),
    "only the core tables": (rows_of(made_from=7), None, ()),
}


@pytest.mark.parametrize(("rows", "results", "expected"), EVALUATIONS.values(), ids=EVALUATIONS)
def test_a_week_is_complete_when_every_stage_is_of_one_content(
    rows: list[StageRow], results: list[str] | None, expected: tuple[str, ...]
) -> None:
    assert readiness.examine(rows, 0, results=results).incomplete == expected


class Killed(BaseException):
    """Stands for a kill: nothing after it runs."""


def run_killed_after(desk: Desk, count: int, on: date) -> bool:
    """A run that ends with its `count`-th outcome; whether it came that far."""
    seen: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        seen.append(outcome)
        if len(seen) == count:
            raise Killed

    try:
        run_schedule(desk.context(on), desk.source(), Plan((WEEK,), TIERS), tell)
    except Killed:
        return True
    return False


@pytest.mark.parametrize("on", [FRIDAYS[0], FRIDAYS[1]], ids=["a replay", "a restatement"])
def test_a_kill_between_two_stages_leaves_no_week_ready_by_mistake(desk: Desk, on: date) -> None:
    desk.run(FRIDAYS[0])
    assert stored(desk) and shown(desk)
    desk.publish_weeks([WEEK], REVISED)
    ready, count = [], 1
    while run_killed_after(desk, count, on):
        assert stored(desk) is shown(desk)
        assert readiness.differences(desk.db, WEEK) == []
        ready.append(shown(desk))
        desk.publish(WEEK, OTC, REVISED[: 3 + count % 2])  # another content, so that the next run has all stages to do again
        count += 1
    assert not all(ready) and len(ready) > 5
    desk.run(on)
    assert stored(desk) and shown(desk)


@pytest.mark.parametrize("only", ["ingest", "normalize"])
def test_a_stage_alone_leaves_the_week_as_ready_as_its_rows_are(desk: Desk, only: str) -> None:
    desk.run()
    desk.publish(WEEK, OTC, REVISED)
    for stage in ("ingest", "normalize")[: 1 if only == "ingest" else 2]:
        desk.run(only=stage)
    assert stored(desk) is shown(desk) is (only == "ingest")
    assert [cell.state for cell in status.examine(desk.context(FRIDAYS[0]), [WEEK])[0].cells][2] == (
        "ready" if only == "ingest" else "pending"
    )


@dataclass(frozen=True)
class Operator:
    """What an operator may do to a week that was restated and is ready."""

    desk: Desk

    def roll_back(self) -> None:
        rollback.roll_back(self.desk.context(FRIDAYS[2]), WEEK, [OTC], "faulty")

    def undo(self) -> None:
        self.roll_back()
        rollback.undo(self.desk.context(FRIDAYS[2]), WEEK, [OTC], "it was right")

    def prune_a_withdrawn_one(self) -> None:
        self.roll_back()
        self.desk.publish(WEEK, OTC, ())
        self.desk.run(FRIDAYS[3])
        prune.prune(self.desk.context(FRIDAYS[3]), 0, "old")

    def rebuild_without_measures(self) -> None:
        self._forget("CALC")
        rebuild.rebuild(self.desk.context(FRIDAYS[3]), WEEK)

    def resolve(self) -> None:
        key, moment = partition_key(str(WEEK), OTC), self.desk.context(FRIDAYS[2]).now
        number = record_anomaly(
            self.desk.db, domain=DOMAIN, severity="CRITICAL", category="RULE", message="odd", partition_key=key, now=moment
        )
        self.desk.run(FRIDAYS[2], only="readiness")
        anomalies.resolve(self.desk.db, number, "explained", moment)

    def fix_lost_rows(self) -> None:
        self._forget("RAW")
        run = self.desk.context(FRIDAYS[3])
        doctor.fix(run, self.desk.source, gaps.find_gaps(run, [WEEK]))

    def fix_orphans(self) -> None:
        key = partition_key(str(WEEK), OTC)
        with self.desk.db.transaction():
            self.desk.db.execute(
                "INSERT INTO core_manifest (domain, stage, partition_key, capture_id, row_count, captured_at, created_at) "
                "VALUES (?, 'NORMALIZED', ?, 'no:such', 1, '2026-12-31', 'x')",
                (DOMAIN, key),
            )
        self.desk.run(FRIDAYS[2], only="readiness")
        run = self.desk.context(FRIDAYS[3])
        doctor.fix(run, self.desk.source, gaps.orphans(run.db))

    def _forget(self, stage: str) -> None:
        with self.desk.db.transaction():
            self.desk.db.execute("DELETE FROM core_manifest WHERE stage = ? AND capture_id LIKE '%:OTC:%'", (stage,))


CHANGES: dict[str, tuple[Callable[[Operator], None], bool]] = {
    "rollback": (Operator.roll_back, False),
    "rollback undone": (Operator.undo, True),
    "prune of a withdrawn capture": (Operator.prune_a_withdrawn_one, True),
    "rebuild": (Operator.rebuild_without_measures, True),
    "resolve": (Operator.resolve, True),
    "doctor: lost manifest rows": (Operator.fix_lost_rows, True),
    "doctor: orphans": (Operator.fix_orphans, True),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_every_change_leaves_the_stored_judgement_right(desk: Desk, change: Callable[[Operator], None], expected: bool) -> None:
    desk.run()
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1])
    change(Operator(desk))
    assert readiness.differences(desk.db, WEEK) == []
    assert (stored(desk), shown(desk)) == (expected, expected)


def test_a_judgement_for_another_purpose_follows(desk: Desk) -> None:
    desk.run()
    moment = datetime(2026, 1, 30, tzinfo=timezone.utc)
    assert readiness.evaluate_readiness(WEEK, desk.db, "research", now=moment).is_ready
    desk.publish(WEEK, OTC, REVISED)
    for stage in ("ingest", "normalize"):
        desk.run(FRIDAYS[1], only=stage)
    rows = desk.db.execute(
        """
        SELECT json_extract(partition_key, '$.tier'), ready_for, is_ready, blocking_issues, updated_at FROM core_data_readiness
        ORDER BY partition_key, ready_for
        """
    ).fetchall()
    research = [(tier, *columns) for tier, purpose, *columns in rows if purpose == "research"]
    assert [(tier, is_ready) for tier, is_ready, *_ in research] == [(NMS_TIER_1, 1), (NMS_TIER_2, 1), (OTC, 0), (None, 0)]
    assert research == [(tier, *columns) for tier, purpose, *columns in rows if purpose == "trading"]


def test_verify_names_a_judgement_that_is_not_todays_and_its_command_repairs_it(
    desk: Desk, target: str, run_command: RunCommand
) -> None:
    desk.publish(WEEK, OTC, PLAIN[:0])
    desk.run()
    with desk.db.transaction():
        desk.db.execute("UPDATE core_data_readiness SET is_ready = 1")
    found = [(fault.where, fault.what) for fault in verify(desk.db)]
    words = "core_data_readiness says ready, its captures say not ready"
    assert sorted(found) == [(str(WEEK), words), (f"{WEEK} / {OTC}", words)]
    finished = run_command("spine", "verify", "--db", target)
    command = finished.stdout.splitlines()[-1].removeprefix("next: ").split()
    assert finished.exit_code == 1 and command[0] == "run_finra_weekly_schedule"
    password = {"PGPASSWORD": urlsplit(target).password or ""} if "://" in target else {}
    repaired = run_command(*command, "--run-date", str(FRIDAYS[0]), env=password)
    assert repaired.exit_code == 0, repaired.stderr
    assert list(verify(desk.db)) == []
    assert json.loads(run_command("spine", "verify", "--db", target, "--json").stdout)["faults"] == []
