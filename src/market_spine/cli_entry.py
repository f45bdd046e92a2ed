"""The console scripts: Ctrl-C ends the process without a word while the program is still being loaded, too.

Next to nothing is imported here: loading what the two scripts import is what takes the time.
"""

from __future__ import annotations

import os
import signal


def run_finra_weekly_schedule() -> None:
    """The weekly run."""
    at_once()
    from market_spine.cli import main

    main()


def spine() -> None:
    """The operators' door."""
    at_once()
    from market_spine.spine_cli import main

    main()


def at_once() -> None:
    """From now on SIGINT and SIGTERM end the process, with 130 and 143: nothing has been begun yet, or all is done."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda told, _frame: os._exit(128 + told))
