"""From which day to which a capture was the one that a view showed."""

from __future__ import annotations

import pytest

from market_spine.query.as_of import Known, Spell
from market_spine.query.releases import _held
from market_spine.query.views import VIEWS


def known(run_date: str, measured: str | None) -> Known:
    """Normalized on the day of its run, measured at noon of another one."""
    return Known("2025-12-26", "OTC", run_date, 1, run_date, f"{run_date}T12:00:00+00:00", measured and f"{measured}T17:00:00+00:00")


FIRST, SECOND = known("2026-01-09", "2026-01-09"), known("2026-01-16", "2026-01-16")
LATE, NEVER = known("2026-01-09", "2026-01-12"), known("2026-01-09", None)
AFTERWARDS, MEANWHILE = known("2026-01-09", "2026-01-19"), known("2026-01-09", "2026-01-16")
SPELLS = {
    "one": ("hhi", [("09", FIRST)], [("2026-01-09", "2026-01-09", None)]),
    "restated": ("hhi", [("09", FIRST), ("16", SECOND)], [("2026-01-09", "2026-01-09", "2026-01-16"), ("2026-01-16", "2026-01-16", None)]),
    "withdrawn": ("hhi", [("09", FIRST), ("16", None)], [("2026-01-09", "2026-01-09", "2026-01-16")]),
    "withdrawn and restored": (
        "hhi", [("09", FIRST), ("16", None), ("20", FIRST)],
        [("2026-01-09", "2026-01-09", "2026-01-16"), ("2026-01-09", "2026-01-20", None)],
    ),
    "measured later": ("hhi", [("09", LATE), ("16", SECOND)], [("2026-01-09", "2026-01-12", "2026-01-16"), ("2026-01-16", "2026-01-16", None)]),
    "measured on the day on which it was replaced": ("hhi", [("09", MEANWHILE), ("16", SECOND)], [("2026-01-16", "2026-01-16", None)]),
    "measured when it was no longer current": ("hhi", [("09", AFTERWARDS), ("16", SECOND)], [("2026-01-16", "2026-01-16", None)]),
    "never measured": ("hhi", [("09", NEVER)], []),
    "a view that needs no measures": ("symbol_venue_share", [("09", NEVER)], [("2026-01-09", "2026-01-09", None)]),
}


@pytest.mark.parametrize(("view", "spells", "expected"), SPELLS.values(), ids=SPELLS)
def test_when_a_capture_was_shown(
    view: str, spells: list[tuple[str, Known | None]], expected: list[tuple[str, str, str | None]]
) -> None:
    held = _held(VIEWS[view], [Spell(f"2026-01-{day}", capture) for day, capture in spells])
    assert [(each.capture.capture_id, each.known_from, each.known_to) for each in held] == expected
