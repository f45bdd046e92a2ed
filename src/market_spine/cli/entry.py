"""The console scripts: Ctrl-C ends the process without a word while the program is still being loaded, too.

Next to nothing is imported here: loading what the two scripts import is what takes the time.
"""

from __future__ import annotations

import gc

from market_spine.cli.quiet_exit import at_once


def run_finra_weekly_schedule() -> None:
    """The weekly run."""
    at_once()
    gc.disable()  # until the command begins: modules are made to stay
    try:
        from market_spine.cli.weekly import main

        main()
    finally:
        gc.freeze()  # and are not searched for garbage as the process ends


def spine() -> None:
    """The operators' door."""
    at_once()
    gc.disable()
    try:
        from market_spine.cli.spine import main

        main()
    finally:
        gc.freeze()
