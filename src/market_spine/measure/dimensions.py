"""Issues and venues and their ids: looked up together, made when new, remembered across captures once committed."""

from __future__ import annotations

from collections.abc import Sequence

from market_spine.db import Database
from market_spine.parse.columns import Issue, Venue

_BATCH = 400
_LARGE_BATCH = 2_000


class Dimensions:
    """The ids of issues and venues in one database. `keep` after a commit, `forget` after a rollback."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._issues: dict[Issue, int] = {}
        self._venues: dict[Venue, int] = {}

    def issue_ids(self, issues: Sequence[Issue | None]) -> list[int]:
        """The id of each issue, 0 for None; new ones are inserted. Call it inside a transaction."""
        missing = list(dict.fromkeys(issue for issue in issues if issue and issue not in self._issues))
        if missing:
            self._issues.update(self._find_issues(missing))
        if new := sorted(issue for issue in missing if issue not in self._issues):
            made = self._db.insert_new("finra_otc_transparency_issue", Issue._fields, new, "issue_id")
            self._issues.update((Issue(*row[1:]), row[0]) for row in made)
        if others := [issue for issue in new if issue not in self._issues]:  # made by another worker meanwhile
            self._issues.update(self._find_issues(others))
        return [self._issues[issue] if issue else 0 for issue in issues]

    def venue_ids(self, venues: Sequence[Venue | None]) -> list[int]:
        """The id of each venue, 0 for None; new ones are inserted. Call it inside a transaction."""
        missing = {venue for venue in venues if venue and venue not in self._venues}
        if missing:
            self._venues.update(self._all_venues())
        if new := sorted(venue for venue in missing if venue not in self._venues):
            self._db.insert_new("finra_otc_transparency_venue", Venue._fields, new, "venue_id")
            self._venues.update(self._all_venues())
        return [self._venues[venue] if venue else 0 for venue in venues]

    def forget(self) -> None:
        """Drops what may have been rolled back."""
        self._issues.clear()
        self._venues.clear()

    def _find_issues(self, issues: list[Issue]) -> dict[Issue, int]:
        found: dict[Issue, int] = {}
        symbols = list(dict.fromkeys(issue.symbol for issue in issues))
        size = _BATCH if len(symbols) <= _BATCH else _LARGE_BATCH
        for start in range(0, len(symbols), size):
            batch = symbols[start : start + size]
            batch += [batch[-1]] * (size - len(batch))  # two texts in all, each prepared once
            found |= {Issue(*row[1:]): row[0] for row in self._db.execute(_FIND_ISSUES[size], batch)}
        return found

    def _all_venues(self) -> dict[Venue, int]:
        rows = self._db.execute("SELECT venue_id, venue_class, mpid, firm_crd, venue_name FROM finra_otc_transparency_venue")
        return {Venue(row[1], row[2], row[3], row[4]): row[0] for row in rows}


_FIND_ISSUES = {
    size: "SELECT issue_id, symbol, issue_name, product_type FROM finra_otc_transparency_issue WHERE symbol IN ("
    + ", ".join("?" * size)
    + ")"
    for size in (_BATCH, _LARGE_BATCH)
}
