"""Preflight: checks in advance whether a weekly run would work on this machine, and gives the cron line.

A check returns findings and never raises; nothing is written but a probe file that is removed again.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from enum import Enum
from pathlib import Path
from zoneinfo import ZoneInfo

from market_spine import clock
from market_spine.core.locks import holder_of
from market_spine.core.store import snapshot_of
from market_spine.db import Database, connect, is_postgres, migrations
from market_spine.db.location import file_system, is_network, readable_by_others
from market_spine.errors import DatabaseLocked, MarketSpineError

OLDEST_SQLITE = (3, 35, 0)  # RETURNING
OLDEST_POSTGRES = 120000
FREE_BYTES_NEEDED, FREE_BYTES_WANTED = 200 << 20, 2 << 30
CLOCK_SECONDS = 60
_HTTP_SECONDS = 10


class Grade(str, Enum):
    """The result of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `hint` says what to do about it."""

    check: str
    grade: Grade
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What to check: the settings of a run, and the time."""

    db: str
    source: str
    data_dir: str
    environ: Mapping[str, str]
    now: datetime
    settings_file: str | None = None
    metrics_textfile: str | None = None


def examine(machine: Machine) -> list[Finding]:
    """Every finding, in the order in which a run would hit the problem."""
    return [finding for check in _CHECKS for finding in check(machine)]


def _location(machine: Machine) -> Iterator[Finding]:
    """The folder of a SQLite database: a local file system, with room, writable."""
    if is_postgres(machine.db):
        return
    folder = _existing(Path(machine.db).absolute().parent)
    yield judge_file_system(_file_system(folder), folder)
    yield judge_space(shutil.disk_usage(folder).free, folder)
    yield _writable("database folder", folder, "choose another --db, or give this user the folder")
    if open_to := readable_by_others(machine.db):
        yield Finding("database file", Grade.WARN, open_to, f"chmod 600 {shlex.quote(machine.db)}")


def _database(machine: Machine) -> Iterator[Finding]:
    """The engine's version, the schema, the lock, and a clock that is not behind the last run."""
    new = not is_postgres(machine.db) and not os.path.exists(machine.db)  # noqa: PTH110 - False for a name that is too long
    try:
        with contextlib.closing(connect(":memory:")) if new else snapshot_of(machine.db) as db:
            yield _engine_version(db)
            if new or migrations.schema_version(db) == 0:
                yield Finding("schema", Grade.OK, "the first run will create it")
                if is_postgres(machine.db):
                    yield _writing(machine)
            else:
                yield from _contents(db, machine)
    except MarketSpineError as error:
        yield Finding("database", Grade.FAIL, error.message, error.hint)


def _engine_version(db: Database) -> Finding:
    if db.engine == "postgresql":
        number, text = db.execute("SELECT current_setting('server_version_num'), current_setting('server_version')").fetchone()
        fine, oldest = int(number) >= OLDEST_POSTGRES, "12"
    else:
        (text,) = db.execute("SELECT sqlite_version()").fetchone()
        fine, oldest = tuple(map(int, text.split("."))) >= OLDEST_SQLITE, ".".join(map(str, OLDEST_SQLITE))
    name = "PostgreSQL" if db.engine == "postgresql" else "SQLite"
    hint = None if fine else f"{name} {oldest} or newer is needed"
    return Finding("engine", Grade.OK if fine else Grade.FAIL, f"{name} {text}", hint)


def _contents(db: Database, machine: Machine) -> Iterator[Finding]:
    try:
        migrations.check_schema(db)
    except MarketSpineError as error:
        yield Finding("schema", Grade.FAIL, error.message, error.hint)
        return
    yield Finding("schema", Grade.OK, f"schema {migrations.schema_version(db)} is current")
    yield _writing(machine)
    if holder := holder_of(db):
        message = f"held by {holder}, last heartbeat {clock.stamp(holder.heartbeat_at)}"
        yield Finding("lock", Grade.WARN, message, "wait for it; a dead holder's lock is taken over by the next run")
    else:
        yield Finding("lock", Grade.OK, "nobody holds it")
    (last,) = db.execute("SELECT MAX(started_at) FROM core_executions").fetchone()
    if last:
        yield judge_order(datetime.fromisoformat(last), machine.now)


