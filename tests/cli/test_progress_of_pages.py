"""What a terminal shows of a partition that comes page by page, and of a migration."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
from collections.abc import Iterator

import pytest

from market_spine import clock, log
from market_spine.cli import progress
from market_spine.core import executions
from market_spine.db import Tell, connect, migrations
from market_spine.operate.migrate import bring_up

DONE = (5_000, 10_000, 15_000, 20_000)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """stderr from now on; each look at the clock is a second later."""
    shown, seconds = Terminal(), itertools.count()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setattr("market_spine.clock.ticks", lambda: float(next(seconds)))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return shown


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    yield
    logger = logging.getLogger("market_spine")
    logger.handlers.clear()
    logger.propagate = True


def receive(tell: Tell) -> None:
    """A partition of four pages."""
    tell(0, 0)
    for done in DONE:
        tell(done, DONE[-1])
    tell(0, 0)


def test_a_run_shows_the_rows_beside_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    handler = log.set_up(quiet=False, verbose=False)
    assert isinstance(handler, log.ProgressHandler)
    handler.show(2, 18, "ingest")
    receive(progress.rows_received())
    screens = [screen.strip() for screen in shown.getvalue().split("\r\x1b[K") if screen]
    bar = screens[0]
    assert bar.endswith("2/18 ingest")
    assert screens[1:] == [
        f"{bar}  10,000 of 20,000 rows, 2 s left", f"{bar}  15,000 of 20,000 rows, 1 s left", f"{bar}  20,000 of 20,000 rows", bar
    ]
    assert max(map(len, screens)) < 80


@pytest.mark.parametrize("options", [{"quiet": True}, {"json_lines": True}], ids=["quiet", "JSON"])
def test_a_run_that_draws_no_bar_shows_no_rows(monkeypatch: pytest.MonkeyPatch, options: dict[str, bool]) -> None:
    shown = terminal(monkeypatch)
    log.set_up(**{"quiet": False, "verbose": False, **options})
    receive(progress.rows_received())
    assert shown.getvalue() == ""


def test_a_command_without_a_log_draws_a_bar_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch)
    drawn: list[str] = []
    monkeypatch.setattr(progress, "_draw", drawn.append)
    receive(progress.rows_received())
    assert [text.split("░")[-1].split("█")[-1].strip() for text in drawn] == [
        "10,000 of 20,000 rows, 5,000/s, 2 s left", "15,000 of 20,000 rows, 5,000/s, 1 s left",
        "20,000 of 20,000 rows, 5,000/s", "",
    ]


def test_without_a_terminal_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    receive(progress.rows_received())


def test_a_migration_counts_the_copy_and_the_migrations(new_target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old = connect(new_target)
    known = migrations.migrations(old.engine)
    with monkeypatch.context() as earlier:
        earlier.setattr(migrations, "migrations", lambda engine: known[:5])
        migrations.apply(old, clock.utc_now())
    size = old.size_bytes()
    old.close()
    seen: dict[tuple[str, str], list[tuple[int, int]]] = {}

    @contextlib.contextmanager
    def watch(what: str, unit: str) -> Iterator[Tell]:
        counted = seen.setdefault((what, unit), [])
        yield lambda done, total: counted.append((done, total))

    monkeypatch.setattr("market_spine.db.sqlite._STEPS", 100)
    db = connect(new_target)
    made = bring_up(db, executions.new_execution_id(clock.utc_now()), clock.utc_now(), watch=watch)
    db.close()
    assert seen["migrate", "migrations"] == [(n, len(made.applied)) for n in range(len(made.applied))]
    copied = seen["copy", "bytes"]
    assert copied == sorted(copied) and bool(copied) is (made.backup is not None)
    assert {total for _, total in copied} <= {size}
