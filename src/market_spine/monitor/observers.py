"""What happens around a run: its first log line, phase times, metrics, notifications, pings.

An observer never changes how a run ends: a failure of its own is logged in one warning, which a quiet run shows as well.
Settings that can never work are refused before the run begins (`check`). Nothing heavy is imported unless it is used.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from market_spine import __version__, clock, exit_rule, log
from market_spine.config import address, shown
from market_spine.errors import ConfigurationError, DatabaseError, Interrupted, LockLost, MarketSpineError, RunLocked
from market_spine.process import hostname

if TYPE_CHECKING:
    from market_spine.app.context import Expectations, Run
    from market_spine.db import Database
    from market_spine.monitor.alerts import Event
    from market_spine.monitor.samples import Sample
    from market_spine.outcome import Outcome

DEFAULT_EXPECTED_BY = "Fri 12:00"
_HURRIED_SECONDS = 0.5  # the process must end within 2 s of a signal

logger = logging.getLogger("market_spine")


class ObserverSettings(NamedTuple):
    """Where a run is reported, as given by the options of those names."""

    metrics_textfile: str | None = None
    pushgateway: str | None = None
    notify: tuple[str, ...] = ()
    notify_level: str = "ERROR"
    ping_url: str | None = None
    expected_by: str = DEFAULT_EXPECTED_BY
    webhook: tuple[str, ...] = ()
    webhook_secret: str = ""


def check(settings: ObserverSettings) -> ObserverSettings:
    """Returns it; raises ConfigurationError for a missing extra, a malformed address or deadline."""
    from market_spine.monitor.deadline import parse_deadline

    parse_deadline(settings.expected_by)
    if settings.metrics_textfile or settings.pushgateway:
        _need("prometheus_client", "metrics")
    if settings.pushgateway:
        _check_address(settings.pushgateway)
    for url in settings.notify:
        address(url, "--notify", port=False)
    if settings.notify:
        _need("apprise", "notify")
    if settings.ping_url:
        from market_spine.monitor import ping

        ping.check(settings.ping_url)
    if settings.webhook:
        from market_spine.monitor import webhooks

        webhooks.secrets_of(settings.webhook_secret)
        for url in settings.webhook:
            webhooks.check(url)
    return settings


def _check_address(gateway: str) -> None:
    """Raises ConfigurationError for what is neither http(s)://HOST[:PORT] nor HOST[:PORT]."""
    parts = address(gateway if "://" in gateway else f"http://{gateway}", "--pushgateway")
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() or c > "~" for c in gateway):
        message = f"--pushgateway {shown('pushgateway', gateway)} is not an address"
        raise ConfigurationError(message, hint="for example --pushgateway localhost:9091")


