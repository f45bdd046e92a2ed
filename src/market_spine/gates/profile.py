"""The thresholds of the learnt gates: those in the program, and those fitted to a store's own history."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import NamedTuple

MIN_WEEKS = 6  # of accepted history; below it the learnt gates pass
MIN_ROWS = 200  # in the median week; smaller tiers have no stable figures
WARN_RANGE, HOLD_RANGE = (3.0, 6.0), (5.0, 12.0)


class Thresholds(NamedTuple):
    """Of one gate. A deviation counts from `c_w` (warn) or `c_h` (hold) times the usual one on, and only where it is at least
    `delta_w` or `delta_h` on the scale of the gate. `beta`: how the figure follows the sessions of a short week. `floor`: the
    least usual deviation that is believed."""

    c_w: float
    c_h: float
    delta_w: float
    delta_h: float
    beta: float
    floor: float

    def values(self) -> dict[str, float | None]:
        """The values by name, for JSON, which knows no infinity: a gate that never holds has none."""
        return {name: None if math.isinf(value) else value for name, value in self._asdict().items()}


class Profile(NamedTuple):
    """Thresholds by gate, or by `TIER/gate` where a tier has its own. `profile_id` is made of their content."""

    thresholds: Mapping[str, Thresholds]
    source: str

    def of(self, tier: str, gate: str) -> Thresholds:
        """The thresholds of a gate in a tier."""
        return self.thresholds.get(f"{tier}/{gate}") or self.thresholds[gate]

    @property
    def profile_id(self) -> str:
        return _digest(tuple(self.thresholds.items()))

    def text(self) -> str:
        """The thresholds as they are stored."""
        return _text(tuple(self.thresholds.items()))


def _text(thresholds: tuple[tuple[str, Thresholds], ...]) -> str:
    return json.dumps({name: limits.values() for name, limits in thresholds}, separators=(",", ":"), sort_keys=True)


@lru_cache(maxsize=16)
def _digest(thresholds: tuple[tuple[str, Thresholds], ...]) -> str:
    return hashlib.sha256(_text(thresholds).encode()).hexdigest()[:12]


def read_profile(text: str, source: str) -> Profile:
    """A profile as it was stored."""
    known = {
        name: Thresholds(**{key: math.inf if value is None else value for key, value in values.items()})
        for name, values in json.loads(text).items()
    }
    return Profile(known, source)


def _log(factor: float) -> float:
    return math.log(factor)


# c_w and c_h of 4 and 6 are what real shares of ATSs (2015-2019) had at most a warning a tier-year and no hold with; effects are
# factors for counts, and for the mix the part of the volume that moved.
BUILT_IN = Profile(
    {
        "rows": Thresholds(4, 6, _log(1.10), _log(1.25), 0.3, 0.015),
        "symbols": Thresholds(4, 6, _log(1.10), _log(1.25), 0.1, 0.012),
        "trades": Thresholds(4, 6, _log(1.40), _log(2.2), 1.3, 0.05),
        "shares": Thresholds(4, 6, _log(1.40), _log(2.2), 1.0, 0.05),
        "ats_venues": Thresholds(4, math.inf, _log(1.15), math.inf, 0, 0.03),
        "firm_venues": Thresholds(4, math.inf, _log(1.20), math.inf, 0, 0.03),
        "trade_size": Thresholds(4, 6, _log(1.40), _log(3), 0, 0.04),
        "price": Thresholds(4, 6, _log(1.40), _log(5), 0, 0.05),
        "venue_mix": Thresholds(4, 6, 0.05, 0.10, 0, 0.010),
        "firm_mix": Thresholds(5, math.inf, 0.10, math.inf, 0, 0.02),
        "concentration": Thresholds(4, 6, _log(1.20), _log(1.50), 0, 0.025),
        "ats_fraction": Thresholds(4, math.inf, 0.4, math.inf, 0, 0.05),
        "hidden_fraction": Thresholds(4, math.inf, 0.5, math.inf, 0, 0.08),
        "fractional_rows": Thresholds(5, math.inf, 1.0, math.inf, 0, 0.2),
    },
    "built in",
)

ALL_GATES = frozenset(BUILT_IN.thresholds)


class Regime(NamedTuple):
    """From this week on FINRA's rules are others, and these gates compare with its weeks only. A market crash makes none."""

    name: str
    since: date
    gates: frozenset[str]
    source: str


REGIMES = (
    Regime("firm level de minimis removed", date(2019, 12, 6), ALL_GATES, "FINRA Regulatory Notice 19-29"),
    Regime("fractional shares reported", date(2026, 2, 27), frozenset({"fractional_rows"}), "Trade Reporting Notice 3/22/24"),
    Regime(
        "reporting from 4:00 a.m. ET", date(2026, 4, 3), frozenset({"rows", "trades", "shares"}), "FINRA Regulatory Notice 25-15"
    ),
)
