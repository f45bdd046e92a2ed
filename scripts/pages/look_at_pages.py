#!/usr/bin/env python3
"""Looks at every page on both engines: axe-core, the console, what is requested and what is too wide, in every theme and width,
with scripts and without; and asks for past days what was shown on them. The short version of both is in the tests.

python scripts look_at_pages
python scripts look_at_pages --days 1000          a season of that many days, each day's heat map kept and asked for again
"""

from __future__ import annotations

import argparse
import random
import tempfile
from contextlib import closing
from datetime import date, timedelta
from itertools import product
from pathlib import Path

from stand_ins.postgres_server import Databases, PostgresServer, required_binaries

from market_spine import clock
from market_spine.app.context import Expectations, Run
from market_spine.app.plan import Plan
from market_spine.app.scheduler import run_schedule
from market_spine.app.source.files import FileSource, stem
from market_spine.calendar import publication
from market_spine.db import Database, connect, migrations
from market_spine.operate import rollback
from market_spine.page import render
from market_spine.page.kept_weeks import KeptWeeks
from market_spine.page.looking import looking
from market_spine.page.views import TIER_NAMES, weeks
from market_spine.partition import OTC, TIERS, Partition, weeks_back
from pages.browser import Browser, browsing
from pages.demonstration import PAGES, made_demo, served

THEMES, WIDTHS = ("light", "dark"), (390, 768, 1280, 2560)
_FIRST = date(2025, 1, 3)
_HEADER = (
    "tierDescription|issueSymbolIdentifier|issueName|marketParticipantName|MPID|totalWeeklyShareQuantity|"
    "totalWeeklyTradeCount|lastUpdateDate"
)


def look(target: str) -> int:
    """How many faults the pages of a demonstration have; each is printed."""
    faults = 0
    with served(target) as base, browsing(base) as browser:
        for theme, width, path in product(THEMES, WIDTHS, PAGES):
            browser.open(path, theme, width)
            found = [*browser.faults(), *browser.complaints(), *["too wide"] * browser.is_wider_than_the_window()]
            faults += len(found)
            for fault in found:
                print(f"{path} {theme} {width}: {fault}")
        faults += _without_scripts(browser)
        elsewhere = {url for url in browser.requests() if not url.startswith(base)}
        print(f"{len(PAGES)} pages, {THEMES}, {WIDTHS}: {faults} faults, {len(elsewhere)} requests elsewhere")
    return faults + len(elsewhere)


def _without_scripts(browser: Browser) -> int:
    """How many pages differ without scripts in more than the buttons that scripts add."""
    differing = 0
    for path in PAGES:
        browser.open(path, scripts=False)
        plain = browser.driver.execute_script("return document.querySelector('main').textContent.length")
        browser.open(path)
        count = "return [...document.querySelectorAll('.command button')].reduce((sum, each) => sum + each.textContent.length, 0)"
        with_scripts = browser.driver.execute_script("return document.querySelector('main').textContent.length")
        if with_scripts - browser.driver.execute_script(count) != plain:
            differing += 1
            print(f"{path}: differs without scripts")
    return differing


def remember(target: str, folder: Path, days: int, rounds: int, seed: int = 1) -> int:
    """How many of `rounds` random days are not shown as they were on that day."""
    chance, shown, kept = random.Random(seed), dict[date, str](), KeptWeeks()
    folder.mkdir()
    with closing(connect(target)) as db:
        migrations.prepare(db)
        for day in (_FIRST + timedelta(days=n) for n in range(days)):
            if day.weekday() == _FIRST.weekday():
                _friday(db, folder, day, chance)
            shown[day] = _heat(target, day, None, kept)
    asked = [chance.choice(list(shown)) for _ in range(rounds)]
    wrong = [day for day in asked if _heat(target, _FIRST + timedelta(days=days), day) != shown[day]]
    print(f"{rounds} random days of {days}: {len(wrong)} differ {wrong[:5]}; {len(set(shown.values()))} different pages")
    return len(wrong)


def _friday(db: Database, folder: Path, day: date, chance: random.Random) -> None:
    """Some files come, change or are empty; a run; and now and then somebody withdraws a week."""
    window = tuple(weeks_back(8, day))
    for partition in (Partition(week, tier) for week in window for tier in TIERS):
        if chance.random() < 0.3:
            (folder / f"{stem(partition)}.psv").write_text(_content(partition, chance), "utf-8")
    run = Run(db, day, clock.moment_of(day), f"run-{day}")
    run_schedule(run, FileSource(str(folder), max_bytes=1 << 20), Plan(window, TIERS), lambda _outcome: None)
    current = db.execute("SELECT week_ending FROM finra_otc_transparency_current WHERE tier = ?", (OTC,)).fetchall()
    if current and chance.random() < 0.1:
        (week,) = chance.choice(current)
        rollback.roll_back(run, date.fromisoformat(week), [OTC], "faulty")


def _content(partition: Partition, chance: random.Random) -> str:
    """Four rows, one of them with other figures each time; or nothing but the header."""
    day, described = publication.nominal_day(partition), TIER_NAMES[partition.tier]
    rows = [f"{described}|S{n}|S{n} Inc.|VENUE {n}|VEN{n}|{chance.choice((900, 1000))}|10|{day}" for n in range(4)]
    return "\n".join([_HEADER, *(rows if chance.random() < 0.8 else [])]) + "\n"


def _heat(target: str, day: date, as_of: date | None, kept: KeptWeeks | None = None) -> str:
    """The cells and commands of the heat map; of the present as a server has them, which keeps the weeks."""
    with (
        closing(connect(target, read_only=True)) as db,
        db.snapshot(),
        looking(db, day, clock.moment_of(day), as_of, Expectations(), kept) as at,
    ):
        page = weeks.listed(at, None, None)
        return render.as_csv(page, "weeks") + render.as_csv(page, "blocked")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=0)
    days = parser.parse_args().days
    with tempfile.TemporaryDirectory() as folder, PostgresServer(required_binaries()) as server:
        databases, faults = Databases(server.url), 0
        for engine in ("sqlite", "postgresql"):
            print(engine)
            own = Path(folder) / engine
            own.mkdir()
            if days:
                target = str(own / "season.db") if engine == "sqlite" else databases.create()
                faults += remember(target, own / "files", days, days)
            else:
                faults += look(made_demo(own, None if engine == "sqlite" else databases.create()))
        databases.close()
    raise SystemExit(min(faults, 1))


if __name__ == "__main__":
    main()
