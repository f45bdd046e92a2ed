"""How the process ends at a signal before its work has begun, or after it is done: at once, without output."""

from __future__ import annotations

import os
import signal


def at_once() -> None:
    """From now on SIGINT and SIGTERM end the process, with 130 and 143."""
    for handled in (signal.SIGINT, signal.SIGTERM):
        signal.signal(handled, lambda number, _frame: os._exit(128 + number))
