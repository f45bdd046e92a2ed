"""Days only run forward: query results as of a past day never change.

A run acts on its run date. A date before the newest day the store has recorded would change the results as of the days
between, so it is refused; a date in the future would hide every revision until then. Both can be intended, and each has an
explicit flag.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from market_spine.db import Database
from market_spine.errors import FutureDay, PastDay


class Permits(NamedTuple):
    """Which days a run may act on besides the present: a past one (kept content, as observed then), a future one."""

    past: bool = False
    future: bool = False


PRESENT = Permits()


def check_day(db: Database, run_date: date, today: date, permits: Permits = PRESENT) -> None:
    """Raises PastDay or FutureDay when a run of `run_date` may not act; `today` is the day in New York by the clock."""
    if run_date > today and not permits.future:
        raise FutureDay(
            f"the run date {run_date} lies after today in New York, {today}; its captures would hide every revision until then",
            hint=f"--run-date {today}, or --allow-future if it is meant",
        )
    if permits.past:
        return
    newest = newest_day(db, today)
    if newest is not None and run_date < newest:
        raise PastDay(
            f"the run date {run_date} lies before {newest}, the newest day this store has recorded, and what was answered "
            "since may not change",
            hint=f"leave --run-date out, or load kept files with --as-observed-on {run_date}",
        )


def newest_day(db: Database, today: date) -> date | None:
    """The newest day with a capture or a run; days after `today` do not count, because they were typing errors."""
    (newest,) = db.execute(
        """
        SELECT MAX(day) FROM (
            SELECT MAX(run_date) AS day FROM core_executions WHERE run_date <= ?
            UNION ALL
            SELECT MAX(run_date) AS day FROM finra_otc_transparency_capture WHERE run_date <= ?) AS days
        """,
        (today.isoformat(), today.isoformat()),
    ).fetchone()
    return date.fromisoformat(newest) if newest else None
