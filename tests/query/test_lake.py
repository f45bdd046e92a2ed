"""The lake: as-of answers from files alone, nothing written twice, whole at every moment."""

from __future__ import annotations

import hashlib
import json
import signal
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from lakes import histories
from lakes.histories import PRUNED, answer_of_lake, answer_of_store, live, open_lake, questions
from support import pages
from support.commands import RunCommand, StartCommand
from support.desk import FRIDAYS, PLAIN, WEEK, Desk, restated
from support.gates import Gate

from market_spine.db import Database
from market_spine.errors import ConfigurationError, UsageError
from market_spine.operate import rollback
from market_spine.operate.prune import prune
from market_spine.operate.rebuild import rebuild
from market_spine.partition import OTC
from market_spine.query.export import export
from market_spine.query.lake import files, publish
from market_spine.query.lake.publish import export_history
from market_spine.query.lake.storage import Folder, open_storage
from market_spine.query.lake.tables import COLUMNS
from market_spine.query.views import VIEWS

pytest.importorskip("pyarrow")
pytest.importorskip("duckdb")
NOW = "2026-02-06T12:00:00+00:00"
ONLY_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what happens to files is the same on both


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """A week that is ready, and whose OTC tier was restated on the second Friday."""
    return restated(tmp_path / "files", db)


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    """Which file each path is, and when it was written."""
    return {str(p.relative_to(root)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file()}


def shares(lake: Any, day: date | str) -> list[tuple[Any, ...]]:
    """The OTC shares of the week as they were known on a day."""
    asked = f"SELECT symbol, mpid, total_shares::DOUBLE FROM normalized_as_of('{day}') WHERE week_ending = '{WEEK}' AND tier = 'OTC'"
    return list(lake.sql(asked).fetchall())


# --- What the exports of one view can answer ----------------------------------------------------------------------------


@ONLY_SQLITE
def test_an_export_of_a_view_keeps_the_latest_capture_only(desk: Desk, tmp_path: Path) -> None:
    import duckdb

    for name in ("normalized", "hhi", "tier_split"):
        export(desk.db, VIEWS[name], tmp_path / name, "parquet")
    captures = duckdb.sql(f"SELECT DISTINCT capture_id FROM '{tmp_path}/normalized/*/tier=OTC/*.parquet'").fetchall()
    assert captures == [(f"finra.otc_transparency:OTC:{WEEK}:20260116",)], "that of the first Friday is not in the files"


@ONLY_SQLITE
def test_an_export_of_versions_dates_them_by_finra_and_has_no_measures(desk: Desk, tmp_path: Path) -> None:
    import duckdb

    from market_spine.query.views import VERSIONS

    export(desk.db, VERSIONS, tmp_path / "pit", "parquet")
    known = "known_from <= DATE '2026-01-02' AND (known_to IS NULL OR known_to > DATE '2026-01-02')"
    (count,) = duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/pit/*/tier=OTC/*.parquet' WHERE {known}").fetchall()[0]
    export_history(desk.db, str(tmp_path / "lake"), seen_at=NOW)
    assert (count, shares(open_lake(tmp_path / "lake"), "2026-01-02")) == (4, []), "the store had no capture on that day"


# --- Answers --------------------------------------------------------------------------------------------------------


def test_random_questions_get_the_answers_of_the_store_byte_for_byte(db: Database, tmp_path: Path) -> None:
    """A thousand of them over more histories: scripts/lake_answers.py."""
    desk, draw = histories.Desk(tmp_path / "files", db), Random(24)
    fridays = live(desk, draw, 7, lambda: export_history(db, str(tmp_path / "lake"), seen_at=NOW))
    histories.thin_out(desk, fridays[-1] + timedelta(days=8), 25)
    for name in ("lake", "at once"):
        export_history(db, str(tmp_path / name), seen_at=NOW)
    manifests = [json.loads((tmp_path / name / "_manifest.json").read_text())["tables"] for name in ("lake", "at once")]
    assert manifests[0] == manifests[1], "bit by bit or at once, the files are the same"
    lake, answered = open_lake(tmp_path / "lake"), Counter[str]()
    for asked in questions(draw, fridays, 60):
        expected = answer_of_store(db, asked)
        assert answer_of_lake(lake, asked) == expected, asked
        answered[asked.view.name if expected.count("\n") > 1 else PRUNED if expected == PRUNED else "nothing"] += 1
    assert len(answered) > 10, answered


def test_what_was_withdrawn_and_came_back_has_two_intervals(desk: Desk, tmp_path: Path) -> None:
    rollback.roll_back(desk.context(FRIDAYS[2]), WEEK, [OTC], "faulty file")
    rollback.undo(desk.context(FRIDAYS[3]), WEEK, [OTC], "right after all")
    export_history(desk.db, str(tmp_path / "lake"), seen_at=NOW)
    lake = open_lake(tmp_path / "lake")
    intervals = lake.sql("SELECT right(capture_id, 4), valid_from, valid_to FROM validity WHERE tier = 'OTC' ORDER BY valid_from").fetchall()
    first, second, third, fourth = FRIDAYS
    assert intervals == [("0109", first, second), ("0116", second, third), ("0109", third, fourth), ("0116", fourth, None)]
    assert lake.sql("SELECT reason, undone_at[:10] FROM withdrawals").fetchall() == [("faulty file", str(FRIDAYS[3]))]
    assert [sum(row[2] for row in shares(lake, day)) for day in FRIDAYS] == [2000.5, 2370, 2000.5, 2370]


def test_a_pruned_capture_is_named_and_its_rows_are_gone(desk: Desk, tmp_path: Path) -> None:
    export_history(desk.db, str(tmp_path / "lake"), seen_at=NOW)
    desk.publish(WEEK, OTC, PLAIN[:3])
    desk.run(FRIDAYS[2])
    assert len(prune(desk.context(date(2026, 6, 1)), 30, "space")) == 2, "all but the newest"
    done = export_history(desk.db, str(tmp_path / "lake"), seen_at="2026-06-01T12:00:00+00:00")
    lake = open_lake(tmp_path / "lake")
    assert (done.pruned, shares(lake, FRIDAYS[0])) == (2, [])
    assert lake.sql(f"SELECT capture_id, pruned_at[:10] FROM left_out('{FRIDAYS[0]}')").fetchall() == [
        (f"finra.otc_transparency:OTC:{WEEK}:20260109", "2026-06-01")
    ]
    assert sum("20260109" in path and "tier=OTC" in path for path in done.retired) == 6


@ONLY_SQLITE
def test_a_lake_of_an_empty_store_has_every_view(db: Database, tmp_path: Path) -> None:
    export_history(db, str(tmp_path / "lake"), seen_at=NOW)
    lake = open_lake(tmp_path / "lake")
    for name, view in files.LAKE_VIEWS.items():
        for shown in (f"finra_otc_transparency_{name}", f"finra_otc_transparency_{name}_latest", f"{name}_as_of('2026-01-09')"):
            assert (lake.sql(f"FROM {shown}").columns, lake.sql(f"FROM {shown}").fetchall()) == (list(view.columns), [])


@ONLY_SQLITE
def test_the_duckdb_file_has_the_same_views(desk: Desk, tmp_path: Path) -> None:
    import duckdb

    export_history(desk.db, str(tmp_path / "lake"), seen_at=NOW, database=True)
    with duckdb.connect(str(tmp_path / "lake" / "lake.duckdb"), read_only=True) as database:
        expected = open_lake(tmp_path / "lake")
        for name in files.LAKE_VIEWS:
            for shown in (f"finra_otc_transparency_{name}_latest", f"{name}_as_of('{FRIDAYS[0]}')"):
                answers = [sorted(map(str, each.sql(f"FROM {shown}").fetchall())) for each in (database, expected)]
                assert answers[0] == answers[1] != []


# --- Files ------------------------------------------------------------------------------------------------------------


@ONLY_SQLITE
def test_a_restated_partition_is_one_new_file_for_each_view_and_nothing_is_rewritten(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    export_history(desk.db, str(root), seen_at=NOW)
    before = snapshot(root)
    assert export_history(desk.db, str(root), seen_at=NOW).written == ()
    desk.publish(WEEK, OTC, PLAIN[:3])
    desk.run(FRIDAYS[2])
    done = export_history(desk.db, str(root), seen_at=NOW)
    after = snapshot(root)
    new = Counter(path.partition("/")[0] for path in done.written if "20260123" in path)
    assert new == dict.fromkeys((n for n, v in files.LAKE_VIEWS.items() if not v.of_window), 1)
    assert {path.partition("/")[0] for path in done.written} - new.keys() == {"tables"}
    assert {path for path in before if before[path] != after[path]} == {"_manifest.json"}


@ONLY_SQLITE
def test_a_replay_of_the_same_day_is_another_file_and_the_old_one_is_retired(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    export_history(desk.db, str(root), seen_at=NOW)
    desk.publish(WEEK, OTC, PLAIN[:3])
    desk.run(FRIDAYS[1])
    done = export_history(desk.db, str(root), seen_at=NOW)
    assert sum(path.startswith("normalized/") for path in done.retired) == 1
    assert len(shares(open_lake(root), FRIDAYS[1])) == 3
    assert all((root / path).exists() for path in done.retired), "a reader of the old manifest needs it"
    kept = export_history(desk.db, str(root), seen_at="2026-02-12T12:00:00+00:00")
    gone = export_history(desk.db, str(root), seen_at="2026-02-13T12:00:00+00:00")
    assert (kept.removed, set(gone.removed)) == ((), set(done.retired))
    assert [path for path in done.retired if (root / path).exists()] == []


@ONLY_SQLITE
def test_a_rebuild_writes_no_other_files(desk: Desk, tmp_path: Path) -> None:
    export_history(desk.db, str(tmp_path / "lake"), seen_at=NOW)
    rebuild(desk.context(date(2026, 3, 6)), None)
    written = export_history(desk.db, str(tmp_path / "lake"), seen_at=NOW).written
    assert {path.partition("/")[0] for path in written} <= {"tables"}


@ONLY_SQLITE
def test_what_is_lost_or_truncated_is_written_again_and_what_is_not_ours_stays(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    first = export_history(desk.db, str(root), seen_at=NOW)
    lost, cut = (root / next(path for path in first.written if path.startswith(name)) for name in ("hhi/", "venue_share/"))
    whole = {path: path.read_bytes() for path in (lost, cut)}
    lost.unlink()
    cut.write_bytes(whole[cut][:99])
    (root / "README.md").write_text("mine")
    again = export_history(desk.db, str(root), seen_at=NOW)
    assert sorted(again.written) == sorted(str(path.relative_to(root)) for path in whole)
    assert ({path: path.read_bytes() for path in whole}, again.retired) == (whole, ())
    assert (root / "README.md").read_text() == "mine"


def test_the_data_dictionary_has_every_table_and_column() -> None:
    rows = pages.table(pages.page("docs/data-dictionary.md").section("Tables of a lake"))
    described = [(table.strip("`"), column.strip("`")) for table, column, *_ in rows]
    assert described == [(name, column) for name, columns in COLUMNS.items() for column in columns]


@ONLY_SQLITE
def test_every_file_is_what_the_manifest_says(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    export_history(desk.db, str(root), seen_at=NOW)
    tables = json.loads((root / "_manifest.json").read_text())["tables"]
    listed = [*tables.values(), *open_lake(root).sql("SELECT path, sha256, bytes, rows FROM files").to_arrow_table().to_pylist()]
    for entry in listed:
        data = (root / entry["path"]).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (entry["sha256"], entry["bytes"]), entry
    named = {entry["path"] for entry in listed} | {"_manifest.json", "lake.sql"}
    assert {path for path in snapshot(root) if not path.startswith("empty/")} == named


def test_the_statistics_of_a_file_exclude_other_symbols() -> None:
    import io

    from pyarrow.parquet import ParquetFile

    row = dict.fromkeys(VIEWS["symbol_summary"].columns)
    rows = [tuple((row | {"symbol": f"S{n:05}"}).values()) for n in range(25_000)]
    made = files.as_parquet(VIEWS["symbol_summary"].columns, rows)
    metadata = ParquetFile(io.BytesIO(made.data)).metadata
    symbol = VIEWS["symbol_summary"].columns.index("symbol")
    groups = [metadata.row_group(n).column(symbol).statistics for n in range(metadata.num_row_groups)]
    assert [(s.min, s.max) for s in groups] == [("S00000", "S09999"), ("S10000", "S19999"), ("S20000", "S24999")]


# --- Moments ------------------------------------------------------------------------------------------------------------


@ONLY_SQLITE
@pytest.mark.parametrize("moment", ["normalized/", "lake.duckdb", "_manifest.json"])
def test_an_export_that_is_killed_leaves_the_old_lake_whole(
    desk: Desk, target: str, tmp_path: Path, start_held: StartCommand, gate: Gate, moment: str
) -> None:
    root = tmp_path / "lake"
    export_history(desk.db, str(root), seen_at=NOW)
    before, old = shares(open_lake(root), FRIDAYS[3]), open_lake(root)
    desk.publish(WEEK, OTC, PLAIN[:3])
    desk.run(FRIDAYS[2])
    process = start_held(f"putting:{moment}", "spine", "export", "--history", "--to", root, "--db", target)
    gate.wait(process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert shares(open_lake(root), FRIDAYS[3]) == before != []
    done = export_history(desk.db, str(root), seen_at=NOW)
    left = {path for path in done.retired if path.endswith(".tmp")}
    assert (len(left), shares(old, FRIDAYS[3]), len(shares(open_lake(root), FRIDAYS[3]))) == (1, before, 3)
    export_history(desk.db, str(root), seen_at="2026-03-01T12:00:00+00:00")
    assert [path for path in snapshot(root) if path.endswith(".tmp")] == []


@ONLY_SQLITE
def test_an_export_that_another_one_overtook_is_not_published(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "lake"
    export_history(desk.db, str(root), seen_at=NOW)
    read_tables: Callable[..., Any] = publish.tables.read_tables

    def overtaken(db: Database) -> Any:
        monkeypatch.setattr(publish.tables, "read_tables", read_tables)
        export_history(db, str(root), seen_at="2026-02-07T12:00:00+00:00")
        return read_tables(db)

    monkeypatch.setattr(publish.tables, "read_tables", overtaken)
    with pytest.raises(UsageError, match="was published meanwhile"):
        export_history(desk.db, str(root), seen_at=NOW)
    assert json.loads((root / "_manifest.json").read_text())["seen_at"] == "2026-02-07T12:00:00+00:00"


# --- The command ------------------------------------------------------------------------------------------------------


@ONLY_SQLITE
def test_the_command_says_what_it_did(desk: Desk, target: str, tmp_path: Path, run_command: RunCommand) -> None:
    root = tmp_path / "lake"
    asked = ("spine", "export", "--history", "--to", root, "--db", target)
    first = run_command(*asked)
    assert (first.exit_code, first.stdout) == (0, f"{root}: 38 files written, 0 unchanged, 0 retired, 0 removed\n")
    again = json.loads(run_command(*asked, "--json").stdout)
    assert (again["written"], again["kept"], again["retired"], again["pruned"]) == ([], 28, [], 0)
    asked_of_store = ("spine", "query", "normalized", "--as-of", str(FRIDAYS[0]), "--tiers", OTC, "--csv", "--db", target)
    assert run_command(*asked_of_store).stdout.count("\n") == len(shares(open_lake(root), FRIDAYS[0])) + 1


REFUSED = {
    "as CSV": (("--history", "--format", "csv"), "--history holds every view and day"),
    "of one view": (("--history", "--view", "hhi"), "--history holds every view and day"),
    "of one day": (("--history", "--as-of", "2026-01-09"), "--history holds every view and day"),
    "point in time": (("--history", "--pit"), "--history holds every view and day"),
    "no format": ((), "--format is missing"),
}


@ONLY_SQLITE
@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_exported_is_refused_in_a_line(
    db: Database, target: str, tmp_path: Path, run_command: RunCommand, arguments: tuple[str, ...], message: str
) -> None:
    done = run_command("spine", "export", "--to", tmp_path / "out", "--db", target, *arguments)
    assert (done.exit_code, message in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr


@ONLY_SQLITE
def test_a_folder_that_holds_something_else_is_refused(desk: Desk, tmp_path: Path) -> None:
    export(desk.db, VIEWS["hhi"], tmp_path / "hhi", "csv")
    with pytest.raises(UsageError, match="holds an export of one view"):
        export_history(desk.db, str(tmp_path / "hhi"), seen_at=NOW)
    for document in ("{", '{"layout": 2, "tables": {}, "retired": {}}', '{"layout": 99, "tables": {}, "retired": {}}'):
        (tmp_path / "lake").mkdir(exist_ok=True)
        (tmp_path / "lake" / "_manifest.json").write_text(document)
        with pytest.raises(UsageError, match=r"cannot be read|newer version"):
            export_history(desk.db, str(tmp_path / "lake"), seen_at=NOW)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot write to"):
        export_history(desk.db, str(tmp_path / "file"), seen_at=NOW)


def test_a_url_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="cannot use nothing://x") as caught:
        open_storage("nothing://x")
    assert caught.value.hint == "check the URL and its credentials"
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(ConfigurationError, match="needs fsspec") as caught:
        open_storage("s3://bucket/otc")
    assert caught.value.hint == "pip install 'market-spine[lake]'"
    assert [type(open_storage(path)) for path in ("relative/folder", "file:///srv/otc")] == [Folder, Folder]
