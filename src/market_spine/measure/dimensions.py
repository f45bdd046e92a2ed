"""Issues and venues and their ids: looked up together, made when new, remembered across captures once committed."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

from market_spine.db import Database
from market_spine.parse.columns import Issue, Venue

Key = TypeVar("Key", bound=Hashable)
_BATCH = 400


class Dimensions:
    """The ids of issues and venues in one database. `keep` after a commit, `forget` after a rollback."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._issues: dict[Issue, int] = {}
        self._venues: dict[Venue, int] = {}

    def issue_ids(self, issues: Iterable[Issue]) -> dict[Issue, int]:
        """Every issue's id; new ones are inserted. Call it inside a transaction."""
        wanted = dict.fromkeys(issues)
        missing = [issue for issue in wanted if issue not in self._issues]
        self._issues.update(self._find_issues(missing))
        missing = [issue for issue in missing if issue not in self._issues]
        if missing:
            self._db.insert_new("finra_otc_transparency_issue", ("symbol", "issue_name", "product_type"), sorted(missing))
            self._issues.update(self._find_issues(missing))
        return {issue: self._issues[issue] for issue in wanted}

    def venue_ids(self, venues: Iterable[Venue]) -> dict[Venue, int]:
        """Every venue's id; new ones are inserted. Call it inside a transaction."""
        wanted = dict.fromkeys(venues)
        missing = [venue for venue in wanted if venue not in self._venues]
        if missing:
            self._venues.update(self._all_venues())
            missing = [venue for venue in missing if venue not in self._venues]
        if missing:
            self._db.insert_new(
                "finra_otc_transparency_venue", ("venue_class", "mpid", "firm_crd", "venue_name"), sorted(missing)
            )
            self._venues.update(self._all_venues())
        return {venue: self._venues[venue] for venue in wanted}

    def forget(self) -> None:
        """Drops what may have been rolled back."""
        self._issues.clear()
        self._venues.clear()

    def _find_issues(self, issues: list[Issue]) -> dict[Issue, int]:
        found: dict[Issue, int] = {}
        symbols = list(dict.fromkeys(issue.symbol for issue in issues))
        for start in range(0, len(symbols), _BATCH):
            batch = symbols[start : start + _BATCH]
            batch += [batch[-1]] * (_BATCH - len(batch))
            for row in self._db.execute(_FIND_ISSUES, batch):
                found[Issue(row[1], row[2], row[3])] = row[0]
        return found

    def _all_venues(self) -> dict[Venue, int]:
        rows = self._db.execute("SELECT venue_id, venue_class, mpid, firm_crd, venue_name FROM finra_otc_transparency_venue")
        return {Venue(row[1], row[2], row[3], row[4]): row[0] for row in rows}


_FIND_ISSUES = (
    "SELECT issue_id, symbol, issue_name, product_type FROM finra_otc_transparency_issue WHERE symbol IN ("
    + ", ".join("?" * _BATCH)
    + ")"
)
