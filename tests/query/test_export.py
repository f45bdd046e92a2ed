"""Exported datasets: read back by other engines, rewritten only where something changed, whole at every moment."""

from __future__ import annotations

import csv
import json
import os
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk

from market_spine.db import Database
from market_spine.errors import UsageError
from market_spine.operate import rollback
from market_spine.operate.rebuild import rebuild
from market_spine.partition import OTC
from market_spine.query import answer
from market_spine.query.answer import Question
from market_spine.query.export import STATE_FILE, export
from market_spine.query.views import VIEWS

NEXT = WEEK + timedelta(weeks=1)


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK, NEXT])
    desk.run(FRIDAYS[0], [WEEK, NEXT])
    return desk


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("data.*"))}


def as_answered(desk: Desk, name: str) -> list[dict[str, object]]:
    view = VIEWS[name]
    return [dict(zip(view.columns, row, strict=True)) for row in answer.answer(desk.db, Question(view))]


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.one_engine
def test_parquet_read_as_one_dataset_holds_what_the_view_holds(desk: Desk, tmp_path: Path, name: str) -> None:
    dataset = pytest.importorskip("pyarrow.dataset")
    root = tmp_path / "out"
    export(desk.db, VIEWS[name], root, "parquet")
    table = dataset.dataset(root, format="parquet", partitioning="hive").to_table()
    expected = as_answered(desk, name)
    rows = [{column: _plain(value) for column, value in row.items()} for row in table.to_pylist()]
    shared = list(VIEWS[name].columns)
    assert sorted(rows[0]) == sorted(shared)
    key = lambda row: [str(row[column]) for column in shared]  # noqa: E731
    assert sorted(rows, key=key) == sorted(expected, key=key)


