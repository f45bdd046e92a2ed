"""`spine work`: enqueue, list, retry and cancel work items without the HTTP API."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from market_spine.cli.commands import (
    as_day,
    as_tier,
    as_week,
    complete_tier,
    complete_week,
    db_option,
    json_option,
    moment,
    print_json,
    reason_option,
    run_date_option,
)
from market_spine.cli.grammar import chosen_weeks, listed_weeks_options, old_options
from market_spine.cli.options import LARGEST_ID, Whole
from market_spine.errors import UsageError

if TYPE_CHECKING:
    from market_spine.db import Database
    from market_spine.work.item import Item
    from market_spine.work.queue import Answered, Changed

_COLUMNS = ("id", "pipeline", "week", "tier", "state", "attempts", "desired at", "last error")


@click.group("work", epilog="Example: spine work list")
def command() -> None:
    """Enqueue, list, retry and cancel work items."""


@command.command("enqueue", epilog="Example: spine work enqueue ingest_week 2025-12-26 OTC --priority 5")
@click.argument("pipeline")
@click.argument("week", required=False, callback=as_week, shell_complete=complete_week)
@click.argument("tier", required=False, callback=as_tier, shell_complete=complete_tier)
@old_options
@click.option("--at", type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]), help="Not before, e.g. 2026-01-09T12:00:00+00:00.")
@click.option("--priority", type=Whole(-1000, 1000), default=0, show_default=True, help="Higher goes first.")
@click.option("--max-attempts", type=Whole(1, 20), default=3, show_default=True, help="Attempts before it is FAILED.")
@click.option("--run-date", callback=as_day, help="Run date of its captures; default: the day it is executed.")
@click.option("--force", is_flag=True, help="Ingest unchanged content, too; recompute existing measures.")
@click.option("--rerun", is_flag=True, help="Reset an item that has ended.")
@db_option
@json_option
def enqueue(
    pipeline: str, week: date, tier: str | None, at: datetime | None, priority: int, max_attempts: int, run_date: date | None,
    force: bool, rerun: bool, db: str, as_json: bool,
) -> None:
    """Enqueue one item, without a tier one for each tier; an existing one is only reported, unless --rerun."""
    from market_spine.work import queue
    from market_spine.work.item import Params
    from market_spine.work.requests import of_every_tier

    short = pipeline.removeprefix("finra.otc_transparency.")
    requests = of_every_tier(
        {
            "pipeline": short, "week_ending": week, "tier": tier, "params": Params(run_date, force), "desired_at": at,
            "priority": priority, "max_attempts": max_attempts, "rerun": rerun,
        }
    )
    with _database(db, create=True) as (store, now):
        enqueued = queue.enqueue(store, requests, now)
    if as_json:
        entries = [{"outcome": one.answer.value, "item": one.item.as_document()} for one in enqueued]
        print_json(**entries[0], items=entries)
    else:
        _print_enqueued(enqueued)


@command.command("enqueue-due", epilog="Example: spine work enqueue-due --last 6")
@click.option("--last", "count", type=Whole(1, 520), default=6, show_default=True, metavar="N", help="The last N weeks.")
@click.option("--priority", type=Whole(-900, 1000), default=0, show_default=True, help="Of ingest; the others follow.")
@run_date_option
@db_option
@json_option
def enqueue_due(count: int, priority: int, run_date_text: str | None, db: str, as_json: bool) -> None:
    """Enqueue every pipeline of what is published by today: the weekly run, done by workers. Safe to run twice."""
    from market_spine.partition import weeks_back
    from market_spine.work import queue, requests

    _, day = moment(run_date_text)
    with _database(db, create=True) as (store, now):
        enqueued = queue.enqueue(store, requests.due(weeks_back(count, day), day, priority), now)
    if as_json:
        print_json(items=[{"outcome": one.answer.value, "item": one.item.as_document()} for one in enqueued])
    else:
        _print_enqueued(enqueued)


def _print_enqueued(enqueued: Sequence[Answered]) -> None:
    for one in enqueued:
        click.echo(f"{one.item.where}: {one.answer.value}, item {one.item.id} is {one.item.state.value}")


@command.command("list", epilog="Example: spine work list --state FAILED --json")
@click.option(
    "--state", "states", multiple=True, help="PENDING, RUNNING, COMPLETE, RETRY_WAIT, FAILED, CANCELLED; default: the open ones."
)
@listed_weeks_options()
@click.option("--pipeline", help="Only this pipeline.")
@click.option("--limit", type=Whole(1, 10000), default=100, show_default=True)
@db_option
@json_option
def list_items(
    states: tuple[str, ...], weeks: tuple[date, ...] | None, count: int | None, pipeline: str | None, limit: int, db: str,
    as_json: bool,
) -> None:
    """List items in the order in which they are due."""
    from market_spine import clock
    from market_spine.cli import table
    from market_spine.cli.commands import reading
    from market_spine.partition import weeks_back
    from market_spine.work import queue

    chosen = chosen_weeks(count, weeks, lambda n: weeks_back(n, clock.market_date()))
    which = queue.Filter(tuple(map(_state, states)), pipeline=pipeline, weeks=tuple(map(str, chosen or ())))
    with reading(db) as store:
        page = queue.listed(store, which, limit=limit)
    if as_json:
        print_json(total=page.total, items=[item.as_document() for item in page.items])
    else:
        click.echo(table.render(_COLUMNS, map(_row, page.items)) if page.items else "No items.")


@command.command("show", epilog="Example: spine work show 123")
@click.argument("item_id", type=Whole(1, LARGEST_ID))
@db_option
@json_option
def show(item_id: int, db: str, as_json: bool) -> None:
    """Show one item."""
    from market_spine.cli.commands import reading
    from market_spine.work import queue

    with reading(db) as store:
        document = queue.find(store, item_id).as_document()
    if as_json:
        print_json(item=document)
    else:
        texts = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in document.items()}
        click.echo("\n".join(f"{name + ':':<22}{text}" for name, text in texts.items() if text is not None))


@command.command("retry", epilog='Example: spine work retry 123 124 --reason "the source is back"')
@click.argument("ids", nargs=-1, type=Whole(1, LARGEST_ID))
@click.option("--failed", is_flag=True, help="Every FAILED item.")
@reason_option
@db_option
@json_option
def retry(ids: tuple[int, ...], failed: bool, reason: str, db: str, as_json: bool) -> None:
    """Make FAILED, CANCELLED and waiting items due now, with all their attempts."""
    from market_spine.partition import DOMAIN
    from market_spine.work import queue

    with _database(db) as (store, now):
        chosen = [*ids, *(queue.failed_of(store, DOMAIN) if failed else [])]
        if not ids and not failed:
            raise UsageError("no item named", hint="give item ids, or --failed for every failed item")
        _print_changed(queue.retry(store, chosen, now, reason), "due", as_json)


@command.command("cancel", epilog='Example: spine work cancel 123 --reason "asked for by mistake"')
@click.argument("ids", nargs=-1, type=Whole(1, LARGEST_ID), required=True)
@reason_option
@db_option
@json_option
def cancel(ids: tuple[int, ...], reason: str, db: str, as_json: bool) -> None:
    """Cancel items that have not ended; a running item is rolled back."""
    from market_spine.work import queue

    with _database(db) as (store, now):
        _print_changed(queue.cancel(store, ids, now, reason), "cancelled", as_json)


@command.command("prune", epilog='Example: spine work prune --older-than 90 --reason "a season is over"')
@click.option("--older-than", type=Whole(0), required=True, help="Days since an item ended.")
@reason_option
@db_option
@json_option
def prune(older_than: int, reason: str, db: str, as_json: bool) -> None:
    """Remove COMPLETE and CANCELLED items and their executions. What they stored stays."""
    from market_spine.work import retention

    with _database(db) as (store, now):
        removed = retention.prune(store, older_than, now, reason)
    if as_json:
        print_json(**removed._asdict())
    else:
        click.echo(f"{removed.items:,} items and {removed.executions:,} executions removed")


@contextlib.contextmanager
def _database(db: str, *, create: bool = False) -> Iterator[tuple[Database, datetime]]:
    """The database, and the time of its clock."""
    from market_spine import clock
    from market_spine.core.store import Mode, open_store

    with open_store(db, Mode.CREATE if create else Mode.EXISTING, clock.utc_now()) as store:
        yield store, store.now()


def _state(text: str) -> Any:
    from market_spine.work.item import State

    if text.upper() not in State.__members__:
        raise UsageError(f"there is no state {text!r}", hint=f"the states are {', '.join(State.__members__)}")
    return State[text.upper()]


def _row(item: Item) -> tuple[object, ...]:
    attempts = f"{item.attempt_count}/{item.max_attempts}"
    return (
        str(item.id),
        item.pipeline,
        str(item.week_ending),
        item.tier,
        item.state.value,
        attempts,
        item.desired_at[:16].replace("T", " "),
        item.last_error,
    )


def _print_changed(done: Changed, how: str, as_json: bool) -> None:
    if as_json:
        print_json(changed=[i.as_document() for i in done.changed], unchanged=[i.as_document() for i in done.unchanged])
        return
    for item in done.changed:
        click.echo(f"{item.id} {item.where}: {how}")
    for item in done.unchanged:
        click.echo(f"{item.id} {item.where}: unchanged, it is {item.state.value}")
