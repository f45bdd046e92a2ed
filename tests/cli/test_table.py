"""Tables on terminals of different widths, and what --columns, --sort and --top do."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from market_spine.cli import strips, table
from market_spine.cli.commands.trend import _text
from market_spine.cli.table import Shape
from market_spine.errors import UsageError
from market_spine.query.trend import Trend

HEADERS = ("capture", "tier", "hash", "shares", "message")
ROWS = [
    ("OTC:2025-12-26:20260109", "OTC", "1a2b3c4d", 1234567, "a long message that says in many words what happened to it"),
    ("OTC:2026-01-02:20260109", "OTC", "5e6f7a8b", 42, "short"),
]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    """A terminal as wide as the test's parameter."""
    monkeypatch.setattr("market_spine.cli.table.width", lambda: request.param)
    return int(request.param)


@pytest.mark.parametrize("terminal", [60, 80, 120], indirect=True)
def test_no_line_is_wider_than_the_terminal(terminal: int) -> None:
    lines = table.render(HEADERS, ROWS, least=("hash",)).splitlines()
    assert max(map(len, lines)) <= terminal
    assert all(row[0] in "\n".join(lines) for row in ROWS)


@pytest.mark.parametrize("terminal", [70], indirect=True)
def test_what_is_the_same_in_every_row_moves_above_the_table(terminal: int) -> None:
    lines = table.render(HEADERS, ROWS).splitlines()
    assert lines == [
        "OTC",
        "capture                  hash         shares  message",
        "OTC:2025-12-26:20260109  1a2b3c4d  1,234,567  a long message that says",
        "                                              in many words what",
        "                                              happened to it",
        "OTC:2026-01-02:20260109  5e6f7a8b         42  short",
    ]


@pytest.mark.parametrize("terminal", [50], indirect=True)
def test_a_command_is_never_broken(terminal: int) -> None:
    command = "spine backfill --weeks 2026-01-23 --tiers OTC"
    assert command in table.render(("where", "command"), [("2026-01-23 / OTC", command)], whole_last=True)


def test_without_a_terminal_nothing_is_cut_or_moved() -> None:
    text = table.render(HEADERS, ROWS)
    assert "tier" in text.splitlines()[0] and ROWS[0][4] in text


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Shape(("shares", "capture")), [[3, "b"], [None, "c"], [7, "a"]]),
        (Shape(("capture",), "shares"), [["b"], ["a"], ["c"]]),
        (Shape(("capture",), "-shares"), [["a"], ["b"], ["c"]]),
        (Shape((), "-shares", 1), [["a", 7]]),
    ],
    ids=["columns in their order", "sorted, empty ones last", "largest first", "the top"],
)
def test_a_table_takes_the_shape_that_is_asked_for(shape: Shape, expected: list[list[object]]) -> None:
    assert table.shaped(("capture", "shares"), [("b", 3), ("c", None), ("a", 7)], shape)[1] == expected


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="there is no column 'x'") as raised:
        table.shaped(("last seen", "state"), [], Shape(("x",)))
    assert raised.value.hint == "the columns are last_seen, state"


@pytest.mark.parametrize(
    ("values", "curve"),
    [([1, 2, 3], "▁▅█"), ([5, 5], "▄▄"), ([None, 1, 8], " ▁█"), ([None], " "), ([], "")],
    ids=["rising", "flat", "a gap", "nothing", "no weeks"],
)
def test_a_curve_spans_its_least_and_its_largest_value(values: list[float | None], curve: str) -> None:
    assert strips.curve(values) == curve


@pytest.mark.parametrize("terminal", [80, 160], indirect=True)
def test_a_curve_of_a_year_fits(terminal: int) -> None:
    weeks = [date(2025, 1, 10) + timedelta(weeks=n) for n in range(52)]
    text = _text("volume", [Trend("NMS_TIER_1", weeks, [float(10**9 + n) for n in range(52)])])
    assert max(map(len, text.splitlines())) <= terminal
    assert "█" in text and "1,000,000,051" in text


@pytest.mark.parametrize("terminal", [60], indirect=True)
def test_a_day_is_never_cut_and_a_state_above_the_table_says_what_it_is(terminal: int) -> None:
    rows = [(f"S{n}", "a venue with a long name of its own", "2026-01-09", "open", "2026-01-16") for n in range(2)]
    caption, headers, *lines = table.render(("symbol", "venue", "from", "state", "to"), rows).splitlines()
    assert (caption, headers.split()) == ("state open", ["symbol", "venue", "from", "to"])
    assert all(line.endswith("2026-01-09  2026-01-16") and len(line) <= terminal for line in lines)


@pytest.mark.parametrize("terminal", [60], indirect=True)
def test_no_rows_are_no_table_on_a_terminal(terminal: int) -> None:
    assert table.render(HEADERS, []) == "No rows."


def test_no_rows_are_a_header_line_in_a_pipe() -> None:
    assert table.render(HEADERS, []).split() == list(HEADERS)