class _RolledBack(Exception):
    """Rolls back the trial transaction."""


def _writing(machine: Machine) -> Finding:
    """Tries the first write of a run, and rolls it back."""
    try:
        with contextlib.closing(connect(machine.db, create=False)) as db:
            db.patience = 0
            with db.transaction():
                if migrations.schema_version(db) == 0:
                    migrations.apply(db, machine.now)
                db.execute("UPDATE core_locks SET owner = owner WHERE name = ''")
                raise _RolledBack
    except _RolledBack:
        return Finding("writing", Grade.OK, "the database can be written")
    except DatabaseLocked as error:
        return Finding("writing", Grade.WARN, error.message, "run spine preflight again when nobody writes")
    except MarketSpineError as error:
        return Finding("writing", Grade.FAIL, error.message, error.hint)


def _time(machine: Machine) -> Iterator[Finding]:
    """The market's time zone can be loaded."""
    market_time = machine.now.astimezone(clock.market_zone())
    message = f"{market_time:%A %H:%M} in {clock.MARKET_ZONE}; this machine calls its own zone {clock.machine_zone()}"
    yield Finding("zone", Grade.OK, message)


def _source(machine: Machine) -> Iterator[Finding]:
    if machine.source == "file":
        folder = Path(machine.data_dir)
        readable = os.path.isdir(folder) and os.access(folder, os.R_OK | os.X_OK)  # noqa: PTH112
        message = f"{folder} can be read" if readable else f"{folder} is not a folder this user can read"
        hint = None if readable else "name the folder of the weekly files with --data-dir"
        yield Finding("data folder", Grade.OK if readable else Grade.FAIL, message, hint)
    elif machine.source == "api":
        yield from _api(machine)
    else:
        yield _opens(machine)


def _opens(machine: Machine) -> Finding:
    """Whether the source opens with its own settings."""
    from market_spine.app.source import SourceSettings, open_source

    try:
        open_source(machine.source, SourceSettings(machine.data_dir, 1, environ=machine.environ)).close()
    except MarketSpineError as error:
        return Finding("source", Grade.FAIL, error.message, error.hint)
    return Finding("source", Grade.OK, f"{machine.source} has the settings it needs")


def _api(machine: Machine) -> Iterator[Finding]:
    """Credentials that can be read, and an API that responds; its Date header shows how accurate our clock is."""
    from market_spine.app.source.api import ApiSettings

    try:
        settings = ApiSettings.of(machine.environ)
    except MarketSpineError as error:
        yield Finding("credentials", Grade.FAIL, error.message, error.hint)
        return
    kept = machine.environ.get("MARKET_SPINE_FINRA_CLIENT_SECRET_FILE")
    yield (
        _private("credentials", Path(kept))
        if kept
        else Finding("credentials", Grade.OK, "from the environment" if settings.client_id else "none; requests go without")
    )
    yield from _reach(settings.base_url, machine.now)


def _reach(url: str, now: datetime) -> Iterator[Finding]:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        request = Request(url, method="GET", headers={"User-Agent": "market-spine"})
        with urlopen(request, timeout=_HTTP_SECONDS) as response:
            date = response.headers.get("Date")
    except HTTPError as error:  # any response will do: the API is reachable
        date = error.headers.get("Date")
    except OSError as error:
        hint = "check the network, the proxy (HTTPS_PROXY) and MARKET_SPINE_FINRA_BASE_URL"
        yield Finding("API", Grade.FAIL, f"{url} does not respond: {getattr(error, 'reason', error)}", hint)
        return
    yield Finding("API", Grade.OK, f"{url} responds")
    if date:
        yield judge_clock((now - parsedate_to_datetime(date).astimezone(timezone.utc)).total_seconds())


def _settings(machine: Machine) -> Iterator[Finding]:
    if machine.settings_file:
        yield _private("settings", Path(machine.settings_file))
    if machine.metrics_textfile:
        folder = Path(machine.metrics_textfile).absolute().parent
        yield _writable("metrics folder", folder, "give this user node_exporter's textfile folder")


_CHECKS: tuple[Callable[[Machine], Iterator[Finding]], ...] = (_settings, _location, _database, _time, _source)


