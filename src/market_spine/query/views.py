"""The views people query, by their short names: their columns in order, and the statements that read them in one fixed order.

One text serves both engines, and the order is total (NULL is made 0 or ''), so equal content gives equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from market_spine.errors import UsageError


@dataclass(frozen=True, slots=True)
class View:
    """`of_capture` reads one capture (parameter: capture_id), or, of a week-level view, one result; the next two are None
    where rows have no symbol: `of_symbol` adds one (capture_id, symbol), `history` is a symbol in every capture (symbol).
    `measured`: it needs CALC."""

    name: str
    columns: tuple[str, ...]
    of_capture: str
    of_symbol: str | None = None
    history: str | None = None
    measured: bool = True
    of_week: bool = False


def find_view(name: str) -> View:
    """The view of that short name, or of its full one. Raises UsageError."""
    short = name.removeprefix("finra_otc_transparency_").removesuffix("_latest")
    if short not in VIEWS:
        raise UsageError(f"there is no view {name!r}", hint=f"the views are {', '.join(VIEWS)}")
    return VIEWS[short]


_NORMALIZED = View(
    "normalized",
    (
        "capture_id", "week_ending", "tier", "symbol", "issue_name", "product_type", "venue_class", "mpid", "firm_crd",
        "venue_name", "total_shares", "total_trades", "total_notional", "captured_at",
    ),
    """
    SELECT capture_id, week_ending, tier, symbol, issue_name, product_type, venue_class, mpid, firm_crd, venue_name,
           total_shares, total_trades, total_notional, captured_at
    FROM finra_otc_transparency_normalized WHERE capture_id = ?
    ORDER BY symbol, issue_name, product_type, venue_class, mpid, COALESCE(firm_crd, 0), venue_name
    """,
    """
    SELECT capture_id, week_ending, tier, symbol, issue_name, product_type, venue_class, mpid, firm_crd, venue_name,
           total_shares, total_trades, total_notional, captured_at
    FROM finra_otc_transparency_normalized WHERE capture_id = ? AND symbol = ?
    ORDER BY symbol, issue_name, product_type, venue_class, mpid, COALESCE(firm_crd, 0), venue_name
    """,
    """
    SELECT capture_id, week_ending, tier, symbol, issue_name, product_type, venue_class, mpid, firm_crd, venue_name,
           total_shares, total_trades, total_notional, captured_at
    FROM finra_otc_transparency_normalized WHERE symbol = ?
    ORDER BY week_ending, tier, symbol, issue_name, product_type, venue_class, mpid, COALESCE(firm_crd, 0), venue_name
    """,
    measured=False,
)  # fmt: skip

_SYMBOL_VENUE_SHARE = View(
    "symbol_venue_share",
    (
        "capture_id", "week_ending", "tier", "symbol", "venue_class", "mpid", "firm_crd", "venue_name", "total_shares",
        "share", "captured_at",
    ),
    """
    SELECT capture_id, week_ending, tier, symbol, venue_class, mpid, firm_crd, venue_name, total_shares, share, captured_at
    FROM finra_otc_transparency_symbol_venue_share WHERE capture_id = ?
    ORDER BY symbol, venue_class, mpid, COALESCE(firm_crd, 0), venue_name, total_shares DESC
    """,
    """
    SELECT capture_id, week_ending, tier, symbol, venue_class, mpid, firm_crd, venue_name, total_shares, share, captured_at
    FROM finra_otc_transparency_symbol_venue_share WHERE capture_id = ? AND symbol = ?
    ORDER BY symbol, venue_class, mpid, COALESCE(firm_crd, 0), venue_name, total_shares DESC
    """,
    """
    SELECT capture_id, week_ending, tier, symbol, venue_class, mpid, firm_crd, venue_name, total_shares, share, captured_at
    FROM finra_otc_transparency_symbol_venue_share WHERE symbol = ?
    ORDER BY week_ending, tier, symbol, venue_class, mpid, COALESCE(firm_crd, 0), venue_name, total_shares DESC
    """,
    measured=False,
)  # fmt: skip

_VENUE_VOLUME = View(
    "venue_volume",
    (
        "capture_id", "week_ending", "tier", "venue_class", "mpid", "firm_crd", "venue_name", "total_shares", "total_trades",
        "total_notional", "symbol_count", "captured_at",
    ),
    """
    SELECT capture_id, week_ending, tier, venue_class, mpid, firm_crd, venue_name, total_shares, total_trades, total_notional,
           symbol_count, captured_at
    FROM finra_otc_transparency_venue_volume WHERE capture_id = ?
    ORDER BY venue_class, mpid, COALESCE(firm_crd, 0), venue_name
    """,
)  # fmt: skip

_VENUE_SHARE = View(
    "venue_share",
    (
        "capture_id", "week_ending", "tier", "venue_class", "mpid", "firm_crd", "venue_name", "total_shares", "share",
        "rank", "captured_at",
    ),
    """
    SELECT capture_id, week_ending, tier, venue_class, mpid, firm_crd, venue_name, total_shares, share, rank, captured_at
    FROM finra_otc_transparency_venue_share WHERE capture_id = ?
    ORDER BY rank, venue_class, mpid, COALESCE(firm_crd, 0), venue_name
    """,
)  # fmt: skip

_HHI = View(
    "hhi",
    ("capture_id", "week_ending", "tier", "scope", "symbol", "hhi", "venue_count", "total_shares", "captured_at"),
    """
    SELECT capture_id, week_ending, tier, scope, symbol, hhi, venue_count, total_shares, captured_at
    FROM finra_otc_transparency_hhi WHERE capture_id = ? ORDER BY scope DESC, symbol
    """,
    """
    SELECT capture_id, week_ending, tier, scope, symbol, hhi, venue_count, total_shares, captured_at
    FROM finra_otc_transparency_hhi WHERE capture_id = ? AND symbol = ? ORDER BY scope DESC, symbol
    """,
    """
    SELECT capture_id, week_ending, tier, scope, symbol, hhi, venue_count, total_shares, captured_at
    FROM finra_otc_transparency_hhi WHERE symbol = ? ORDER BY week_ending, tier, scope DESC, symbol
    """,
)

_SYMBOL_SUMMARY = View(
    "symbol_summary",
    (
        "capture_id", "week_ending", "tier", "symbol", "total_shares", "ats_shares", "total_trades", "total_notional",
        "venue_count", "hhi", "captured_at",
    ),
    """
    SELECT capture_id, week_ending, tier, symbol, total_shares, ats_shares, total_trades, total_notional, venue_count, hhi,
           captured_at
    FROM finra_otc_transparency_symbol_summary WHERE capture_id = ? ORDER BY symbol
    """,
    """
    SELECT capture_id, week_ending, tier, symbol, total_shares, ats_shares, total_trades, total_notional, venue_count, hhi,
           captured_at
    FROM finra_otc_transparency_symbol_summary WHERE capture_id = ? AND symbol = ?
    """,
    """
    SELECT capture_id, week_ending, tier, symbol, total_shares, ats_shares, total_trades, total_notional, venue_count, hhi,
           captured_at
    FROM finra_otc_transparency_symbol_summary WHERE symbol = ? ORDER BY week_ending, tier, symbol
    """,
)  # fmt: skip

_WEEKLY_TOTALS = View(
    "weekly_totals",
    (
        "capture_id", "week_ending", "total_shares", "ats_shares", "total_trades", "total_notional", "symbol_count",
        "venue_count", "captured_at",
    ),
    """
    SELECT capture_id, week_ending, total_shares, ats_shares, total_trades, total_notional, symbol_count, venue_count,
           captured_at
    FROM finra_otc_transparency_weekly_totals WHERE capture_id = ?
    """,
    of_week=True,
)  # fmt: skip

_TIER_SPLIT = View(
    "tier_split",
    ("capture_id", "week_ending", "tier", "total_shares", "total_trades", "total_notional", "share", "captured_at"),
    """
    SELECT capture_id, week_ending, tier, total_shares, total_trades, total_notional, share, captured_at
    FROM finra_otc_transparency_tier_split WHERE capture_id = ? ORDER BY tier
    """,
    of_week=True,
)

VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        _NORMALIZED,
        _VENUE_VOLUME,
        _VENUE_SHARE,
        _HHI,
        _SYMBOL_SUMMARY,
        _SYMBOL_VENUE_SHARE,
        _WEEKLY_TOTALS,
        _TIER_SPLIT,
    )
}
