"""The grid: where fields lie, how figures are read eight digits at a time, and how equal texts are found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_spine.parse.figure_text import SHARES, read_figure
from market_spine.parse.grid import Interner, find_grid

PIPE = ord("|")


def fields(block: bytes, count: int) -> list[list[str]]:
    grid = find_grid(block, PIPE, count)
    return [[grid.text(row, at) for at in range(count)] for row in range(len(grid.lines))]


@pytest.mark.parametrize(
    ("block", "lines", "broken", "kept"),
    [
        (b"", 0, [], []),
        (b"a|b\nc|d\n", 2, [], [["a", "b"], ["c", "d"]]),
        (b"|\n", 1, [], [["", ""]]),
        (b"a|b\r\nc|d\r\n", 2, [], [["a", "b"], ["c", "d"]]),
        (b"a|b\nc\nd|e|f\ng|h\n", 4, [1, 2], [["a", "b"], ["g", "h"]]),
        (b"\na|b\n\r\n", 3, [], [["a", "b"]]),
        (b"a|b|c\nd\n", 2, [0, 1], []),
    ],
    ids=["nothing", "regular", "blank fields", "carriage returns", "broken lines", "blank lines", "as many separators as needed"],
)
def test_lines_with_the_right_number_of_fields_are_found(
    block: bytes, lines: int, broken: list[int], kept: list[list[str]]
) -> None:
    grid = find_grid(block, PIPE, 2)
    assert (grid.line_count, grid.broken, fields(block, 2)) == (lines, broken, kept)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("7", 7),
        ("12345678", 12_345_678),
        ("00000001", 1),
        ("123456789", 123_456_789),
        ("999999999999", 999_999_999_999),
        ("1234567890123", None),
        ("", None),
        ("1.0", None),
        ("/", None),
        (":", None),
        ("1234567/", None),
        ("12345678:", None),
        ("-1", None),
        (" 1", None),
        ("1\x00", None),
        ("\xb1", None),
    ],
    ids=ascii,
)
def test_a_whole_number_is_read_or_marked(text: str, value: int | None) -> None:
    grid = find_grid(f"x|{text}|y\n".encode("latin-1"), PIPE, 3)
    values, odd = grid.whole_numbers([1])
    assert odd.tolist() == [[value is None]]
    assert value is None or values.tolist() == [[value]]


@pytest.mark.parametrize(
    ("text", "micro"),
    [
        ("1.5", 1_500_000),
        ("0.000001", 1),
        (".5", None),
        ("12", 12_000_000),
        ("999999999999.999999", 999_999_999_999_999_999),
        ("1.", None),
        (".", None),
        ("1.2.3", None),
        ("0.1234567", 123_457),
        ("0.0000005", 0),  # half-even, as Decimal rounds
        ("0.0000015", 2),
        ("1.5118719960275284E10", 15_118_719_960_275_284),
        ("1.6711424E7", 16_711_424_000_000),
        ("12E3", 12_000_000_000),
        ("0.00001E11", 1_000_000_000_000),
        ("1E12", None),
        ("1234567890.1234567890", None),
        ("1E", None),
        ("E3", None),
        (".5E3", None),
        ("1E-3", None),
        ("1e3", None),
        ("", None),
    ],
    ids=ascii,
)
def test_a_figure_with_decimals_is_read_or_marked(text: str, micro: int | None) -> None:
    values, odd = find_grid(f"x|{text}|y\n".encode(), PIPE, 3).decimals(1, np.array([0]))
    assert odd.tolist() == [micro is None]
    assert micro is None or values.tolist() == [micro]


@given(st.lists(st.from_regex(r"[0-9]{0,14}(\.[0-9]{0,18})?(E[0-9]{0,3})?", fullmatch=True), min_size=1, max_size=30))
def test_figures_agree_with_those_read_one_by_one(texts: list[str]) -> None:
    grid = find_grid("".join(f"{text}|{text}\n" for text in texts).encode(), PIPE, 2)
    values, odd = grid.decimals(1, np.arange(len(texts)))
    for text, value, is_odd in zip(texts, values.tolist(), odd.tolist(), strict=True):
        assert is_odd or value == read_figure(text, SHARES, 1), text


@given(st.lists(st.text("0123456789/:;. -+e|", max_size=15).map(lambda text: text.replace("|", "")), min_size=1, max_size=30))
def test_whole_numbers_agree_with_python(texts: list[str]) -> None:
    grid = find_grid("".join(f"{text}|{text}\n" for text in texts).encode(), PIPE, 2)
    values, odd = grid.whole_numbers([0, 1])
    expected = [int(text) if text.isdigit() and len(text) <= 12 else None for text in texts]
    for at in range(2):
        assert [None if bad else value for value, bad in zip(values[at].tolist(), odd[at].tolist(), strict=True)] == expected


@given(st.lists(st.binary(max_size=300).map(lambda text: text.translate(None, b"|\n\r")), min_size=1, max_size=40))
@pytest.mark.parametrize("runs", [True, False])
def test_equal_texts_have_equal_numbers_and_no_others(runs: bool, texts: list[bytes]) -> None:
    texts = texts + texts[:3]
    grid, table = find_grid(b"".join(text + b"|x\n" for text in texts), PIPE, 2), Interner()
    codes = grid.codes(0, 0, table, runs=runs).tolist()
    by_number = {number: text for text, number in table.items()}
    assert [by_number[code] for code in codes] == texts
    assert grid.distinct(0) == set(texts)
