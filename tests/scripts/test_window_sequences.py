"""A few random histories against windows made from nothing. A thousand: `python scripts/window_sequences.py`."""

from __future__ import annotations

import pytest
from torture import windows as machine

from market_spine.core import windows


@pytest.mark.parametrize("engine", list(machine.STORES))
def test_what_was_made_step_by_step_is_what_is_made_from_nothing(engine: str) -> None:
    machine.play(engine, sequences=8, start=5, steps=8)


def test_windows_of_replaced_rows_that_stay_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "drop", lambda db, capture_key: None)
    with pytest.raises(AssertionError):
        machine.play("sqlite", sequences=60, start=1, steps=8, shrinks=False)
