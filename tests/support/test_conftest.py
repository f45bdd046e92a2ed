"""The test databases themselves: empty, apart, on both engines."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import pytest
from stand_ins import postgres_server as postgres_server_module
from stand_ins.postgres_server import PostgresServer, required_binaries

from market_spine.db import Database, connect, migrations
from market_spine.errors import DatabaseLost
from support.commands import Finished, RunCommand, StartCommand
from support.gates import DEADLINE, wait_for_end

NOW = datetime(2026, 1, 9, 12, tzinfo=timezone.utc)


def test_the_database_is_of_the_engine_asked_for_and_prepared(db: Database, engine: str) -> None:
    assert db.engine == engine
    assert migrations.schema_version(db) == migrations.migrations(engine)[-1].number


@pytest.mark.parametrize("turn", [1, 2])
def test_what_one_test_writes_the_next_does_not_see(db: Database, turn: int) -> None:
    assert db.execute("SELECT count(*) FROM core_operator_actions").fetchone()[0] == 0
    db.execute("INSERT INTO core_operator_actions (at, actor, action, target) VALUES ('', 'me', 'turn', ?)", (str(turn),))


def test_a_second_connection_sees_the_same_database(db: Database, target: str) -> None:
    db.execute("INSERT INTO core_operator_actions (at, actor, action, target) VALUES ('', 'me', 'run', '')")
    second = connect(target)
    assert second.execute("SELECT action FROM core_operator_actions").fetchall() == [("run",)]
    second.close()


def test_a_new_target_has_no_schema_yet(new_target: str) -> None:
    database = connect(new_target)
    assert migrations.schema_version(database) == 0
    migrations.prepare(database, NOW)
    database.close()


def test_a_server_of_ones_own_stops_and_comes_back_with_its_data(postgres_server: PostgresServer) -> None:
    before = connect(postgres_server.url)
    before.execute("CREATE TABLE kept (n INTEGER)")
    postgres_server.stop()
    with pytest.raises(DatabaseLost):
        before.execute("SELECT n FROM kept")
    before.close()
    postgres_server.start()
    after = connect(postgres_server.url)
    assert after.execute("SELECT count(*) FROM kept").fetchone()[0] == 0
    after.close()


def test_a_server_leaves_no_process_and_no_folder_behind() -> None:
    with PostgresServer(required_binaries()) as server:
        folders, process = (server._home, server._data), server._process
    assert not any(folder.exists() for folder in folders)
    assert process is not None and process.poll() is not None


def test_a_server_goes_with_the_tests_that_are_killed() -> None:
    program = "import sys, postgres_server as p; s = p.PostgresServer(p.required_binaries());"
    program += "print(s.pid, s._watch.pid, s._home, s._data, flush=True); sys.stdin.read()"
    path = str(Path(postgres_server_module.__file__).parent)
    with subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": path}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as tests:
        assert tests.stdout is not None
        server, watch, *folders = tests.stdout.readline().split()
        pidfds = [os.pidfd_open(int(pid)) for pid in (server, watch)]
        tests.kill()
    wait_for_end(*pidfds)
    assert not any(Path(folder).exists() for folder in folders)


@pytest.mark.parametrize(
    ("variable", "value", "outcome"),
    [
        pytest.param("CI", "true", pytest.fail.Exception, id="ci-fails"),
        pytest.param("MARKET_SPINE_REQUIRE_POSTGRES", "1", pytest.fail.Exception, id="asked-for-fails"),
        pytest.param("MARKET_SPINE_REQUIRE_POSTGRES", "0", pytest.skip.Exception, id="else-skips"),
    ],
)
def test_a_machine_without_postgres_is_a_failure_only_where_it_was_promised(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setattr(postgres_server_module, "find_binaries", lambda: None)
    for name in ("CI", "MARKET_SPINE_REQUIRE_POSTGRES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(outcome, match="no PostgreSQL here"):
        required_binaries()


def test_a_command_runs_outside_our_own_environment(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MARKET_SPINE_TIERS", "OTC")
    program = "import os; print(os.getcwd(), sorted(n for n in os.environ if n.startswith('MARKET')))"
    done = run_command("python", "-c", program, env={"MARKET_SPINE_DB": "x"})
    assert (done.exit_code, done.stdout, done.stderr) == (
        0,
        f"{tmp_path} ['MARKET_SPINE_DB', 'MARKET_SPINE_SETTLE_SECONDS']\n",
        "",
    )


def test_a_command_started_can_be_signalled(start_command: StartCommand) -> None:
    process = start_command("python", "-c", "print('up', flush=True); input()")
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.terminate()
    assert process.wait(DEADLINE) == -15


@pytest.mark.one_engine
def test_a_forked_command_is_the_command_that_is_started(
    run_command: RunCommand, start_command: StartCommand, fixtures_dir: Path, target: str, tmp_path: Path
) -> None:
    env, cwd = {"MARKET_SPINE_DB": target, "TZ": "Asia/Tokyo"}, fixtures_dir
    run_command("run_finra_weekly_schedule", "--weeks", "2025-12-26", "--data-dir", ".", env=env, cwd=cwd)
    for words in (["status"], ["query", "hhi", "--week", "2025-12-26", "--csv"], ["query", "nothing"], ["import", "-"], ["log", "2025-12-26"]):
        started = start_command("spine", *words, env=env, cwd=cwd)
        out, err = started.communicate("no file\n")
        assert run_command("spine", *words, env=env, cwd=cwd, input="no file\n") == Finished(started.returncode, out, err)


def test_forked_commands_run_side_by_side(run_command: RunCommand, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(run_command, "spine", "help", f"no-{n}") for n in range(8)]
    assert [f"no-{n}" in one.result().stderr and one.result().exit_code == 2 for n, one in enumerate(done)] == [True] * 8
