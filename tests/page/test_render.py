"""Rendering: 500 hostile strings in every place a page has, the figures of charts, how values are written, names of files."""

from __future__ import annotations

import itertools
from datetime import date, timedelta

import pytest
from pages.demonstration import Seen

from market_spine.operate.status_grid import Cell, CellState
from market_spine.page import charts, render
from market_spine.page.charts import short
from market_spine.page.parts import (
    Address,
    Card,
    Cards,
    Chart,
    Choices,
    Column,
    Commands,
    Fact,
    Facts,
    Kind,
    Linked,
    Log,
    Notice,
    Page,
    Point,
    Search,
    Series,
    Table,
    to,
)
from market_spine.page.render import Frame
from market_spine.page.site import Filed, Served, file_of
from market_spine.partition import OTC, Partition

FRIDAY = date(2026, 1, 9)
_CORES = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "</td></table><b>", "</title><script>", "<!--",
    "]]>", "{{ 7*7 }}", "{% include 'base.html' %}", "javascript:alert(1)", "' onmouseover='alert(1)", '" onfocus="alert(1)" x="', "&lt;i&gt;",
    "&#60;i&#62;", "<a href=//elsewhere>", "\\u003cscript\\u003e", "<style>*{display:none}</style>", "</textarea>", "%3Cscript%3E", "=cmd|'/c'!A1",
)
_AROUND = ("{}", '"{}', "'{}", ">{}", "`{}`", "{}\u202e", "\ufeff{}", "é{}", "{}/../..", "{}\u2028", "a{}b", "<{}>", "{}<", "&{};", "--{}--",
           "[{}]", "({})", "{}?x=y#z", "{}\\", "{} {}", "x{}", "{}{}", "${{{}}}", "+{}", "@{}")
HOSTILE = [around.replace("{}", core) for core, around in itertools.product(_CORES, _AROUND)]


def page_of(words: list[str]) -> Page:
    """A page with these words wherever a page has words."""
    one, two, three = words[:3]
    columns = [Column(f"c{n}", words[n % len(words)], kind) for n, kind in enumerate((Kind.TEXT, Kind.CODE, Kind.STATE, Kind.PROSE))]
    rows = [(Linked(word, to("venues", word)), word, word, word) for word in words]
    table = Table("rows", one, columns, rows, two, most=1000)
    cell = Cell(Partition(FRIDAY, OTC), CellState.FAILED, None, 0, None, one, two)
    return Page(
        to("symbols", one), one, two,
        [
            table, Chart(three, Kind.NUMBER, [Series(one, [Point(FRIDAY, 1.0)])], Table("t", two, columns, [], three)),
            Facts([Fact(one, two, Kind.TEXT, three)]), Cards([Card(one, to("weeks", two), cell, [Fact(two, three)])]),
            Commands(one, [(two, three)]), Notice("bad", [[one, Linked(two, to(three))]], three), Log(one, [(one, two, three)]),
            Choices(one, [(two, to("venues", three), True)]), Search(one, to("symbols"), "q", two),
        ],
        [(three, to("weeks", one))], two,
    )


def test_five_hundred_hostile_strings_are_shown_as_words() -> None:
    assert len(set(HOSTILE)) == 500
    frame = Frame(Served(), "demo", demo="")
    shown = Seen(render.html(page_of(HOSTILE), frame))
    plain = Seen(render.html(page_of([f"word{n}" for n in range(500)]), frame))
    assert shown.tags == plain.tags  # not one tag or attribute more
    texts = set(shown.texts)
    assert [word for word in HOSTILE if word not in texts and word.strip() not in {text.strip() for text in texts}] == []
    assert [link for link in shown.links if not link.startswith(("/", "#main"))] == []


def test_a_chart_has_a_piece_for_each_run_of_weeks_and_a_dot_for_each_value() -> None:
    weeks = [FRIDAY + timedelta(weeks=n) for n in range(6)]
    values = (0.1, 0.2, None, 0.4, None, 0.6)
    points = [Point(week, value, is_revised=value == 0.4) for week, value in zip(weeks, values, strict=True)]
    drawing = charts.draw(Chart("c", Kind.SHARE, [Series("one", points)]))
    assert drawing is not None
    assert [len(line.pieces) for line in drawing.lines] == [3]
    assert [dot.point.value for dot in drawing.lines[0].dots] == [0.1, 0.2, 0.4, 0.6]
    assert [tick.text for tick in drawing.values] == ["0 %", "20 %", "40 %", "60 %"]
    assert all(0 <= dot.x <= charts.WIDTH and 0 <= dot.y <= charts.HEIGHT for dot in drawing.lines[0].dots)


