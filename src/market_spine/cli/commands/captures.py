"""`spine captures`: list captures, which one is current, and the responses they were made from."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import click

from market_spine.cli.commands import (
    as_tier,
    as_week,
    complete_tier,
    complete_week,
    dataset_option,
    db_option,
    json_option,
    print_json,
    reading,
)
from market_spine.cli.options import shape_of, table_options
from market_spine.errors import UsageError
from market_spine.partition import TIERS

if TYPE_CHECKING:
    from market_spine.cli.table import Shape
    from market_spine.core.responses import Response
    from market_spine.db import Database
    from market_spine.query.raw import Content

    Responses = dict[str, list[Response]]  # by name of the content

_COLUMNS = ("capture", "captured at", "why", "stage", "rows", "shares", "hash", "state", "published", "revised", "")
_LEAST = ("hash", "captured at", "published", "revised", "why", "stage")
_LEAST_OF_RESPONSE = ("received at",)
_LIST_COLUMNS = ("capture", "captured at", "why", "rows", "from", "to", "hash")
_RESPONSE_COLUMNS = ("no", "status", "request id", "rows in all", "offset", "FINRA's date", "received at", "bytes", "hash", "")

_NO_DAY = "published is empty where a source gives no day of publication: the 8-column download has lastUpdateDate only"


@click.command(
    "captures",
    epilog="""\b
Examples:
  spine captures 2025-12-26 OTC
  spine captures 2025-12-26 OTC --responses
  spine captures --dataset otc_daily_list
  spine captures --json""",
)
@click.argument("week", required=False, callback=as_week, shell_complete=complete_week)
@click.argument("tier", required=False, callback=as_tier, shell_complete=complete_tier)
@click.option("--responses", is_flag=True, help="The HTTP responses that each content was made from, too.")
@dataset_option
@table_options
@db_option
@json_option
def command(
    week: date | None, tier: str | None, responses: bool, dataset: str | None, columns: str | None, sort: str | None,
    top: int | None, db: str, as_json: bool,
) -> None:
    """List captures: when, why, stage, rows, shares, hash, whether current, and the dates FINRA gives most of its rows.

    With WEEK, every content of a capture that had several on one day is listed as well; spine raw prints it.
    """
    if week and dataset:
        raise UsageError("--dataset and WEEK exclude each other", hint="leave one of them out")
    if responses and not (week or dataset):
        raise UsageError("--responses needs a WEEK or --dataset", hint="spine captures 2025-12-26 OTC --responses")
    if dataset:
        _daily_lists(db, responses, as_json)
    else:
        _weekly(db, week, tier, responses, shape_of(columns, sort, top), as_json)


def _weekly(db: str, week: date | None, tier: str | None, with_responses: bool, shape: Shape, as_json: bool) -> None:
    from market_spine.cli import table
    from market_spine.query import history, raw

    with reading(db) as store:
        captures = history.list_captures(store, week, (tier,) if tier else TIERS)
        contents = {e.capture_id: raw.list_contents(store, e.capture_id) for e in captures} if week else {}
        responses = _responses(store, [c for of_capture in contents.values() for c in of_capture] if with_responses else [])
    others = [content for of_capture in contents.values() if len(of_capture) > 1 for content in of_capture]
    if as_json:
        named = {capture_id: [_entry(content, responses) for content in several] for capture_id, several in contents.items()}
        print_json(captures=[entry.entry() | {"contents": named.get(entry.capture_id, [])} for entry in captures])
        return
    rows = [
        (e.capture_id.partition(":")[2], e.captured_at[:16].replace("T", " "), e.reason, e.stage, e.rows, e.shares,
         e.content_hash[:8], e.state, e.published_on, e.revised_on, _remark(e.pinned_as, e.withdrawn_reason or e.held_reason))
        for e in captures
    ]
    table.show(table.render(*table.shaped(_COLUMNS, rows, shape), least=_LEAST))
    if any(e.revised_on and not e.published_on for e in captures):
        click.echo(table.filled(_NO_DAY))
    for content in others:
        click.echo(content.description())
    _say_responses(responses)


def _daily_lists(db: str, with_responses: bool, as_json: bool) -> None:
    """The captures of FINRA's daily list, each content a line."""
    from market_spine.cli import table
    from market_spine.query import raw

    with reading(db) as store:
        lists = raw.daily_list_contents(store)
        responses = _responses(store, lists if with_responses else [])
    if as_json:
        print_json(daily_lists=[_entry(content, responses) for content in lists])
        return
    rows = [
        (c.name, v.observed_at[:16].replace("T", " "), v.metadata["reason"], v.row_count, v.metadata["first_day"],
         v.metadata["last_day"], v.content_hash[:8])
        for c in lists
        for v in (c.version,)
    ]
    click.echo(table.render(_LIST_COLUMNS, rows))
    _say_responses(responses)


def _responses(store: Database, contents: list[Content]) -> Responses:
    from market_spine.query import raw

    return {content.name: raw.responses_of(store, content) for content in contents}


def _entry(content: Content, responses: Responses) -> dict[str, object]:
    """A content, for machines; with its responses where they were asked for."""
    of_content = responses.get(content.name)
    return content.entry() | ({} if of_content is None else {"responses": [one.entry() for one in of_content]})


def _say_responses(responses: Responses) -> None:
    from market_spine.cli import table

    for name, of_content in responses.items():
        if not of_content:
            click.echo(f"\n{name}: no responses recorded")
            continue
        rows = [
            (r.page_no, r.http_status, r.request_id, r.record_total, r.record_offset, r.finra_date, r.received_at, r.size,
             r.content_sha256[:8], "kept" if r.is_kept else "")
            for r in of_content
        ]
        click.echo(f"\n{name}:\n{table.render(_RESPONSE_COLUMNS, rows, least=_LEAST_OF_RESPONSE)}")


def _remark(pinned_as: str | None, reason: str | None) -> str:
    return ", ".join([f"pinned as {pinned_as}"] * bool(pinned_as) + [reason] * bool(reason))  # type: ignore[list-item]
