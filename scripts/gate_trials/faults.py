"""Faults done to the bytes of a weekly file, each as a source or a person makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from gate_trials.history import SAYS, content

SYMBOL, VENUE, MPID, CRD, SHARES, TRADES, NOTIONAL, MONDAY, DATED, CODE = 1, 3, 4, 5, 6, 7, 8, 9, 10, 11
Rows = list[list[str]]


class Setting(NamedTuple):
    """What a fault may use: the lines of the week, of the week before, and of another tier in that week."""

    tier: str
    lines: list[str]
    before: list[str]
    foreign: list[str]
    rng: np.random.Generator

    @property
    def rows(self) -> Rows:
        return [line.split("|") for line in self.lines]


def _joined(rows: Rows) -> bytes:
    return content(["|".join(row) for row in rows])


def _cut(kept: float) -> Callable[[Setting], bytes]:
    """At the end of a line: a cut within one is found by the line itself."""
    return lambda given: content(given.lines[: int(len(given.lines) * kept)])


def _lost_page(given: Setting) -> bytes:
    """A tenth of the rows, as one page of 5,000 of 50,000 is, anywhere."""
    size = len(given.lines) // 10
    at = int(given.rng.integers(0, len(given.lines) - size))
    return content(given.lines[:at] + given.lines[at + size :])


def _lost_venue(given: Setting) -> bytes:
    rows = given.rows
    shares: dict[str, int] = {}
    for row in rows:
        if row[MPID]:
            shares[row[MPID]] = shares.get(row[MPID], 0) + int(row[SHARES])
    large = sorted(name for name, volume in shares.items() if volume >= 0.012 * sum(shares.values()))
    lost = str(given.rng.choice(large))
    return _joined([row for row in rows if row[MPID] != lost])


def _absent_class(given: Setting) -> bytes:
    absent = "ATS" if given.rng.random() < 0.5 else "OTC"
    return content([line for line in given.lines if not line.rsplit("|", 1)[1].startswith(absent)])


def _scaled(times: float) -> Callable[[Setting], bytes]:
    def fault(given: Setting) -> bytes:
        rows = given.rows
        for row in rows:
            row[SHARES] = f"{int(row[SHARES]) * times:.6f}".rstrip("0").rstrip(".")
        return _joined(rows)

    return fault


def _venue_scaled(given: Setting) -> bytes:
    rows = given.rows
    shares: dict[str, int] = {}
    for row in rows:
        if row[MPID]:
            shares[row[MPID]] = shares.get(row[MPID], 0) + int(row[SHARES])
    chosen = str(given.rng.choice(sorted(name for name, volume in shares.items() if volume >= 0.012 * sum(shares.values()))))
    for row in rows:
        if row[MPID] == chosen:
            row[SHARES] = str(10 * int(row[SHARES]))
    return _joined(rows)


def _last_week(given: Setting) -> bytes:
    """Last week's rows under this week's dates."""
    monday, dated = given.rows[0][MONDAY], given.rows[0][DATED]
    rows = [line.split("|") for line in given.before]
    for row in rows:
        row[MONDAY], row[DATED] = monday, dated
    return _joined(rows)


def _swapped(given: Setting) -> bytes:
    """Another tier's rows under this tier's name and dates."""
    dated, rows = given.rows[0][DATED], [line.split("|") for line in given.foreign]
    for row in rows:
        row[0], row[DATED] = SAYS[given.tier], dated
    return _joined(rows)


def _double_counted(given: Setting) -> bytes:
    """FINRA's sums by symbol, taken for rows of a venue."""
    rows = given.rows
    sums: dict[str, list[str]] = {}
    for row in rows:
        venue, ends = ["All ATSs", "ALLX", "", "0", "0", "0"], [row[MONDAY], row[DATED], "ATS_W_SMBL_FIRM"]
        total = sums.setdefault(row[SYMBOL], [*row[:VENUE], *venue, *ends])
        total[SHARES] = str(int(total[SHARES]) + int(row[SHARES]))
        total[TRADES] = str(int(total[TRADES]) + int(row[TRADES]))
        total[NOTIONAL] = f"{float(total[NOTIONAL]) + float(row[NOTIONAL]):.2f}"
    return _joined(sorted([*rows, *sums.values()], key=lambda row: row[SYMBOL]))


def _no_notional(given: Setting) -> bytes:
    rows = given.rows
    for row in rows:
        row[NOTIONAL] = ""
    return _joined(rows)


def _folded(given: Setting) -> bytes:
    rows = given.rows
    fold = str.upper if given.rng.random() < 0.5 else str.lower
    for row in rows:
        row[SYMBOL] = fold(row[SYMBOL])
    return _joined(rows)


def _shifted(given: Setting) -> bytes:
    """The figures one column to the left: trades for shares, dollars for trades."""
    rows = given.rows
    for row in rows:
        row[SHARES], row[TRADES], row[NOTIONAL] = row[TRADES], str(int(float(row[NOTIONAL]))), row[SHARES]
    return _joined(rows)


FAULTS: Mapping[str, Callable[[Setting], bytes]] = {
    "cut at 50 %": _cut(0.50),
    "cut at 75 %": _cut(0.75),
    "cut at 90 %": _cut(0.90),
    "cut at 95 %": _cut(0.95),
    "one page lost": _lost_page,
    "one venue lost": _lost_venue,
    "a class absent": _absent_class,
    "shares × 10": _scaled(10),
    "shares ÷ 1000": _scaled(0.001),
    "one venue × 10": _venue_scaled,
    "last week again": _last_week,
    "tiers swapped": _swapped,
    "sums counted twice": _double_counted,
    "notional null": _no_notional,
    "case folded": _folded,
    "column shifted": _shifted,
}
