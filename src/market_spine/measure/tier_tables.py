"""The tables that hold a tier's measures, and how their columns are made. A new measure is one function and one entry here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from market_spine.db.bulk_sql import Values
from market_spine.parse.columns import MICRO, whole_or_fraction
from market_spine.parse.figures import figures, money

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from market_spine.measure.measures import TierMeasures


class TierTable(NamedTuple):
    """A table of measures and its columns made from the measures of a tier. A new measure is one more of these."""

    table: str
    columns: Callable[[TierMeasures], dict[str, Values]]

    @property
    def clear(self) -> str:
        """The statement that empties it of one capture."""
        return f"DELETE FROM {self.table} WHERE capture_key = ?"


def _venue_columns(measured: TierMeasures) -> dict[str, Values]:
    venues = measured.venues
    return {
        "venue_id": venues.venue_id,
        "total_shares": figures(venues.shares),
        "total_trades": venues.trades,
        **_notional(venues.notional),
        "symbol_count": venues.symbol_count,
        "share": venues.share,
        "rank": venues.rank,
    }


def _symbol_columns(measured: TierMeasures) -> dict[str, Values]:
    symbols = measured.symbols
    return {
        "issue_id": symbols.issue_id,
        "total_shares": figures(symbols.shares),
        "ats_shares": figures(symbols.ats_shares),
        "total_trades": symbols.trades,
        **_notional(symbols.notional),
        "venue_count": symbols.venue_count,
        "hhi": symbols.hhi,
        "hhi_low": symbols.hhi_low,
    }


def _tier_columns(measured: TierMeasures) -> dict[str, Values]:
    tier = measured.tier
    return {
        "total_shares": [whole_or_fraction(tier.shares)],
        "ats_shares": [whole_or_fraction(tier.ats_shares)],
        "total_trades": [tier.trades],
        "total_notional": [None if tier.notional is None else tier.notional / MICRO],
        "symbol_count": [tier.symbol_count],
        "venue_count": [tier.venue_count],
        "hhi": [tier.hhi],
        "ats_hhi": [tier.ats_hhi],
        "non_ats_hhi": [tier.non_ats_hhi],
        "hidden_shares": [whole_or_fraction(tier.hidden_shares)],
    }


def _notional(micro: NDArray[np.int64] | None) -> dict[str, Values]:
    """Left out of the rows where it is unknown."""
    return {} if micro is None else {"total_notional": money(micro)}


TIER_TABLES: tuple[TierTable, ...] = (
    TierTable("finra_otc_transparency_venue_measure", _venue_columns),
    TierTable("finra_otc_transparency_symbol_measure", _symbol_columns),
    TierTable("finra_otc_transparency_tier_measure", _tier_columns),
)
