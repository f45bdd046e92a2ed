"""A lake and a store asked the same: random histories, random questions, and the text of both answers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from market_spine import clock
from market_spine.app.context import Run
from market_spine.app.plan import Plan, phases_of
from market_spine.app.scheduler import run_schedule
from market_spine.app.source.files import FileSource, stem
from market_spine.calendar import publication
from market_spine.db import Database
from market_spine.errors import MarketSpineError, NotFound, Pruned
from market_spine.operate import hold, rollback
from market_spine.operate.prune import prune
from market_spine.partition import TIERS, Partition
from market_spine.query.answer import Question, answer, as_csv
from market_spine.query.readiness import READINESS
from market_spine.query.views import VIEWS, View

FIRST_WEEK = date(2025, 8, 1)
PRUNED = "pruned"
_PUBLISHED_AFTER = timedelta(weeks=6)
_SYMBOLS = ("A", "AAPL", "BRK.B", "MSFT", "NVDA", "a", "ZVZZT", "Ämterlos")


_HEADER = (
    "tierDescription|issueSymbolIdentifier|issueName|marketParticipantName|MPID|totalWeeklyShareQuantity|"
    "totalWeeklyTradeCount|lastUpdateDate"
)
_DESCRIPTION = {"NMS_TIER_1": "NMS Tier 1", "NMS_TIER_2": "NMS Tier 2", "OTC": "OTC"}


class Desk:
    """A store, the folder of its weekly files, and what is done to both."""

    def __init__(self, folder: Path, db: Database) -> None:
        self._folder, self._db = folder, db
        folder.mkdir(parents=True, exist_ok=True)

    def publish(self, week: date, tier: str, draw: Random) -> None:
        """Puts a partition's file into the folder, or another content under its name."""
        partition = Partition(week, tier)
        rows = [f"{_DESCRIPTION[tier]}|{line}|{publication.nominal_day(partition)}" for line in _lines(draw)]
        (self._folder / f"{stem(partition)}.psv").write_text("\n".join([_HEADER, *rows]) + "\n", "utf-8")

    def at(self, day: date) -> Run:
        """What is done on that day."""
        return Run(self._db, day, clock.moment_of(day), f"run-{day}")

    def run(self, day: date, weeks: Sequence[date]) -> None:
        """One weekly run."""
        source = FileSource(str(self._folder), max_bytes=1 << 24)
        run_schedule(self.at(day), source, Plan(tuple(weeks), TIERS, phases_of("all")), lambda outcome: None)


class Asked(NamedTuple):
    """A question: a view on a day, of a partition; of a week where it has no tiers, of a tier where its rows are windows."""

    view: View
    day: date
    week: date | None
    tier: str | None


def live(desk: Desk, draw: Random, fridays: int, export: Callable[[], object] = lambda: None) -> list[date]:
    """Weekly runs with restatements, replays, rollbacks, undos, holds and releases in between, and an export every third time;
    returns the Fridays."""
    weeks = [FIRST_WEEK + timedelta(weeks=n) for n in range(fridays)]
    for number, week in enumerate(weeks):
        friday = week + _PUBLISHED_AFTER
        for tier in TIERS:
            desk.publish(week, tier, draw)
        for _ in range(draw.randrange(3)):
            desk.publish(draw.choice(weeks[: number + 1]), draw.choice(TIERS), draw)
        desk.run(friday, weeks[max(0, number - 8) : number + 1])
        if draw.random() < 0.3:
            desk.publish(week, draw.choice(TIERS), draw)
            desk.run(friday, [week])  # the same day: a replay
        for _ in range(2):
            with contextlib.suppress(MarketSpineError):  # nothing to withdraw, release or undo
                _operate(desk, draw, friday, draw.choice(weeks[max(0, number - 4) : number + 1]))
        if number % 3 == 0:
            export()
    return [week + _PUBLISHED_AFTER for week in weeks]


def _lines(draw: Random) -> Iterator[str]:
    for symbol in _SYMBOLS:
        for mpid, venue in (("UBSA", "UBS ATS"), ("JPMX", "JPM-X"), ("", "De Minimis Firms")):
            shares = draw.choice([draw.randrange(100, 10**6), draw.randrange(10**9) / 1e6])
            yield f"{symbol}|{symbol} Inc.|{venue}|{mpid}|{shares}|{draw.randrange(1, 100)}"


def _operate(desk: Desk, draw: Random, friday: date, week: date) -> None:
    """What an operator does to a partition on a later day of the week."""
    run, tier = desk.at(friday + timedelta(days=draw.randrange(5))), draw.choice(TIERS)
    match draw.randrange(4):
        case 0:
            rollback.roll_back(run, week, [tier], "faulty")
        case 1:
            rollback.undo(run, week, [tier], "right after all")
        case 2:
            hold.hold(run, week, tier, "to be looked at")
        case _:
            hold.release(run, week, tier, "looked at")


def thin_out(desk: Desk, day: date, older_than: int) -> int:
    """Prunes; how many captures are gone."""
    return len(prune(desk.at(day), older_than, "space"))


def questions(draw: Random, fridays: Sequence[date], count: int) -> Iterator[Asked]:
    views = [*VIEWS.values(), READINESS]
    for _ in range(count):
        view = draw.choice(views)
        day = fridays[0] + timedelta(days=draw.randrange((fridays[-1] - fridays[0]).days + 8))
        captured = [friday for friday in fridays if friday <= day or friday == fridays[0] or draw.random() < 0.1]
        week = None if view.of_window else draw.choice(captured) - _PUBLISHED_AFTER
        yield Asked(view, day, week, None if view is READINESS or view.name == "weekly_totals" else draw.choice(TIERS))


def answer_of_store(db: Any, asked: Asked) -> str:
    """What `spine query VIEW --as-of DAY --csv` prints; PRUNED where it refuses for that reason."""
    weeks, tiers = asked.week and (asked.week,), (asked.tier,) if asked.tier else TIERS
    try:
        return _text(asked.view, answer(db, Question(asked.view, weeks or None, tiers, as_of=asked.day)))
    except NotFound:  # the log of events began later: there was nothing yet
        return _text(asked.view, ())
    except Pruned:
        return PRUNED


def answer_of_lake(lake: Any, asked: Asked) -> str:
    """The same from the files, by the macros of lake.sql."""
    wanted = {"week_ending": asked.week, "tier": asked.tier}
    where = " AND ".join(f"{name} = '{value}'" for name, value in wanted.items() if value)
    rows = lake.sql(f"FROM {asked.view.name}_as_of('{asked.day}') WHERE {where or 'true'}").fetchall()
    of_capture = asked.view is not READINESS and not asked.view.of_week and not asked.view.of_window
    if not rows and of_capture and lake.sql(f"FROM left_out('{asked.day}') WHERE {where}").fetchall():
        return PRUNED
    return _text(asked.view, [tuple(map(plain, row)) for row in rows])


def _text(view: View, rows: Any) -> str:
    return "".join(as_csv(view, rows))


def plain(value: object) -> object:
    """A value as the store has it: shares are exact decimals in the files, numbers there."""
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return value.isoformat() if isinstance(value, date) else value


def open_lake(root: Path, copied_to: Path | None = None) -> Any:
    """DuckDB with the views and macros of a lake, or of a copy of it."""
    import duckdb

    lake = duckdb.connect(config={"threads": 1})
    if copied_to:
        lake.execute(f"SET VARIABLE lake = '{copied_to}'")
    lake.execute((root / "lake.sql").read_text("utf-8"))
    return lake
