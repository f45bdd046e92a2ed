"""Issues and venues and their ids: looked up together, inserted when new, cached across captures once committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from market_spine.db import Database
from market_spine.parse.columns import Issue, Venue

Named = tuple[Any, ...]
"""An issue or a venue as it is read from the database: equal to it, and of the same hash."""

_NOTHING: Mapping[Named | None, int] = {None: 0}
_BATCH = 400
_LARGE_BATCH = 2_000


class Dimensions:
    """The ids of issues and venues in one database. `keep` after a commit, `forget` after a rollback."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._issues: dict[Named | None, int] = dict(_NOTHING)
        self._venues: dict[Named | None, int] = dict(_NOTHING)

    def issue_ids(self, issues: Sequence[Issue | None]) -> list[int]:
        """The id of each issue, 0 for None; new ones are inserted. Call it inside a transaction."""
        missing = [issue for issue, number in zip(issues, map(self._issues.get, issues), strict=True) if number is None]
        if missing:
            self._learn_issues(list(dict.fromkeys(filter(None, missing))))
        return list(map(self._issues.__getitem__, issues))

    def venue_ids(self, venues: Sequence[Venue | None]) -> list[int]:
        """The id of each venue, 0 for None; new ones are inserted. Call it inside a transaction."""
        if not self._venues.keys() >= set(venues):
            self._venues.update(self._all_venues())
        if new := sorted(venue for venue in set(venues) if venue and venue not in self._venues):
            self._db.insert_new("finra_otc_transparency_venue", Venue._fields, new, "venue_id")
            self._venues.update(self._all_venues())
        return list(map(self._venues.__getitem__, venues))

    def forget(self) -> None:
        """Drops what may have been rolled back."""
        self._issues, self._venues = dict(_NOTHING), dict(_NOTHING)

    def _learn_issues(self, missing: list[Issue]) -> None:
        """Looks issues up, and inserts those that are new."""
        if self._db.execute("SELECT 1 FROM finra_otc_transparency_issue LIMIT 1").fetchone():
            self._issues.update(self._find_issues(missing))
        if new := sorted(issue for issue in missing if issue not in self._issues):
            made = self._db.insert_new("finra_otc_transparency_issue", Issue._fields, new, "issue_id")
            self._issues.update(((symbol, name, product), issue_id) for issue_id, symbol, name, product in made)
        if others := [issue for issue in new if issue not in self._issues]:  # inserted by another worker meanwhile
            self._issues.update(self._find_issues(others))

    def _find_issues(self, issues: list[Issue]) -> dict[Named, int]:
        ids: dict[Named, int] = {}
        symbols = list(dict.fromkeys(issue.symbol for issue in issues))
        size = _BATCH if len(symbols) <= _BATCH else _LARGE_BATCH
        for start in range(0, len(symbols), size):
            batch = symbols[start : start + size]
            batch += [batch[-1]] * (size - len(batch))  # two statements in all, each prepared once
            rows = self._db.execute(_FIND_ISSUES[size], batch)
            ids |= {(symbol, name, product): issue_id for issue_id, symbol, name, product in rows}
        return ids

    def _all_venues(self) -> dict[Named, int]:
        rows = self._db.execute("SELECT venue_id, venue_class, mpid, firm_crd, venue_name FROM finra_otc_transparency_venue")
        return {tuple(venue): venue_id for venue_id, *venue in rows}


_FIND_ISSUES = {
    size: "SELECT issue_id, symbol, issue_name, product_type FROM finra_otc_transparency_issue WHERE symbol IN ("
    + ", ".join("?" * size)
    + ")"
    for size in (_BATCH, _LARGE_BATCH)
}
