"""A synthetic history of one market: weekly files of three tiers, as FINRA's look, of about a thousand rows each.

The shares of venues are AR(1) in their logits, fitted so that the mix is as far from its eight-week median as that of real ATSs
(2015-2019: half of the weeks .024, one in a hundred .054). Volume is AR(1), too, and follows the sessions of a week with
closures and half days. Venues are born, fade and are renamed; symbols come and go, and some move up a tier each June; the level
of the market shifts about once in two years. Everything follows from the seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from market_spine.calendar import publication
from market_spine.calendar.exchange import sessions
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, TIERS, Partition

FIRST, WEEKS = date(2024, 1, 5), 104
HEADER = (
    "tierDescription|issueSymbolIdentifier|issueName|marketParticipantName|MPID|firmCRDNumber|totalWeeklyShareQuantity|"
    "totalWeeklyTradeCount|totalNotionalSum|weekStartDate|lastUpdateDate|summaryTypeCode"
)
SAYS = {NMS_TIER_1: "NMS Tier 1", NMS_TIER_2: "NMS Tier 2", OTC: "OTC"}
_SYMBOLS = {NMS_TIER_1: 220, NMS_TIER_2: 300, OTC: 260}
_ATS = {NMS_TIER_1: 28, NMS_TIER_2: 28, OTC: 9}
_FIRMS = {NMS_TIER_1: 10, NMS_TIER_2: 10, OTC: 8}
_ROWS_A_SYMBOL = {NMS_TIER_1: 6.0, NMS_TIER_2: 4.5, OTC: 3.0}
_PERSISTENCE, _SHOCK = 0.85, 0.03  # of a venue's logit
_LETTERS = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
_FREQUENCY = np.array([7, 7, 9, 6, 6, 5, 5, 5, 5, 2, 2, 5, 6, 5, 3, 7, 1, 5, 9, 6, 2, 3, 3, 1, 1, 1], dtype=float)


@dataclass(slots=True)
class Market:
    """A tier as it changes from week to week."""

    tier: str
    rng: np.random.Generator
    symbols: list[str] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)  # log shares a week
    prices: list[float] = field(default_factory=list)
    venues: list[str] = field(default_factory=list)  # an MPID, or the CRD number of a firm
    base: list[float] = field(default_factory=list)
    logits: list[float] = field(default_factory=list)
    drift: list[float] = field(default_factory=list)
    volume: float = 0.0
    level: float = 0.0
    born: int = 0
    seats: dict[str, np.ndarray] = field(default_factory=dict)  # by symbol, how likely each venue is to trade it

    def begin(self) -> None:
        while len(self.symbols) < _SYMBOLS[self.tier]:
            self.add_symbol()
        for number in range(_ATS[self.tier] + _FIRMS[self.tier]):
            is_ats = number < _ATS[self.tier]
            steep = 0.16 if self.tier != OTC else 0.7
            self.add_venue(self.name(is_ats), -steep * (number if is_ats else number - _ATS[self.tier]) + 0.2 * self.rng.normal())

    def name(self, is_ats: bool) -> str:
        self.born += 1
        if is_ats:
            return f"{chr(65 + self.born // 26)}{chr(65 + self.born % 26)}{'PQR'[TIERS.index(self.tier)]}X"
        return str(10_000 + 37 * self.born)

    def add_symbol(self, symbol: str | None = None) -> None:
        while symbol is None or symbol in self.symbols:
            length = int(self.rng.integers(2, 5))
            first = self.rng.choice(_LETTERS, p=_FREQUENCY / _FREQUENCY.sum())
            symbol = str(first) + "".join(self.rng.choice(_LETTERS, size=length - 1)) + ("F" if self.tier == OTC else "")
            if self.rng.random() < 0.08:
                symbol += "p"  # a preferred share: the case of its last letter tells it from another security
        self.symbols.append(symbol)
        self.sizes.append(float(self.rng.normal(12.5 if self.tier == NMS_TIER_1 else 11.0, 1.1)))
        self.prices.append(float(math.exp(self.rng.normal(3.0, 1.0))))

    def add_venue(self, name: str, logit: float) -> None:
        self.venues.append(name)
        self.base.append(logit)
        self.logits.append(logit)
        self.drift.append(0.0)

    def step(self, week: date) -> None:
        """One week on: venues, symbols and the level of the market."""
        rng = self.rng
        for at in range(len(self.venues)):
            self.base[at] += self.drift[at]
            self.logits[at] = self.base[at] + _PERSISTENCE * (self.logits[at] - self.base[at]) + rng.normal(0, _SHOCK)
        self.volume = 0.7 * self.volume + rng.normal(0, 0.06)
        if rng.random() < 1 / WEEKS:
            self.level += rng.choice([-1, 1]) * rng.uniform(0.1, 0.3)
        if rng.random() < 0.03:
            self.add_venue(self.name(True), min(self.base) - 0.5)
            self.drift[-1] = 0.03
        if rng.random() < 0.02:
            self.drift[int(rng.integers(len(self.venues)))] = -0.05  # it fades
        if rng.random() < 0.015 and self.tier != OTC:
            at = int(rng.integers(_ATS[self.tier]))
            self.venues[at] = self.name(True)  # renamed
        for _ in range(rng.poisson(0.004 * len(self.symbols))):
            at = int(rng.integers(len(self.symbols)))
            for values in (self.symbols, self.sizes, self.prices):
                del values[at]
            self.add_symbol()

    def lines(self, week: date) -> list[str]:
        """The rows of a week, by symbol."""
        rng, partition = self.rng, Partition(week, self.tier)
        short, order = sessions(week) / 5, np.argsort(self.symbols)
        symbols = [self.symbols[at] for at in order]
        own, prices = np.array(self.sizes)[order], np.array(self.prices)[order]
        size = np.exp(own + rng.normal(0, 0.10, len(own)) + self.volume + self.level + math.log(short))
        weight = np.exp(np.array(self.logits))
        weight /= weight.sum()
        reach = _ROWS_A_SYMBOL[self.tier] * short**0.3 * np.exp(0.18 * (own - own.mean()))
        chance = 1 - np.exp(-np.outer(reach, np.sqrt(weight) / np.sqrt(weight).sum()) * 1.6)
        present = 0.97 * self._seats(symbols) + 0.03 * rng.random(chance.shape) < chance
        shares = (size[:, None] * weight[None, :] * np.exp(rng.normal(0, 0.12, chance.shape))).astype(np.int64) + 1
        trades = np.maximum(1, shares / 120 * np.exp(rng.normal(0, 0.15, chance.shape))).astype(np.int64)
        hidden = (size * 0.03 * np.exp(rng.normal(0, 0.2, len(own)))).astype(np.int64) + 1
        shows = rng.random(len(own)) < 0.4
        names = [self._venue(venue) for venue in self.venues]
        ends = f"|{partition.monday}|{publication.nominal_day(partition)}|"
        lines = []
        for at, symbol in enumerate(symbols):
            start = f"{SAYS[self.tier]}|{symbol}|{symbol} Inc.|"
            for number in np.flatnonzero(present[at]).tolist():
                name, code = names[number]
                volume, price = int(shares[at, number]), float(prices[at])
                lines.append(f"{start}{name}|{volume}|{trades[at, number]}|{volume * price:.2f}{ends}{code}")
            if shows[at]:
                volume = int(hidden[at])
                dollars = f"{volume * prices[at]:.2f}"
                lines.append(f"{start}De Minimis Firms|||{volume}|{volume // 120 + 1}|{dollars}{ends}OTC_W_SMBL_FIRM")
        return lines

    def _seats(self, symbols: list[str]) -> np.ndarray:
        for symbol in symbols:
            if symbol not in self.seats:
                self.seats[symbol] = self.rng.random(200)
        return np.array([self.seats[symbol][: len(self.venues)] for symbol in symbols])

    @staticmethod
    def _venue(venue: str) -> tuple[str, str]:
        if venue.isalpha():
            return f"{venue} ATS|{venue}|", "ATS_W_SMBL_FIRM"
        return f"Firm {venue}||{venue}", "OTC_W_SMBL_FIRM"


def history(seed: int, weeks: int = WEEKS) -> Iterator[tuple[date, dict[str, list[str]]]]:
    """Week by week, the lines of each tier's file, without the header; sorted as FINRA's are."""
    markets = {tier: Market(tier, np.random.default_rng([seed, number])) for number, tier in enumerate(TIERS)}
    for market in markets.values():
        market.begin()
        for _ in range(20):
            market.step(FIRST)
    for number in range(weeks):
        week = FIRST + timedelta(weeks=number)
        for market in markets.values():
            market.step(week)
        if week.month == 6 and week.day > 23:
            _reclassify(markets[NMS_TIER_2], markets[NMS_TIER_1])
        yield week, {tier: market.lines(week) for tier, market in markets.items()}


def _reclassify(lower: Market, upper: Market) -> None:
    """A hundredth of the symbols of Tier 2 move to Tier 1."""
    for _ in range(len(lower.symbols) // 100):
        at = int(lower.rng.integers(len(lower.symbols)))
        if lower.symbols[at] not in upper.symbols:
            upper.add_symbol(lower.symbols[at])
            for values in (lower.symbols, lower.sizes, lower.prices):
                del values[at]


def content(lines: list[str]) -> bytes:
    """The bytes of a file."""
    return ("\n".join([HEADER, *lines]) + "\n").encode()