def _need(package: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise ConfigurationError(
            f"--{extra} needs {package}, which is not installed", hint=f"pip install 'market-spine[{extra}]'"
        )


class Observers:
    """The observers of one weekly run over `database`. Call began, progressed and ended, or crashed, in that order."""

    def __init__(self, settings: ObserverSettings, database: str, handler: logging.Handler | None = None) -> None:
        self._settings = settings
        self._database = database
        self._handler = handler
        self._run_id = ""
        self._ticks = clock.ticks()
        self._expected: Expectations | None = None
        self._run_date: date | None = None
        self.phase_seconds: dict[str, float] = {}

    def began(self, run: Run) -> None:
        """After the run has its lock and its id: logs the first line and sends the start ping."""
        self._run_id, self._expected, self._run_date = run.execution_id, run.expected, run.run_date
        self._ticks = clock.ticks()
        if self._handler is not None:
            log.bind(self._handler, run=run.execution_id)
        zone, host = clock.machine_zone(), hostname()
        logger.info(
            "market-spine %s, run %s on %s, database %s, zone %s (machine: %s)",
            __version__, run.execution_id, host, run.db.label, clock.MARKET_ZONE, zone,
            extra={
                "event": "run_started", "version": __version__, "host": host, "database": run.db.label,
                "zone": clock.MARKET_ZONE, "machine_zone": zone, "run_date": run.run_date.isoformat(),
            },
        )
        self._ping("start", "")

    def progressed(self, outcome: Outcome) -> None:
        """Counts the time since the last outcome to the phase of this one."""
        ticks = clock.ticks()
        phase = outcome.phase.value
        self.phase_seconds[phase] = round(self.phase_seconds.get(phase, 0.0) + ticks - self._ticks, 3)
        self._ticks = ticks

    def ended(self, db: Database, exit_code: int, summary: str) -> None:
        """After the run's row is written: logs its exit code, sends metrics, notifications and the ping."""
        level = logging.INFO if log.speaks_json() else logging.DEBUG  # on a terminal the summary is enough
        logger.log(level, "ended with exit code %s", exit_code, extra={"event": "run_ended", "exit_code": exit_code})
        self._update(db)
        self._ping("fail" if exit_code else "success", summary)

    def _update(self, db: Database) -> None:
        """Writes the metrics of the new state, and notifies of what began or is over."""
        now = clock.utc_now()
        self._measure(partial(self._samples, db, now))
        self._notify(db, now, None)
        self._send_events(db, now)

    def crashed(self, error: BaseException) -> None:
        """After a run stopped or could not begin. One that found the lock held by another run is not reported: that one is."""
        refused = isinstance(error, RunLocked) and not isinstance(error, LockLost)
        if refused or self._settings == ObserverSettings():
            return
        exit_code, message = exit_rule.of_error(error), described(error)
        now, hurried = clock.utc_now(), isinstance(error, KeyboardInterrupt)
        with self._reopened() as db:
            self._measure(partial(self._crash_samples, db, exit_code, now), hurried=hurried, add=db is None)
            if not hurried:
                self._notify(db, now, _run_failed(error, message, now))
        self._ping("fail", message, hurried=hurried)

    @contextlib.contextmanager
    def _reopened(self) -> Iterator[Database | None]:
        """The database, if it can still be used."""
        from market_spine.core.store import open_store

        with contextlib.ExitStack() as stack:
            try:
                db = stack.enter_context(open_store(self._database))
            except Exception:
                db = None
            yield db

    def _samples(self, db: Database, now: datetime) -> list[Sample]:
        from market_spine.monitor import samples
        from market_spine.monitor.deadline import parse_deadline

        deadline = parse_deadline(self._settings.expected_by)
        if self._expected is None or self._expected.calendar is None:
            return samples.take(db, now, deadline)
        return samples.take(db, now, deadline, calendar=self._expected.calendar, grace_days=self._expected.grace_days)

    def _crash_samples(self, db: Database | None, exit_code: int, now: datetime) -> list[Sample]:
        from market_spine.monitor import samples

        crash = samples.crash_samples(exit_code, now)
        names = {sample.name for sample in crash}
        return crash + [sample for sample in self._samples(db, now) if sample.name not in names] if db else crash

    def _measure(self, samples: Callable[[], list[Sample]], *, hurried: bool = False, add: bool = False) -> None:
        if not (self._settings.metrics_textfile or self._settings.pushgateway):
            return
        from market_spine.monitor import metrics

        with _warned("metrics could not be read"):
            taken = samples()
            if path := self._settings.metrics_textfile:
                with _warned(f"metrics could not be written to {path}"):
                    metrics.write_textfile(path, taken)
            if url := self._settings.pushgateway:
                with _warned(f"metrics could not be pushed to {_masked(url)}"):
                    metrics.push(url, taken, add=add, seconds=_HURRIED_SECONDS if hurried else metrics.PUSH_SECONDS)

    def _notify(self, db: Database | None, now: datetime, crash: Event | None) -> None:
        if not self._settings.notify:
            return
        from market_spine.monitor import messenger

        context = {"run": self._run_id, "host": hostname(), "database": _masked(self._database)}
        with _warned("notifications could not be decided"):
            context["checkpoint"] = self._checkpoint(db) if db else ""
            head = self._card(db, now) if db else ""
            sender = messenger.Messenger(self._settings.notify, self._settings.notify_level, context, os.environ, head)
            for failure in sender.notify(db, now, crash) if db else sender.notify_without_database(now, crash):
                warn(failure)

    def _card(self, db: Database, now: datetime) -> str:
        """The card of the run's day; nothing where it cannot be read: a notification is more important."""
        from market_spine.operate import card

        with _warned("the card could not be read"):
            run = card.looking_at(db, self._run_date or clock.market_date(now), now, self._expected)
            return "\n".join(card.read(run).lines())
        return ""

    def _checkpoint(self, db: Database) -> str:
        """How far the log of events goes, on one line: whoever receives it keeps a proof that nothing before it is changed."""
        from market_spine.core.checkpoint import checkpoint

        made = checkpoint(db)
        return made.line if made else ""

    def _send_events(self, db: Database, now: datetime) -> None:
        if not self._settings.webhook:
            return
        from market_spine.monitor import webhooks

        for url in self._settings.webhook:
            with _warned(f"events could not be sent to {webhooks.shown(url)}"):
                keys = webhooks.secrets_of(self._settings.webhook_secret)
                if problem := webhooks.Sender(db, url, keys, now).catch_up():
                    warn(problem)

    def _ping(self, event: str, body: str, *, hurried: bool = False) -> None:
        if not self._settings.ping_url:
            return
        from market_spine.monitor import ping

        with _warned(f"the {event} ping could not be sent"):
            if hurried:
                ping.send(self._settings.ping_url, event, self._run_id, body, seconds=_HURRIED_SECONDS, tries=1)
            else:
                ping.send(self._settings.ping_url, event, self._run_id, body)


class UpdateObservers(Observers):
    """The observers of a command that changes data but is not a weekly run: no ping, the dead-man switch is the run's."""

    def began(self, run: Run) -> None:
        """Keeps the run's id for the notifications."""
        self._run_id, self._expected, self._run_date = run.execution_id, run.expected, run.run_date

    def ended(self, db: Database, exit_code: int, summary: str) -> None:
        """Only metrics and notifications."""
        self._update(db)


def described(error: BaseException) -> str:
    """What a notification and a ping report of the error that ended a run."""
    if isinstance(error, (MarketSpineError, Interrupted)):
        return f"{error.message}. Try: {error.hint}" if error.hint else error.message
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return f"unexpected {type(error).__name__}: {error}"


def warn(message: str) -> None:
    """A warning that is shown even if the run succeeds."""
    logger.warning(message, extra={"event": "observer_failed", "aloud": True})


@contextlib.contextmanager
def _warned(what: str) -> Iterator[None]:
    """The one place where an observer's failure is caught."""
    try:
        yield
    except DatabaseError as error:
        warn(f"{what}: {error.message}")
    except Exception as error:
        warn(f"{what}: {' '.join(str(error).split()) or type(error).__name__}")
        logger.debug("traceback", exc_info=True)


def _run_failed(error: BaseException, description: str, now: datetime) -> Event:
    from market_spine.core.anomalies import CRITICAL
    from market_spine.monitor.alerts import RUN_FAILED, Event

    hint = error.hint if isinstance(error, MarketSpineError) else None
    message = error.message if isinstance(error, MarketSpineError) else description
    return Event(RUN_FAILED, None, None, CRITICAL, message, now, hint=hint)


def _masked(url: str) -> str:
    from market_spine.config import mask

    return mask(url) if "://" in url else url
