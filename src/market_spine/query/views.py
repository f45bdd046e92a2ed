"""The views to query, by their short names: their columns in order, and the statements that read their rows in a fixed order.

One text serves both engines, and the order is total (NULL becomes 0 or ''), so equal content gives equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from market_spine.errors import UsageError


@dataclass(frozen=True, slots=True)
class View:
    """`of_capture` reads the rows of one capture (parameter: capture_id), or, in a week-level view, of one result. The next two
    are None where rows have no symbol: `of_symbol` reads those of one symbol (capture_id, symbol), `history` those of a symbol
    in every capture (symbol). `measured`: it needs CALC. `every` reads the rows of all results of a week-level view at once, in
    the same order within each. With `of_window` the rows are those of a window instead of a capture (parameter: its key); with
    `compares` the first parameter is the key of the window it is compared with."""

    name: str
    column_names: str
    of_capture: str
    of_symbol: str | None = None
    history: str | None = None
    measured: bool = True
    of_week: bool = False
    every: str = ""
    of_window: bool = False
    compares: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.column_names.split(", "))


def find_view(name: str) -> View:
    """The view with that short or full name. Raises UsageError."""
    short = name.removeprefix("finra_otc_transparency_").removesuffix("_latest")
    if short not in VIEWS:
        raise UsageError(f"there is no view {name!r}", hint=f"the views are {', '.join(VIEWS)}")
    return VIEWS[short]


_NORMALIZED = (
    "capture_id, week_ending, tier, symbol, issue_name, product_type, venue_class, mpid, firm_crd, venue_name, "
    "total_shares, total_trades, total_notional, captured_at, published_on, revised_on"
)
_NORMALIZED_ORDER = "symbol, issue_name, product_type, venue_class, mpid, COALESCE(firm_crd, 0), venue_name"
_VENUE_VOLUME = (
    "capture_id, week_ending, tier, venue_class, mpid, firm_crd, venue_name, total_shares, total_trades, total_notional, "
    "symbol_count, captured_at"
)
_VENUE_SHARE = (
    "capture_id, week_ending, tier, venue_class, mpid, firm_crd, venue_name, total_shares, share, rank, captured_at, basis"
)
_HHI = "capture_id, week_ending, tier, scope, symbol, hhi, venue_count, total_shares, captured_at, basis, hhi_low, hhi_high"
_CONCENTRATION = (
    "capture_id, week_ending, tier, total_shares, ats_fraction, hhi, ats_hhi, non_ats_hhi, effective_venues, "
    "average_trade_size, hidden_shares, venue_count, captured_at, basis"
)
_SYMBOL_SUMMARY = (
    "capture_id, week_ending, tier, symbol, total_shares, ats_shares, total_trades, total_notional, venue_count, hhi, captured_at"
)
_SYMBOL_VENUE_SHARE = (
    "capture_id, week_ending, tier, symbol, venue_class, mpid, firm_crd, venue_name, total_shares, share, captured_at"
)
_SYMBOL_VENUE_ORDER = "symbol, venue_class, mpid, COALESCE(firm_crd, 0), venue_name, total_shares DESC"
_WEEKLY_TOTALS = (
    "capture_id, week_ending, total_shares, ats_shares, total_trades, total_notional, symbol_count, venue_count, captured_at"
)
_TIER_SPLIT = "capture_id, week_ending, tier, total_shares, total_trades, total_notional, share, captured_at"

_ROLLING_VENUE = (
    "inputs_hash, week_ending, tier, length, venue_class, mpid, firm_crd, venue_name, total_shares, share_pooled, share_mean, "
    "per_session, slope, rank, rank_change, deviation, active_weeks, basis, reason"
)
_ROLLING_RANKED = ", ".join(
    "before.rank - r.rank AS rank_change" if column == "rank_change" else f"r.{column}" for column in _ROLLING_VENUE.split(", ")
)
_ROLLING_HHI = (
    "inputs_hash, week_ending, tier, length, hhi, hhi_mean, hhi_slope, effective_venues, effective_venues_slope, venue_count, "
    "basis, reason"
)
_ROLLING_TOTALS = (
    "inputs_hash, week_ending, tier, length, total_shares, per_session, shares_slope, ats_fraction, ats_fraction_slope, "
    "total_trades, average_trade_size, trade_size_slope, sessions, basis, reason"
)
_ROLLING_SYMBOL = (
    "inputs_hash, week_ending, tier, length, symbol, total_shares, share_pooled, share_mean, per_session, slope, ats_fraction, "
    "hhi_mean, total_trades, active_weeks, reason"
)

VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        View(
            "normalized",
            _NORMALIZED,
            f"SELECT {_NORMALIZED} FROM finra_otc_transparency_normalized WHERE capture_id = ? ORDER BY {_NORMALIZED_ORDER}",
            f"""
            SELECT {_NORMALIZED} FROM finra_otc_transparency_normalized WHERE capture_id = ? AND symbol = ?
            ORDER BY {_NORMALIZED_ORDER}
            """,
            f"""
            SELECT {_NORMALIZED} FROM finra_otc_transparency_normalized WHERE symbol = ?
            ORDER BY week_ending, tier, {_NORMALIZED_ORDER}
            """,
            measured=False,
        ),
        View(
            "venue_volume",
            _VENUE_VOLUME,
            f"""
            SELECT {_VENUE_VOLUME} FROM finra_otc_transparency_venue_volume WHERE capture_id = ?
            ORDER BY venue_class, mpid, COALESCE(firm_crd, 0), venue_name
            """,
        ),
        View(
            "venue_share",
            _VENUE_SHARE,
            f"""
            SELECT {_VENUE_SHARE} FROM finra_otc_transparency_venue_share WHERE capture_id = ?
            ORDER BY rank, venue_class, mpid, COALESCE(firm_crd, 0), venue_name
            """,
        ),
        View(
            "hhi",
            _HHI,
            f"SELECT {_HHI} FROM finra_otc_transparency_hhi WHERE capture_id = ? ORDER BY scope DESC, symbol",
            f"SELECT {_HHI} FROM finra_otc_transparency_hhi WHERE capture_id = ? AND symbol = ? ORDER BY scope DESC, symbol",
            f"SELECT {_HHI} FROM finra_otc_transparency_hhi WHERE symbol = ? ORDER BY week_ending, tier, scope DESC, symbol",
        ),
        View(
            "concentration",
            _CONCENTRATION,
            f"SELECT {_CONCENTRATION} FROM finra_otc_transparency_concentration WHERE capture_id = ?",
        ),
        View(
            "symbol_summary",
            _SYMBOL_SUMMARY,
            f"SELECT {_SYMBOL_SUMMARY} FROM finra_otc_transparency_symbol_summary WHERE capture_id = ? ORDER BY symbol",
            f"SELECT {_SYMBOL_SUMMARY} FROM finra_otc_transparency_symbol_summary WHERE capture_id = ? AND symbol = ?",
            f"""
            SELECT {_SYMBOL_SUMMARY} FROM finra_otc_transparency_symbol_summary WHERE symbol = ?
            ORDER BY week_ending, tier, symbol
            """,
        ),
        View(
            "symbol_venue_share",
            _SYMBOL_VENUE_SHARE,
            f"""
            SELECT {_SYMBOL_VENUE_SHARE} FROM finra_otc_transparency_symbol_venue_share WHERE capture_id = ?
            ORDER BY {_SYMBOL_VENUE_ORDER}
            """,
            f"""
            SELECT {_SYMBOL_VENUE_SHARE} FROM finra_otc_transparency_symbol_venue_share WHERE capture_id = ? AND symbol = ?
            ORDER BY {_SYMBOL_VENUE_ORDER}
            """,
            f"""
            SELECT {_SYMBOL_VENUE_SHARE} FROM finra_otc_transparency_symbol_venue_share WHERE symbol = ?
            ORDER BY week_ending, tier, {_SYMBOL_VENUE_ORDER}
            """,
            measured=False,
        ),
        View(
            "weekly_totals",
            _WEEKLY_TOTALS,
            f"SELECT {_WEEKLY_TOTALS} FROM finra_otc_transparency_weekly_totals WHERE capture_id = ?",
            of_week=True,
            every=f"SELECT {_WEEKLY_TOTALS} FROM finra_otc_transparency_weekly_totals",
        ),
        View(
            "tier_split",
            _TIER_SPLIT,
            f"SELECT {_TIER_SPLIT} FROM finra_otc_transparency_tier_split WHERE capture_id = ? ORDER BY tier",
            of_week=True,
            every=f"SELECT {_TIER_SPLIT} FROM finra_otc_transparency_tier_split ORDER BY tier",
        ),
        View(
            "rolling_venue_share",
            _ROLLING_VENUE,
            f"""
            SELECT {_ROLLING_RANKED} FROM finra_otc_transparency_rolling_venue_share r
            LEFT JOIN finra_otc_transparency_window_venue before ON before.window_key = ? AND before.venue_id = r.venue_id
            WHERE r.window_key = ? ORDER BY r.rank, r.venue_class, r.mpid, COALESCE(r.firm_crd, 0), r.venue_name
            """,
            of_window=True,
            compares=True,
        ),
        View(
            "rolling_hhi",
            _ROLLING_HHI,
            f"SELECT {_ROLLING_HHI} FROM finra_otc_transparency_rolling_hhi WHERE window_key = ?",
            of_window=True,
        ),
        View(
            "rolling_totals",
            _ROLLING_TOTALS,
            f"SELECT {_ROLLING_TOTALS} FROM finra_otc_transparency_rolling_totals WHERE window_key = ?",
            of_window=True,
        ),
        View(
            "rolling_symbol",
            _ROLLING_SYMBOL,
            f"SELECT {_ROLLING_SYMBOL} FROM finra_otc_transparency_rolling_symbol WHERE window_key = ? ORDER BY symbol",
            f"SELECT {_ROLLING_SYMBOL} FROM finra_otc_transparency_rolling_symbol WHERE window_key = ? AND symbol = ?",
            of_window=True,
        ),
    )
}

# One row for every version of a row of `normalized`: query/vintages.py makes them.
_VERSIONS = f"{_NORMALIZED}, held_from, basis, known_from, known_to"
VERSIONS = replace(VIEWS["normalized"], name="normalized_pit", column_names=_VERSIONS)
