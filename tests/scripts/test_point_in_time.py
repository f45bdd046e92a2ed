"""Publications and revisions, and then at random: what was known of a row on a day, against what was shown and served.

A whole year and a thousand times: `YEAR_WEEKS=52 pytest tests/scripts/test_point_in_time.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from seasons.changes import World
from seasons.engine import Engine
from seasons.finra import Content, Finra, Partition
from seasons.sources import Api, Files, Source
from stand_ins.finra_fake import FinraFake

from market_spine.db import Database
from market_spine.query import vintages
from market_spine.query.answer import Question, answer
from market_spine.query.views import VIEWS
from market_spine.query.vintages import DECLARED, Row, Version, Vintages

FIRST = date(2026, 1, 9)
WEEKS = int(os.environ.get("YEAR_WEEKS", "10"))
ASKED = 1000 * WEEKS // 52
DATED = ("revise", "revise", "revise", "move", "delay")
SILENT = ("change_silently", "change_silently", "move_silently", "take_back")


class Year(NamedTuple):
    """What FINRA served at the end of each day, and on which days something may have changed that no date tells."""

    finra: Finra
    served: dict[date, dict[Partition, Content]]
    silent: set[date]


def live(engine: Engine, source: Source) -> Year:
    """Something happens on every working day, in two weeks of three with a date; a run every Friday."""
    draw = Random(18)
    world = World(Finra(FIRST - timedelta(weeks=6), 18, FIRST), files=False)
    year = Year(world.finra, {}, set())
    for day in (FIRST + timedelta(days=n) for n in range(7 * WEEKS + 1)):
        world.finra.move_to(day)
        untold = day.toordinal() // 7 % 3 == 0
        if untold:
            year.silent.add(day)
        if day.weekday() < 4:
            world.happen(draw.choice(SILENT if untold else DATED), draw.randrange(1 << 30))
        if day.weekday() == 4:
            engine.on(day, 0)
            source.show(world.finra, frozenset())
            done = engine.run()
            assert done.exit_code in (0, 1), done.stderr  # 1: a partition is late
        year.served[day] = {partition: served.lines for partition, served in world.finra.partitions.items()}
    return year


@pytest.fixture(params=[pytest.param("file", id="files"), pytest.param("api", id="API")])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    with ExitStack() as stack:
        yield Files(tmp_path / "files") if request.param == "file" else Api(stack.enter_context(FinraFake(FIRST)))


def figures(row: Row) -> tuple[object, ...]:
    """What a row shows, whichever capture it is read from."""
    return row._replace(capture_id=None, captured_at=None)


def shown_on(db: Database, partition: Partition, day: date, row: Row) -> tuple[object, ...] | None:
    """The row as `query normalized --as-of` shows it."""
    question = Question(VIEWS["normalized"], (partition.week,), (partition.tier,), row.symbol, as_of=day)
    rows = map(Row._make, answer(db, question))
    return next((figures(other) for other in rows if other.key == row.key), None)


def serves(year: Year, version: Version) -> bool:
    """Whether FINRA served these figures at the end of the day from which they were known."""
    row, day = version.row, date.fromisoformat(str(version.known_from))
    lines = year.served[day].get(Partition(date.fromisoformat(row.week_ending), row.tier), ())
    same = [li for li in lines if (li.symbol, li.name, li.venue, li.mpid) == (row.symbol, row.issue_name, row.venue_name, row.mpid)]
    return any((li.shares / 1e6, li.trades, str(li.updated)) == (row.total_shares, row.total_trades, row.revised_on) for li in same)


@pytest.mark.slow
@pytest.mark.one_engine
def test_what_was_known_on_a_day_is_what_was_shown_or_what_finra_had_published_since(target: str, source: Source) -> None:
    engine = Engine(target, source)
    year = live(engine, source)
    draw = Random(1000)
    with engine.database() as db:
        every = list(vintages.vintages(db, Question(VIEWS["normalized"])))
        equal = sum(_ask(db, year, every, draw) for _ in range(ASKED))
    versions = [version for partition in every for version in partition.versions]
    published = {p: year.finra.published_on(p) for p in year.finra.partitions}
    early = [v for v in versions if str(v.known_from) < str(published[_partition(v.row)])]
    wrong = [v for v in versions if _is_dated(year, v) and not serves(year, v)]
    assert (early, wrong) == ([], [])
    assert sum(_is_dated(year, v) for v in versions) > 100
    assert equal > ASKED / 2
    assert {v.basis for v in versions} == {"declared", "observed"}
    assert sum(len(v.capture_ids) > 1 for v in versions) > 100


def _partition(row: Row) -> Partition:
    return Partition(date.fromisoformat(row.week_ending), row.tier)


def _is_dated(year: Year, version: Version) -> bool:
    """Whether FINRA dates the version to a day of the year, and no other change that no date tells came before we held it."""
    since, until = (date.fromisoformat(str(day)) for day in (version.known_from, version.held_from))
    between = {since + timedelta(days=n) for n in range((until - since).days + 1)}
    return version.basis == DECLARED and since in year.served and between.isdisjoint(year.silent)


def _ask(db: Database, year: Year, every: list[Vintages], draw: Random) -> bool:
    """A row at random on a day at random: whether the version known then is the row shown then. Where it is not, FINRA had
    published it, and we did not have it yet."""
    partition = draw.choice(every)
    row = draw.choice(partition.versions).row
    day = FIRST + timedelta(days=draw.randrange(7 * WEEKS))
    of_row = [version for version in partition.versions if version.row.key == row.key]
    known = list(vintages.known_on(of_row, str(day)))
    assert len(known) <= 1
    shown = shown_on(db, _partition(row), day, row)
    if [figures(version.row) for version in known] == ([shown] if shown else []):
        return True
    assert known and (known[0].basis, str(known[0].held_from) > str(day)) == (DECLARED, True), (day, known, shown)
    return False
