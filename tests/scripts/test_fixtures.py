"""The generator of weekly files: the shipped ones are its work, and its files are as FINRA's."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from fixtures import finra_generator as generator
from fixtures.finra_generator import API, Shape, published, week_file
from fixtures.finra_universe import TIERS
from fixtures.shipped_fixtures import shipped

from market_spine.calendar.publication import due_date
from market_spine.parse import weekly_file
from market_spine.partition import Partition

WEEK = date(2026, 1, 9)
DATA = Path(__file__).resolve().parents[2] / "data"
SHAPES = [
    pytest.param(Shape(), id="download"),
    pytest.param(Shape(last_newline=False), id="no-last-newline"),
    pytest.param(Shape(API), id="api-pipe"),
    pytest.param(Shape(API, sums=True), id="api-sums"),
    pytest.param(Shape(API, ",", quoted=True, sums=True), id="api-comma-quoted"),
]


def test_the_shipped_files_are_what_the_generator_makes() -> None:
    made = shipped()
    there = {str(path.relative_to(DATA)) for path in (DATA / "fixtures").rglob("*") if path.is_file()}
    assert there == set(made)
    assert [path for path, content in made.items() if (DATA / path).read_bytes() != content] == []


def test_the_shipped_files_are_small() -> None:
    assert sum(len(content) for content in shipped().values()) < 1_500_000


def test_the_same_arguments_give_the_same_bytes_everywhere() -> None:
    content = week_file("NMS_TIER_2", WEEK, 3000, seed=7, shape=Shape(API, sums=True))
    assert hashlib.sha256(content).hexdigest() == "a8821918e65a31505dd92bd87fcb5cf963d4866bf2fbc8213063c5d02675792b"


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_our_own_reader_finds_exactly_the_rows_asked_for(tier: str, shape: Shape) -> None:
    file = weekly_file.read([week_file(tier, WEEK, 1234, shape=shape)], Partition(WEEK, tier))
    assert (len(file.columns.shares), list(file.rejects), file.duplicates) == (1234, [], 0)
    assert bool(file.excluded) == shape.sums


@pytest.mark.parametrize(("tier", "rows_per_symbol"), [("NMS_TIER_1", 30), ("NMS_TIER_2", 16), ("OTC", 2.3)])
def test_sizes_are_those_of_real_files(tier: str, rows_per_symbol: float) -> None:
    content = week_file(tier, WEEK, 20_000)
    symbols = {line.split(b"|")[1] for line in content.splitlines()[1:]}
    assert 95 < len(content) / 20_000 < 108
    assert 20_000 / len(symbols) == pytest.approx(rows_per_symbol, rel=0.1)


def test_rows_are_sorted_by_symbol_and_mpid_the_firms_without_one_last() -> None:
    rows = [line.split("|") for line in week_file("NMS_TIER_1", WEEK, 2000).decode().splitlines()[1:]]
    keys = [(row[1], row[2], not row[4], row[4]) for row in rows]
    assert keys == sorted(keys)


def test_weeks_share_nine_rows_of_ten_and_no_figures() -> None:
    weeks = [week_file("NMS_TIER_2", WEEK - timedelta(weeks=n), 5000).decode().splitlines()[1:] for n in range(2)]
    first, second = ({tuple(row.split("|")[1:5]): row.split("|")[5] for row in week} for week in weeks)
    shared = first.keys() & second.keys()
    assert 0.8 < len(shared) / 5000 < 0.95
    assert sum(first[key] == second[key] for key in shared) < 0.05 * len(shared)


def test_a_few_securities_make_most_of_the_volume() -> None:
    volume: Counter[str] = Counter()
    for line in week_file("NMS_TIER_1", WEEK, 50_000).decode().splitlines()[1:]:
        volume[line.split("|")[1]] += int(line.split("|")[5])
    assert sum(shares for _, shares in volume.most_common(len(volume) // 50)) > 0.4 * volume.total()


def test_finras_sums_are_the_sums_of_the_rows() -> None:
    content = week_file("NMS_TIER_1", WEEK, 2000, shape=Shape(API, sums=True)).decode()
    totals: Counter[str] = Counter()
    for row in csv.DictReader(io.StringIO(content), delimiter="|"):
        totals[row["summaryTypeCode"]] += Decimal(row["totalWeeklyShareQuantity"])
    for kind in ("ATS", "OTC"):
        rows = totals[f"{kind}_W_SMBL_FIRM"]
        assert rows == totals[f"{kind}_W_SMBL"] == totals[f"{kind}_W_FIRM"] == totals[f"{kind}_W_VOL_STATS"] > 0


def test_an_eighth_of_nms_quantities_in_the_api_is_fractional() -> None:
    rows = csv.DictReader(io.StringIO(week_file("NMS_TIER_1", WEEK, 5000, shape=Shape(API)).decode()), delimiter="|")
    fractional = sum("." in row["totalWeeklyShareQuantity"] for row in rows)
    assert fractional == pytest.approx(650, rel=0.15)


@pytest.mark.parametrize("tier", TIERS)
def test_a_week_is_published_when_the_calendar_says(tier: str) -> None:
    weeks = [date(2019, 1, 4) + timedelta(weeks=n) for n in range(570)]
    assert [week for week in weeks if published(tier, week) != due_date(Partition(week, tier))] == []


@pytest.mark.parametrize(
    ("cents", "text"),
    [
        pytest.param(10_448_848, "104488.48", id="plain"),
        pytest.param(100_000, "1000.0", id="whole"),
        pytest.param(999_999_999, "9999999.99", id="just-below-ten-million"),
        pytest.param(1_000_000_000, "1.0E7", id="ten-million"),
        pytest.param(1_511_871_996_027, "1.511871996027E10", id="exponent"),
    ],
)
def test_notional_is_written_as_finra_writes_it(cents: int, text: str) -> None:
    assert generator._notional(cents * generator.MICRO) == text


@pytest.mark.parametrize("wrong", [{"delimiter": ","}, {"quoted": True}, {"sums": True}, {"form": API, "delimiter": ","}])
def test_a_shape_that_finra_does_not_have_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"download|names hold commas"):
        Shape(**wrong)  # type: ignore[arg-type]
