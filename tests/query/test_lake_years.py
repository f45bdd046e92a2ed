"""A lake whose years are compacted: the same answers of fewer files, whatever happens to a year afterwards."""

from __future__ import annotations

import json
import signal
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from lakes import histories
from lakes.histories import Asked, answer_of_lake, answer_of_store, live, open_lake, questions
from support.commands import RunCommand, StartCommand
from support.desk import FRIDAYS, PLAIN, WEEK, Desk, restated
from support.gates import Gate

from market_spine.db import Database
from market_spine.operate.prune import prune
from market_spine.operate.rebuild import rebuild
from market_spine.partition import OTC, TIERS
from market_spine.query.lake.files import LAKE_VIEWS
from market_spine.query.lake.publish import export_history
from market_spine.query.lake.years import Step, decide, folder_of, year_of
from market_spine.query.views import VIEWS

pytest.importorskip("pyarrow")
pytest.importorskip("duckdb")
NOW = "2026-02-06T12:00:00+00:00"
A_WEEK_LATER = "2026-02-13T12:00:00+00:00"
YEAR = WEEK.year
ONLY_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what happens to files is the same on both
SINGLE = {"a": "1", "b": "2"}

DECISIONS = {
    "single files": (SINGLE, {}, False, Step.FILES),
    "asked for": (SINGLE, {}, True, Step.COMPACT),
    "asked for again": (SINGLE, SINGLE, True, Step.KEEP),
    "nothing new": (SINGLE, SINGLE, False, Step.KEEP),
    "a restatement": ({**SINGLE, "c": "3"}, SINGLE, False, Step.KEEP),
    "a restatement, and asked for": ({**SINGLE, "c": "3"}, SINGLE, True, Step.COMPACT),
    "other figures": ({**SINGLE, "b": "3"}, SINGLE, False, Step.COMPACT),
    "pruned": ({"a": "1"}, SINGLE, False, Step.COMPACT),
    "lost": (SINGLE, {"a": "", "b": ""}, False, Step.COMPACT),
}


@pytest.mark.parametrize(("wanted", "compacted", "is_asked", "step"), DECISIONS.values(), ids=DECISIONS)
def test_a_compacted_file_stays_until_a_part_of_it_is_another(
    wanted: dict[str, str], compacted: dict[str, str], is_asked: bool, step: Step
) -> None:
    assert decide(wanted, compacted, is_asked=is_asked) is step


def test_a_year_has_a_folder_for_each_view_and_tier() -> None:
    assert folder_of("hhi/week_ending=2024-01-05/tier=OTC") == "hhi/year=2024/tier=OTC"
    assert (folder_of("weekly_totals/week_ending=2024-12-27"), year_of("hhi/year=2024/tier=OTC")) == ("weekly_totals/year=2024", 2024)


def data_files(root: Path) -> list[str]:
    """The files with rows that the manifest lists."""
    lake = open_lake(root)
    return [path for (path,) in lake.sql("SELECT path FROM files UNION SELECT path FROM compacted ORDER BY 1").fetchall()]


@ONLY_SQLITE
def test_random_questions_get_the_answers_of_the_store_from_compacted_years(db: Database, tmp_path: Path) -> None:
    """More of them, on both engines: scripts/lake_answers.py."""
    desk, draw, root = histories.Desk(tmp_path / "files", db), Random(25), tmp_path / "lake"
    fridays = live(desk, draw, 6)
    export_history(db, str(root), seen_at=NOW)
    before, single = open_lake(root), len(data_files(root))
    asked = [*questions(draw, fridays, 8), *(Asked(VIEWS["rolling_symbol"], fridays[-1], None, tier) for tier in TIERS)]
    expected = [answer_of_store(db, each) for each in asked]
    assert any(",ZVZZT," in rows_of_windows for rows_of_windows in expected[-3:])
    done = export_history(db, str(root), seen_at=NOW, compact=[2025])
    assert (len(done.retired) >= single > len(data_files(root)), all("/year=" in path for path in data_files(root))) == (True, True)
    for lake in (open_lake(root), before):
        assert [answer_of_lake(lake, each) for each in asked] == expected, "a reader of the old manifest is not disturbed"
    desk.publish(histories.FIRST_WEEK, OTC, draw)
    desk.run(fridays[-1] + timedelta(days=7), [histories.FIRST_WEEK])
    export_history(db, str(root), seen_at=A_WEEK_LATER)
    now = [each._replace(day=fridays[-1] + timedelta(days=7)) for each in asked[:4]]
    lake = open_lake(root)
    assert [answer_of_lake(lake, each) for each in asked[:4]] == expected[:4]
    assert [answer_of_lake(lake, each) for each in now] == [answer_of_store(db, each) for each in now]


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """A week that is ready, and whose OTC tier was restated on the second Friday."""
    return restated(tmp_path / "files", db)


