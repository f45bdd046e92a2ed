"""`spine notify`: test the notification channels, or send pending notifications now."""

from __future__ import annotations

import os

import click

from market_spine.cli.commands import db_option
from market_spine.cli.options import notify_level_option, notify_option
from market_spine.errors import ConfigurationError
from market_spine.process import hostname


@click.group("notify", epilog="Example: spine notify test --notify mailtos://user:password@example.com")
def command() -> None:
    """Test the notification channels, or send pending notifications now."""


@command.command("test", epilog="Example: spine notify test --notify mailtos://user:password@example.com")
@notify_option
def test(notify: tuple[str, ...]) -> None:
    """Send a test event and its resolution to every channel, so that PagerDuty closes the incident it opens."""
    from market_spine.config import mask
    from market_spine.monitor import messenger

    failed = 0
    for url in _needed(notify):
        problem = messenger.probe(url, _context())
        failed += problem is not None
        click.echo(f"{'✗' if problem else '✓'} {mask(url, whole=True)}{f': {problem}' if problem else ''}")
    raise click.exceptions.Exit(1 if failed else 0)


@command.command("send", epilog="Example: spine notify send        from cron, where workers run the pipelines")
@notify_option
@notify_level_option
@db_option
def send(notify: tuple[str, ...], notify_level: str, db: str) -> None:
    """Notify each channel of events that began or ended since its last notification, as a run does at its end."""
    from market_spine import clock
    from market_spine.core.store import open_store
    from market_spine.monitor import messenger
    from market_spine.operate import card

    now = clock.utc_now()
    with open_store(db) as store:
        head = "\n".join(card.read(card.looking_at(store, clock.market_date(now), now, None)).lines())
        sender = messenger.Messenger(_needed(notify), notify_level, _context(), os.environ, head)
        failures = list(sender.notify(store, now))
    for failure in failures:
        click.echo(f"✗ {failure}", err=True)
    raise click.exceptions.Exit(1 if failures else 0)


def _needed(notify: tuple[str, ...]) -> tuple[str, ...]:
    if not notify:
        raise ConfigurationError("no channel is set", hint="--notify URL, MARKET_SPINE_NOTIFY, or notify in market_spine.toml")
    from market_spine.monitor import observers

    observers.check(observers.ObserverSettings(notify=notify))
    return notify


def _context() -> dict[str, str]:
    return {"host": hostname()}
