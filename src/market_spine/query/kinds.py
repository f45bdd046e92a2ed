"""What kind of value a column of a view holds, by its name: for those who give it to another system."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """`DATE` and `TIME` are text in a view, ISO 8601; `FLAG` is 1 or 0; `FIGURE` is a number, whole or not."""

    TEXT = "text"
    DATE = "date"
    TIME = "time"
    COUNT = "count"
    FLAG = "flag"
    FIGURE = "figure"


_NAMES = {
    Kind.TEXT: (
        "capture_id, tier, symbol, issue_name, product_type, venue_class, mpid, venue_name, scope, basis, inputs_hash, reason, "
        "blocking_issues"
    ),
    Kind.DATE: "week_ending, published_on, revised_on, held_from, known_from, known_to",
    Kind.TIME: "captured_at, judged_at",
    Kind.COUNT: "firm_crd, total_trades, symbol_count, venue_count, rank, rank_change, length, active_weeks, sessions, lag_days",
    Kind.FLAG: "is_ready",
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split(", ")}


def kind_of(column: str) -> Kind:
    """The kind of a column; one that is not named here holds a figure."""
    return _KINDS.get(column, Kind.FIGURE)
