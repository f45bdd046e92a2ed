"""The figures of a content: sketches that depend on the set alone, and the text they are kept as."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gate_trials import history as market

from market_spine.gates import figures
from market_spine.gates.figures import SKETCH, Seen, contained, least, read_shape, shape_json
from market_spine.measure.firm_totals import Checked
from market_spine.parse import weekly_file
from market_spine.partition import NMS_TIER_1, Partition


@pytest.fixture(scope="module")
def lines() -> tuple[Partition, list[str]]:
    ((week, files),) = market.history(5, 1)
    return Partition(week, NMS_TIER_1), files[NMS_TIER_1]


def seen(partition: Partition, lines: list[str]) -> Seen:
    return figures.of_file(weekly_file.read([market.content(lines)], partition), Checked())


@pytest.mark.parametrize("count", [0, 1, 255, 257, 8 * SKETCH, 50_000])
@pytest.mark.parametrize("times", [1, 100], ids=["each once", "each a hundred times"])
def test_a_sketch_is_the_least_of_the_different_hashes(count: int, times: int) -> None:
    numbers = np.random.default_rng(count).integers(0, 1 << 64, count, dtype=np.uint64)
    expected = np.unique((numbers >> np.uint64(32)).astype(np.uint32))[:SKETCH]
    assert least(np.repeat(numbers, times)).tolist() == expected.tolist()


def test_one_long_symbol_more_changes_one_symbol(lines: tuple[Partition, list[str]]) -> None:
    partition, rows = lines
    symbol = rows[0].split("|")[1]
    one, other = seen(partition, rows), seen(partition, [*rows, rows[0].replace(symbol, "WARRANT.WS")])
    assert other.figures.symbols == one.figures.symbols + 1
    assert contained(one.shape.symbols, other.shape.symbols) > 0.98


def test_the_spread_is_read_as_it_was_stored_and_as_first_stores_have_it(lines: tuple[Partition, list[str]]) -> None:
    shape = seen(*lines).shape
    text = shape_json(shape)
    lists = [shape.letters.pairs.tolist(), shape.letters.rows.tolist()]
    first = json.dumps(json.loads(text) | {"letters": lists})
    for stored in (text, first):
        again = read_shape(stored)
        assert shape_json(again) == text
        assert [values.tolist() for values in again.letters] == lists


def test_the_largest_symbols_are_those_of_a_sort(lines: tuple[Partition, list[str]]) -> None:
    partition, rows = lines
    file = weekly_file.read([market.content(rows)], partition)
    volumes = dict[str, float]()
    for issue, shares in zip(file.columns.issue.tolist(), file.columns.shares.tolist(), strict=True):
        named = file.columns.issues[issue]
        assert named is not None
        volumes[named.symbol] = volumes.get(named.symbol, 0.0) + shares / 1e6
    largest = sorted(volumes.values(), reverse=True)[:20]
    assert sorted(seen(partition, rows).shape.top.values(), reverse=True) == pytest.approx(largest)
