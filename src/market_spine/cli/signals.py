"""SIGTERM and SIGINT become an exception, so that the open transaction rolls back; a second Ctrl-C ends the process at once.

While the program works (`interruptible`) the first signal raises Interrupted in the main thread, wherever that is. While it is
loaded, and when its work is done, a signal ends it at once: quiet_exit.py.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from market_spine.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN_SECONDS = 0.02


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within it, the first signal raises Interrupted in the main thread.

    After it a SIGINT ends the process, whatever it is busy with; further SIGTERMs are ignored, since those who send them
    (timeout, a process group's parent) often send two.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    undo: list[Callable[[], object]] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, _leave)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        undo.append(_watch())
        raise Interrupted(number)

    before, hook = {number: signal.signal(number, handle) for number in _SIGNALS}, sys.unraisablehook
    sys.unraisablehook = _never_swallowed(hook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
        for step in undo:
            step()


def _never_swallowed(hook: Callable[[Any], object]) -> Callable[[Any], object]:
    """Python drops what is raised in a `__del__` or a weak reference's callback, and a signal may come just there: then it
    is raised again, a moment later."""

    def judge(dropped: Any) -> object:
        if not isinstance(dropped.exc_value, Interrupted):
            return hook(dropped)
        error = dropped.exc_value

        def again(_number: int, _frame: FrameType | None) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            raise error

        signal.signal(signal.SIGTERM, again)
        return _thread.start_new_thread(_send_again, ())

    return judge


def _send_again() -> None:
    time.sleep(_AGAIN_SECONDS)
    if sys.platform == "win32":
        signal.raise_signal(signal.SIGTERM)
    else:  # to the main thread itself: one that comes to another thread leaves it in the call it waits in
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _leave(number: int, _frame: FrameType | None = None) -> None:
    os._exit(128 + number)


def _watch() -> Callable[[], object]:
    """A thread that ends the process on the next SIGINT: the main thread may be busy in C, where no handler runs. Returns a
    function that ends the watch."""
    if sys.platform == "win32":  # no pipes that do not block
        return lambda: None
    receiver, sender = os.pipe()
    os.set_blocking(sender, False)
    signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    _thread.start_new_thread(_leave_on_signal, (receiver,))

    def end() -> None:
        signal.set_wakeup_fd(-1)
        os.close(sender)

    return end


def _leave_on_signal(receiver: int) -> None:
    while number := os.read(receiver, 1):
        if number[0] == signal.SIGINT:
            _leave(signal.SIGINT)
    os.close(receiver)
