"""The program: its commands, called in this process at a given moment or killed in a process of their own; what it stores."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, NamedTuple
from unittest import mock

from market_spine import clock
from market_spine.app.source.web import Pace
from market_spine.cli.exit import guarded
from market_spine.cli.spine import command as spine
from market_spine.cli.weekly import command as weekly
from market_spine.core import executions
from market_spine.core.contents import read_raw
from market_spine.db import Database, connect, is_postgres
from market_spine.db.postgres import Postgres
from market_spine.db.sqlite import Sqlite
from market_spine.errors import ConfigurationError
from seasons.sources import Source

_COMMANDS = {"run_finra_weekly_schedule": weekly, "spine": spine}


class Finished(NamedTuple):
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        return json.loads(self.stdout) if self.stdout.strip() else {}


class Stored(NamedTuple):
    """A capture as the tables hold it; the numbers are those of the content that each stage was made from."""

    capture_id: str
    week: str
    tier: str
    run_date: str
    captured_at: str
    content_hash: str
    ingested: int
    ingested_hash: str
    normalized: int | None
    measured: int | None
    withdrawn: bool
    pinned: bool
    held: int | None


class StoredWeek(NamedTuple):
    """A week-level result: which content of which captures it was made from, by tier."""

    result_id: str
    week: str
    run_date: str
    captured_at: str
    made_from: dict[str, tuple[str, int]]


class Observed(NamedTuple):
    """Everything a command can change, apart from the rows themselves."""

    captures: dict[str, Stored]
    weeks: dict[str, StoredWeek]
    ready: dict[str, bool]


class Engine:
    """The program on one database and one source. `moment` is what its clock shows. With `kept`, a server's session for reading
    is kept until that ends: to begin one takes the server longer than most questions."""

    def __init__(self, target: str, source: Source, kept: contextlib.ExitStack | None = None) -> None:
        self.target, self.source = target, source
        self.moment = datetime(2000, 1, 1, tzinfo=timezone.utc)
        self._made = False
        self._reader: Database | None = None
        self._kept = kept if is_postgres(target) else None

    def on(self, day: date, number: int) -> None:
        """Sets the clock: every command has a minute of its own."""
        self.moment = datetime.combine(day, time(13), timezone.utc) + timedelta(minutes=number)

    def run(self, *arguments: str) -> Finished:
        """A weekly run."""
        return self._call("run_finra_weekly_schedule", *self._weekly(arguments))

    def spine(self, *arguments: str) -> Finished:
        return self._call("spine", *arguments, "--db", self.target)

    def killed(self, statement: int, call: Callable[[], Finished] | None = None) -> int:
        """A weekly run, or another call, in a process of its own that kills itself (SIGKILL) before its nth statement; its exit
        code."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the fake's thread waits; the child has its own sockets
            child = os.fork()
        if not child:
            try:
                with _striking(statement):
                    os._exit((call or self.run)().exit_code)
            finally:
                os._exit(99)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        if self._kept is not None:
            self._reader = self._reader or self._kept.enter_context(contextlib.closing(connect(self.target, read_only=True)))
            yield self._reader
            return
        with contextlib.closing(connect(self.target, read_only=True)) as db:
            yield db

    def exists(self) -> bool:
        """Whether the store has been made; once it was, it is there for good."""
        if not self._made:
            with contextlib.suppress(ConfigurationError), contextlib.closing(connect(self.target, create=False)) as db:
                self._made = db.has_table("finra_otc_transparency_version")
        return self._made

    def observe(self) -> Observed:
        if not self.exists():
            return Observed({}, {}, {})
        with self.database() as db:
            return observe(db)

    def raw(self, content_hash: str) -> bytes:
        with self.database() as db:
            return b"".join(read_raw(db, content_hash))

    def _weekly(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        return ("--db", self.target, *self.source.arguments, "--json", "--if-locked", "wait", "--lock-wait", "30", *arguments)

    def _call(self, name: str, *arguments: str) -> Finished:
        stdout, stderr = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.source.environ),
            mock.patch.object(clock, "utc_now", lambda: self.moment),
            mock.patch.object(clock, "exact_now", lambda: self.moment),
            mock.patch.object(executions, "_ended", None, create=True),  # each command is a process of its own
            mock.patch.object(Pace, "wait", lambda pace: None),  # the fake has no limit of requests a second
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
        ):
            code = guarded(_COMMANDS[name], list(arguments))
        return Finished(code, stdout.getvalue(), stderr.getvalue())


@contextlib.contextmanager
def _striking(statement: int) -> Iterator[None]:
    """Kills this process before its nth statement."""
    left = statement

    def counted(execute: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return execute(*given, **named)

        return call

    with contextlib.ExitStack() as stack:
        for engine in (Sqlite, Postgres):
            for name in ("execute", "bulk_columns"):
                stack.enter_context(mock.patch.object(engine, name, counted(getattr(engine, name))))
        yield


def observe(db: Database) -> Observed:
    """Reads the tables that hold what was captured, made of it, and judged."""
    stages: dict[tuple[str, str], dict[str, Any]] = {}
    for stage, capture_id, metadata in db.execute("SELECT stage, capture_id, metadata_json FROM core_manifest").fetchall():
        stages[stage, capture_id] = json.loads(metadata or "{}")
    captures = db.execute(
        """
        SELECT capture_id, week_ending, tier, run_date, captured_at, content_hash, withdrawn_at, pinned_as
        FROM finra_otc_transparency_capture
        """
    ).fetchall()
    weeks = db.execute("SELECT capture_id, week_ending, run_date, captured_at FROM finra_otc_transparency_week").fetchall()
    judged = db.execute("SELECT partition_key, is_ready FROM core_data_readiness").fetchall()
    keys = [(json.loads(key), ready) for key, ready in judged]
    return Observed(
        {row[0]: _stored(row, stages) for row in captures},
        {r[0]: StoredWeek(r[0], r[1], r[2], r[3], _made_from(stages.get(("CALC", r[0]), {}))) for r in weeks},
        {key["week_ending"]: bool(ready) for key, ready in keys if not key.get("tier")},
    )


def _stored(row: Any, stages: dict[tuple[str, str], dict[str, Any]]) -> Stored:
    raw, normalized, measured = (stages.get((stage, row[0]), {}) for stage in ("RAW", "NORMALIZED", "CALC"))
    return Stored(
        capture_id=row[0],
        week=row[1],
        tier=row[2],
        run_date=row[3],
        captured_at=row[4],
        content_hash=row[5],
        ingested=raw.get("ingest_no", 0),
        ingested_hash=raw.get("sha256", ""),
        normalized=normalized.get("ingest_no"),
        measured=measured.get("ingest_no"),
        withdrawn=row[6] is not None,
        pinned=row[7] is not None,
        held=stages.get(("HELD", row[0]), {}).get("ingest_no"),
    )


def _made_from(metadata: dict[str, Any]) -> dict[str, tuple[str, int]]:
    return {tier: (part["capture_id"], part["ingest_no"]) for tier, part in metadata.get("made_from", {}).items()}
