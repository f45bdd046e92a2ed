"""SIGTERM and SIGINT become an exception, so that the open transaction rolls back; a second Ctrl-C ends the process at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from market_spine.errors import Interrupted


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within it, the first signal raises Interrupted in the main thread.

    After it a SIGINT kills, whatever the process is busy with; further SIGTERMs are ignored, since those who send them
    (timeout, a process group's parent) often send two.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Interrupted(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
