"""What FINRA serves: partitions that appear on their day and change afterwards, with a date, without one, or back again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import NamedTuple

from stand_ins.finra_rows import published

CODES = {"NMS_TIER_1": "T1", "NMS_TIER_2": "T2", "OTC": "OTCE"}
TIERS = tuple(CODES)
MICRO = 1_000_000
FEWEST, MOST = 7, 12  # lines of a partition: any two contents keep half of each other's rows and shares
LEAST_SHARES, MOST_SHARES = 1000, 1150
SYMBOLS = {
    "NMS_TIER_1": ("AAPL", "BRK.B", "CLVR", "CLVRw"),
    "NMS_TIER_2": ("CLVR", "RNQA", "TDEL", "TDEL$A"),
    "OTC": ("AABX", "CLVR", "GTIV", "ACLZF"),
}
# class, MPID, CRD number, name
VENUES = (
    ("ATS", "EBXL", 0, "EBXL LEVEL ATS"),
    ("ATS", "JPBX", 0, "JPBX JPB-X"),
    ("ATS", "UBSA", 0, "UBSA UBS ATS"),
    ("OTC", "", 116797, "CITADEL SECURITIES LLC"),
    ("OTC", "", 0, "De Minimis Firms"),
)


class Partition(NamedTuple):
    """One week of one tier; `week` is its Friday."""

    week: date
    tier: str

    @property
    def monday(self) -> date:
        return self.week - timedelta(days=4)

    @property
    def due(self) -> date:
        return published(self.monday, CODES[self.tier])


class Line(NamedTuple):
    """A venue's volume in a security. Shares and notional in millionths; `updated` is FINRA's lastUpdateDate, `published` its
    initialPublishedDate, which a file does not have."""

    symbol: str
    name: str
    tape: str
    venue_class: str
    mpid: str
    crd: int
    venue: str
    shares: int
    trades: int
    notional: int | None
    updated: date
    published: date | None = None


Content = tuple[Line, ...]


class Served(NamedTuple):
    """What a partition shows today. `fault`: why a store must not make it current; `raw`: a file's odd bytes."""

    lines: Content
    changed: date
    fault: str = ""
    raw: bytes | None = None

    @property
    def newest(self) -> date:
        return max((line.updated for line in self.lines), default=date.min)


@dataclass(slots=True)
class Finra:
    """The service. `today` only moves forward; `late` are days a partition comes after its due day."""

    first_week: date
    seed: int
    today: date
    partitions: dict[Partition, Served] = field(default_factory=dict)
    before: dict[Partition, list[Served]] = field(default_factory=dict)
    late: dict[Partition, int] = field(default_factory=dict)

    def move_to(self, day: date) -> list[Partition]:
        """Time passes; returns what was published meanwhile."""
        new = [p for p in self._until(day) if p not in self.partitions and self.published_on(p) <= day]
        for partition in new:
            self.partitions[partition] = Served(self._first_content(partition), self.published_on(partition))
        self.today = day
        return new

    def published_on(self, partition: Partition) -> date:
        return partition.due + timedelta(days=self.late.get(partition, 0))

    def coming(self) -> list[Partition]:
        """The partitions that come next, which may still be delayed."""
        return [p for p in self._until(self.today + timedelta(days=7)) if p not in self.partitions]

    def change(self, partition: Partition, served: Served) -> None:
        self.before.setdefault(partition, []).append(self.partitions[partition])
        self.partitions[partition] = served

    def _until(self, day: date) -> list[Partition]:
        weeks = [self.first_week + timedelta(weeks=n) for n in range((day - self.first_week).days // 7 + 1)]
        return [Partition(week, tier) for week in weeks for tier in TIERS if Partition(week, tier).due <= day]

    def _first_content(self, partition: Partition) -> Content:
        draw = Random(f"{self.seed} {partition}")
        cells = [(symbol, venue) for symbol in SYMBOLS[partition.tier] for venue in VENUES]
        chosen = draw.sample(cells, draw.randint(FEWEST + 1, MOST - 2))
        day = self.published_on(partition)
        return tuple(sorted(new_line(partition.tier, symbol, venue, day, day, draw) for symbol, venue in chosen))


def new_line(tier: str, symbol: str, venue: tuple[str, str, int, str], day: date, published: date | None, draw: Random) -> Line:
    shares = draw.randint(LEAST_SHARES, MOST_SHARES) * MICRO
    if draw.random() < 0.2:
        shares += draw.choice((250_000, 171_560, 1))
    tape = "OTCE" if tier == "OTC" else "UTP"
    notional = draw.randint(10**5, 10**7) * 10_000
    return Line(symbol, f"{symbol} Inc.  Common Stock", tape, *venue, shares, draw.randint(1, 50), notional, day, published)


# --- How a content changes; each returns None where it cannot --------------------------------------------------------


def amend(lines: Content, tier: str, day: date | None, draw: Random) -> Content | None:
    """Other figures in one line; without a day its date stays."""
    at = draw.randrange(len(lines))
    old = lines[at]
    venue = (old.venue_class, old.mpid, old.crd, old.venue)
    new = new_line(tier, old.symbol, venue, day or old.updated, old.published, draw)
    return (*lines[:at], new._replace(name=old.name), *lines[at + 1 :])


def add(lines: Content, tier: str, day: date | None, draw: Random) -> Content | None:
    """One line more; without a day it has the date of another."""
    used = {(line.symbol, line.venue) for line in lines}
    free = [(s, v) for s in SYMBOLS[tier] for v in VENUES if (s, v[3]) not in used]
    if len(lines) >= MOST or not free:
        return None
    symbol, venue = draw.choice(free)
    return tuple(sorted((*lines, new_line(tier, symbol, venue, day or lines[0].updated, lines[0].published, draw))))


def delete(lines: Content, tier: str, day: date | None, draw: Random) -> Content | None:
    """One line less: that leaves no date."""
    if len(lines) <= FEWEST:
        return None
    at = draw.randrange(len(lines))
    return lines[:at] + lines[at + 1 :]


def rename(lines: Content, tier: str, day: date | None, draw: Random) -> Content | None:
    """A security has another name."""
    symbol = draw.choice(lines).symbol
    return tuple(
        line._replace(name=f"{symbol} Holdings, Inc.", updated=day or line.updated) if line.symbol == symbol else line
        for line in lines
    )


CHANGES = (amend, amend, add, delete, rename)


def move_line(finra: Finra, week: date, source: str, target: str, dated: bool, draw: Random) -> bool:
    """A security that was reported in one tier is in another: gone from the first without a date. Undated, it is dated no earlier
    than the day on which the other tier was published: lastUpdateDate never is."""
    here, there = Partition(week, source), Partition(week, target)
    if here not in finra.partitions or there not in finra.partitions:
        return False
    old, new = finra.partitions[here], finra.partitions[there]
    used = {(line.symbol, line.venue) for line in new.lines}
    movable = [line for line in old.lines if (line.symbol, line.venue) not in used]
    if old.fault or new.fault or len(old.lines) <= FEWEST or len(new.lines) >= MOST or not movable:
        return False
    line = draw.choice(movable)
    published = new.lines[0].published or line.updated
    arrived = line._replace(updated=finra.today if dated else max(line.updated, published), published=published)
    finra.change(here, Served(tuple(other for other in old.lines if other != line), finra.today))
    finra.change(there, Served(tuple(sorted((*new.lines, arrived))), finra.today))
    return True
