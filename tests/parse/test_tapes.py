"""A security that trades on two tapes has two lines in a file."""

from __future__ import annotations

import pytest
from support.weekly_text import API_HEADER, HEADER, api_row, read, reasons, row

from market_spine.parse.columns import MICRO

TAPES = [
    ("both tapes", [row("100"), row("7")], [("", 100), ("2", 7)], 0, []),
    ("the smaller first", [row("7"), row("100")], [("2", 7), ("", 100)], 0, []),
    ("an equal pair beside", [row("100"), row("7"), row("5", mpid="B"), row("5", mpid="B")], [("", 100), ("2", 7), ("", 5), ("2", 5)], 0, []),
    ("equal lines", [row(), row()], [("", 100)], 1, []),
    ("a doubled file", [row("100"), row("7"), row(symbol="B"), row(symbol="B")], [("", 100), ("", 100)], 1, [3]),
    ("three lines", [row("100"), row("7"), row("8")], [("", 100)], 0, [3, 4]),
]


@pytest.mark.parametrize(
    ("lines", "kept", "collapsed", "rejected"), [case[1:] for case in TAPES], ids=[case[0] for case in TAPES]
)
def test_the_download_keeps_both_lines_of_a_security_on_two_tapes(
    lines: list[str], kept: list[tuple[str, int]], collapsed: int, rejected: list[int]
) -> None:
    file = read(HEADER + "".join(lines))
    issues = [file.columns.issues[code] for code in file.columns.issue.tolist()]
    shares = [value // MICRO for value in file.columns.shares.tolist()]
    assert [(issue and issue.product_type, value) for issue, value in zip(issues, shares, strict=True)] == kept
    assert (file.duplicates, [line for line, _ in reasons(file)]) == (collapsed, rejected)
    assert file.lines == len(lines)


def test_a_file_with_product_types_rejects_a_line_that_contradicts_another() -> None:
    assert reasons(read(API_HEADER + api_row() + api_row(shares="7"))) == [(3, "conflicting duplicate")]
