"""The benchmark measures what it says: whole processes, in turn, and never leaves one out in silence."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from bench.backfill import Step, _by_position
from bench.contest import Contestant, Setting, Standing, ratios, run
from bench.goals import OURS, Finding, Goal, table
from bench.load import arguments
from bench.processes import Failed, Usage, measure
from bench.report import keep, page, text
from bench.start import start
from bench.weekly_data import one_tier
from bench.within import reported
from clone import tool

from market_spine.db import connect

BUSY = "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass"


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_cpu_is_counted_with_that_of_the_processes_waited_for(tmp_path: Path) -> None:
    usage = measure(python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"), cwd=tmp_path)
    assert usage.cpu >= 0.2
    assert usage.wall >= 0.2


def test_peak_memory_is_that_of_the_process(tmp_path: Path) -> None:
    assert measure(python("x = b'x' * (200 << 20)"), cwd=tmp_path).peak_mb > 200


def test_a_process_that_fails_stops_the_measuring_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no such luck"):
        measure(python("raise SystemExit('no such luck')"), cwd=tmp_path)


def test_lines_come_with_the_time_they_were_written(tmp_path: Path) -> None:
    seen: list[tuple[str, float, float]] = []
    go = tmp_path / "go"
    os.mkfifo(go)
    program = f"import sys; print('one', file=sys.stderr, flush=True); open({str(go)!r}).read()\n{BUSY}\nprint('two', file=sys.stderr)"

    def note(line: str, wall: float, cpu: float) -> None:
        seen.append((line, wall, cpu))
        if len(seen) == 1:
            go.write_text("go", "utf-8")  # before that, the process waits

    measure(python(program), cwd=tmp_path, on_line=note)
    assert [line for line, _, _ in seen] == ["one\n", "two\n"]
    assert seen[1][1] - seen[0][1] >= 0.2


def test_a_process_may_measure_for_itself_what_it_was_run_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with reported():
        pass
    usage = measure(python(BUSY), cwd=tmp_path)
    assert usage.cpu < 0.2
    assert usage.peak_mb > 5


def test_our_command_measured_from_within_does_the_whole_run(tmp_path: Path) -> None:
    files = one_tier(tmp_path, 1, 200)
    usage = measure(tool("bench.within", *arguments(files, tmp_path / "within.db")), cwd=tmp_path)
    db = connect(str(tmp_path / "within.db"), read_only=True)
    assert db.execute("SELECT row_count FROM finra_otc_transparency_current").fetchone()[0] > 150
    assert 0 < usage.cpu < usage.wall + 1
    db.close()


def test_each_round_begins_with_another_contestant(tmp_path: Path) -> None:
    order: list[str] = []
    run([_noting(name, order) for name in "abc"], 3, tmp_path, 0)
    assert "".join(order) == "abcbcacab"


def _noting(name: str, order: list[str]) -> Contestant:
    def command(_: Path) -> list[str]:
        order.append(name)
        return python("pass")

    return Contestant(name, command)


def test_what_is_not_installed_is_named_and_the_others_are_measured(tmp_path: Path) -> None:
    there = Contestant(OURS, lambda folder: python("pass"))
    absent = Contestant("other", lambda folder: python("pass"), ("no_such_module",))
    standings = run([there, absent], 1, tmp_path, 0)
    assert table(standings, 0)[1] == {"what": "other", "CPU s": "no_such_module is not installed"}
    assert len(standings[OURS].usages) == 1


def test_a_contestant_that_loads_too_little_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds 9 rows of 10"):
        run([Contestant("lazy", lambda folder: python("pass"), rows=lambda folder: 9)], 1, tmp_path, 10)


def test_a_contestant_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no contestant nobody; there are: a"):
        Setting(tmp_path, only=("nobody",)).chosen([_noting("a", [])], "a")


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    ours = Standing("ours", [Usage(0, cpu, 0) for cpu in (1, 10, 3)])
    theirs = Standing("theirs", [Usage(0, cpu, 0) for cpu in (2, 10, 12)])
    assert ratios(ours, theirs, "cpu") == 0.5


def test_time_is_charged_to_the_partition_a_line_tells_of() -> None:
    steps = [
        Step(None, 0, 0),
        Step(("w", "OTC"), 1, 0.5),
        Step(("v", "OTC"), 3, 1.5),
        Step(None, 9, 9),
        Step(("w", "OTC"), 10, 10),
    ]
    assert _by_position(steps)[-1] == {"what": "OTC, end", "wall ms": 2000.0, "CPU ms": 1250.0}


def test_results_are_kept_case_by_case_and_make_the_page(tmp_path: Path) -> None:
    goal = Goal("CPU ÷ other", 0.5, 0.6)
    finding = Finding("one", "About it.", 3, [{"what": "x", "CPU s": 1234}], [goal], samples={"x": [asdict(Usage(1, 2, 3))]})
    results = keep(tmp_path / "results.json", finding)
    results = keep(tmp_path / "results.json", Finding("two", "More.", 1))
    assert list(results["cases"]) == ["one", "two"]
    assert "met    CPU ÷ other: 0.500 (goal ≤ 0.6)" in text("one", results["cases"]["one"])
    made = page(results, "# Title\n")
    assert "| one | CPU ÷ other | 0.50 | ≤ 0.6 | met |" in made
    assert "| x | 1,234 |" in made


def test_a_start_is_measured_beside_a_bare_import_of_click(tmp_path: Path) -> None:
    found = start(Setting(tmp_path, rounds=1))
    assert [row["what"].partition(": ")[2] for row in found.rows[1:]] == ["run_finra_weekly_schedule --help", "spine --help"]
    assert [goal.limit for goal in found.goals] == [2.5, 2.5]
    assert all(goal.found > 0 for goal in found.goals)
