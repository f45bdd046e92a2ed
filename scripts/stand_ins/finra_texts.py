"""Rows as FINRA's service writes them: JSON as a Java program does it, and delimited text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any


def json_row(pairs: list[tuple[str, Any]]) -> str:
    return "{" + ",".join(f'"{name}":{json_value(value)}' for name, value in pairs) + "}"


def json_value(value: Any) -> str:
    """Numbers as a Java program writes them: from ten million on, a float has an exponent."""
    if isinstance(value, float):
        if abs(value) < 1e7:
            return repr(value)
        digits, _, power = f"{value!r}e{0}".partition("e") if "e" not in repr(value) else repr(value).partition("e")
        number = Decimal(digits) * 10 ** int(power.split("e")[0])
        return f"{number.scaleb(-number.adjusted()).normalize()}E{number.adjusted()}"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


def text_writer(body: dict[str, Any], pad_decimals: bool) -> Callable[[list[tuple[str, Any]]], str]:
    """Writes a row as the request's body asks for it."""
    quoting: Any = csv.QUOTE_ALL if body.get("quoteValues", True) else csv.QUOTE_NONE
    delimiter = body.get("delimiter", ",")

    def write(pairs: list[tuple[str, Any]]) -> str:
        out = io.StringIO()
        options: Any = {"escapechar": "\\"} if quoting == csv.QUOTE_NONE else {}
        values = [_text_value(name, value, pad_decimals) for name, value in pairs]
        csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="", **options).writerow(values)
        return out.getvalue()

    return write


def _text_value(name: str, value: Any, pad_decimals: bool) -> Any:
    if pad_decimals and isinstance(value, (int, Decimal)) and name.startswith("total"):
        return f"{value:.6f}"
    return "" if value is None else value
