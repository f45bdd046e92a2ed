"""The console scripts: Ctrl-C ends the process without a traceback, even while the program is being loaded.

Next to nothing is imported here: loading what the two scripts import is what takes the time.
"""

from __future__ import annotations

import gc

from market_spine.cli.quiet_exit import at_once


def run_finra_weekly_schedule() -> None:
    """The weekly run."""
    at_once()
    gc.disable()  # until the command begins: what loading modules creates stays
    try:
        from market_spine.cli.weekly import main

        main()
    finally:
        gc.freeze()  # so that no module is searched for garbage as the process ends


def spine() -> None:
    """The operators' commands."""
    at_once()
    gc.disable()
    try:
        from market_spine.cli.spine import main

        main()
    finally:
        gc.freeze()
