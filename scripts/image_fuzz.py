"""Stores random rows twice, laid out as a database and bound one by one, and compares what SQLite then holds.

python scripts/image_fuzz.py                      2,000 tables
python scripts/image_fuzz.py --count 20000 --seed 7
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from market_spine.db import connect, sqlite

_AFFINITIES = ("INTEGER", "REAL", "NUMERIC")  # of every column that figures go into
_EDGES = (0, 1, -1, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63))
_DOUBLES = (0.0, -0.0, 0.5, 1e15, 1e15 + 0.5, 2.0**53, 2.0**63, 1e300, 5e-324, float("inf"), float("-inf"), float("nan"))
_COUNTS = (1, 2, 499, 500, 501, 1_700)
_DTYPES = ("int8", "int32", "int64", ">i4", ">i8", "uint32", "bool", "float32", "float64", ">f8")


def column(random: np.random.Generator, count: int, *, odd: bool) -> NDArray[np.generic]:
    """A column of one type with values on the edges of it; an odd one is such that the layout could not hold it exactly."""
    kind = random.choice(["longdouble", "uint64", "object"]) if odd else random.choice([*_DTYPES, "object"])
    if kind == "object":
        choices = [*(_EDGES if odd else range(-4, 9)), *_DOUBLES[2:5], None]
        return np.array([choices[at] for at in random.integers(len(choices), size=count)], dtype=object)
    dtype = np.dtype(str(kind))
    if dtype.kind == "f":
        values = random.standard_normal(count) * 10.0 ** random.integers(-20, 20)
        values[random.random(count) < 0.2] = random.choice(_DOUBLES)
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    if dtype.kind == "b":
        return random.integers(2, size=count).astype(bool)
    limits = np.iinfo(dtype)
    values = random.integers(int(limits.min), min(int(limits.max), 2**63 - 1), count, dtype=np.int64, endpoint=True).astype(dtype)
    values[random.integers(count)] = limits.max  # of 64 bits without a sign: more than SQLite's integers hold
    return values[::-1] if random.random() < 0.2 else values


def table(random: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Columns of one length, sometimes one of them odd; sometimes more than the layout can hold."""
    width = int(random.choice([1, 2, 3, 5, 8, 13, 14, 30]))
    count, odd = int(random.choice(_COUNTS)), int(random.integers(3 * width))
    return {f"c{number}": column(random, count, odd=number == odd) for number in range(width)}


def differences(count: int, seed: int) -> Iterable[str]:
    """What is stored otherwise than it would be by binding; also an error of one way that the other does not raise."""
    for number in range(count):
        columns = table(np.random.default_rng([seed, number]))
        selected, bound = _stored(columns, worth_an_image=0), _stored(columns, worth_an_image=1 << 30)
        if selected != bound:
            kinds = [str(values.dtype) for values in columns.values()]
            yield f"table {number} of seed {seed}: {kinds}: {_first(selected, bound)}"


def _stored(columns: dict[str, NDArray[np.generic]], *, worth_an_image: int) -> list[str]:
    """The rows with their types as the database gives them back, or the error."""
    kept, sqlite._WORTH_AN_IMAGE = sqlite._WORTH_AN_IMAGE, worth_an_image
    database = connect(":memory:")
    names = ", ".join(f"{name} {_AFFINITIES[at % len(_AFFINITIES)]}" for at, name in enumerate(columns))
    try:
        database.execute(f"CREATE TABLE figures (key INTEGER, {names})")
        with database.transaction():
            database.bulk_columns("figures", {"key": 7}, columns)
        return [repr(row) for row in database.execute("SELECT * FROM figures ORDER BY rowid")]
    except OverflowError as error:
        return [repr(error)]
    finally:
        sqlite._WORTH_AN_IMAGE = kept
        database.close()


def _first(selected: list[str], bound: list[str]) -> str:
    pairs = (pair for pair in zip(selected, bound, strict=False) if pair[0] != pair[1])
    one, other = next(pairs, (f"{len(selected)} rows", f"{len(bound)} rows"))
    return f"{one[:300]} against {other[:300]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = list(differences(given.count, given.seed))
    print("\n".join(found))
    print(f"{given.count:,} tables, {len(found)} stored otherwise than by binding")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
