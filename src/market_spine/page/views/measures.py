"""Measures: the venues of a tier, one venue over the weeks, concentration, and symbols with every vintage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from shlex import quote
from typing import Any, TypeVar

from market_spine.core import windows as kept_windows
from market_spine.errors import NotFound
from market_spine.page.looking import Look
from market_spine.page.parts import (
    Chart,
    Choices,
    Column,
    Commands,
    Fact,
    Facts,
    Kind,
    Linked,
    Notice,
    Page,
    Part,
    Point,
    Search,
    Series,
    Shown,
    Table,
    to,
)
from market_spine.page.views import TIER_NAMES, count
from market_spine.partition import TIERS
from market_spine.query import answer, as_of, series, symbols
from market_spine.query.answer import Question
from market_spine.query.series import Standing, SymbolWeek, TierWeek, VenueWeek, label_of
from market_spine.query.views import VIEWS

_MOST_MATCHES = 100
_EXACT = "firm_total"
Week = TypeVar("Week", VenueWeek, SymbolWeek)
Venue = tuple[str, str, int, str]  # class, MPID, CRD number, name: a venue within a tier


def venues(look: Look, tier: str, week: date | None) -> Page:
    """The venues of a tier in a week: their share, rank, and means over the windows that are kept."""
    weeks = sorted({c.week for c in as_of.current_captures(look.db, look.before, None, (tier,)) if c.measured_at}, reverse=True)
    choices = Choices("Tier", [(TIER_NAMES[each], to("venues", tier=each), each == tier) for each in TIERS])
    if not weeks and week is None:
        parts: list[Part] = [choices, Notice("note", [["No week of this tier is measured yet."]])]
        return Page(to("venues", tier=tier), "Venues", TIER_NAMES[tier], parts)
    shown = str(week or weeks[0])
    asked = Choices("Week", [(each, to("venues", tier=tier, week=each), each == shown) for each in weeks[:13]])
    ending = date.fromisoformat(shown)
    parts = [choices, asked, _shares(look, tier, ending)]
    lead = f"{TIER_NAMES[tier]}, week ending {shown}: each venue's part of the tier's shares."
    return Page(to("venues", tier=tier, week=week), "Venues", lead, parts)


def _shares(look: Look, tier: str, ending: date) -> Table:
    lengths = kept_windows.progress(look.db).lengths
    rolling = {length: _rolling(look, tier, ending, length) for length in lengths}
    columns = [
        Column("rank", "Rank", Kind.NUMBER), Column("venue", "Venue"), Column("share", "Share", Kind.SHARE),
        Column("total_shares", "Shares", Kind.NUMBER), Column("venue_name", "Name", Kind.PROSE),
        Column("venue_class", "Class", Kind.CODE),
    ]
    for length in lengths:
        columns += [
            Column(f"share_{length}", f"Mean, {length} weeks", Kind.SHARE),
            Column(f"slope_{length}", "Slope, % a week", Kind.POINTS),
        ]
    rows: list[list[Shown]] = []
    for venue in _venues(look, tier, ending):
        label = label_of(venue.mpid, venue.firm_crd, venue.venue_name)
        name = None if venue.venue_name == label else venue.venue_name
        row: list[Shown] = [venue.rank, Linked(label, to("venues", label)), venue.share, venue.shares, name, venue.venue_class]
        for length in lengths:
            row += rolling[length].get(_key(venue), (None, None))
        rows.append(row)
    return Table("venues", "Shares of the tier", columns, rows, "No capture of this week is measured.", most=300)


def _venues(look: Look, tier: str, ending: date) -> list[VenueWeek]:
    question = Question(VIEWS["venue_share"], (ending,), (tier,), as_of=look.as_of)
    return [
        VenueWeek(
            row["capture_id"], row["week_ending"], row["tier"], row["venue_class"], row["mpid"], row["firm_crd"],
            row["venue_name"], row["total_shares"], row["share"], row["rank"], row["basis"],
        )
        for row in _named(look, question)
    ]


def _named(look: Look, question: Question) -> Iterator[dict[str, Any]]:
    """The rows of a view, by the names of its columns."""
    return (dict(zip(question.view.columns, row, strict=True)) for row in answer.answer(look.db, question))


def _key(venue: VenueWeek) -> Venue:
    return venue.venue_class, venue.mpid, venue.firm_crd or 0, venue.venue_name


def _rolling(look: Look, tier: str, ending: date, length: int) -> dict[Venue, tuple[float | None, float | None]]:
    """The pooled share and the slope of each venue over a window."""
    question = Question(VIEWS["rolling_venue_share"], (ending,), (tier,), as_of=look.as_of, length=length)
    return {
        (row["venue_class"], row["mpid"], row["firm_crd"] or 0, row["venue_name"]): (row["share_pooled"], row["slope"])
        for row in _named(look, question)
        if row["mpid"] is not None
    }


def venue(look: Look, label: str) -> Page:
    """A venue's share over the weeks, in every tier. Raises NotFound."""
    counts = series.standing(look.db, look.before)
    weeks = series.of_venue(look.db, label, counts)
    if not weeks:
        raise NotFound(f"no measured week holds a venue {label!r}", hint="spine query venue_share --week latest")
    points = [(each.week, each.tier, each.share) for each in weeks]
    chart = Chart("Share of the tier", Kind.SHARE, _lines(points, counts), _venue_table(weeks, counts))
    newest = weeks[-1]
    facts = [
        Fact("Newest week", newest.week, Kind.DAY), Fact("Weeks", len({each.week for each in weeks}), Kind.NUMBER),
        Fact("Shares", newest.shares, Kind.NUMBER, f"{TIER_NAMES[newest.tier]}, {newest.week}"),
        Fact("Rank", newest.rank, Kind.NUMBER, TIER_NAMES[newest.tier]),
    ]
    parts: list[Part] = [Facts(facts), chart, _lineage(weeks)]
    if newest.mpid:
        curve = f"spine trend venue_share --venue {quote(label)}"
        parts.append(Commands("The same in a terminal", [("its share as a curve", curve)]))
    return Page(to("venues", label), label, newest.venue_name, parts, [("Venues", to("venues"))])


def _lines(points: Iterable[tuple[str, str, float | None]], counts: Standing) -> list[Series]:
    """A line for each tier, over the same weeks; a hollow point was restated."""
    values = {(week, tier): value for week, tier, value in points}
    weeks = sorted({week for week, _ in values})
    return [
        Series(
            TIER_NAMES[tier],
            [Point(date.fromisoformat(week), values.get((week, tier)), (week, tier) in counts.restated) for week in weeks],
        )
        for tier in TIERS
        if any(key[1] == tier for key in values)
    ]


def _venue_table(weeks: Sequence[VenueWeek], counts: Standing) -> Table:
    columns = [
        Column("week_ending", "Week", Kind.DAY), Column("tier", "Tier"), Column("rank", "Rank", Kind.NUMBER),
        Column("total_shares", "Shares", Kind.NUMBER), Column("share", "Share", Kind.SHARE),
        Column("basis", "Measured by", Kind.CODE), Column("restated", "Restated"),
    ]
    rows = [
        (
            Linked(each.week, to("weeks", each.week, each.tier)), TIER_NAMES[each.tier], each.rank, each.shares, each.share,
            each.basis, "yes" if (each.week, each.tier) in counts.restated else None,
        )
        for each in _newest_first(weeks)
    ]
    return Table("weeks", "Its weeks, newest first", columns, rows, most=39)


def _newest_first(weeks: Sequence[Week]) -> list[Week]:
    """The tiers of a week stay in their order."""
    return sorted(weeks, key=lambda week: (week.week, -TIERS.index(week.tier), week.capture_id), reverse=True)


def _lineage(weeks: Sequence[VenueWeek]) -> Table:
    """The names and numbers the venue had, and from when to when."""
    named: dict[tuple[str, str, int, str], list[str]] = {}
    for each in weeks:
        named.setdefault(_key(each), []).append(each.week)
    rows = [
        (name, mpid or None, crd or None, venue_class, min(seen), max(seen), len(set(seen)))
        for (venue_class, mpid, crd, name), seen in named.items()
    ]
    columns = [
        Column("venue_name", "Name", Kind.PROSE), Column("mpid", "MPID", Kind.CODE), Column("firm_crd", "CRD number", Kind.CODE),
        Column("venue_class", "Class", Kind.CODE), Column("first_week", "First week", Kind.DAY),
        Column("last_week", "Last week", Kind.DAY), Column("weeks", "Weeks", Kind.NUMBER),
    ]
    return Table("names", "Names and numbers", columns, rows)


def concentration(look: Look) -> Page:
    """Concentration of every tier, ATSs and other firms apart; weeks without firm totals are marked."""
    counts = series.standing(look.db, look.before)
    weeks = series.of_tiers(look.db, counts)
    parts: list[Part] = [_concentration(tier, [week for week in weeks if week.tier == tier], counts) for tier in TIERS]
    if not weeks:
        parts = [Notice("note", [["No week is measured yet."]])]
    lead = (
        "The Herfindahl-Hirschman index over venues: near 0 where many share a tier, 1 where one has all of it. Over all venues "
        "it is exact only with firm totals; without them the firms FINRA does not name count as one."
    )
    return Page(to("concentration"), "Concentration", lead, parts)


def _concentration(tier: str, weeks: Sequence[TierWeek], counts: Standing) -> Chart:
    lines = [("ATSs", "ats_hhi"), ("Other firms", "non_ats_hhi"), ("All venues", "hhi")]
    drawn = [
        Series(name, [Point(date.fromisoformat(w.week), getattr(w, field), (w.week, tier) in counts.restated) for w in weeks])
        for name, field in lines
    ]
    columns = [
        Column("week_ending", "Week", Kind.DAY), Column("hhi", "HHI, all venues", Kind.INDEX),
        Column("exact", "Exact", Kind.STATE), Column("ats_hhi", "ATSs", Kind.INDEX),
        Column("non_ats_hhi", "Other firms", Kind.INDEX),
        Column("effective_venues", "Effective venues", Kind.RATIO), Column("ats_fraction", "On ATSs", Kind.SHARE),
        Column("venue_count", "Venues", Kind.NUMBER), Column("total_shares", "Shares", Kind.NUMBER),
        Column("average_trade_size", "Shares a trade", Kind.RATIO),
    ]
    rows = [
        (
            Linked(week.week, to("weeks", week.week, tier)), week.hhi, "exact" if week.basis == _EXACT else "not exact",
            week.ats_hhi, week.non_ats_hhi, week.effective_venues, week.ats_fraction, week.venues, week.shares,
            week.average_trade_size,
        )
        for week in reversed(weeks)
    ]
    title = f"{TIER_NAMES[tier]}, newest week first"
    table = Table(f"concentration_{tier.lower()}", title, columns, rows, "Nothing is measured yet.", 26)
    return Chart(TIER_NAMES[tier], Kind.INDEX, drawn, table)


def symbol_search(look: Look, text: str) -> Page:
    """Symbols by the beginning of the symbol or a part of a name."""
    search = Search("Symbol or a part of its name", to("symbols"), "q", text)
    matches = series.search(look.db, text, _MOST_MATCHES) if text else []
    columns = [Column("symbol", "Symbol", Kind.CODE), Column("issue_name", "Name", Kind.PROSE)]
    rows = [(Linked(match.symbol, to("symbols", match.symbol)), match.issue_name) for match in matches]
    parts: list[Part] = [search]
    if text:
        title = f"{len(rows):,} found" if len(rows) < _MOST_MATCHES else f"The first {_MOST_MATCHES:,}"
        parts.append(Table("symbols", title, columns, rows, "No symbol or name matches.", most=_MOST_MATCHES))
    lead = "A symbol's shares over the weeks, and every version of each week. Case is part of a symbol."
    return Page(to("symbols", q=text or None), "Symbols", lead, parts)


def symbol(look: Look, name: str) -> Page:
    """A symbol across weeks and vintages. Raises NotFound."""
    weeks = series.of_symbol(look.db, name, look.before)
    if not weeks:
        other = symbols.meant(look.db, name)
        hint = f"case matters: {other}" if other else "spine query symbol_summary --week latest"
        raise NotFound(f"no measured capture holds the symbol {name!r}", hint=hint)
    counts = series.standing(look.db, look.before)
    current = [week for week in weeks if week.capture_id in counts.captures]
    lines = _lines([(week.week, week.tier, week.shares) for week in current], counts)
    chart = Chart("Shares", Kind.NUMBER, lines, _symbol_table(weeks, counts))
    newest = (current or weeks)[-1]
    facts = [
        Fact("Newest week", newest.week, Kind.DAY, TIER_NAMES[newest.tier]), Fact("Shares", newest.shares, Kind.NUMBER),
        Fact("Trades", newest.trades, Kind.NUMBER), Fact("Venues", newest.venues, Kind.NUMBER),
        Fact("Weeks", len({week.week for week in current}), Kind.NUMBER, f"{count(len(weeks), 'version')}"),
    ]
    terminal = f"spine query symbol_summary --symbol {quote(name)}{f' --as-of {look.as_of}' if look.as_of else ''}"
    parts: list[Part] = [Facts(facts), chart, Commands("The same in a terminal", [("its weeks", terminal)])]
    issue = next((match.issue_name for match in series.search(look.db, name, _MOST_MATCHES) if match.symbol == name), "")
    return Page(to("symbols", name), name, issue, parts, [("Symbols", to("symbols"))])


def _symbol_table(weeks: Sequence[SymbolWeek], counts: Standing) -> Table:
    columns = [
        Column("week_ending", "Week", Kind.DAY), Column("tier", "Tier"), Column("version", "Version", Kind.STATE),
        Column("total_shares", "Shares", Kind.NUMBER), Column("ats_shares", "On ATSs", Kind.NUMBER),
        Column("total_trades", "Trades", Kind.NUMBER), Column("venue_count", "Venues", Kind.NUMBER),
        Column("hhi_low", "HHI, at least", Kind.INDEX), Column("hhi", "HHI, at most", Kind.INDEX),
        Column("capture_id", "Capture", Kind.CODE),
    ]
    rows = [
        (
            Linked(week.week, to("weeks", week.week, week.tier)), TIER_NAMES[week.tier],
            "current" if week.capture_id in counts.captures else "superseded", week.shares, week.ats_shares, week.trades,
            week.venues, week.hhi_low, week.hhi, week.capture_id,
        )
        for week in _newest_first(weeks)
    ]
    return Table("weeks", "Every version of each week, newest first", columns, rows, most=78)