def judge_file_system(kind: str, folder: Path) -> Finding:
    """SQLite's WAL needs shared memory, which a network file system does not give."""
    if is_network(kind):
        hint = "put the database on a local disk, or use PostgreSQL"
        return Finding("file system", Grade.FAIL, f"{folder} is on a network file system ({kind})", hint)
    return Finding("file system", Grade.OK, f"{folder} is on {kind or 'an unknown file system'}")


def judge_space(free: int, folder: Path) -> Finding:
    """A year of all tiers takes about 300 MB, a weekly run a few."""
    grade = Grade.FAIL if free < FREE_BYTES_NEEDED else Grade.WARN if free < FREE_BYTES_WANTED else Grade.OK
    hint = None if grade is Grade.OK else "free some space"
    return Finding("disk", grade, f"{free / (1 << 30):,.1f} GB free under {folder}", hint)


def judge_clock(seconds: float) -> Finding:
    """How far this machine's clock is ahead of the API's."""
    fine, side = abs(seconds) <= CLOCK_SECONDS, "ahead of" if seconds > 0 else "behind"
    message = f"{abs(seconds):,.0f} s {side} the API's" if abs(seconds) >= 1 else "as the API's"
    return Finding("clock", Grade.OK if fine else Grade.FAIL, message, None if fine else "set the clock (NTP)")


def judge_order(last: datetime, now: datetime) -> Finding:
    """A clock that was set back would date new captures before the existing ones."""
    fine = last <= now + timedelta(seconds=CLOCK_SECONDS)
    message = f"{clock.stamp(now)}, {'not before' if fine else 'which is before'} the last run's start at {clock.stamp(last)}"
    return Finding("clock", Grade.OK if fine else Grade.FAIL, message, None if fine else "set the clock (NTP)")


def cron_line(command: str, now: datetime, machine_zone: ZoneInfo | timezone, *, knows_cron_tz: bool) -> str:
    """Friday, 8:00 in New York. Where cron does not support CRON_TZ, it checks each hour whether it is that one."""
    command = command.replace("%", "\\%")  # cron would end the line at a bare %
    moments = [now + timedelta(days=days) for days in (0, 91, 182, 273)]
    if all(m.astimezone(machine_zone).utcoffset() == m.astimezone(clock.market_zone()).utcoffset() for m in moments):
        return f"0 8 * * 5 {command}"
    if knows_cron_tz:
        return f"CRON_TZ={clock.MARKET_ZONE}\n0 8 * * 5 {command}"
    return f'0 * * * * [ "$(TZ={clock.MARKET_ZONE} date +\\%u\\%H)" = 508 ] && {command}'


def _file_system(folder: Path) -> str:
    """Empty where the system does not report it (other than Linux)."""
    try:
        return file_system(str(folder.resolve()), Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape"))
    except OSError:
        return ""


def _existing(folder: Path) -> Path:
    """The folder, or its nearest ancestor that exists."""
    while not os.path.exists(folder) and folder != folder.parent:  # noqa: PTH110 - False for a name that is too long
        folder = folder.parent
    return folder


def _writable(check: str, folder: Path, hint: str) -> Finding:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".preflight-"):
            return Finding(check, Grade.OK, f"{folder} can be written")
    except OSError as error:
        return Finding(check, Grade.FAIL, f"{folder} cannot be written: {error.strerror}", hint)


def _private(check: str, path: Path) -> Finding:
    """A file with secrets: readable for this user and for nobody else."""
    try:
        status = path.stat()
        path.read_bytes()
    except OSError as error:
        return Finding(check, Grade.FAIL, f"{path} cannot be read: {error.strerror}", "give this user the file")
    if sys.platform != "win32" and is_open(status.st_mode, ours=status.st_uid == os.geteuid()):
        remedy = f"chmod 600 {shlex.quote(str(path))}"
        return Finding(check, Grade.WARN, f"{path} is open to others ({stat.filemode(status.st_mode)})", remedy)
    return Finding(check, Grade.OK, f"{path} can be read, and not by everybody ({stat.filemode(status.st_mode)})")


def is_open(mode: int, *, ours: bool) -> bool:
    """Whether more users than necessary can read a file. One of another owner (root's mounted secret) is read by its group."""
    others = stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP
    return bool(mode & (others | stat.S_IRGRP if ours else others))