def rows(root: Path) -> dict[str, list[str]]:
    """All rows of all captures, by view."""
    lake = open_lake(root)
    return {name: sorted(map(str, lake.sql(f"FROM finra_otc_transparency_{name}").fetchall())) for name in LAKE_VIEWS}


@ONLY_SQLITE
def test_a_restatement_of_a_compacted_year_is_a_file_beside_it(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    export_history(desk.db, str(root), seen_at=NOW, compact=[YEAR])
    assert export_history(desk.db, str(root), seen_at=NOW, compact=[YEAR]).written == ()
    before = data_files(root)
    desk.publish(WEEK, OTC, PLAIN[:3])
    desk.run(FRIDAYS[2])
    done = export_history(desk.db, str(root), seen_at=NOW)
    new = Counter(path.partition("/")[0] for path in data_files(root) if path not in before)
    assert new == dict.fromkeys((n for n, v in LAKE_VIEWS.items() if not v.of_window), 1)
    assert [path for path in done.retired if "/year=" in path] == []
    together = rows(root)
    export_history(desk.db, str(root), seen_at=NOW, compact=[YEAR])
    assert (rows(root), [path for path in data_files(root) if "/year=" not in path]) == (together, [])


@ONLY_SQLITE
def test_a_compacted_year_that_is_pruned_rebuilt_or_lost_is_made_anew(desk: Desk, tmp_path: Path) -> None:
    root, other = tmp_path / "lake", tmp_path / "single"
    export_history(desk.db, str(root), seen_at=NOW, compact=[YEAR])
    rebuild(desk.context(date(2026, 3, 6)), None)
    assert [path for path in export_history(desk.db, str(root), seen_at=NOW).written if "/year=" in path] == [], "the same rows"
    prune(desk.context(date(2026, 6, 1)), 30, "space")
    lost = root / next(path for path in data_files(root) if path.startswith("venue_share/"))
    whole = lost.read_bytes()
    lost.write_bytes(whole[:99])
    export_history(desk.db, str(root), seen_at=NOW)
    export_history(desk.db, str(other), seen_at=NOW)
    assert rows(root) == rows(other)
    assert all("/year=" in path for path in data_files(root))


@ONLY_SQLITE
def test_a_compaction_that_is_killed_leaves_the_old_lake_whole(
    desk: Desk, target: str, tmp_path: Path, start_held: StartCommand, gate: Gate
) -> None:
    root = tmp_path / "lake"
    export_history(desk.db, str(root), seen_at=NOW)
    before, single = rows(root), data_files(root)
    asked = ("spine", "export", "--history", "--to", root, "--compact", str(YEAR), "--db", target)
    process = start_held("putting:hhi/year=", *asked)
    gate.wait(process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert (rows(root), data_files(root)) == (before, single)
    export_history(desk.db, str(root), seen_at=NOW, compact=[YEAR])
    assert (rows(root), all((root / path).exists() for path in single)) == (before, True)
    gone = export_history(desk.db, str(root), seen_at=A_WEEK_LATER)
    assert set(single) <= set(gone.removed)


@ONLY_SQLITE
def test_the_rows_of_a_year_are_sorted_by_symbol_and_week(db: Database, tmp_path: Path) -> None:
    from pyarrow import parquet

    root = tmp_path / "lake"
    live(histories.Desk(tmp_path / "files", db), Random(3), 2)
    export_history(db, str(root), seen_at=NOW, compact=[2025])
    table = parquet.ParquetFile(next((root / "normalized/year=2025/tier=OTC").iterdir())).read()
    keys = [(row["symbol"], row["week_ending"]) for row in table.select(["symbol", "week_ending"]).to_pylist()]
    assert (keys, len({week for _, week in keys})) == (sorted(keys), 2)
    polars = pytest.importorskip("polars")
    listed = json.loads((root / "_manifest.json").read_text())["tables"]["compacted"]["path"]
    paths = polars.read_parquet(root / listed).filter(polars.col("view") == "normalized")["path"].unique()
    read: Any = polars.scan_parquet([root / path for path in paths], hive_partitioning=False).collect()
    assert sorted(map(str, read.rows())) == rows(root)["normalized"] != []


REFUSED = {
    "of one view": (("--format", "csv", "--compact", "2025"), "--compact joins the files of a history"),
    "a year without weeks": (("--history", "--compact", "2019"), "nothing is stored of 2019"),
}


@ONLY_SQLITE
@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_compacted_is_refused_in_a_line(
    db: Database, target: str, tmp_path: Path, run_command: RunCommand, arguments: tuple[str, ...], message: str
) -> None:
    done = run_command("spine", "export", "--to", tmp_path / "out", "--db", target, *arguments)
    assert (done.exit_code, message in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr
