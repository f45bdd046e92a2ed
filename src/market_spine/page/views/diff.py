"""The difference of two captures: rows, venues and symbols that moved, and what it did to concentration."""

from __future__ import annotations

from market_spine.errors import NotFound
from market_spine.page.looking import Look
from market_spine.page.parts import Column, Commands, Fact, Facts, Kind, Linked, Page, Part, Shown, Table, to
from market_spine.page.parts import difference as address
from market_spine.page.views import TIER_NAMES
from market_spine.query import diff, history
from market_spine.query.diff import Difference, Mover
from market_spine.query.history import Entry

_MOST_ROWS = 50
_ROW_KINDS = {
    "change": Kind.STATE, "symbol": Kind.CODE, "mpid": Kind.CODE, "firm_crd": Kind.CODE, "shares_before": Kind.NUMBER,
    "shares_after": Kind.NUMBER, "trades_before": Kind.NUMBER, "trades_after": Kind.NUMBER, "notional_before": Kind.NUMBER,
    "notional_after": Kind.NUMBER, "product_type": Kind.CODE, "venue_class": Kind.CODE,
}


def difference(look: Look, first: str, second: str) -> Page:
    """Two captures compared row by row. Raises NotFound, UsageError."""
    before, after = (_entry(look, name) for name in (first, second))
    compared = diff.compare(look.db, before, after)
    parts: list[Part] = [
        _figures(compared), _movers("venues", "Venues that moved", compared.venues, shares=True),
        _movers("symbols", "Symbols that moved", compared.symbols, shares=False), _rows(compared), _windows(compared),
        Commands("The same in a terminal", [("as text", f"spine diff {before.capture_id} {after.capture_id}")]),
    ]
    lead = f"{_named(before)} → {_named(after)}"
    partitions = dict.fromkeys((entry.week, entry.tier) for entry in (before, after))
    trail = [("Weeks", to("weeks"))]
    trail += [(f"{TIER_NAMES[tier]}, {week}", to("weeks", week, tier)) for week, tier in partitions]
    return Page(address(before.capture_id, after.capture_id), "Difference of two captures", lead, parts, trail)


def _entry(look: Look, name: str) -> Entry:
    entry = history.find_capture(look.db, name)
    if look.as_of is not None and entry.captured_at >= (look.before or ""):
        raise NotFound(f"{entry.capture_id} was not captured by {look.as_of}", hint=f"spine captures {entry.week} {entry.tier}")
    return entry


def _named(entry: Entry) -> str:
    return f"{TIER_NAMES[entry.tier]}, {entry.week}, captured {entry.run_date} ({entry.state})"


def _figures(compared: Difference) -> Facts:
    before, after = compared.before, compared.after
    moved = (after.shares or 0) - (before.shares or 0)
    return Facts(
        [
            Fact("Shares", moved, Kind.SIGNED, f"{_figure(before.shares)} → {_figure(after.shares)}"),
            Fact("Rows", (after.rows or 0) - (before.rows or 0), Kind.SIGNED, f"{_figure(before.rows)} → {_figure(after.rows)}"),
            Fact("Rows added", compared.count(diff.ADDED), Kind.NUMBER),
            Fact("Rows removed", compared.count(diff.REMOVED), Kind.NUMBER),
            Fact("Rows changed", compared.count(diff.CHANGED), Kind.NUMBER),
            Fact("HHI after", compared.hhi_after, Kind.INDEX, f"before {_decimal(compared.hhi_before)}"),
        ]
    )


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _decimal(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _movers(name: str, title: str, movers: tuple[Mover, ...], *, shares: bool) -> Table:
    columns = [Column("name", title.split()[0][:-1]), Column("shares_change", "Shares", Kind.SIGNED)]
    if shares:
        columns += [Column("share_before", "Share before", Kind.SHARE), Column("share_after", "Share after", Kind.SHARE)]
    rows: list[tuple[Shown, ...]] = []
    for mover in movers:
        own = (Linked(mover.name, to(name, mover.name)), mover.moved)
        rows.append((*own, mover.share_before, mover.share_after) if shares else own)
    return Table(name, title, columns, rows, "None.", most=_MOST_ROWS)


def _rows(compared: Difference) -> Table:
    ordered = sorted(compared.rows, key=lambda row: (-abs(row.moved), row.key))
    columns = [Column(name, name.replace("_", " ").capitalize(), _ROW_KINDS.get(name, Kind.PROSE)) for name in diff.ROW_COLUMNS]
    rows: list[list[Shown]] = [list(map(_value, diff.row_values(change))) for change in ordered]
    return Table("rows", "Rows, the largest move first", columns, rows, "Every row is the same.", most=_MOST_ROWS)


def _value(value: object) -> Shown:
    return value if isinstance(value, (int, float)) or value is None else str(value)


def _windows(compared: Difference) -> Table:
    rows = [
        (each.week, each.length, each.hhi_before, each.hhi_after, each.venue, each.share_before, each.share_after)
        for each in compared.windows
    ]
    columns = [
        Column("week_ending", "Last week", Kind.DAY), Column("length", "Weeks", Kind.NUMBER),
        Column("hhi_before", "HHI before", Kind.INDEX), Column("hhi_after", "HHI after", Kind.INDEX),
        Column("venue", "Venue that moved most", Kind.CODE), Column("share_before", "Share before", Kind.SHARE),
        Column("share_after", "Share after", Kind.SHARE),
    ]
    return Table("windows", "Windows made anew", columns, rows, "None.")
