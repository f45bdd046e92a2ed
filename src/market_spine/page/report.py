"""The pages as files: for a mail, a bucket or a site of files. Every link is relative, and nothing needs a server."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from market_spine.errors import ConfigurationError, MarketSpineError, UsageError
from market_spine.page import render
from market_spine.page.looking import Look
from market_spine.page.parts import Address, Page, to
from market_spine.page.render import Frame
from market_spine.page.site import ASSETS, NAV, Filed, content_of, file_of, hashed
from market_spine.page.views import diff, measures, overview, weeks, work
from market_spine.partition import NMS_TIER_1, Partition, parse_week


@dataclass(slots=True)
class _Crawl:
    """Which pages are written: those of the menu, and what they link to, of the weeks from the first one on. No search, and of
    symbols only those that are named."""

    first: date
    last: date
    symbols: Collection[str]
    waiting: list[Address] = field(default_factory=list)
    seen: set[Address] = field(default_factory=set)

    def holds(self, address: Address) -> bool:
        """Whether the page is written; if so, it has its turn."""
        if not self._is_chosen(address):
            return False
        if address not in self.seen:
            self.seen.add(address)
            self.waiting.append(address)
        return True

    def _is_chosen(self, address: Address) -> bool:
        asked = dict(address.query)
        if "offset" in asked or ("week" in asked and not self._is_within(asked["week"])):
            return False
        match address.segments:
            case ("symbols",):
                return bool(self.symbols) and not asked
            case ("symbols", name):
                return name in self.symbols
            case ("weeks", week, *_):
                return self._is_within(week)
        return True

    def _is_within(self, week: str) -> bool:
        return self.first <= date.fromisoformat(week) <= self.last


def write(look: Look, folder: Path, frame: Frame, first: date, symbols: Collection[str] = ()) -> int:
    """Writes the pages of the weeks from `first` on into an empty or new folder; returns how many. Raises UsageError where it is
    not empty, and ConfigurationError where nothing can be written."""
    try:
        return _write_all(look, folder, frame, first, symbols)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder}: {error.strerror}", hint="choose a writable --out") from error


def _write_all(look: Look, folder: Path, frame: Frame, first: date, symbols: Collection[str]) -> int:
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", hint="give --out a new folder")
    crawl = _Crawl(first, look.day, symbols)
    for _, address in NAV:
        crawl.holds(address)
    for name in symbols:
        crawl.holds(to("symbols", name))
    (folder / "static").mkdir(parents=True)
    for asset in ASSETS:
        (folder / "static" / hashed(asset)).write_bytes(content_of(asset))
    while crawl.waiting:
        address = crawl.waiting.pop()
        _write(look, folder, address, Frame(Filed(address, crawl.holds), frame.database, frame.as_of, frame.demo, frame.typed))
    return len(crawl.seen)


def _write(look: Look, folder: Path, address: Address, frame: Frame) -> None:
    path = folder / file_of(address)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        page = view(look, address)
    except MarketSpineError as error:
        path.write_text(render.error(404, "Not found", error.message, error.hint, frame), "utf-8")
        return
    path.write_text(render.html(page, frame), "utf-8")
    for name in page.tables():
        (folder / file_of(address, name, "csv")).write_text(render.as_csv(page, name), "utf-8")
        (folder / file_of(address, name, "json")).write_text(render.as_json(page, name, look), "utf-8")


def view(look: Look, address: Address) -> Page:
    """The page at an address that a page links to. Raises NotFound."""
    asked = dict(address.query)
    match address.segments:
        case ():
            return overview.overview(look)
        case ("weeks",):
            return weeks.listed(look, None, None)
        case ("weeks", week):
            return weeks.week(look, parse_week(week))
        case ("weeks", week, tier):
            return weeks.partition(look, Partition(parse_week(week), tier))
        case ("diff", first, second):
            return diff.difference(look, first, second)
        case ("venues",):
            return measures.venues(look, asked.get("tier", NMS_TIER_1), parse_week(asked["week"]) if "week" in asked else None)
        case ("venues", name):
            return measures.venue(look, name)
        case ("concentration",):
            return measures.concentration(look)
        case ("symbols", name):
            return measures.symbol(look, name)
        case ("runs", run_id):
            return work.run(look, run_id)
        case _:
            return _of_menu(look, address)


def _of_menu(look: Look, address: Address) -> Page:
    asked = dict(address.query)
    match address.segments:
        case ("symbols",):
            return measures.symbol_search(look, "")
        case ("anomalies",):
            return work.anomaly_list(look, asked.get("severity"), "all" in asked, 0)
        case ("gates",):
            return work.gates(look)
        case ("runs",):
            return work.run_list(look, 0)
        case ("queue",):
            return work.work_queue(look)
        case _:
            return work.calendar(look)
