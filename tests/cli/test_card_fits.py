"""The card on narrow terminals: what is too long goes on below, and the card keeps to its twelve lines."""

from __future__ import annotations

import pytest

from market_spine.cli.commands.card import fitted

HEAD = "Market Spine  Friday 2026-01-09 · data/market_spine.db"
RUN = "Last run      today: exit 1, 2 ingested, 2 unchanged, 13 awaiting publication, 1 failed"
STRIPS = "              T1 ●●●●●●●●●···  T2 ●●●●●●●·····  OTC ●●●●●●✖·····  to 2026-01-09"
LONG = f"Open          2025-12-19 / OTC: IMPLAUSIBLE_CONTENT: held: {'more words ' * 300}"


@pytest.mark.parametrize(
    ("facts", "limit", "expected"),
    [
        ([HEAD, RUN], 90, [HEAD, RUN]),
        ([HEAD, RUN], 79, [HEAD, RUN[:-9], "              1 failed"]),
        ([STRIPS], 80, [STRIPS]),
    ],
    ids=["all of it fits", "the end of the run goes on below", "the strips fit 80 columns"],
)
def test_a_line_that_is_too_long_goes_on_below(facts: list[str], limit: int, expected: list[str]) -> None:
    assert fitted(facts, limit) == expected


@pytest.mark.parametrize("facts", [[LONG], [HEAD, RUN, LONG, LONG], [HEAD, *[LONG] * 9, RUN]], ids=len)
@pytest.mark.parametrize("limit", [40, 80, 160])
def test_the_card_keeps_to_its_lines_and_to_the_terminal(facts: list[str], limit: int) -> None:
    lines = fitted(facts, limit)
    assert len(lines) <= 11
    assert max(map(len, lines)) <= limit
    assert any(line.endswith("…") for line in lines)
