"""Limits the log lines that clients can cause to a few per second."""

from __future__ import annotations

import logging
from collections import Counter

from market_spine import clock
from market_spine.api.gate import Buckets

_A_SECOND, _AT_ONCE = 5.0, 20.0
_BAD = 400


class Sparing(logging.Filter):
    """Limits warnings and refused requests, each kind separately; the next line that passes counts those left out."""

    def __init__(self, rate: float = _A_SECOND, burst: float = _AT_ONCE) -> None:
        super().__init__()
        self._buckets = Buckets(rate, burst)
        self._left_out: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        status = getattr(record, "status", 0)
        if record.levelno < logging.WARNING and status < _BAD:
            return True
        kind = f"{record.name} {record.levelno} {getattr(record, 'event', '')} {status}"
        if self._buckets.take(kind, clock.ticks()):
            self._left_out[kind] += 1
            return False
        if count := self._left_out.pop(kind, 0):
            record.msg, record.args = f"{record.getMessage()} ({count:,} lines like this were left out before)", ()
        return True


def set_up(handler: logging.Handler) -> None:
    """Sends the log of uvicorn and asyncio to the same handler, in the same format."""
    handler.addFilter(Sparing())
    for name in ("uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.WARNING)
