"""One figure of a weekly file, read from its text: for the odd ones that the fast reading of whole columns leaves."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from market_spine.categories import Category
from market_spine.errors import UnusableContent
from market_spine.parse.columns import MICRO, UNKNOWN

SHARES, TRADES, NOTIONAL = "totalweeklysharequantity", "totalweeklytradecount", "totalnotionalsum"

_FIGURE = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_THOUSANDS = re.compile(r'"?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?"?')
_LARGEST = Decimal(9 * 10**12)  # whole units whose millionths fit 64 bits

_UNREADABLE = {SHARES: "unreadable share quantity", TRADES: "unreadable trade count", NOTIONAL: "unreadable notional"}
_NEGATIVE = {SHARES: "negative share quantity", TRADES: "negative trade count", NOTIONAL: "negative notional"}
_TOO_LARGE = {
    SHARES: "share quantity beyond 9 trillion", TRADES: "trade count beyond 9 trillion", NOTIONAL: "notional beyond 9 trillion",
}


def read_figure(text: str, name: str, line_number: int) -> int | str:
    """One figure in millionths (half-even beyond them), or the reason why it is unreadable. A blank notional is UNKNOWN."""
    text = text.strip()
    if _THOUSANDS.fullmatch(text):
        raise UnusableContent(
            Category.THOUSANDS_SEPARATOR,
            f"line {line_number}: {text[:40]} has a thousands comma, so another program has rewritten the file",
            hint="fetch the file again and do not re-save it",
        )
    if not text:
        return UNKNOWN if name == NOTIONAL else _UNREADABLE[name]
    if text.startswith("-"):
        return _NEGATIVE[name] if _FIGURE.fullmatch(text[1:]) else _UNREADABLE[name]
    if len(text) > 60 or not _FIGURE.fullmatch(text):
        return _UNREADABLE[name]
    try:
        value = Decimal(text)
    except InvalidOperation:
        return _UNREADABLE[name]
    return int((value * MICRO).to_integral_value()) if value <= _LARGEST else _TOO_LARGE[name]
