"""What a terminal shows of long work: how much is done, how fast, and the time left; and what a server does."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from market_spine import clock
from market_spine.db import Tell, silent

_QUIET_SECONDS, _BETWEEN_SECONDS, _WIDTH = 2.0, 0.2, 24
_UNITS = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"))


@contextlib.contextmanager
def progress(what: str, unit: str = "") -> Iterator[Tell]:
    """Yields a function to call with how much is done, and of how much; it draws on stderr if that is a terminal.

    `unit` is what is counted: `rows`, `files`, …; `bytes` are shown as MB.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield silent
        return
    bar = _Bar(what, unit)
    try:
        yield bar.show
    finally:
        bar.clear()


def line(what: str, unit: str, done: int, total: int, seconds: float) -> str:
    """`copy ████░░░░ 12 / 40 MB, 6 MB/s, 5 s left`."""
    filled = _WIDTH * min(done, total) // max(total, 1)
    rate = done / seconds if seconds > 0 else 0.0
    left = f", {_time(seconds * (total - done) / done)} left" if 0 < done < total else ""
    speed = f", {_amount(rate, unit)}/s" if rate >= 1 else ""
    return f"{what} {'█' * filled}{'░' * (_WIDTH - filled)} {_amount(done, unit)} of {_amount(total, unit)}{speed}{left}"


def writes_json(log_format: str | None) -> bool:
    """Whether a server's log is JSON: when asked for, and by default where nobody watches."""
    return log_format == "json" or (log_format is None and not sys.stderr.isatty())


def greet(text: str, log_format: str | None) -> None:
    """Says on a terminal what a server does and how it is stopped."""
    if not writes_json(log_format) and sys.stderr.isatty():
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class _Bar:
    """The line that is redrawn in place."""

    def __init__(self, what: str, unit: str) -> None:
        self._what, self._unit = what, unit
        self._began, self._drawn = clock.ticks(), 0.0

    def show(self, done: int, total: int) -> None:
        now = clock.ticks()
        if now - self._began < _QUIET_SECONDS or now - self._drawn < _BETWEEN_SECONDS:
            return
        self._drawn = now
        width = os.get_terminal_size(sys.stderr.fileno()).columns
        sys.stderr.write("\r\x1b[K" + line(self._what, self._unit, done, total, now - self._began)[: width - 1])
        sys.stderr.flush()

    def clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _amount(count: float, unit: str) -> str:
    if unit != "bytes":
        return f"{count:,.0f} {unit}".rstrip()
    size, name = next(((size, name) for size, name in _UNITS if count >= size), (1, "B"))
    return f"{count / size:,.0f} {name}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
