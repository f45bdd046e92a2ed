"""Which lengths of windows a store keeps: a setting of the store, so every machine that writes it makes the same ones."""

from __future__ import annotations

from collections.abc import Sequence

from market_spine.app import windows
from market_spine.app.context import Run
from market_spine.core import windows as tables
from market_spine.db import Database
from market_spine.operate.operation import record_action
from market_spine.outcome import Outcome


def make_command(db: Database) -> str:
    """The command that makes every window that is missing, of the lengths that are kept."""
    return f"spine windows --lengths {','.join(map(str, tables.progress(db).lengths))}"


def make_missing(run: Run) -> Outcome:
    """Makes every window that is missing, wherever it ends."""
    with run.db.transaction():
        windows.keep_lengths(run, tables.progress(run.db).lengths)
        return windows.follow(run, run.run_date)


def keep(run: Run, lengths: Sequence[int]) -> Outcome:
    """Keeps windows of these lengths from now on, and makes those of every stored week; windows of other lengths stay."""
    listed = ",".join(map(str, lengths))
    with run.db.transaction():
        windows.keep_lengths(run, lengths)
        record_action(run.db, "windows --lengths", listed, "windows", run.now)
        return windows.follow(run, run.run_date)
