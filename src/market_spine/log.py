"""Log output on stderr: as text or JSON, at once or held until something fails, with a progress bar on a terminal.

A line is a message and facts: `log.info("…", extra={"event": "partition", "week": …, "tier": …})`. The message is for
people, the event word and the facts are for programs; `bind` adds facts to every line of a run.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
from collections import deque
from datetime import datetime, timezone
from typing import TextIO

_COLOURS = {"✓": "\x1b[32m", "→": "\x1b[2m", "⚠": "\x1b[33m", "✗": "\x1b[31m"}
_PLAIN = "\x1b[0m"
_HELD_LINES = 100_000
_NO_FACTS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "aloud", "event"}


UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str, longest: int = 1000) -> str:
    """`text` on one line, safe for a terminal and a log: control characters, line ends, changes of the text direction and
    lone surrogates are escaped, and the middle of a long text is left out."""
    if len(text) > longest:
        text = f"{text[: longest // 2]}…{text[-longest // 2 :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def takes_colour(stream: TextIO) -> bool:
    """Whether a stream takes colour: a terminal, or FORCE_COLOR; never with NO_COLOR. An empty variable counts as not set."""
    is_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
    return not os.environ.get("NO_COLOR") and (is_terminal or bool(os.environ.get("FORCE_COLOR")))


class TextFormatter(logging.Formatter):
    """`[INFO]      message`, with a coloured mark if `colour`."""

    def __init__(self, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        text = printable(record.getMessage())
        if self._colour:
            for mark, code in _COLOURS.items():
                text = text.replace(f": {mark} ", f": {code}{mark}{_PLAIN} ", 1)
        if record.exc_info:
            text += "".join(f"\n  {printable(line)}" for line in self.formatException(record.exc_info).split("\n"))
        level = "WARN" if record.levelno == logging.WARNING else record.levelname
        return f"{f'[{level}]':<12}{text}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, event, the run's facts, the line's own facts, message."""

    def __init__(self) -> None:
        super().__init__()
        self.bound: dict[str, object] = {}

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": getattr(record, "event", "log"),
            **self.bound,
            **{name: value for name, value in vars(record).items() if name not in _NO_FACTS},
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = json.dumps(line, ensure_ascii=False, default=str)
        return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


class HeldHandler(logging.Handler):
    """Keeps the last lines until `release`; one with the fact `aloud` (a warning that must not wait) passes at once."""

    def __init__(self, target: logging.Handler) -> None:
        super().__init__()
        self.target = target
        self._held: deque[logging.LogRecord] = deque(maxlen=_HELD_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "aloud", False):
            self.target.handle(record)
        else:
            self._held.append(record)

    def show(self) -> None:
        while self._held:
            self.target.handle(self._held.popleft())


class ProgressHandler(logging.StreamHandler[TextIO]):
    """Lines scroll above a progress bar on the last line of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._bar = self._beside = ""

    def emit(self, record: logging.LogRecord) -> None:
        if self._bar or self._beside:
            self.stream.write("\r\x1b[K")
        super().emit(record)
        self._draw()

    def show(self, done: int, total: int, what: str) -> None:
        width = 24
        filled = width * done // max(total, 1)
        self._bar = f"{'█' * filled}{'░' * (width - filled)} {done}/{total} {what}" if done < total else ""
        self.stream.write("\r\x1b[K")
        self._draw()

    def beside(self, text: str) -> None:
        """Shows a text beside the bar, as far as there is room."""
        self._beside = text
        self.stream.write("\r\x1b[K")
        self._draw()

    def clear(self) -> None:
        if self._bar or self._beside:
            self._bar = self._beside = ""
            self.stream.write("\r\x1b[K")
            self.flush()

    def _draw(self) -> None:
        text = "  ".join(filter(None, (self._bar, self._beside)))
        self.stream.write(text[: shutil.get_terminal_size().columns - 1])
        self.flush()


def set_up(
    *, quiet: bool, verbose: bool, cron: bool = False, json_lines: bool = False, stream: TextIO | None = None
) -> logging.Handler:
    """Sends the program's log to stderr and returns the handler.

    Lines are held for `release` with `quiet`, and with `cron` unless stderr is a terminal.
    """
    stream = stream or sys.stderr
    logger = logging.getLogger("market_spine")
    for old in logger.handlers[:]:
        logger.removeHandler(old)
    held = quiet or (cron and not stream.isatty())
    terminal = stream.isatty() and os.environ.get("TERM") != "dumb" and not held and not json_lines
    handler: logging.Handler = ProgressHandler(stream) if terminal else logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if json_lines else TextFormatter(takes_colour(stream)))
    if held:
        handler = HeldHandler(handler)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    return handler


def bind(handler: logging.Handler, **facts: object) -> None:
    """Adds facts to every later JSON line, including those still held."""
    target = handler.target if isinstance(handler, HeldHandler) else handler
    if isinstance(target.formatter, JsonFormatter):
        target.formatter.bound.update(facts)


def release(handler: logging.Handler) -> None:
    """Shows the held lines, and clears the progress bar."""
    if isinstance(handler, HeldHandler):
        handler.show()
    if isinstance(handler, ProgressHandler):
        handler.clear()


def speaks_json() -> bool:
    """Whether stderr has JSON lines, so that the last error must be one too."""
    handlers = logging.getLogger("market_spine").handlers
    targets = [handler.target if isinstance(handler, HeldHandler) else handler for handler in handlers]
    return any(isinstance(target.formatter, JsonFormatter) for target in targets)
