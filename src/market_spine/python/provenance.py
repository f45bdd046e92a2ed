"""Where the figures of a result come from, to be cited."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass

from market_spine import __version__
from market_spine.python.result import Result
from market_spine.query.sources import Source


@dataclass(frozen=True, slots=True)
class Provenance:
    """What to cite of a result: the query, the captures with their content hashes, the checkpoint of the log, and the rows.

    `rows_sha256` is the digest of the rows as CSV with a header line, as `spine query --csv` prints them (weeks have `lag_days`
    as well). Somebody else with the same captures gets the same digest, on either engine; `spine audit verify --against FILE`
    shows that a log begins like the one cited.
    """

    query: str
    database: str
    seen_at: str
    basis: str
    captures: tuple[Source, ...]
    checkpoint: str | None
    rows: int
    rows_sha256: str
    version: str = __version__

    def __str__(self) -> str:
        """In a few lines of text."""
        captures = [f"  {each.capture_id} sha256:{each.content_hash}" for each in self.captures]
        head = f"{self.query}, {self.rows:,} rows, sha256:{self.rows_sha256}"
        seen = f"market-spine {self.version}, {self.database}, seen at {self.seen_at}, basis {self.basis}"
        return "\n".join([head, seen, f"checkpoint {self.checkpoint or 'none'}", *captures])


def provenance(result: Result, database: str) -> Provenance:
    """Of a result; the digest is of its rows as CSV with a header line, as `spine query --csv` prints them."""
    return Provenance(
        result.query, database, result.seen_at, result.basis, result.captures, result.checkpoint, len(result), _digest(result)
    )


def _digest(result: Result) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(result.columns)
    writer.writerows(result.rows())
    return hashlib.sha256(text.getvalue().encode()).hexdigest()
