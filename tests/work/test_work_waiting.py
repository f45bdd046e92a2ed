"""A work item that waits for a prerequisite is woken by whatever makes it, in the transaction that records it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.weekly_files import write_week

from market_spine.core import manifest
from market_spine.db import Database, migrations
from market_spine.partition import NMS_TIER_1, OTC, Partition
from market_spine.work import lease, queue
from market_spine.work.item import Item, Params, Request, State, Verdict

WEEK, OTHER = date(2025, 12, 26), date(2026, 1, 2)
PARAMS = Params(date(2026, 1, 30))


def waiting(db: Database, pipeline: str, tier: str | None, stage: str, week: date = WEEK) -> Item:
    """An item that has been tried and waits for `stage`, not to be tried by itself for long."""
    item = queue.enqueue(db, [Request(pipeline, week, tier, params=PARAMS)], db.now())[0].item
    claimed = lease.claim(db, item.id, "host:1:aa", db.now())
    assert claimed is not None
    later = db.now().replace(year=db.now().year + 1)
    lease.settle(db, claimed, Verdict(State.RETRY_WAIT, "waits: x", later, counts=False, waits_for=stage), db.now())
    return item


def state_of(db: Database, item: Item) -> State:
    return queue.find(db, item.id).state


def record(db: Database, stage: str, partition: Partition | str, capture: str = "c") -> None:
    manifest.record_stage(
        db, stage, partition, capture, row_count=1, metadata={}, captured_at="2026-01-30T00:00:00+00:00", now=db.now()
    )


WOKEN = [
    pytest.param("normalize_week", OTC, "RAW", "RAW", Partition(WEEK, OTC), True, id="the same partition's stage"),
    pytest.param("normalize_week", OTC, "RAW", "NORMALIZED", Partition(WEEK, OTC), False, id="another stage"),
    pytest.param("normalize_week", OTC, "RAW", "RAW", Partition(WEEK, NMS_TIER_1), False, id="another tier"),
    pytest.param("normalize_week", OTC, "RAW", "RAW", Partition(OTHER, OTC), False, id="another week"),
    pytest.param("compute_weekly_totals", None, "CALC", "CALC", Partition(WEEK, OTC), True, id="a week by any of its tiers"),
    pytest.param("compute_weekly_totals", None, "CALC", "CALC", str(WEEK), True, id="a week by its own stage"),
    pytest.param("compute_weekly_totals", None, "CALC", "CALC", Partition(OTHER, OTC), False, id="a week by another's"),
]


@pytest.mark.parametrize(("pipeline", "tier", "waits_for", "stage", "partition", "woken"), WOKEN)
def test_a_stage_wakes_what_waits_for_it_and_nothing_else(
    db: Database, pipeline: str, tier: str | None, waits_for: str, stage: str, partition: Partition | str, woken: bool
) -> None:
    item = waiting(db, pipeline, tier, waits_for)
    record(db, stage, partition)
    found = queue.find(db, item.id)
    assert (found.state, found.waits_for) == ((State.PENDING, None) if woken else (State.RETRY_WAIT, waits_for))
    claimed = lease.claim(db, item.id, "host:2:bb", db.now())
    assert (claimed is not None) is woken


def test_what_is_rolled_back_wakes_nobody(db: Database) -> None:
    item = waiting(db, "normalize_week", OTC, "RAW")
    with pytest.raises(ZeroDivisionError), db.transaction():
        record(db, "RAW", Partition(WEEK, OTC))
        raise ZeroDivisionError
    assert state_of(db, item) is State.RETRY_WAIT


@pytest.mark.parametrize("act", [queue.retry, queue.cancel], ids=["retry", "cancel"])
def test_what_people_change_waits_for_nothing_any_more(db: Database, act: Callable[..., object]) -> None:
    item = waiting(db, "normalize_week", OTC, "RAW")
    act(db, [item.id], db.now())
    assert queue.find(db, item.id).waits_for is None


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_run_does_not_wait_for_a_worker_that_is_changing_the_item(db: Database) -> None:
    item = waiting(db, "normalize_week", OTC, "RAW")
    worker = db.reopen()
    with worker.transaction():
        worker.execute("SELECT 1 FROM core_work_items WHERE id = ? FOR UPDATE", (item.id,))
        db.execute("SET lock_timeout = '1ms'")
        record(db, "RAW", Partition(WEEK, OTC))
    worker.close()
    assert state_of(db, item) is State.RETRY_WAIT


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_two_who_make_different_weeks_at_once_wake_both(db: Database) -> None:
    one, two = waiting(db, "normalize_week", OTC, "RAW"), waiting(db, "normalize_week", OTC, "RAW", OTHER)
    other = db.reopen()
    with db.transaction(), other.transaction():
        record(db, "RAW", Partition(WEEK, OTC))
        record(other, "RAW", Partition(OTHER, OTC))
    other.close()
    assert (state_of(db, one), state_of(db, two)) == (State.PENDING, State.PENDING)


MAKERS = {
    "weekly run": ("run_finra_weekly_schedule", "--weeks", str(WEEK), "--run-date", "2026-01-30"),
    "one stage of a weekly run": (
        "run_finra_weekly_schedule",
        "--weeks",
        str(WEEK),
        "--run-date",
        "2026-01-30",
        "--only-stage",
        "ingest",
    ),
    "spine run": ("spine", "run", "ingest_week", "--week", str(WEEK), "--tier", "OTC", "--run-date", "2026-01-30"),
    "backfill": ("spine", "backfill", "--from", str(WEEK), "--to", str(WEEK), "--run-date", "2026-01-30"),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_an_item_is_woken_and_delivered_whoever_makes_what_it_waits_for(
    target: str, db: Database, tmp_path: Path, run_command: RunCommand, maker: str
) -> None:
    write_week(tmp_path / "files", str(WEEK))
    normalize = waiting(db, "normalize_week", OTC, "RAW")
    done = run_command(*MAKERS[maker], "--db", target, "--data-dir", tmp_path / "files")
    assert done.exit_code == 0, done.stderr
    assert state_of(db, normalize) is State.PENDING
    drained = run_command("spine", "worker", "--drain", "--db", target, "--data-dir", tmp_path / "files")
    assert (drained.exit_code, state_of(db, normalize)) == (0, State.COMPLETE), drained.stderr


def test_an_item_that_waits_for_publication_is_woken_by_the_run_that_ingests(
    target: str, db: Database, tmp_path: Path, run_command: RunCommand
) -> None:
    ingest = queue.enqueue(db, [Request("ingest_week", WEEK, OTC, params=Params(date(2026, 1, 16)))], db.now())[0].item
    (tmp_path / "files").mkdir()
    drained = run_command("spine", "worker", "--drain", "--db", target, "--data-dir", tmp_path / "files")
    assert (drained.exit_code, state_of(db, ingest)) == (0, State.RETRY_WAIT), drained.stderr
    write_week(tmp_path / "files", str(WEEK))
    done = run_command(*MAKERS["weekly run"], "--db", target, "--data-dir", tmp_path / "files")
    assert (done.exit_code, state_of(db, ingest)) == (0, State.PENDING), done.stderr


def test_a_workers_own_item_wakes_the_next_one(target: str, db: Database, tmp_path: Path, run_command: RunCommand) -> None:
    write_week(tmp_path / "files", str(WEEK))
    normalize = waiting(db, "normalize_week", OTC, "RAW")
    ingest = queue.enqueue(db, [Request("ingest_week", WEEK, OTC, params=PARAMS)], db.now())[0].item
    drained = run_command("spine", "worker", "--drain", "--db", target, "--data-dir", tmp_path / "files")
    assert drained.exit_code == 0, drained.stderr
    assert (state_of(db, ingest), state_of(db, normalize)) == (State.COMPLETE, State.COMPLETE)


def test_an_item_that_waited_before_the_migration_is_woken_too(db: Database) -> None:
    item = waiting(db, "normalize_week", OTC, "RAW")
    db.execute("UPDATE core_work_items SET waits_for = NULL, last_error = 'waits: prerequisite missing: RAW of 2025-12-26 / OTC'")
    script = (Path(migrations.__file__).parent / "schema" / "0006_timeline.sql").read_text("utf-8")
    with db.transaction():
        db.run_script(script[script.index("UPDATE core_work_items SET waits_for") :].split(";")[0] + ";")
    assert queue.find(db, item.id).waits_for == "RAW"
