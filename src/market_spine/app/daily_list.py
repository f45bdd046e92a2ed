"""The daily list: FINRA's symbol changes, captured by a run over the API once its phases are done. Its failure fails no run."""

from __future__ import annotations

import hashlib
import logging
from datetime import date, timedelta
from typing import NamedTuple

from market_spine.app.context import Run
from market_spine.app.source import ListsDaily, Offer
from market_spine.categories import Category
from market_spine.core import anomalies, daily_lists
from market_spine.core.captures import Version
from market_spine.core.daily_lists import Listed
from market_spine.errors import DatabaseError, DatabaseLost, MarketSpineError, RunLocked
from market_spine.outcome import Reason, Status

log = logging.getLogger("market_spine")

# FINRA shows a rolling window of days and says nowhere how long it is; this much was seen to be there. A store whose newest list
# is older asks from that one's day on.
WINDOW = timedelta(days=45)


class Decision(NamedTuple):
    """What is to become of the list that FINRA shows. `ingest_no` is the number its content would have."""

    reason: Reason
    offer: Offer
    content_hash: str
    ingest_no: int


class Taken(NamedTuple):
    """What came of the list of a run date. `message` is the text of the log line after the mark."""

    status: Status
    day: date
    message: str
    reason: str
    capture_id: str | None = None
    rows: int | None = None
    hint: str | None = None

    def entry(self) -> dict[str, object]:
        """The result, for machines."""
        return {
            "day": self.day.isoformat(), "outcome": self.status.value, "reason": self.reason, "message": self.message,
            "capture_id": self.capture_id, "rows": self.rows, "hint": self.hint,
        }


def take(run: Run, source: ListsDaily) -> Taken:
    """Asks for the list and stores it when it is new. What goes wrong is a warning, and an anomaly until a list is captured."""
    try:
        newest = daily_lists.newest(run.db, run.run_date)
        offer = source.daily_list(first_day(run.run_date, newest), run.run_date)
        return _carry_out(run, decide(offer, newest, run.run_date))
    except DatabaseLost as error:
        if run.dry:
            raise
        run.db.reconnect()
        return _missing(run, error)
    except (DatabaseError, RunLocked):
        raise
    except Exception as error:
        log.debug("traceback of the daily list", exc_info=True)
        return _missing(run, error)


def first_day(run_date: date, newest: Listed | None) -> date:
    """From which day on the list is asked for: the window, and farther back where a store has missed more than that."""
    window = run_date - WINDOW
    return window if newest is None else min(window, date.fromisoformat(newest.day))


def decide(offer: Offer, newest: Listed | None, run_date: date) -> Decision:
    """NEW for the first list, UNCHANGED where the content is that of the newest capture, else CHANGED."""
    content_hash = hashlib.sha256(offer.content).hexdigest()
    if newest is None:
        return Decision(Reason.NEW, offer, content_hash, 1)
    unchanged = newest.version.content_hash == content_hash
    number = newest.version.ingest_no + 1 if newest.day == run_date.isoformat() else 1
    return Decision(Reason.UNCHANGED if unchanged else Reason.CHANGED, offer, content_hash, number)


def _carry_out(run: Run, decision: Decision) -> Taken:
    rows, reason = int(str(decision.offer.metadata["rows"])), decision.reason.value
    unchanged = decision.reason is Reason.UNCHANGED
    status, message = Status.DONE, f"Captured {rows:,} rows ({reason})"
    if unchanged:
        status, message = Status.SKIPPED, "Skipped (unchanged)"
    if not run.dry:
        with run.db.transaction():
            if not unchanged:
                _store(run, decision, rows)
            note = "a later list was captured"
            anomalies.resolve_category(run.db, Category.DAILY_LIST_MISSING, note, run.now, domain=daily_lists.DOMAIN)
    capture_id = None if unchanged else daily_lists.capture_id_of(run.run_date)
    return Taken(status, run.run_date, message, reason, capture_id, rows)


def _store(run: Run, decision: Decision, rows: int) -> None:
    offer = decision.offer
    metadata = {
        **offer.metadata, "content_hash": decision.content_hash[:16], "sha256": decision.content_hash,
        "bytes": len(offer.content), "ingest_no": decision.ingest_no, "reason": decision.reason.value, "source_uri": offer.uri,
    }
    version = Version(decision.ingest_no, decision.content_hash, run.stamp, rows, metadata)
    daily_lists.record(run.db, run.run_date, offer.content, version, offer.responses, run.now)


def _missing(run: Run, error: Exception) -> Taken:
    category = Category.DAILY_LIST_MISSING
    what, hint = f"{type(error).__name__}: {error}; a fault of the program, report it", None
    if isinstance(error, MarketSpineError):
        what, hint = error.message, error.hint
    message = f"the daily list of {run.run_date} is missing: {what}"
    if not run.dry:
        key = daily_lists.key_of(run.run_date)
        anomalies.observe_of_domain(run, daily_lists.DOMAIN, category, key, message, details={"hint": hint})
    return Taken(Status.WARNING, run.run_date, f"{category}: {message}", category.value, hint=hint)
