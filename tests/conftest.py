"""What the tests share: an empty database on each engine, the shipped files, and the real commands."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from stand_ins.postgres_server import Databases, PostgresServer, required_binaries
from support import commands
from support.commands import CommandServer, Finished, RunCommand, StartCommand
from support.gates import Gate

from market_spine import db as databases
from market_spine.db import Database, migrations

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT.parent / "shared" / "samples"
os.environ["MARKET_SPINE_SETTLE_SECONDS"] = "0"  # tests run on files that they have just written
ENGINES = ("sqlite", "postgresql")
gc.set_threshold(50_000, 20, 100)  # thousands of collected tests are walked less often: a seventh of the processor time
Fill = Callable[[Database, Path], None]


def pytest_xdist_auto_num_workers() -> int:
    """Two processes a core: tests wait for servers, disks and each other a quarter of their time."""
    return (os.cpu_count() or 1) * 2


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked `one_engine` run on SQLite alone; one that names its engine keeps it."""
    named = any("engine" in str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize"))
    if "engine" in metafunc.fixturenames and metafunc.definition.get_closest_marker("one_engine") and not named:
        metafunc.definition.add_marker(pytest.mark.parametrize("engine", ["sqlite"], indirect=True))


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The engine a test runs on; everything below that touches a database follows it."""
    return str(request.param)


@pytest.fixture
def target(engine: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """What `--db` takes: an empty database with our schema, one for each test."""
    yield from _copy(engine, request, request.getfixturevalue(f"_{engine}_template"))


@pytest.fixture
def new_target(engine: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """What `--db` takes when nothing is there yet: a path without a file, a PostgreSQL database without tables."""
    yield from _copy(engine, request, None)


@pytest.fixture
def db(target: str) -> Iterator[Database]:
    """An open, empty database with our schema. A second connection to it: `db.reopen()`, or connect(target)."""
    database = databases.connect(target)
    yield database
    database.close()


@pytest.fixture
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of the test's own, to stop() and start(); its `url` names an empty database."""
    with PostgresServer(required_binaries()) as server:
        yield server


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """The folder of the weekly files we ship."""
    return ROOT / "data" / "fixtures" / "finra_otc"


@pytest.fixture(scope="session")
def samples_dir() -> Path:
    """Real files of FINRA's, where they are at hand."""
    if not SAMPLES.is_dir():
        pytest.skip("the real samples are not here")
    return SAMPLES


@pytest.fixture(scope="session")
def _command_server() -> Iterator[CommandServer]:
    with contextlib.closing(CommandServer()) as server:
        yield server


@pytest.fixture
def run_command(start_command: StartCommand, _command_server: CommandServer, tmp_path: Path) -> RunCommand:
    """Runs an installed command to its end: `run_command("spine", "status", env={…}, cwd=…, input=…)`."""

    def run(
        name: str, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None,
        input: str | None = None, timeout: float = commands.SECONDS,
    ) -> Finished:
        if CommandServer.can(name, env or {}):
            full = commands.environment(tmp_path) | dict(env or {})
            return _command_server.run([name, *map(str, arguments)], full, cwd or tmp_path, input, timeout)
        process = start_command(name, *arguments, env=env, cwd=cwd)
        stdout, stderr = process.communicate(input, timeout)
        return Finished(process.returncode, stdout, stderr)

    return run


@pytest.fixture
def start_command(tmp_path: Path) -> Iterator[StartCommand]:
    """Starts an installed command, to be watched or signalled; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(
        name: str, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.Popen[str]:
        started.append(commands.start([name, *map(str, arguments)], tmp_path, env or {}, cwd or tmp_path))
        return started[-1]

    yield start
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Where a child can be stopped."""
    with contextlib.closing(Gate(tmp_path)) as made:
        yield made


@pytest.fixture
def start_held(start_command: StartCommand, gate: Gate) -> StartCommand:
    """As start_command, for `MOMENT COMMAND ARGUMENT…`: the command stops at `gate` when it comes to that moment (held.py)."""

    def start(
        name: str, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.Popen[str]:
        return start_command(
            sys.executable, Path(__file__).parent / "support" / "held.py", name, gate.arrived, gate.onward, *arguments, env=env, cwd=cwd
        )

    return start


def filled_copy(engine: str, request: pytest.FixtureRequest, fill: Fill) -> Iterator[str]:
    """What `--db` takes: a copy of a database that `fill` has filled once for all tests, its folder copied to tmp_path/files."""
    filled: dict[tuple[str, Fill], tuple[str, Path]] = request.getfixturevalue("_filled")
    if (engine, fill) not in filled:
        folder: Path = request.getfixturevalue("tmp_path_factory").mktemp("filled")
        target = _clone(engine, request, folder, request.getfixturevalue(f"_{engine}_template"))
        with contextlib.closing(databases.connect(target)) as db:
            fill(db, folder / "files")
        filled[engine, fill] = target, folder / "files"
    target, files = filled[engine, fill]
    shutil.copytree(files, request.getfixturevalue("tmp_path") / "files")
    yield from _copy(engine, request, target)


def _copy(engine: str, request: pytest.FixtureRequest, template: str | None) -> Iterator[str]:
    target = _clone(engine, request, request.getfixturevalue("tmp_path"), template)
    yield target
    if engine == "postgresql":
        request.getfixturevalue("_databases").drop(target)


def _clone(engine: str, request: pytest.FixtureRequest, folder: Path, template: str | None) -> str:
    if engine == "postgresql":
        return str(request.getfixturevalue("_databases").create(template))
    path = folder / "market_spine.db"
    if template:
        shutil.copyfile(template, path)
    return str(path)


@pytest.fixture(scope="session")
def _filled() -> dict[tuple[str, Fill], tuple[str, Path]]:
    return {}


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("template") / "template.db")
    _prepare(path)
    return path


@pytest.fixture(scope="session")
def _postgresql_template(_databases: Databases) -> Iterator[str]:
    url = _databases.create()
    _prepare(url)
    yield url
    _databases.drop(url)


@pytest.fixture(scope="session")
def _databases() -> Iterator[Databases]:
    """The one server of a test session: that of MARKET_SPINE_TEST_POSTGRES, a URL, or one found and started here."""
    given = os.environ.get("MARKET_SPINE_TEST_POSTGRES")
    if given:
        databases = Databases(given)
        yield databases
        databases.close()
    else:
        with PostgresServer(required_binaries()) as server:
            databases = Databases(server.url)
            yield databases
            databases.close()


def _prepare(target: str) -> None:
    database = databases.connect(target)
    migrations.prepare(database)
    database.close()
