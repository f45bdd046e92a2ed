"""What kind of value a column of a view holds, by its name: for those who give it to another system."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """`DATE` and `TIME` are text in a view, ISO 8601; `FLAG` is 1 or 0; `SHARES` has at most six decimals, a `FIGURE` any."""

    TEXT = "text"
    DATE = "date"
    TIME = "time"
    COUNT = "count"
    FLAG = "flag"
    SHARES = "shares"
    FIGURE = "figure"


_NAMES = {
    Kind.DATE: "week_ending, published_on, revised_on, held_from, known_from, known_to",
    Kind.TIME: "captured_at, judged_at",
    Kind.COUNT: "firm_crd, total_trades, symbol_count, venue_count, rank, rank_change, length, active_weeks, sessions, lag_days",
    Kind.FLAG: "is_ready",
    Kind.SHARES: "total_shares, ats_shares, hidden_shares",
    Kind.FIGURE: (
        "total_notional, share, share_pooled, share_mean, hhi, hhi_low, hhi_high, hhi_mean, ats_hhi, non_ats_hhi, ats_fraction, "
        "effective_venues, average_trade_size, per_session, slope, deviation, hhi_slope, effective_venues_slope, shares_slope, "
        "ats_fraction_slope, trade_size_slope"
    ),
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split(", ")}


def kind_of(column: str) -> Kind:
    """The kind of a column; one that is not named here is text."""
    return _KINDS.get(column, Kind.TEXT)
