"""`spine webhooks`: send the log of events to subscribers, and show who has got how much of it."""

from __future__ import annotations

import click

from market_spine.cli.commands import db_option, json_option, print_json, reading
from market_spine.cli.options import environment, webhook_option
from market_spine.errors import ConfigurationError
from market_spine.log import printable


@click.group("webhooks", epilog="Example: spine webhooks send --webhook https://example.com/market-spine")
def command() -> None:
    """Send every event of the log to subscribers, signed as Standard Webhooks specifies, in order and at least once."""


@command.command("list", epilog="Example: spine webhooks list")
@db_option
@json_option
def list_(db: str, as_json: bool) -> None:
    """Show each subscriber: the last event it accepted, its failed attempts, and the events it never accepted."""
    from market_spine.cli import table
    from market_spine.core import webhooks

    with reading(db) as store:
        endpoints, letters = webhooks.endpoints(store), webhooks.dead_letters(store)
    if as_json:
        print_json(endpoints=[one._asdict() for one in endpoints], dead_letters=[one._asdict() for one in letters])
        return
    headers = ("address", "events sent", "attempts", "next attempt", "last error")
    rows = [(one.address, one.cursor, one.attempts, one.next_try_at, one.last_error) for one in endpoints]
    click.echo(table.render(headers, rows) if rows else "No subscriber yet. Try: spine webhooks send --webhook URL")
    for letter in letters:
        click.echo(f"✗ event {letter.seq} was given up for {letter.address} on {letter.given_up_at[:10]}: {letter.error}")


@command.command("send", epilog="Example: spine webhooks send        from cron, every five minutes")
@click.option("--at-once", is_flag=True, help="Do not wait until the next attempt is due.")
@webhook_option
@db_option
def send(at_once: bool, webhook: tuple[str, ...], db: str) -> None:
    """Send each subscriber the events it has not got yet, as a run does at its end. Exit 1 if one could not be sent."""
    from market_spine import clock
    from market_spine.core.store import open_store
    from market_spine.monitor.webhooks import Sender

    keys = _keys(webhook)
    with open_store(db) as store:
        problems = [Sender(store, url, keys, clock.utc_now()).catch_up(at_once=at_once, seconds=3600) for url in webhook]
    for problem in filter(None, problems):
        click.echo(f"✗ {problem}", err=True)
    raise click.exceptions.Exit(1 if any(problems) else 0)


@command.command("resend", epilog="Example: spine webhooks resend")
@webhook_option
@db_option
def resend(webhook: tuple[str, ...], db: str) -> None:
    """Send the events again that were given up. Exit 1 if one is refused again."""
    from market_spine import clock
    from market_spine.core.store import open_store
    from market_spine.monitor.webhooks import Sender

    keys = _keys(webhook)
    with open_store(db) as store:
        results = [Sender(store, url, keys, clock.utc_now()).resend() for url in webhook]
    click.echo(f"{sum(accepted for accepted, _ in results)} events accepted")
    for _, problem in results:
        if problem:
            click.echo(f"✗ {problem}", err=True)
    raise click.exceptions.Exit(1 if any(problem for _, problem in results) else 0)


@command.command("seek", epilog="Example: spine webhooks seek 0        sends everything again")
@click.argument("cursor", metavar="CURSOR|end")
@webhook_option
@db_option
def seek(cursor: str, webhook: tuple[str, ...], db: str) -> None:
    """Set the last event that the subscribers count as having: 0 sends the whole log again, `end` skips what is there."""
    from market_spine import clock
    from market_spine.core import events, webhooks
    from market_spine.core.store import open_store
    from market_spine.monitor.webhooks import identify, shown

    _keys(webhook)
    with open_store(db) as store:
        size = events.head(store).size
        target = size if cursor == "end" else int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 20 else -1
        if not 0 <= target <= size:
            message = f"'{printable(cursor, 40)}' is not an event of the log: 0 to {size}, or end"
            raise ConfigurationError(message, hint="spine webhooks list")
        for url in webhook:
            subscriber = webhooks.subscribe(store, identify(url), shown(url), clock.utc_now())
            webhooks.seek(store, subscriber.endpoint, target, clock.utc_now())
    click.echo(f"The next event sent is {target + 1}")


@command.command("secret", epilog="Example: spine webhooks secret")
def secret() -> None:
    """Print a new signing secret, for MARKET_SPINE_WEBHOOK_SECRET and for the subscriber."""
    import base64
    import secrets

    from market_spine.monitor.webhooks import PREFIX

    click.echo(PREFIX + base64.b64encode(secrets.token_bytes(32)).decode())


def _keys(urls: tuple[str, ...]) -> list[bytes]:
    """The signing keys; raises ConfigurationError where there is no subscriber or no key."""
    from market_spine.monitor import webhooks

    if not urls:
        hint = "--webhook URL, MARKET_SPINE_WEBHOOK, or webhook in market_spine.toml"
        raise ConfigurationError("no subscriber is set", hint=hint)
    for url in urls:
        webhooks.check(url)
    return webhooks.secrets_of(environment().get(webhooks.SECRET, ""))
