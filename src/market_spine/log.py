"""How a run's lines reach stderr: plain or coloured, held back in quiet mode until something fails, progress on a TTY."""

from __future__ import annotations

import logging
import os
import sys
from logging.handlers import MemoryHandler
from typing import TextIO

_COLOURS = {"✓": "\x1b[32m", "→": "\x1b[2m", "⚠": "\x1b[33m", "✗": "\x1b[31m"}
_PLAIN = "\x1b[0m"
_HELD_LINES = 100_000


class TextFormatter(logging.Formatter):
    """`[INFO]      message`, the mark coloured where colour is wanted."""

    def __init__(self, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if self._colour:
            for mark, code in _COLOURS.items():
                text = text.replace(f": {mark} ", f": {code}{mark}{_PLAIN} ", 1)
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        level = "WARN" if record.levelno == logging.WARNING else record.levelname
        return f"{f'[{level}]':<12}{text}"


class ProgressHandler(logging.StreamHandler[TextIO]):
    """Lines scroll above a progress bar that stays on the last line of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._bar = ""

    def emit(self, record: logging.LogRecord) -> None:
        if self._bar:
            self.stream.write("\r\x1b[K")
        super().emit(record)
        self._draw()

    def show(self, done: int, total: int, what: str) -> None:
        width = 24
        filled = width * done // max(total, 1)
        self._bar = f"{'█' * filled}{'░' * (width - filled)} {done}/{total} {what}" if done < total else ""
        self.stream.write("\r\x1b[K")
        self._draw()

    def clear(self) -> None:
        if self._bar:
            self._bar = ""
            self.stream.write("\r\x1b[K")
            self.flush()

    def _draw(self) -> None:
        self.stream.write(self._bar)
        self.flush()


def set_up(*, quiet: bool, verbose: bool, stream: TextIO | None = None) -> logging.Handler:
    """Sends the program's log to stderr and answers the handler; in quiet mode lines wait for `release`."""
    stream = stream or sys.stderr
    logger = logging.getLogger("market_spine")
    for old in logger.handlers[:]:
        logger.removeHandler(old)
    terminal = stream.isatty() and not quiet
    handler: logging.Handler = ProgressHandler(stream) if terminal else logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter(terminal and "NO_COLOR" not in os.environ))
    if quiet:
        handler = MemoryHandler(_HELD_LINES, flushLevel=logging.CRITICAL + 1, target=handler, flushOnClose=False)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    return handler


def release(handler: logging.Handler) -> None:
    """Shows what quiet mode held back."""
    if isinstance(handler, MemoryHandler):
        handler.flush()
