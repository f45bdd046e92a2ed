"""Which lengths of windows a store keeps: a setting of the store, so every machine that writes it makes the same ones."""

from __future__ import annotations

from collections.abc import Sequence

from market_spine.app import windows
from market_spine.app.context import Run
from market_spine.operate.operation import record_action
from market_spine.outcome import Outcome


def keep(run: Run, lengths: Sequence[int]) -> Outcome:
    """Keeps windows of these lengths from now on, and makes those of every stored week; windows of other lengths stay."""
    listed = ",".join(map(str, lengths))
    with run.db.transaction():
        windows.keep_lengths(run, lengths)
        record_action(run.db, "windows --lengths", listed, "windows", run.now)
        return windows.follow(run, run.run_date)
