"""Sends every channel the notifications it has not got yet, and records them.

A notification counts as delivered once its service accepted it; a rejected one is sent again by the next run. A service
that fails is skipped for the rest of this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from market_spine import clock
from market_spine.db import Database
from market_spine.errors import MarketSpineError
from market_spine.monitor import alerts, channels, deliveries
from market_spine.monitor.alerts import Action, Delivered, Event, Notice

_TEST = "a test of this channel; nothing is wrong"

Remember = Callable[[str, Notice], None]


@dataclass(frozen=True, slots=True)
class Messenger:
    """The channels, the lowest severity to notify of, and the facts at the end of every message."""

    urls: Sequence[str]
    level: str
    context: Mapping[str, str]
    environ: Mapping[str, str]
    card: str = ""  # at the head of every message

    def notify(self, db: Database, now: datetime, extra: Event | None = None) -> Iterator[str]:
        """Notifies of the events in the database; yields a line for each channel that failed."""
        deliveries.take_over(db, deliveries.state_file(self.environ))
        unresolved = alerts.unresolved_events(db, self.level, [extra] if extra else [])

        def remember(channel: str, notice: Notice) -> None:
            deliveries.write(db, channel, notice, now)

        for url in self.urls:
            before = deliveries.read(db, alerts.channel_id(url))
            yield from self._deliver(url, unresolved, before, now, remember)

    def notify_without_database(self, now: datetime, event: Event | None) -> Iterator[str]:
        """Notifies of a crash alone, once; a file records it until there is a database again."""
        unresolved = {event.key: event} if event else {}
        path = deliveries.state_file(self.environ)

        def remember(channel: str, notice: Notice) -> None:
            deliveries.write_file(path, channel, notice, now)

        for url in self.urls:
            before = {key: last for key, last in deliveries.read_file(path, alerts.channel_id(url)).items() if key in unresolved}
            yield from self._deliver(url, unresolved, before, now, remember)

    def _deliver(
        self, url: str, unresolved: Mapping[str, Event], before: Mapping[str, Delivered], now: datetime, remember: Remember
    ) -> Iterator[str]:
        channel = channels.Channel(url)
        for notice in alerts.decide(unresolved, before, now):
            try:
                channel.send(notice, self.context, self.card)
            except MarketSpineError as error:
                yield f"{alerts.title(notice)} could not be sent: {error.message}"
                return
            remember(alerts.channel_id(url), notice)


def probe(url: str, context: Mapping[str, str]) -> str | None:
    """Sends a test event and its end; returns what went wrong, if anything."""
    event = Event(alerts.TEST, None, None, "INFO", _TEST, clock.utc_now())
    channel = channels.Channel(url)
    try:
        for action in (Action.BEGAN, Action.OVER):
            channel.send(Notice(action, event), context)
    except MarketSpineError as error:
        return error.message
    return None
