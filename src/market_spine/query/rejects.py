"""The lines of a capture that did not become rows, and why."""

from __future__ import annotations

from typing import NamedTuple

from market_spine.db import Database


class Rejected(NamedTuple):
    """A stored reject; `line` is the line as it came, with control characters made visible."""

    line_number: int
    reason: str
    line: str


def list_rejects(db: Database, capture_id: str) -> list[Rejected]:
    """The stored rejects of a capture, in the order of its lines."""
    rows = db.execute(
        "SELECT line_number, reason, line FROM core_rejects WHERE capture_id = ? ORDER BY line_number", (capture_id,)
    )
    return [Rejected._make(row) for row in rows]
