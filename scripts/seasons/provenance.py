"""What is kept beside the rows: the responses each content of the API was made from, and FINRA's daily list as of each day."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from itertools import groupby
from typing import NamedTuple

from market_spine.db import Database


class Page(NamedTuple):
    """A response of a content, and how many rows FINRA counted before it and in all."""

    content: str
    sha: str
    before: int
    total: int


class Provenance:
    """Looks at the end of each day which daily list there is; at the end of a season that this has not changed."""

    def __init__(self) -> None:
        self._lists: dict[date, str | None] = {}

    def day_ends(self, db: Database, day: date) -> None:
        self._lists[day] = _list_as_of(db, day)

    def faults(self, db: Database, raw: Callable[[str], bytes]) -> list[str]:
        changed = [day for day, sha in self._lists.items() if _list_as_of(db, day) != sha]
        faults = [f"the daily list as of {day} has changed" for day in changed]
        if self._lists and _list_as_of(db, max(self._lists)) is None:
            faults.append("no daily list was ever captured")
        pages = _pages(db)
        faults += [f"{content} has no responses" for content in sorted(_contents(db) - {page.content for page in pages})]
        for content, of_content in groupby(pages, lambda page: page.content):
            faults += [f"{content}: {fault}" for fault in _do_not_add_up(list(of_content), raw)]
        return faults


def _do_not_add_up(pages: list[Page], raw: Callable[[str], bytes]) -> list[str]:
    """Of each query, each page begins where the one before ends, and together they hold what FINRA counted."""
    rows = total = 0
    for number, page in enumerate(pages, 1):
        if page.before != (rows if rows < total else 0):
            return [f"response {number} begins at row {page.before}, {rows} of {total} rows came before"]
        rows, total = rows if rows < total else 0, page.total
        rows += len(json.loads(raw(page.sha)))
    return [] if rows == total else [f"its last responses have {rows} rows, FINRA counted {total}"]


def _contents(db: Database) -> set[str]:
    versions = db.execute("SELECT capture_id, ingest_no FROM finra_otc_transparency_version").fetchall()
    return {f"{capture_id}@{ingest_no}" for capture_id, ingest_no in versions}


def _pages(db: Database) -> list[Page]:
    """In the order of their contents and numbers; a daily list of the fake comes in one page."""
    rows = db.execute(
        """
        SELECT capture_id || '@' || ingest_no, content_sha256, record_offset, record_total FROM finra_otc_transparency_response
        ORDER BY capture_id, ingest_no, page_no
        """
    ).fetchall()
    return [Page._make(row) for row in rows]


def _list_as_of(db: Database, day: date) -> str | None:
    row = db.execute(
        """
        SELECT json_extract(metadata_json, '$.sha256') FROM core_manifest
        WHERE domain = 'finra.otc_daily_list' AND json_extract(partition_key, '$.day') <= ?
        ORDER BY json_extract(partition_key, '$.day') DESC LIMIT 1
        """,
        (day.isoformat(),),
    ).fetchone()
    (sha,) = row or (None,)
    return sha
