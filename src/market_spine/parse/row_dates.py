"""The dates that FINRA declares of a row, read from the texts of a weekly file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from market_spine.parse.columns import RowDates

PUBLISHED, UPDATED = "initialpublisheddate", "lastupdatedate"


def read_dates(texts: Iterable[bytes], fields: Sequence[str], delimiter: int) -> list[RowDates]:
    """The dates of each distinct text, which is the `fields` with the delimiter between them.

    lastReportedDate is not read: lastUpdateDate is the later of it and the day of publication.
    """
    if not fields:
        return [RowDates(None, None)]
    dates = []
    for text in texts:
        given = dict(zip(fields, text.decode("utf-8", "replace").split(chr(delimiter)), strict=True))
        dates.append(RowDates(date_text(given.get(PUBLISHED, "")), date_text(given.get(UPDATED, ""))))
    return dates


def date_text(text: str) -> str | None:
    """A date, with or without a time after it, as YYYY-MM-DD; None where it is not one."""
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        return None
