"""The rolling measures by hand, and against pandas and DuckDB on random histories."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from statistics import median

import duckdb
import pandas as pd
import pytest

from market_spine.measure.windows import MIXED, Week, measure_window, parts_of, sessions
from market_spine.partition import weeks_of, weeks_with

FIRST = date(2025, 9, 5)
MILLION = 1_000_000
Volumes = Sequence[dict[int, int]]


def history(volumes: Volumes, ats: frozenset[int] = frozenset({1})) -> list[Week]:
    """Consecutive weeks of whole shares by venue."""
    made = []
    for number, venues in enumerate(volumes):
        total = sum(venues.values())
        hhi = sum(v * v for v in venues.values()) / (total * total) if total else None
        in_millionths = {venue: shares * MILLION for venue, shares in venues.items()}
        of_ats = sum(shares for venue, shares in in_millionths.items() if venue in ats)
        week = FIRST + timedelta(weeks=number)
        parts = parts_of(in_millionths, total * MILLION)
        made.append(Week(week, "symbol_rows", total * MILLION, of_ats, 10 * (number + 1), hhi, in_millionths, parts))
    return made


RISING = history([{1: 50, 2: 50}, {1: 60, 2: 40}, {1: 70, 2: 30}, {1: 80, 2: 20}, {1: 90, 2: 10}, {1: 100}])


def test_the_figures_of_a_venue_by_hand() -> None:
    first, second = measure_window(RISING).venues
    assert (first.total_shares, first.rank, first.active_weeks) == (450, 1, 6)
    assert first.share_mean == pytest.approx(0.75, abs=1e-15)
    assert first.slope == pytest.approx(0.1, abs=1e-15)
    assert first.deviation == pytest.approx((1.0 - 0.7) / (1.4826 * 0.1), rel=1e-12)
    assert (second.total_shares, second.rank, second.active_weeks) == (150, 2, 5)
    assert second.slope == pytest.approx(-0.1, abs=1e-15)


def test_the_figures_of_the_tier_by_hand() -> None:
    tier = measure_window(RISING).tier
    assert (tier.total_shares, tier.ats_shares, tier.total_trades, tier.venue_count) == (600, 450, 210, 2)
    assert tier.hhi == (450**2 + 150**2) / 600**2
    assert tier.hhi_mean == pytest.approx((0.5 + 0.52 + 0.58 + 0.68 + 0.82 + 1) / 6, abs=1e-15)
    assert tier.ats_fraction_slope == pytest.approx(0.1, abs=1e-15)
    assert (tier.shares_slope, tier.basis, tier.sessions) == (0, "symbol_rows", 29)  # Labor Day


@pytest.mark.parametrize(
    ("volumes", "means", "deviations"),
    [
        ([{1: 5}] * 6, [1.0], [None]),
        ([{1: 5}] * 5 + [{}], [None], [None]),
        ([{1: 1, 2: 1}] * 5 + [{1: 3, 2: 1}], [pytest.approx(3.25 / 6), pytest.approx(2.75 / 6)], [None, None]),
    ],
    ids=["always the same", "a week without volume", "no spread before"],
)
def test_what_has_no_figure_is_none(volumes: Volumes, means: list[object], deviations: list[None]) -> None:
    figures = measure_window(history(volumes)).venues
    assert [figure.share_mean for figure in figures] == means
    assert [figure.deviation for figure in figures] == deviations


def test_a_week_without_volume_takes_the_figures_of_weeks_with_it() -> None:
    tier = measure_window(history([{1: 5}] * 5 + [{}])).tier
    assert (tier.hhi, tier.total_shares, tier.shares_slope) == (1.0, 25, pytest.approx(-5 / 7))
    assert (tier.hhi_mean, tier.hhi_slope, tier.ats_fraction_slope, tier.effective_venues_slope) == (None, None, None, None)


def test_weeks_counted_in_two_ways_are_marked() -> None:
    weeks = [week._replace(basis="firm_total") if number else week for number, week in enumerate(RISING)]
    assert measure_window(weeks).tier.basis == MIXED


@pytest.mark.parametrize(
    ("week", "days"),
    [(date(2025, 11, 28), 4), (date(2025, 11, 21), 5), (date(2026, 1, 2), 4), (date(2001, 9, 14), 1)],
    ids=["Thanksgiving, and a half day", "none closed", "New Year", "September 2001"],
)
def test_the_sessions_of_a_week(week: date, days: int) -> None:
    assert sessions(week) == days


def test_the_weeks_of_a_window_and_the_windows_with_a_week() -> None:
    assert weeks_of(date(2026, 1, 16), 3) == [date(2026, 1, 2), date(2026, 1, 9), date(2026, 1, 16)]
    assert weeks_with(date(2026, 1, 16), 3) == [date(2026, 1, 16), date(2026, 1, 23), date(2026, 1, 30)]


def random_history(seed: int) -> list[dict[int, int]]:
    chance = random.Random(seed)
    venues = range(1, chance.randint(2, 9))
    return [
        {venue: chance.randint(0, 10 ** chance.randint(1, 9)) for venue in venues if chance.random() < 0.8} | {99: 7}
        for _ in range(chance.randint(13, 30))
    ]


def frame_of(volumes: Volumes) -> pd.DataFrame:
    """Weeks × venues; a venue that is absent has 0."""
    return pd.DataFrame(volumes).fillna(0).sort_index(axis=1)


@pytest.mark.parametrize("seed", range(50))
def test_a_random_history_equals_pandas_and_duckdb(seed: int) -> None:
    volumes = random_history(seed)
    length = 6 if seed % 2 else 13
    weeks, frame = history(volumes), frame_of(volumes)
    shares = frame.div(frame.sum(axis=1), axis=0)
    pooled = frame.rolling(length).sum().div(frame.sum(axis=1).rolling(length).sum(), axis=0)
    mean, spread = shares.rolling(length).mean(), shares.rolling(length)
    slope = spread.apply(lambda x: ((range(length) - pd.Series(range(length)).mean()) * x).sum() / (length * (length**2 - 1) / 12), raw=True)
    by_duckdb = duckdb_windows(frame, length)
    for end in range(length - 1, len(weeks)):
        window = weeks[end - length + 1 : end + 1]
        tier, total = measure_window(window).tier, sum(week.shares for week in window) / MILLION
        assert tier.hhi == pytest.approx((pooled.iloc[end] ** 2).sum(), abs=1e-9)
        for venue in measure_window(window).venues:
            column = shares[venue.venue_id]
            assert venue.total_shares / total == pytest.approx(pooled[venue.venue_id].iloc[end], abs=1e-9)
            assert venue.share_mean == pytest.approx(mean[venue.venue_id].iloc[end], abs=1e-9)
            assert venue.slope == pytest.approx(slope[venue.venue_id].iloc[end], abs=1e-9)
            assert (venue.share_mean, venue.slope, venue.total_shares) == pytest.approx(by_duckdb[end, venue.venue_id], abs=1e-9)
            before = list(column.iloc[end - length + 1 : end])
            usual = median(before)
            away = median(abs(x - usual) for x in before)
            expected = (column.iloc[end] - usual) / (1.4826 * away) if away else None
            assert venue.deviation == (expected if expected is None else pytest.approx(expected, rel=1e-9, abs=1e-9))


def duckdb_windows(frame: pd.DataFrame, length: int) -> dict[tuple[int, int], tuple[float, float, float]]:
    """By week and venue: mean share, slope and volume of the window that ends there."""
    rows = [(week, int(venue), float(frame[venue].iloc[week])) for venue in frame for week in range(len(frame))]
    with duckdb.connect() as duck:
        duck.execute("CREATE TABLE volumes (week INTEGER, venue INTEGER, shares DOUBLE)")
        duck.executemany("INSERT INTO volumes VALUES (?, ?, ?)", rows)
        found = duck.execute(
            f"""
            WITH x AS (SELECT *, shares / SUM(shares) OVER (PARTITION BY week) AS share FROM volumes)
            SELECT week, venue, AVG(share) OVER w, REGR_SLOPE(share, week) OVER w, SUM(shares) OVER w FROM x
            WINDOW w AS (PARTITION BY venue ORDER BY week ROWS {length - 1} PRECEDING)
            """
        ).fetchall()
    return {(week, venue): tuple(figures) for week, venue, *figures in found}
