"""How the process ends at a signal while nothing has been begun, or all is done: at once, and without a word."""

from __future__ import annotations

import os
import signal


def at_once() -> None:
    """From now on SIGINT and SIGTERM end the process, with 130 and 143: nothing has been begun yet, or all is done."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda told, _frame: os._exit(128 + told))