def test_duckdb_reads_the_hive_layout_and_sums_exactly(desk: Desk, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    root = tmp_path / "out"
    export(desk.db, VIEWS["normalized"], root, "parquet")
    found = duckdb.sql(
        f"SELECT week_ending, tier, COUNT(*), SUM(total_shares) FROM read_parquet('{root}/*/*/*.parquet', "
        "hive_partitioning = true) GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    assert len(found) == 6
    assert {(count, shares) for _, _, count, shares in found} == {(4, Decimal("2000.500000"))}
    assert (found[0][0], found[0][1]) == (WEEK, "NMS_TIER_1")


def test_csv_holds_the_same_and_the_path_has_the_partition(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "out"
    export(desk.db, VIEWS["venue_share"], root, "csv")
    with (root / "week_ending=2025-11-28" / "tier=OTC" / "data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["mpid"], row["rank"], "tier" in row) for row in rows] == [
        ("UBSA", "1", False),
        ("JPMX", "2", False),
        ("", "3", False),
    ]


def test_only_changed_partitions_are_rewritten_and_an_undo_brings_the_same_bytes(desk: Desk, tmp_path: Path) -> None:
    root, view = tmp_path / "out", VIEWS["normalized"]
    assert len(export(desk.db, view, root, "csv").written) == 6
    first = contents(root)
    again = export(desk.db, view, root, "csv")
    assert (again.written, len(again.kept), again.removed) == ((), 6, ())
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1], [WEEK, NEXT])
    assert export(desk.db, view, root, "csv").written == ("week_ending=2025-11-28/tier=OTC",)
    restated = contents(root)
    rollback.roll_back(desk.context(FRIDAYS[2]), WEEK, [OTC], "x")
    export(desk.db, view, root, "csv")
    assert contents(root) == first
    rollback.undo(desk.context(FRIDAYS[3]), WEEK, [OTC], "x")
    export(desk.db, view, root, "csv")
    assert contents(root) == restated
    export(desk.db, view, root, "csv", FRIDAYS[0])
    assert contents(root) == first


def test_a_rebuild_exports_the_same_bytes(desk: Desk, tmp_path: Path) -> None:
    for name in VIEWS:
        export(desk.db, VIEWS[name], tmp_path / name, "csv")
    before = {name: contents(tmp_path / name) for name in VIEWS}
    rebuild(desk.context(date(2026, 3, 6)), None)
    for name in VIEWS:
        export(desk.db, VIEWS[name], tmp_path / name, "csv")
    assert {name: contents(tmp_path / name) for name in VIEWS} == before


def test_a_partition_without_a_current_capture_loses_its_file_and_folder(desk: Desk, tmp_path: Path) -> None:
    root, view = tmp_path / "out", VIEWS["normalized"]
    export(desk.db, view, root, "csv")
    (root / "week_ending=2025-11-28" / "tier=OTC" / "mine.txt").write_text("kept")
    stray = root / "week_ending=1999-01-01" / "tier=OTC" / "data.csv"  # what a killed export may leave
    stray.parent.mkdir(parents=True)
    stray.write_text("x")
    rollback.roll_back(desk.context(FRIDAYS[1]), WEEK, ["NMS_TIER_1", OTC], "x")
    assert len(export(desk.db, view, root, "csv").removed) == 3
    assert not (root / "week_ending=2025-11-28" / "tier=NMS_TIER_1").exists()
    assert not (root / "week_ending=1999-01-01").exists()
    assert [path.name for path in (root / "week_ending=2025-11-28" / "tier=OTC").iterdir()] == ["mine.txt"]


def test_missing_and_cut_files_and_a_lost_note_are_made_again(desk: Desk, tmp_path: Path) -> None:
    root, view = tmp_path / "out", VIEWS["normalized"]
    export(desk.db, view, root, "csv")
    first = contents(root)
    (root / "week_ending=2025-11-28" / "tier=OTC" / "data.csv").unlink()
    (root / "week_ending=2025-12-05" / "tier=OTC" / "data.csv").write_text("cut")
    assert len(export(desk.db, view, root, "csv").written) == 2
    (root / STATE_FILE).unlink()
    assert len(export(desk.db, view, root, "csv").written) == 6
    assert contents(root) == first
    assert list(root.rglob("*.tmp")) == []


def test_what_a_killed_export_left_is_cleared_up_once_nobody_can_be_writing_it(desk: Desk, tmp_path: Path) -> None:
    root, view = tmp_path / "out", VIEWS["normalized"]
    export(desk.db, view, root, "csv")
    first = contents(root)
    place = root / "week_ending=2025-11-28" / "tier=OTC"
    left = [root / f".{STATE_FILE}.77.tmp", place / ".data.csv.77.tmp"]
    another, foreign = place / ".data.csv.78.tmp", place / "note.tmp"
    for file in (*left, another, foreign):
        file.write_text("cut")
    for file in (*left, foreign):
        os.utime(file, (1e9, 1e9))
    export(desk.db, view, root, "csv")
    assert (sorted(root.rglob("*.tmp")), sorted(root.rglob(".*.tmp"))) == ([another, foreign], [another])
    assert first.items() <= contents(root).items()


def test_a_folder_holds_one_view_in_one_format(desk: Desk, tmp_path: Path) -> None:
    export(desk.db, VIEWS["hhi"], tmp_path / "out", "csv")
    with pytest.raises(UsageError, match="holds hhi as csv"):
        export(desk.db, VIEWS["normalized"], tmp_path / "out", "csv")
    (tmp_path / "out" / STATE_FILE).write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        export(desk.db, VIEWS["hhi"], tmp_path / "out", "csv")


def test_the_command_says_what_it_did(desk: Desk, target: str, tmp_path: Path, run_command: RunCommand) -> None:
    asked = ("spine", "export", "--format", "csv", "--to", tmp_path / "out", "--db", target)
    assert run_command(*asked).stdout == f"{tmp_path / 'out'}: 6 files written, 0 unchanged, 0 removed\n"
    again = json.loads(run_command(*asked, "--json").stdout)
    noted = json.loads((tmp_path / "out" / STATE_FILE).read_text("utf-8"))
    assert (again["kept"], noted["seen_at"]) == (6, again["seen_at"])
    (tmp_path / "file").write_text("")
    blocked = run_command("spine", "export", "--format", "csv", "--to", tmp_path / "file" / "x", "--db", target)
    assert (blocked.exit_code, blocked.stderr.startswith(f"Error: cannot write to {tmp_path / 'file' / 'x'}")) == (2, True)
    assert len(PLAIN) * 6 == sum(
        text.count(b"\n") - 1 for name, text in contents(tmp_path / "out").items() if name.endswith(".csv")
    )


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return value.isoformat() if isinstance(value, date) else value
