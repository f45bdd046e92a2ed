"""FINRA's otcDailyList: additions, deletions, new symbols and names of OTC equities, day by day, in one canonical JSON document.

    {"dataset": "otcMarket/otcDailyList", "format": 1, "rows": [
    {"OTCDailyListID":139933,"calendarDay":"2026-10-02","newSymbolCode":"NEWX","oldSymbolCode":"OLDX", …},
    …
    ]}

Every field that FINRA sends is kept, in the order of its name; rows are sorted by their text, one a line; a number is a plain
decimal without idle zeros. Equal rows give equal bytes, whatever pages they came in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

from market_spine.app.source import Offer
from market_spine.app.source.canonical import number_text
from market_spine.app.source.query import PAGE_ROWS, Body, Endpoint, Page, Row, equal
from market_spine.categories import Category
from market_spine.errors import Unproved

DATASET = "otcDailyList"
DAY = "calendarDay"  # its partition key
_ORDER = ["+OTCDailyListID"]


def fetch(endpoint: Endpoint, first: date, last: date) -> Offer:
    """The rows of these days. Raises SourceError; Unproved where they do not add up, or there are none at all."""
    pages = list(_pages(endpoint, first, last))
    rows = [row for page in pages for row in page.rows]
    for row in rows:
        _check(row, first, last)
    if not rows:
        raise Unproved(Category.SOURCE_INCOMPLETE, f"FINRA has no row of {DATASET} from {first} to {last}")
    facts = {"dataset": DATASET, "record_total": len(rows), "request_id": pages[0].request_id, "rows": len(rows)}
    where = f"{endpoint.url(DATASET)}?{DAY}={first}..{last}"
    offer = Offer(document(rows), where, metadata={**facts, "first_day": first.isoformat(), "last_day": last.isoformat()})
    return offer._replace(responses=tuple(page.response for page in pages if page.response))


def document(rows: list[Row]) -> bytes:
    """The canonical document of some rows."""
    lines = ",\n".join(sorted(map(_line, rows)))
    return f'{{"dataset": "otcMarket/{DATASET}", "format": 1, "rows": [\n{lines}\n]}}\n'.encode()


def _pages(endpoint: Endpoint, first: date, last: date) -> Iterator[Page]:
    """The pages of these days that have rows.

    Over several days FINRA sorts nothing, so pages may shift. Therefore only an answer of one page is believed; where there is
    more, each half of the days is asked, at last a day alone, which FINRA sorts.
    """
    days: Body = {"dateRangeFilters": [{"fieldName": DAY, "startDate": first.isoformat(), "endDate": last.isoformat()}]}
    page = endpoint.ask(DATASET, {**days, "limit": PAGE_ROWS, "offset": 0})
    if page.total is None or len(page.rows) > page.total:
        raise Unproved(Category.SOURCE_INCOMPLETE, f"FINRA did not say how many rows there are (Record-Total of {DATASET})")
    if len(page.rows) == page.total:
        yield from [page] if page.rows else []
        return
    if first == last:
        yield from endpoint.pages(DATASET, {"compareFilters": [equal(DAY, first.isoformat())], "sortFields": _ORDER})
        return
    middle = first + (last - first) // 2
    halves = [*_pages(endpoint, first, middle), *_pages(endpoint, middle + timedelta(days=1), last)]
    if (summed := sum(len(half.rows) for half in halves)) != page.total:
        raise Unproved(Category.SOURCE_INCOMPLETE, f"{DATASET} has {page.total:,} rows, and by halves {summed:,}")
    yield from halves


def _check(row: Row, first: date, last: date) -> None:
    day = str(row.get(DAY))[:10]
    if not first.isoformat() <= day <= last.isoformat():
        raise Unproved(Category.SOURCE_FOREIGN_ROWS, f"asked for {DATASET} from {first} to {last}, got a row of {day}")


def _line(row: Row) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{_value(row[name])}" for name in sorted(row)) + "}"


def _value(value: object) -> str:
    """JSON text, in UTF-8; a decimal in its one form."""
    return number_text(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False, default=str)
