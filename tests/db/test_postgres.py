"""What PostgreSQL adds: connections that are lost, passwords that must not show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from stand_ins.postgres_server import PostgresServer
from support import database_picture, weekly_files
from support.commands import RunCommand, StartCommand
from support.gates import DEADLINE, Gate

from market_spine import db as databases
from market_spine.db import Database, redact

WEEK = "2025-12-26"
RUN = "run_finra_weekly_schedule"
MEASURES = "finra_otc_transparency_symbol_measure"

on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


def arguments(target: str, folder: Path) -> list[str]:
    return ["--db", target, "--data-dir", str(folder), "--weeks", WEEK, "--run-date", "2026-01-30"]


@on_postgresql
def test_a_backend_killed_in_the_middle_of_a_stage_costs_one_partition_and_nothing_else(
    start_held: StartCommand, gate: Gate, run_command: RunCommand, target: str, tmp_path: Path, db: Database
) -> None:
    weekly_files.write_week(tmp_path / "files", WEEK)
    run = start_held(f"after:{MEASURES}", RUN, *arguments(target, tmp_path / "files"))
    backend = int(gate.wait(run))
    db.execute("SELECT pg_terminate_backend(?, 60000)", (backend,))  # returns when it is gone
    for _ in range(3):
        gate.open()
    stdout, stderr = run.communicate(timeout=DEADLINE)
    assert run.returncode == 1, stderr
    assert "2025-12-26 / NMS_TIER_1: ✗ DATABASE_LOST: the connection to" in stderr
    assert "Calculations failed: 1" in stdout
    assert db.execute(f"SELECT COUNT(DISTINCT capture_key) FROM {MEASURES}").fetchone() == (2,)
    done = run_command(RUN, *arguments(target, tmp_path / "files"))
    assert done.exit_code == 0, done.stderr
    undisturbed = str(tmp_path / "undisturbed.db")
    assert run_command(RUN, *arguments(undisturbed, tmp_path / "files")).exit_code == 0
    other = databases.connect(undisturbed)
    assert database_picture.views(db) == database_picture.views(other)
    other.close()


def test_a_server_that_stays_away_ends_the_run_with_2_and_the_next_completes(
    start_held: StartCommand, gate: Gate, run_command: RunCommand, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    weekly_files.write_week(tmp_path / "files", WEEK)
    run = start_held(f"after:{MEASURES}", RUN, *arguments(postgres_server.url, tmp_path / "files"))
    gate.wait(run)
    postgres_server.stop()
    gate.open()
    _, stderr = run.communicate(timeout=DEADLINE)
    assert run.returncode == 2
    assert stderr.strip().splitlines()[-1].startswith("Error: cannot connect to postgresql://")
    assert "Traceback" not in stderr
    postgres_server.start()
    done = run_command(RUN, *arguments(postgres_server.url, tmp_path / "files"))
    assert (done.exit_code, "Weeks ready:        1" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize(
    ("target_text", "shown"),
    [
        ("postgresql://spine:s3cret@db.example:5432/spine", "postgresql://spine@db.example:5432/spine"),
        ("postgresql://spine:p%40ss@db/spine?sslmode=require", "postgresql://spine@db/spine?sslmode=require"),
        ("postgresql://db/spine?user=u&password=s3cret", "postgresql://db/spine?user=u"),
        ("postgresql://spine@/spine?host=/run/postgresql", "postgresql://spine@/spine?host=/run/postgresql"),
        ("postgresql://spine:a:b@c@db/spine", "postgresql://spine@db/spine"),
        ("data/market_spine.db", "data/market_spine.db"),
    ],
)
def test_a_database_is_named_without_its_password(target_text: str, shown: str) -> None:
    assert redact(target_text) == shown


@on_postgresql
def test_a_password_shows_nowhere(run_command: RunCommand, target: str, tmp_path: Path, db: Database) -> None:
    secret = urlsplit(target).password or ""
    assert len(secret) > 8, "the tests' server asks for a password"
    weekly_files.write_week(tmp_path / "files", WEEK)
    done = run_command(RUN, *arguments(target, tmp_path / "files"), "--json", "-v")
    assert done.exit_code == 0, done.stderr
    stored = [db.execute(f"SELECT * FROM {table}").fetchall() for table in ("core_executions", "core_anomalies", "core_manifest")]
    assert json.loads(done.stdout)["database"].startswith("postgresql://")
    assert secret not in done.stdout + done.stderr + repr(stored)
    wrong = run_command(RUN, *arguments(f"postgresql://nobody:{secret}@127.0.0.1:1/none", tmp_path / "files"), "--json", "-v")
    assert wrong.exit_code == 2
    assert "cannot connect to postgresql://nobody@127.0.0.1:1/none" in wrong.stderr
    assert secret not in wrong.stdout + wrong.stderr


@on_postgresql
def test_the_password_may_come_from_the_environment_or_a_pgpass_file(
    run_command: RunCommand, target: str, tmp_path: Path
) -> None:
    parts = urlsplit(target)
    bare = target.replace(f":{parts.password}@", "@")
    pgpass = tmp_path / "pgpass"
    pgpass.write_text(f"{parts.hostname}:{parts.port}:*:{parts.username}:{parts.password}\n")
    pgpass.chmod(0o600)
    for env in ({"PGPASSWORD": parts.password or ""}, {"PGPASSFILE": str(pgpass)}):
        assert run_command("spine", "db", "init", "--db", bare, env=env).exit_code == 0
    assert run_command("spine", "db", "init", "--db", bare, env={"PGPASSFILE": "/dev/null"}).exit_code == 2


def test_without_psycopg_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from market_spine.cli.weekly import main\n"
        "main(['--db', 'postgresql://x/y', '--data-dir', '.'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "Error: PostgreSQL needs psycopg, which is not installed. Try: pip install 'market-spine[postgres]'"
    )


@pytest.mark.parametrize("figure", [1102817546.782011, 0.1, 123456789012.345678, 1e-7, 5.0, 9007199254740993])
def test_a_figure_keeps_every_digit_in_a_numeric_column(db: Database, figure: float) -> None:
    db.execute("CREATE TABLE figure (value numeric, double_value double precision)")
    db.execute("INSERT INTO figure VALUES (?, ?)", (figure, float(figure)))
    assert db.execute("SELECT value, double_value FROM figure").fetchone() == (figure, float(figure))


@on_postgresql
def test_a_session_torn_from_the_midst_of_a_command_is_replaced_and_what_it_began_rolled_back(db: Database) -> None:
    db.execute("CREATE TABLE note (says TEXT)")
    with pytest.raises(KeyboardInterrupt), db.transaction():
        db.execute("INSERT INTO note VALUES ('half')")
        db.driver.pgconn.send_query(b"SELECT pg_sleep(60)")  # type: ignore[attr-defined]
        raise KeyboardInterrupt
    assert db.execute("SELECT COUNT(*) FROM note").fetchone() == (0,)
    with db.transaction():
        db.execute("INSERT INTO note VALUES ('whole')")
    assert db.execute("SELECT says FROM note").fetchall() == [("whole",)]
