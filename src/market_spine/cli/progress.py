"""What a terminal shows of long work: how much is done, how fast, and the time left; and what a server does."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial

from market_spine import clock
from market_spine.db import Tell, silent
from market_spine.log import ProgressHandler

_QUIET_SECONDS, _BETWEEN_SECONDS, _WIDTH = 2.0, 0.2, 16
_SOON = 100  # before this part is done, the time left is a guess
_Text = Callable[[int, int, float], str]  # how much is done, of how much, in how many seconds
_UNITS = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"))


@contextlib.contextmanager
def progress(what: str, unit: str = "") -> Iterator[Tell]:
    """Yields a function to call with how much is done, and of how much; it draws on stderr if that is a terminal.

    `unit` is what is counted: `rows`, `files`, …; `bytes` are shown as MB.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield silent
        return
    bar = _Bar(partial(line, what, unit), _draw)
    try:
        yield bar.show
    finally:
        bar.clear()


def rows_received() -> Tell:
    """What a source that counts rows is to call: it draws once a partition takes long, beside the bar of a run that has one."""
    handlers = logging.getLogger("market_spine").handlers
    for handler in handlers:
        if isinstance(handler, ProgressHandler):
            return _Partition(_received, handler.beside).show
    if handlers or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return silent
    return _Partition(partial(line, "receive", "rows"), _draw).show


class _Partition:
    """A bar of its own for each partition; 0 of 0 ends one and begins the next."""

    def __init__(self, text: _Text, draw: Callable[[str], None]) -> None:
        self._begin = partial(_Bar, text, draw)
        self._bar = self._begin()

    def show(self, done: int, total: int) -> None:
        if total:
            self._bar.show(done, total)
        else:
            self._bar.clear()
            self._bar = self._begin()


def line(what: str, unit: str, done: int, total: int, seconds: float) -> str:
    """`copy ████░░░░ 12 MB of 40 MB, 6 MB/s, 5 s left`; 80 columns hold the rows of FINRA's years."""
    filled = _WIDTH * min(done, total) // max(total, 1)
    rate = done / seconds if seconds > 0 else 0.0
    speed = f", {_amount(rate, unit)}/s" if rate >= 1 else ""
    amounts = f"{_amount(done, unit)} of {_amount(total, unit)}{_named(unit)}{speed}{_left(done, total, seconds)}"
    return f"{what} {'█' * filled}{'░' * (_WIDTH - filled)} {amounts}"


def writes_json(log_format: str | None) -> bool:
    """Whether a server's log is JSON: when asked for, and by default where nobody watches."""
    return log_format == "json" or (log_format is None and not sys.stderr.isatty())


def greet(text: str, log_format: str | None) -> None:
    """Says on a terminal what a server does and how it is stopped, in lines that end between words."""
    import textwrap

    if not writes_json(log_format) and sys.stderr.isatty():
        limit = shutil.get_terminal_size().columns
        sys.stderr.write(textwrap.fill(text, limit, break_long_words=False, break_on_hyphens=False) + "\n")
        sys.stderr.flush()


class _Bar:
    """A text that is redrawn in place, once there is long work: `draw` puts it on the screen."""

    def __init__(self, text: _Text, draw: Callable[[str], None]) -> None:
        self._text, self._draw = text, draw
        self._began, self._drawn = clock.ticks(), 0.0

    def show(self, done: int, total: int) -> None:
        now = clock.ticks()
        if now - self._began < _QUIET_SECONDS or now - self._drawn < _BETWEEN_SECONDS:
            return
        self._drawn = now
        self._draw(self._text(done, total, now - self._began))

    def clear(self) -> None:
        if self._drawn:
            self._draw("")


def _draw(text: str) -> None:
    width = os.get_terminal_size(sys.stderr.fileno()).columns
    sys.stderr.write("\r\x1b[K" + text[: width - 1])
    sys.stderr.flush()


def _received(done: int, total: int, seconds: float) -> str:
    """Short: a bar stands before it."""
    return f"{done:,} of {total:,} rows{_left(done, total, seconds)}"


def _left(done: int, total: int, seconds: float) -> str:
    return f", {_time(seconds * (total - done) / done)} left" if total <= done * _SOON < total * _SOON else ""


def _amount(count: float, unit: str) -> str:
    if unit != "bytes":
        return f"{count:,.0f}"
    size, name = next(((size, name) for size, name in _UNITS if count >= size), (1, "B"))
    return f"{count / size:,.0f} {name}"


def _named(unit: str) -> str:
    return f" {unit}" if unit and unit != "bytes" else ""


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
