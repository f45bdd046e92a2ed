"""The console scripts: Ctrl-C ends the process without a traceback, even while the program is being loaded.

This module imports almost nothing: importing the commands takes most of the start-up time.
"""

from __future__ import annotations

import gc

from market_spine.cli.quiet_exit import end_at_signal


def run_finra_weekly_schedule() -> None:
    """The weekly run."""
    end_at_signal()
    gc.disable()  # until the command begins: the objects created by imports stay
    try:
        from market_spine.cli.weekly import main

        main()
    finally:
        gc.freeze()  # so that the last collection at exit skips the modules


def spine() -> None:
    """The operators' commands."""
    end_at_signal()
    gc.disable()
    try:
        from market_spine.cli.spine import main

        main()
    finally:
        gc.freeze()
