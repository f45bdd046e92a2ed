"""SIGTERM and SIGINT become an exception, so that the open transaction rolls back; a second Ctrl-C ends the process at once.

While a command runs (`interruptible`), the first signal raises Interrupted in the main thread, whatever it executes. While the
program is loaded, and after the command has ended, a signal ends it at once: quiet_exit.py.
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

    After it a SIGINT ends the process, even during a call into C; further SIGTERMs are ignored, since their senders (timeout,
    a process group's parent) often send two.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    undo: list[Callable[[], object]] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, _leave)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        undo.append(_exit_on_next_sigint())
        raise Interrupted(number)

    before, hook = {number: signal.signal(number, handle) for number in _SIGNALS}, sys.unraisablehook
    sys.unraisablehook = _raising_again(hook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
        for step in undo:
            step()


def _raising_again(hook: Callable[[Any], object]) -> Callable[[Any], object]:
    """Python ignores an exception raised in a `__del__` or in the callback of a weak reference. When a signal arrives there,
    Interrupted is raised again a moment later."""

    def handle_ignored(ignored: Any) -> object:
        if not isinstance(ignored.exc_value, Interrupted):
            return hook(ignored)
        error = ignored.exc_value

        def again(_number: int, _frame: FrameType | None) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            raise error

        signal.signal(signal.SIGTERM, again)
        return _thread.start_new_thread(_send_again, ())

    return handle_ignored


def _send_again() -> None:
    time.sleep(_AGAIN_SECONDS)
    if sys.platform == "win32":
        signal.raise_signal(signal.SIGTERM)
    else:  # to the main thread itself: delivered to another one, it would not interrupt a blocking call
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _leave(number: int, _frame: FrameType | None = None) -> None:
    os._exit(128 + number)


def _exit_on_next_sigint() -> Callable[[], object]:
    """Starts a thread that ends the process on the next SIGINT: while the main thread is in a C call, no handler runs. Returns
    a function that stops it."""
    if sys.platform == "win32":  # it has no non-blocking pipes
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
