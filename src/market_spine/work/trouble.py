"""What fails around a worker's items: reported once, tried again after longer and longer pauses, reported over.

A database that is away is away for every duty of the worker and is reported once for all of them; any other error is reported
once for each duty. Nothing here ends a duty but an error that no waiting will cure.
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
    """Seconds to wait after so many failures in a row: doubled each time."""
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 30), longest)


def is_hopeless(error: Exception, seconds: float, give_up: float = GIVE_UP) -> bool:
    """Whether a duty that has failed for so long should end the process, for its supervisor to start it anew.

    A database comes back some day, however long it is away, full or read-only. A setting or a schema does not change by
    waiting. What nobody expected is given some time: it may be of a moment's making (a table altered under us).
    """
    if isinstance(error, DatabaseError):
        return isinstance(error, _INCURABLE)
    return isinstance(error, MarketSpineError) or seconds >= give_up


@dataclass(slots=True)
class _Failing:
    since: float
    failures: int = 0
    away: bool = False


class Troubles:
    """The duties of one worker that are failing now. Used by all its threads."""

    def __init__(self, give_up: float = GIVE_UP) -> None:
        self.outages = 0  # absences of the database that are over
        self._give_up = give_up
        self._failing: dict[str, _Failing] = {}
        self._lock = threading.Lock()

    def failed(self, duty: str, error: Exception) -> float:
        """Notes a failure and returns the seconds to wait before the next try. Raises the error when it is hopeless."""
        now, away = clock.ticks(), isinstance(error, DatabaseLost)
        with self._lock:
            known = self._failing.setdefault(duty, _Failing(now))
            already = any(one.away for one in self._failing.values()) if away else known.failures > 0 and not known.away
            known.failures, known.away = known.failures + 1, away
        if is_hopeless(error, now - known.since, self._give_up):
            raise error
        if not already:
            self._report(duty, error, away=away)
        return pause_after(known.failures)

    def recovered(self, duty: str) -> None:
        """Notes that a duty was done; the first after an absence of the database, or after its own failures, says so."""
        with self._lock:
            known = self._failing.pop(duty, None)
            if known is None:
                return
            back = known.away and not any(one.away for one in self._failing.values())
            self.outages += back
        seconds = clock.ticks() - known.since
        if back:
            log.warning("the database is back after %.0f s", seconds, extra={"event": "database_back", "seconds": round(seconds)})
        elif not known.away:
            log.warning("%s: works again after %.0f s", duty, seconds, extra={"event": "duty_recovered", "duty": duty})

    @staticmethod
    def _report(duty: str, error: Exception, *, away: bool) -> None:
        words = error.message if isinstance(error, MarketSpineError) else f"{type(error).__name__}: {error}"
        if away:
            log.warning("%s; trying again until it is back", words, extra={"event": "database_away", "duty": duty})
        else:
            unexpected = None if isinstance(error, MarketSpineError) else error
            facts = {"event": "duty_failing", "duty": duty}
            level = logging.ERROR if unexpected else logging.WARNING
            log.log(level, "%s: %s; trying again", duty, words, extra=facts, exc_info=unexpected)
