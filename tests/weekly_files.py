"""Small weekly files for tests, written by hand where the shipped fixtures are too much."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from market_spine import publication
from market_spine.partition import TIERS, Partition

HEADER = (
    "tierDescription|issueSymbolIdentifier|issueName|marketParticipantName|MPID|"
    "totalWeeklyShareQuantity|totalWeeklyTradeCount|lastUpdateDate"
)
TIER_NAME = {"NMS_TIER_1": "NMS Tier 1", "NMS_TIER_2": "NMS Tier 2", "OTC": "OTC"}
UPDATED = "2026-01-26"  # becomes the week's own day of publication in `write`
VENUES = ("UBSA", "EBXL", "JPBX")


def lines(tier: str = "NMS_TIER_1", symbols: int = 10, shares: int = 100) -> list[str]:
    """Three venues in each of `symbols` symbols, `shares` more for each row."""
    rows = [(f"S{n:03}", venue) for n in range(symbols) for venue in VENUES]
    return [
        f"{TIER_NAME[tier]}|{symbol}|{symbol} Inc. Common Stock|{venue} ATS|{venue}|{shares * (at + 1)}|{at + 1}|{UPDATED}"
        for at, (symbol, venue) in enumerate(rows)
    ]


def write(folder: Path, week: str, tier: str, rows: list[str] | None = None, ending: str = ".psv") -> Path:
    """One partition's file, last updated on its day of publication."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{tier.lower()}_week_{week}{ending}"
    day = publication.nominal_day(Partition(date.fromisoformat(week), tier)).isoformat()
    dated = [row.replace(UPDATED, day) for row in (lines(tier) if rows is None else rows)]
    path.write_text("\n".join([HEADER, *dated]) + "\n", encoding="utf-8")
    return path


def write_week(folder: Path, week: str, tiers: tuple[str, ...] = TIERS) -> None:
    """A file for each tier of a week."""
    for tier in tiers:
        write(folder, week, tier)
