"""What a file becomes: rows, rejects, or a refusal."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from support.weekly_text import API_HEADER, GOOD, HEADER, SUMMARY_LAST, api_row, read, reasons, row

from market_spine.errors import UnusableContent
from market_spine.parse import lines
from market_spine.parse.columns import MICRO, UNKNOWN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("7", 7_000_000),
        ("12345678", 12_345_678_000_000),
        ("123456789", 123_456_789_000_000),
        ("999999999999", 999_999_999_999_000_000),
        ("10.000000", 10_000_000),
        ("4422558.766562", 4_422_558_766_562),
        ("0.5", 500_000),
        (".5", 500_000),
        ("249703875.123456", 249_703_875_123_456),
        ("1.5118719960275284E10", 15_118_719_960_275_284),
        ("1e3", 1_000_000_000),
        ("+5", 5_000_000),
        ("0.1234567", 123_457),
        (" 12 ", 12_000_000),
    ],
)
def test_a_figure_is_read_exactly_in_millionths(text: str, expected: int) -> None:
    assert read(HEADER + row(shares=text)).columns.shares.tolist() == [expected]


@pytest.mark.parametrize(
    ("shares", "reason"),
    [
        ("-5", "negative share quantity"),
        ("", "unreadable share quantity"),
        ("abc", "unreadable share quantity"),
        ("1.2.3", "unreadable share quantity"),
        ("12a", "unreadable share quantity"),
        ("NaN", "unreadable share quantity"),
        ("inf", "unreadable share quantity"),
        ("1e300", "share quantity beyond 9 trillion"),
        ("9" * 13, "share quantity beyond 9 trillion"),
        ("9" * 400, "unreadable share quantity"),
        ("0x10", "unreadable share quantity"),
        ("１２", "unreadable share quantity"),
        ("1_000", "unreadable share quantity"),
        (".", "unreadable share quantity"),
        ("1/2", "unreadable share quantity"),
        ("1:2", "unreadable share quantity"),
    ],
)
def test_a_figure_that_is_none_rejects_its_line_and_no_other(shares: str, reason: str) -> None:
    file = read(HEADER + row(symbol="A") + row(shares=shares) + row(symbol="Z"))
    assert reasons(file) == [(3, reason)]
    assert len(file.columns.shares) == 2


def test_a_fraction_of_a_trade_is_rejected() -> None:
    assert reasons(read(HEADER + row(trades="1.5"))) == [(2, "trade count is not a whole number")]


def test_a_thousands_comma_refuses_the_whole_file() -> None:
    with pytest.raises(UnusableContent, match=r"line 3: 6,753,871 has a thousands comma") as caught:
        read(HEADER + GOOD + row(shares="6,753,871", symbol="B"))
    assert caught.value.category == "THOUSANDS_SEPARATOR"


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("last", [True, False], ids=["final newline", "no final newline"])
@pytest.mark.parametrize(
    "before", ["", "\ufeff", "# a comment\n#another\n", "\ufeff# comment\n\n"], ids=["bare", "BOM", "comments", "both"]
)
def test_the_bytes_around_the_lines_do_not_matter(ending: str, last: bool, before: str) -> None:
    text = (before + HEADER + row(symbol="A") + row(symbol="B", trades="17")).replace("\n", ending)
    file = read(text if last else text.removesuffix(ending))
    assert file.columns.shares.tolist() == [100 * MICRO] * 2
    assert file.columns.trades.tolist() == [5, 17]
    assert file.last_updated == "2026-01-12"
    assert not file.rejects


def test_fields_are_found_by_name_not_by_place() -> None:
    text = (
        "MPID|lastUpdateDate|totalWeeklyTradeCount|issueName|totalWeeklyShareQuantity|marketParticipantName|issueSymbolIdentifier\n"
        "UBSA|2026-01-12|5|Apple Inc. Common Stock|100|UBSA UBS ATS|AAPL\n"
    )
    straight, shuffled = read(HEADER + GOOD).columns, read(text).columns
    assert (shuffled.issues, shuffled.venues) == (straight.issues, straight.venues)
    assert shuffled.shares.tolist() == straight.shares.tolist()


@pytest.mark.parametrize("delimiter", ["|", ","])
def test_quoted_text_reads_like_plain_text(delimiter: str) -> None:
    lines = (HEADER + row(symbol="A") + row(symbol="B").replace("Inc. Common", "Inc., Common")).splitlines()
    quoted = "".join(delimiter.join(f'"{field}"' for field in line.split("|")) + "\n" for line in lines)
    file = read(quoted)
    assert [issue.issue_name for issue in file.columns.issues if issue] == ["Apple Inc. Common Stock", "Apple Inc., Common Stock"]
    assert file.columns.shares.tolist() == [100 * MICRO] * 2


def test_a_quote_in_an_unquoted_file_is_a_character() -> None:
    file = read(HEADER + row(venue='UBSA "UBS" ATS'))
    assert file.columns.venues[0] is not None
    assert file.columns.venues[0].venue_name == 'UBSA "UBS" ATS'


def test_names_keep_their_spaces_and_symbols_their_case() -> None:
    file = read(HEADER + row(symbol="BRK.B") + row(symbol="BRKp") + row(symbol="BRKP").replace("Apple Inc.", "Apple  Inc."))
    assert [issue.symbol for issue in file.columns.issues if issue] == ["BRK.B", "BRKp", "BRKP"]
    assert file.columns.issues[2] is not None
    assert file.columns.issues[2].issue_name == "Apple  Inc. Common Stock"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (row(symbol=""), "blank symbol"),
        (row(symbol=" "), "blank symbol"),
        (row(mpid="", venue=""), "blank venue"),
        ("NMS Tier 1|AAPL|x|5\n", "wrong number of fields"),
        (row().rstrip("\n") + "|more\n", "wrong number of fields"),
        (row(symbol="A\x00B"), "control character"),
        (row(symbol="A" * 1200), "text too long"),
    ],
    ids=["blank symbol", "space symbol", "blank venue", "short", "long", "NUL", "huge"],
)
def test_a_broken_line_is_rejected_with_its_number(line: str, reason: str) -> None:
    file = read(HEADER + row(symbol="A") + "\n" + line + row(symbol="Z"))
    assert reasons(file) == [(4, reason)]
    assert len(file.columns.shares) == 2


def test_bytes_that_are_not_utf8_reject_their_line() -> None:
    file = read(
        (HEADER + row(symbol="A")).encode() + row(symbol="?").encode().replace(b"?", b"\xff\xfe") + row(symbol="Z").encode()
    )
    assert reasons(file) == [(3, "not UTF-8")]


def test_equal_repeats_collapse_and_differing_ones_are_rejected() -> None:
    file = read(HEADER + row() + row() + row(shares="200") + row(symbol="B") + row(venue="UBSA Renamed"))
    assert file.duplicates == 1
    assert reasons(file) == [(4, "conflicting duplicate"), (6, "conflicting duplicate")]
    assert file.columns.shares.tolist() == [100 * MICRO] * 2
    assert file.lines == 5


def test_sums_are_left_out_and_firms_are_known_by_their_crd() -> None:
    file = read(
        API_HEADER
        + api_row()
        + api_row("ATS_W_SMBL", mpid="", venue="")
        + api_row("OTC_W_SMBL_FIRM", mpid="", crd="7059", venue="CITADEL SECURITIES LLC")
        + api_row("OTC_W_SMBL_FIRM", mpid="", venue="De Minimis Firms")
        + api_row("OTC_W_FIRM", symbol="", shares="x")
        + api_row("ATS_W_VOL_STATS", symbol="")
    )
    assert (file.excluded, file.rejects, len(file.columns.shares)) == (3, (), 3)
    assert {(v.venue_class, v.mpid, v.firm_crd, v.venue_name) for v in file.columns.venues if v} == {
        ("ATS", "UBSA", 0, "UBSA UBS ATS"),
        ("OTC", "", 7059, "CITADEL SECURITIES LLC"),
        ("OTC", "", 0, "De Minimis Firms"),
    }
    assert file.columns.notional is not None
    assert file.columns.notional.tolist() == [15_000 * MICRO] * 3


def test_one_symbol_may_stand_on_two_tapes_and_under_two_names() -> None:
    file = read(API_HEADER + api_row() + api_row(product="CTS") + api_row().replace("Apple Inc.", "Apricot Inc."))
    assert (len(file.columns.shares), file.duplicates, file.rejects) == (3, 0, ())


@pytest.mark.parametrize(
    "line",
    [api_row(tier="T2"), api_row(week="2025-12-15"), api_row() + api_row(tier="T2", symbol="B")],
    ids=["tier", "week", "mixed"],
)
def test_content_that_names_another_partition_is_refused(line: str) -> None:
    with pytest.raises(UnusableContent, match="was offered as 2025-12-26 / NMS_TIER_1") as caught:
        read(API_HEADER + line)
    assert caught.value.category == "WRONG_PARTITION"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "<html><head><title>Sorry|no</title></head>\n" * 5,
        HEADER.replace("|", ";") + GOOD,
        "\x00\x01\x02" * 50_000,
        "#\n#\n",
    ],
    ids=["empty", "blank", "HTML", "semicolons", "binary", "comments"],
)
def test_text_without_a_usable_header_is_refused(text: str) -> None:
    with pytest.raises(UnusableContent) as caught:
        read(text)
    assert caught.value.category == "NO_HEADER"


def test_a_line_beyond_a_megabyte_is_refused() -> None:
    with pytest.raises(UnusableContent, match="longer than 1 MB"):
        read(HEADER + "x" * (3 << 20), block=1 << 16)


def test_rejected_lines_are_found_again_by_their_numbers() -> None:
    content = (HEADER + row(symbol="A") + row(symbol="") + row(symbol="B")).encode()
    assert lines.lines_at([content[:150], content[150:]], [1, 3]) == {1: HEADER.rstrip(), 3: row(symbol="").rstrip()}


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), (HEADER, 0), (HEADER + GOOD, 1), (HEADER + GOOD + GOOD.rstrip(), 2), ("# c\n" + HEADER + GOOD, 1), ("# only", 0)],
)
def test_data_lines_are_counted_at_a_glance(text: str, count: int) -> None:
    assert lines.data_lines(text.encode()) == count


def test_blocks_may_be_cut_anywhere() -> None:
    draw = random.Random(7)
    lines = [row(str(draw.randrange(10 ** draw.randrange(1, 12))), symbol=f"S{n // 7}", mpid=f"M{n % 7:03}") for n in range(400)]
    lines[100] = row(symbol="")
    text = HEADER + "".join(lines)
    whole = read(text)
    for block in (1, 7, 64, 997, 4096):
        parts = read(text, block=block)
        assert parts.columns.shares.tolist() == whole.columns.shares.tolist()
        assert parts.columns.issue.tolist() == whole.columns.issue.tolist()
        assert reasons(parts) == reasons(whole) == [(102, "blank symbol")]


def test_every_field_agrees_with_a_plain_reading_of_random_lines() -> None:
    draw = random.Random(11)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabc.$ &'/"
    rows = []
    for n in range(3000):
        name = "".join(draw.choice(letters) for _ in range(draw.randrange(0, 40)))
        venue = "".join(draw.choice(letters) for _ in range(draw.randrange(1, 30)))
        shares = draw.choice([str(draw.randrange(10**9)), f"{draw.randrange(10**6)}.{draw.randrange(10**6):06}"])
        rows.append((f"S{n}", name, venue + "x", f"M{draw.randrange(50)}", shares, str(draw.randrange(1, 10**5))))
    text = HEADER + "".join(f"NMS Tier 1|{'|'.join(r)}|2026-01-12\n" for r in rows)
    columns = read(text).columns
    for n, (symbol, name, venue, mpid, shares, trades) in enumerate(rows):
        issue, place = columns.issues[columns.issue[n]], columns.venues[columns.venue[n]]
        assert issue is not None
        assert place is not None
        assert (issue.symbol, issue.issue_name, place.venue_name, place.mpid) == (symbol, name, venue, mpid)
        assert columns.shares[n] == round(float(shares) * MICRO)
        assert columns.trades[n] == int(trades)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (api_row(tier="OTC_"), "unknown tierIdentifier"),
        (api_row(tier=""), "unknown tierIdentifier"),
        (api_row(week="2025-12-2x"), "unknown weekStartDate"),
        (api_row(week="2025-12-23"), "unknown weekStartDate"),
    ],
    ids=["tier", "blank tier", "no date", "a Tuesday"],
)
def test_an_unknown_tier_or_week_rejects_its_line_and_no_other(line: str, reason: str) -> None:
    file = read(API_HEADER + api_row(symbol="A") + line + api_row(symbol="Z"))
    assert reasons(file) == [(3, reason)]
    assert len(file.columns.shares) == 2


def test_a_refusal_names_the_same_partition_whatever_the_order_of_a_set() -> None:
    foreign = [api_row(tier=tier, symbol=tier) for tier in ("T2", "OTCE", "NMS Tier 2", "OTC")]
    said = set()
    for _ in range(5):
        foreign = foreign[1:] + foreign[:1]
        with pytest.raises(UnusableContent) as caught:
            read(API_HEADER + "".join(foreign))
        said.add(caught.value.message)
    assert said == {"the content says tierIdentifier 'NMS Tier 2', but was offered as 2025-12-26 / NMS_TIER_1; put it under its own name; nothing is relabelled"}


def quoted(text: str) -> str:
    return "".join('"' + line.replace("|", '"|"') + '"\n' for line in text.splitlines())


@pytest.mark.parametrize(
    "line",
    [
        quoted(row())[:-2] + "\n",
        quoted(row()).replace('"100"', '"100"x'),
        quoted(row()).replace('"100"', '"100"0049'),
        quoted(row()).replace('"UBSA"', '"UB"SA"'),
    ],
    ids=["an open quote", "a letter after a quote", "digits after a quote", "a quote inside"],
)
def test_quotes_that_cannot_be_read_reject_their_line_and_no_other(line: str) -> None:
    file = read(quoted(HEADER + row(symbol="A")) + line + quoted(row(symbol="Z")))
    assert reasons(file) == [(3, "unreadable quotes")]
    assert [issue.symbol for issue in file.columns.issues if issue] == ["A", "Z"]


@pytest.mark.parametrize("control", ["\x00", "\x01", "\x1f", "\x7f", "\x80", "\x92", "\x9f"], ids=ascii)
@pytest.mark.parametrize("wrap", [str, quoted], ids=["plain", "quoted"])
@pytest.mark.parametrize("good", [row(symbol="X?Y"), row(venue="X?Y")], ids=["symbol", "venue"])
def test_a_control_character_in_a_name_rejects_its_line(control: str, wrap: Callable[[str], str], good: str) -> None:
    bad = wrap(good).replace("?", control)
    file = read(wrap(HEADER + row(symbol="A")) + bad + wrap(row(symbol="Z")))
    assert [line for line, _ in reasons(file)] == [3]
    assert len(file.columns.shares) == 2


@pytest.mark.parametrize(
    ("header", "last", "cut"),
    [
        (HEADER, GOOD, False),
        (HEADER, GOOD.rstrip(), False),
        (HEADER, GOOD.rstrip() + "\r", False),
        (HEADER, GOOD[:-2], True),
        (HEADER, GOOD[:-12], True),
        (HEADER, "NMS", True),
        (quoted(HEADER), quoted(GOOD)[:-1], False),
        (quoted(HEADER), quoted(GOOD)[:-2], True),
        ("MPID|issueSymbolIdentifier|marketParticipantName|totalWeeklyTradeCount|totalWeeklyShareQuantity\n", "A|B|C|1|1000", True),
        ("totalWeeklyShareQuantity|issueSymbolIdentifier|totalWeeklyTradeCount|marketParticipantName|MPID\n", "1|B|1|C|UBSA", True),
        (SUMMARY_LAST, "UBSA|A|UBS|1|1|ATS_W_SMBL_FIRM", False),
        (SUMMARY_LAST, "UBSA|A|UBS|1|1|ATS_W_SMBL", True),
    ],
    ids=[
        "newline", "none", "carriage return", "in the date", "before the date", "first field", "quoted", "open quote", "figure",
        "name", "code", "beginning of a code",
    ],
)
def test_a_last_line_without_a_line_end_is_whole_only_if_it_cannot_go_on(header: str, last: str, cut: bool) -> None:
    assert read(header + last).cut_at == (2 if cut else None)


def test_a_blank_notional_is_unknown_and_never_zero() -> None:
    file = read(API_HEADER + api_row(symbol="A", notional="") + api_row(symbol="B", notional="0"))
    assert file.columns.notional is not None
    assert file.columns.notional.tolist() == [UNKNOWN, 0]
