"""The console scripts: Ctrl-C ends the process without a word while the program is still being loaded, too.

Next to nothing is imported here: loading what the two scripts import is what takes the time.
"""

from __future__ import annotations

from market_spine.quiet_exit import at_once


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
