"""Symbols as they are stored: case is identity, so one in the wrong case finds nothing and suggests the right one."""

from __future__ import annotations

from market_spine.db import Database


def is_stored(db: Database, symbol: str) -> bool:
    """Whether a capture ever had it."""
    return db.execute("SELECT 1 FROM finra_otc_transparency_issue WHERE symbol = ? LIMIT 1", (symbol,)).fetchone() is not None


def meant(db: Database, symbol: str) -> str | None:
    """The symbol that was probably meant: the same in another case; None where there is none, or this one exists."""
    rows = db.execute(
        "SELECT DISTINCT symbol FROM finra_otc_transparency_issue WHERE LOWER(symbol) = LOWER(?) ORDER BY symbol", (symbol,)
    )
    symbols = [stored for (stored,) in rows]
    return None if symbol in symbols or not symbols else symbols[0]


def hint(other: str | None) -> str:
    """What is printed of it."""
    return f"Case matters in a symbol. Try: --symbol {other}" if other else ""
