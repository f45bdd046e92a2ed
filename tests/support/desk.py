"""A desk that runs the weekly schedule day after day on small files of its own: for tests of what an operator does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from market_spine import clock
from market_spine.app.context import Limits, Run
from market_spine.app.plan import Plan, phases_of
from market_spine.app.scheduler import Result, run_schedule
from market_spine.app.source.files import FileSource, stem
from market_spine.calendar import publication
from market_spine.db import Database
from market_spine.partition import OTC, TIERS, Partition

WEEK = date(2025, 11, 28)
FRIDAYS = (date(2026, 1, 9), date(2026, 1, 16), date(2026, 1, 23), date(2026, 1, 30))

Line = tuple[str, str, str, float, int]  # symbol, MPID, venue, shares, trades

PLAIN: tuple[Line, ...] = (
    ("AAPL", "UBSA", "UBS ATS", 1000, 10),
    ("AAPL", "JPMX", "JPM-X", 500, 5),
    ("BRK.B", "UBSA", "UBS ATS", 200.5, 2),
    ("MSFT", "", "De Minimis Firms", 300, 3),
)
REVISED: tuple[Line, ...] = (
    ("AAPL", "UBSA", "UBS ATS", 1500, 12),
    ("AAPL", "JPMX", "JPM-X", 500, 5),
    ("NVDA", "JPMX", "JPM-X", 70, 1),
    ("MSFT", "", "De Minimis Firms", 300, 3),
)
DESCRIPTION = {"NMS_TIER_1": "NMS Tier 1", "NMS_TIER_2": "NMS Tier 2", "OTC": "OTC"}
HEADER = (
    "tierDescription|issueSymbolIdentifier|issueName|marketParticipantName|MPID|totalWeeklyShareQuantity|"
    "totalWeeklyTradeCount|lastUpdateDate"
)


class Desk:
    """A folder of weekly files and a database; `run` is one weekly run on a run date."""

    def __init__(self, folder: Path, db: Database) -> None:
        self.folder, self.db = folder, db
        folder.mkdir(parents=True, exist_ok=True)

    def publish(self, week: date, tier: str, lines: Sequence[Line] = PLAIN) -> Path:
        """Puts a partition's file there, or another content under its name."""
        path = self.folder / f"{stem(Partition(week, tier))}.psv"
        day = publication.nominal_day(Partition(week, tier))
        rows = [f"{DESCRIPTION[tier]}|{s}|{s} Inc.|{v}|{m}|{q}|{t}|{day}" for s, m, v, q, t in lines]
        path.write_text("\n".join([HEADER, *rows]) + "\n", "utf-8")
        return path

    def publish_weeks(self, weeks: Iterable[date], lines: Sequence[Line] = PLAIN) -> None:
        """All tiers of these weeks."""
        for week in weeks:
            for tier in TIERS:
                self.publish(week, tier, lines)

    def context(self, run_date: date = FRIDAYS[0], *, force: bool = False, limits: Limits | None = None) -> Run:
        """What a run of that day is given."""
        moment = clock.moment_of(run_date)
        return Run(self.db, run_date, moment, f"run-{run_date}", limits=limits or Limits(), force=force)

    def source(self) -> FileSource:
        return FileSource(str(self.folder), max_bytes=1 << 24)

    def run(
        self, run_date: date = FRIDAYS[0], weeks: Sequence[date] = (WEEK,), tiers: Sequence[str] = TIERS, *, only: str = "all",
        force: bool = False, limits: Limits | None = None,
    ) -> Result:
        """One weekly run."""
        run = self.context(run_date, force=force, limits=limits)
        return run_schedule(run, self.source(), Plan(tuple(weeks), tuple(tiers), phases_of(only)), lambda outcome: None)

    def load_kept(self, day: date, tiers: Sequence[str] = TIERS) -> Result:
        """The files of the folder, loaded under a past day, as `--as-observed-on` does; today is the last Friday."""
        run = Run(
            self.db, day, clock.moment_of(day), f"kept-{day}", as_observed=True, present=clock.moment_of(FRIDAYS[3])
        )
        return run_schedule(run, self.source(), Plan((WEEK,), tuple(tiers)), lambda outcome: None)


def ready_week(folder: Path, db: Database) -> Desk:
    """A week that is ready since the first Friday."""
    desk = Desk(folder, db)
    desk.publish_weeks([WEEK])
    desk.run(FRIDAYS[0])
    return desk


def restated(folder: Path, db: Database) -> Desk:
    """A week that is ready, whose OTC tier was restated on the second Friday."""
    desk = ready_week(folder, db)
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1])
    return desk
