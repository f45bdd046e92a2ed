"""Failures of a worker's duties: logged once, retried with exponential backoff, logged as recovered.

A database that is unavailable is so for every duty of the worker and is logged once for all of them; any other error is
logged once per duty. Only an error that waiting cannot fix ends a duty.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from market_spine import clock
from market_spine.errors import DatabaseError, DatabaseLost, MarketSpineError, NotADatabase, SchemaTooNew, SchemaTooOld

log = logging.getLogger("market_spine.work")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
GIVE_UP = 600.0
_INCURABLE = (SchemaTooNew, SchemaTooOld, NotADatabase)


def pause_after(failures: int, longest: float = LONGEST_PAUSE) -> float:
    """Seconds to wait after `failures` failures in a row: doubled each time."""
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 30), longest)


def is_hopeless(error: Exception, seconds: float, give_up: float = GIVE_UP) -> bool:
    """Whether a duty that has failed for this long should end the process, so that its supervisor restarts it.

    A database recovers eventually, however long it is unavailable, full or read-only. A setting or a schema does not change
    by waiting. An unexpected error is retried for a while: it may be transient (a table altered at that moment).
    """
    if isinstance(error, DatabaseError):
        return isinstance(error, _INCURABLE)
    return isinstance(error, MarketSpineError) or seconds >= give_up


@dataclass(slots=True)
class _Failing:
    since: float
    failures: int = 0
    unavailable: bool = False
    late: bool = False


class Troubles:
    """The duties of one worker that are failing now. Used by all its threads.

    A duty that has not reached the database since the last outage ended may still hold a session of before it: its first
    failure is counted to that outage, and only a second one in a row is a new one.
    """

    def __init__(self, give_up: float = GIVE_UP) -> None:
        self.outages = 0  # outages of the database that have ended
        self._away_since = 0.0  # the first failure of the last one
        self._reached: set[str] = set()  # the duties that have succeeded since the last of them
        self._give_up = give_up
        self._failing: dict[str, _Failing] = {}
        self._lock = threading.Lock()

    def failed(self, duty: str, error: Exception) -> float:
        """Records a failure and returns the seconds to wait before the next attempt. Raises the error when it is hopeless."""
        now, unavailable = clock.ticks(), isinstance(error, DatabaseLost)
        with self._lock:
            state = self._failing.setdefault(duty, _Failing(now))
            unlogged = state.failures == 0 or state.unavailable or state.late  # nothing of this duty itself was logged
            state.late = unavailable and state.failures == 0 and self.outages > 0 and duty not in self._reached
            database_failing = state.late or any(one.unavailable for one in self._failing.values())
            logged = database_failing if unavailable else not unlogged
            if unavailable and not database_failing:
                self._away_since = now
            state.failures, state.unavailable = state.failures + 1, unavailable and not state.late
        if is_hopeless(error, now - state.since, self._give_up):
            raise error
        if not logged:
            self._report(duty, error, unavailable=unavailable)
        return pause_after(state.failures)

    def recovered(self, duty: str) -> None:
        """Records that a duty succeeded; logs it after an outage of the database, or after failures of the duty."""
        with self._lock:
            state = self._failing.pop(duty, None)
            is_back = state is not None and state.unavailable and not any(one.unavailable for one in self._failing.values())
            if is_back:
                self.outages += 1
                self._reached.clear()
            self._reached.add(duty)
        if state is None or state.late:
            return
        seconds = clock.ticks() - (self._away_since if is_back else state.since)
        if is_back:
            facts = {"event": "database_recovered", "seconds": round(seconds)}
            log.warning("the database is back after %.0f s", seconds, extra=facts)
        elif not state.unavailable:
            log.warning("%s: recovered after %.0f s", duty, seconds, extra={"event": "duty_recovered", "duty": duty})

    @staticmethod
    def _report(duty: str, error: Exception, *, unavailable: bool) -> None:
        message = error.message if isinstance(error, MarketSpineError) else f"{type(error).__name__}: {error}"
        if unavailable:
            facts = {"event": "database_unavailable", "duty": duty}
            log.warning("%s; retrying until it is back", message, extra=facts)
        else:
            unexpected = None if isinstance(error, MarketSpineError) else error
            facts = {"event": "duty_failing", "duty": duty}
            level = logging.ERROR if unexpected else logging.WARNING
            log.log(level, "%s: %s; retrying", duty, message, extra=facts, exc_info=unexpected)