@pytest.mark.parametrize("values", [(5.0,), (0.0,), (7.0, 7.0), (-1.0, 1.0), (1e-9, 2e-9), (1e13, 5.0)])
def test_a_chart_of_any_values_lies_within_its_frame(values: tuple[float, ...]) -> None:
    points = [Point(FRIDAY + timedelta(weeks=n), value) for n, value in enumerate(values)]
    drawing = charts.draw(Chart("c", Kind.NUMBER, [Series("one", points)]))
    assert drawing is not None
    assert all(0 <= dot.y <= charts.HEIGHT for dot in drawing.lines[0].dots)
    assert charts.draw(Chart("c", Kind.NUMBER, [Series("one", [Point(FRIDAY, None)])])) is None


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (1234567, Kind.NUMBER, "1,234,567"), (2209364.641916, Kind.NUMBER, "2,209,365"), (0.5, Kind.NUMBER, "0.5"), (0, Kind.NUMBER, "0"),
        (-466914, Kind.SIGNED, "−466,914"), (12, Kind.SIGNED, "+12"), (0, Kind.SIGNED, "0"), (0.12345, Kind.SHARE, "12.35 %"),
        (-0.00964, Kind.POINTS, "−0.964"), (0.1, Kind.INDEX, "0.1000"), (7.2, Kind.RATIO, "7.20"), (0.01789, Kind.DECIMAL, "0.01789"),
        (None, Kind.NUMBER, "–"), ("", Kind.TEXT, "–"), ("2026-01-09T12:00:00+00:00", Kind.MOMENT, "2026-01-09 12:00"),
        ("finra.otc_transparency:OTC:2025-12-26:20260109", Kind.CODE, "OTC:2025-12-26:20260109"),
    ],
)
def test_a_value_is_written_by_its_kind(value: float | str | None, kind: Kind, text: str) -> None:
    assert render.shown(value, kind) == text


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (1500.0, "1.5 k"), (2.5e9, "2.5 B"), (3e6, "3 M")])
def test_a_tick_is_short(value: float, text: str) -> None:
    assert short(value, Kind.NUMBER) == text


def test_no_two_pages_share_a_file_even_where_case_does_not_count() -> None:
    names = ["CLVRW", "CLVRw", "BRK.B", "A/B", "A_B", "..", ".", "CON", "é", "x" * 300, "venues", *HOSTILE]
    paths = [file_of(to("symbols", name)) for name in names]
    assert len({path.lower() for path in paths}) == len(names)
    assert all(path.count("/") == 1 and ".." not in path and len(path) < 120 for path in paths)


def test_a_link_of_a_file_is_relative_and_none_where_the_page_is_left_out() -> None:
    site = Filed(to("weeks", "2025-12-26", OTC), lambda address: address != to("queue"))
    assert site.href(to()) == "../../index.html"
    assert site.href(to("weeks", "2025-12-26")) == "../../weeks/2025-12-26.html"
    assert site.href(to("queue")) is None
    assert site.href(Address(("venues",), (("tier", OTC),)), format="csv", table="venues") == "../../venues-tier-OTC.venues.csv"


def test_every_command_of_a_page_is_typed_for_its_database() -> None:
    command = "spine backfill --from 2026-01-09"
    table = Table("t", "t", [Column("command", "Command", Kind.TYPED)], [(command,), (None,)])
    cell = Cell(Partition(FRIDAY, OTC), CellState.FAILED, None, 0, None, "p", command)
    card = Card("c", to("weeks"), cell, [])
    page = Page(to(), "t", "l", [table, Cards([card]), Commands("c", [("about", command)])])
    shown = Seen(render.html(page, Frame(Served(), "x", typed=lambda line: f"{line} --db mine")))
    assert [text.strip() for text in shown.texts if "backfill" in text] == [f"{command} --db mine"] * 3
    assert "– --db" not in shown.text
