"""Seasons and sequences against the model, in short. Twenty years and thousands of sequences: `python scripts/season.py`."""

from __future__ import annotations

import pytest
import season
from seasons import measures, stories
from seasons.finra import Line
from seasons.measures import Firm
from seasons.stories import Step

ENGINES = [pytest.param("sqlite", id="SQLite"), pytest.param("postgresql", id="PostgreSQL")]
SOURCES = [pytest.param("file", id="files"), pytest.param("api", id="API")]


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_season_shows_on_every_day_what_the_model_shows(engine: str, source: str) -> None:
    happened = season.play(engine, source, range(1, 2), fridays=4, shrinks=False)

    assert happened["faults"] == []
    assert happened["rows_compared"]


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("engine", ENGINES)
def test_commands_in_any_order_leave_what_the_model_says(engine: str, source: str) -> None:
    count = (3 if engine == "sqlite" else 2) if source == "file" else 1
    happened = season.play(engine, source, range(100, 100 + count), sequences=True, shrinks=False)

    assert happened["faults"] == []
    assert happened["stories"] == count


def test_the_model_measures_what_a_person_would() -> None:
    day = stories.first_friday(1)
    lines = (
        Line("A", "A Inc.", "UTP", "ATS", "EBXL", 0, "EBXL", 3_000_000, 2, None, day),
        Line("A", "A Inc.", "UTP", "OTC", "", 7, "Firm", 1_500_000, 1, None, day),
        Line("B", "B Inc.", "UTP", "ATS", "EBXL", 0, "EBXL", 1_500_000, 1, None, day),
    )
    shown = measures.Shown("id", "2025-01-03", "OTC", lines, "then")

    assert [row[3:] for row in measures.rows("venue_share", shown)] == [
        ("ATS", "EBXL", None, "EBXL", 4.5, 0.75, 1, "then", "symbol_rows"),
        ("OTC", "", 7, "Firm", 1.5, 0.25, 2, "then", "symbol_rows"),
    ]
    assert [row[3:] for row in measures.rows("hhi", shown)] == [
        ("TIER", "", 0.625, 2, 6, "then", "symbol_rows", None, None),
        ("SYMBOL", "A", 0.555555556, 2, 4.5, "then", "symbol_rows", 0.555555556, 0.555555556),
        ("SYMBOL", "B", 1.0, 1, 1.5, "then", "symbol_rows", 1.0, 1.0),
    ]


def test_the_model_measures_the_firms_behind_the_de_minimis_line() -> None:
    day = stories.first_friday(1)
    lines = (
        Line("A", "A Inc.", "UTP", "ATS", "EBXL", 0, "EBXL", 2_000_000, 2, None, day),
        Line("A", "A Inc.", "UTP", "OTC", "", 0, "De Minimis Firms", 2_000_000, 2, None, day),
    )
    hidden = (Firm("OTC", "", 7, "One", 1_000_000), Firm("OTC", "", 8, "Other", 1_000_000))
    shown = measures.Shown("id", "2025-01-03", "OTC", lines, "then", (Firm("ATS", "EBXL", 0, "EBXL", 2_000_000), *hidden))

    assert [row[3:] for row in measures.rows("hhi", shown)] == [
        ("TIER", "", 0.375, 3, 4, "then", "firm_total", 0.375, 0.375),
        ("SYMBOL", "A", 0.5, 2, 4, "then", "firm_total", 0.375, 0.5),
    ]
    assert [row[3:] for row in measures.rows("concentration", shown)] == [
        (4, 0.5, 0.375, 1.0, 0.5, 2.666666667, 1.0, 2, 3, "then", "firm_total")
    ]


def test_a_failing_story_is_made_smaller_and_can_be_read_back() -> None:
    steps = stories.season(3, fridays=10)
    kept = [step for step in steps if step.action == "run"][:2]

    smallest = stories.shrink(steps, lambda shorter: set(kept) <= set(shorter))

    assert smallest == kept
    assert [Step.read(str(step)) for step in steps] == steps


def test_a_story_is_the_same_for_the_same_seed() -> None:
    assert stories.season(5) == stories.season(5) != stories.season(6)
    assert stories.sequence(5) == stories.sequence(5)
