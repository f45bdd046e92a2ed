"""The windows as they stand now or as of a day: which there are, why one is not, and their rows.

A window is that of exactly the captures that were current and measured by then. Where one of its weeks had none, or the window
was not made, a row without figures names the reason: a window is never made of fewer weeks.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

from market_spine.core import windows
from market_spine.core.windows import Stored
from market_spine.db import Database
from market_spine.errors import UsageError
from market_spine.partition import weeks_of, weeks_with
from market_spine.query.as_of import Known, Spell, current_captures, day_of, end_of, spells, was_normalized
from market_spine.query.history import CURRENT, SUPERSEDED, list_captures
from market_spine.query.views import View

Row = tuple[Any, ...]
NOT_MADE = "not made yet"  # on a past day, too: its answers are those of that day, byte for byte
MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Window:
    """A window of a tier; `stored` is None where there was none, for `reason`. `compared` is the key of the window that ends
    where it begins, 0 for none; `pruned` names the first of its weeks whose capture was pruned."""

    week: str
    tier: str
    length: int
    stored: Stored | None
    compared: int = 0
    reason: str | None = None
    pruned: str | None = None
    captures: tuple[int, ...] = ()  # the keys of those it is made of


def select(
    db: Database, weeks: Sequence[date] | None, tiers: Sequence[str], length: int | None, before: str | None = None
) -> list[Window]:
    """The windows that end with these weeks (None: with every week that has a capture), by week, tier and length. Raises
    UsageError for a length that is not kept."""
    kept = windows.progress(db).lengths
    lengths = _lengths(kept, length)
    captures = _Captures.read(db, weeks, tiers, max(kept), before)
    ends = captures.weeks if weeks is None else [week.isoformat() for week in weeks]
    asked = [(week, tier) for week in sorted(ends) for tier in tiers if weeks is not None or (week, tier) in captures.current]
    made = _Made.read(db, _earlier(min(ends), max(kept)), max(ends), before) if ends else _Made({})
    return [_window(db, week, tier, each, captures, made) for week, tier in asked for each in lengths]


class Release(NamedTuple):
    """A window, and from which day to which (None: to this day) it was the one that a query returned."""

    window: Window
    known_from: str
    known_to: str | None


def releases(db: Database, weeks: Sequence[date] | None, tiers: Sequence[str], length: int | None) -> Iterator[Release]:
    """Every window that these weeks ever had at the end of a day, by week, tier and length, oldest first. Raises UsageError as
    `select`."""
    reached = None if weeks is None else _reached(weeks, max(windows.progress(db).lengths))
    for changes in window_spells(db, spells(db, reached, tiers), weeks, length).values():
        for spell, following in itertools.zip_longest(changes, changes[1:]):
            if spell.window and spell.window.stored:
                yield Release(spell.window, spell.day, following.day if following else None)


def _lengths(kept: Sequence[int], length: int | None) -> Sequence[int]:
    """The lengths that are asked for. Raises UsageError for one that is not kept."""
    if length is not None and length not in kept:
        hint = f"spine windows --lengths {','.join(map(str, sorted({*kept, length})))}"
        raise UsageError(f"windows of {length} weeks are not kept, those kept are of {_listed(kept)}", hint=hint)
    return kept if length is None else (length,)


def _reached(ends: Iterable[date], longest: int) -> list[date]:
    """The weeks of every window that ends with these, and of the window that each is compared with."""
    return sorted({week for end in ends for week in weeks_of(end, 2 * longest)})


def read(db: Database, view: View, selected: Iterable[Window], symbol: str | None = None) -> Generator[Row, None, None]:
    """The rows of these windows in a view; a row without figures where there is none."""
    for window in selected:
        reason = window.reason or (f"{window.pruned} pruned" if window.pruned and view.of_symbol else None)
        if window.stored is None or reason:
            shown = {"week_ending": window.week, "tier": window.tier, "length": window.length, "reason": reason}
            yield tuple(shown.get(column) for column in view.columns)
        elif symbol is not None:
            yield from db.execute(str(view.of_symbol), (window.stored.window_key, symbol))
        else:
            keys = (window.compared, window.stored.window_key) if view.compares else (window.stored.window_key,)
            yield from db.execute(view.of_capture, keys)


class Dependent(NamedTuple):
    """A window that holds a week: `state` is current, superseded (made of captures that are not), or missing, for `reason`."""

    week: str
    length: int
    state: str
    inputs_hash: str | None
    made_at: str | None
    hhi: float | None
    total_shares: float | None
    reason: str | None = None


def dependents(db: Database, week: date, tier: str, before: str | None = None) -> list[Dependent]:
    """Every window that holds a week of a tier, by its last week and length, those superseded first; with `before` (a stamp), as
    it was known then."""
    kept = windows.progress(db).lengths
    ends = weeks_with(week, max(kept))
    selected = select(db, ends, (tier,), None, before)
    known = (entry for entry in list_captures(db, None, (tier,)) if before is None or entry.captured_at < before)
    newest = max((end.week for end in known), default="")
    made = windows.between(db, ends[0].isoformat(), ends[-1].isoformat())
    stored = [each for each in made if before is None or each.made_at < before]
    return [
        dependent
        for window in selected
        if window.week <= newest and week in weeks_of(date.fromisoformat(window.week), window.length)
        for dependent in _dependents(window, stored)
    ]


def _dependents(window: Window, stored: Iterable[Stored]) -> Iterator[Dependent]:
    current = window.stored.window_key if window.stored else None
    for each in stored:
        if (each.week, each.tier, each.length) == (window.week, window.tier, window.length):
            state = CURRENT if each.window_key == current else SUPERSEDED
            yield Dependent(each.week, each.length, state, each.inputs_hash, each.made_at, each.hhi, each.total_shares)
    if current is None:
        yield Dependent(window.week, window.length, MISSING, None, None, None, None, window.reason)


class Moved(NamedTuple):
    """A window that a restatement made anew: its HHI before and after, and the venue whose pooled share moved most."""

    week: str
    length: int
    hhi_before: float | None
    hhi_after: float | None
    venue: str | None
    share_before: float | None
    share_after: float | None


def moved(db: Database, before: int, after: int) -> list[Moved]:
    """The windows made of a capture, each against the newest one of the same weeks made of the other capture, by week and
    length."""
    old, new = _with(db, before), _with(db, after)
    return [_moved(db, old[span], new[span]) for span in sorted(old.keys() & new.keys())]


def _with(db: Database, capture_key: int) -> dict[tuple[str, int], Stored]:
    keys = set(windows.keys_with(db, [capture_key]))
    return {(each.week, each.length): each for each in windows.between(db, "", "9") if each.window_key in keys}


def _moved(db: Database, old: Stored, new: Stored) -> Moved:
    before, after = _shares(db, old.window_key), _shares(db, new.window_key)
    venue = max(before | after, key=lambda each: (abs(after.get(each, 0) - before.get(each, 0)), each), default=None)
    if venue is None or before.get(venue, 0) == after.get(venue, 0):
        return Moved(new.week, new.length, old.hhi, new.hhi, None, None, None)
    return Moved(new.week, new.length, old.hhi, new.hhi, venue, before.get(venue, 0.0), after.get(venue, 0.0))


def _shares(db: Database, window_key: int) -> dict[str, float]:
    """The pooled share of each venue, by its MPID, else its CRD number, else its name."""
    rows = db.execute(
        """
        SELECT mpid, firm_crd, venue_name, share_pooled FROM finra_otc_transparency_rolling_venue_share WHERE window_key = ?
        """,
        (window_key,),
    )
    return {mpid or (f"CRD {firm_crd}" if firm_crd else name): share or 0.0 for mpid, firm_crd, name, share in rows}


class _Captures(NamedTuple):
    """The captures that were current, by week and tier."""

    current: Mapping[tuple[str, str], Known]
    before: str | None

    @classmethod
    def read(
        cls, db: Database, ends: Sequence[date] | None, tiers: Sequence[str], longest: int, before: str | None
    ) -> _Captures:
        """Those of every window that ends with these weeks, and of the window that each is compared with."""
        weeks = None if ends is None else _reached(ends, longest)
        return cls({(c.week, c.tier): c for c in current_captures(db, before, weeks, tiers)}, before)

    @property
    def weeks(self) -> list[str]:
        return sorted({week for week, _ in self.current})

    def is_measured(self, week: str, tier: str) -> bool:
        capture = self.current.get((week, tier))
        return capture is not None and capture.measured_at is not None and capture.measured_at < (self.before or "9")

    def keys(self, weeks: Iterable[str], tier: str) -> tuple[int, ...]:
        """The keys of the captures of these weeks, 0 for none."""
        return tuple(self.current[week, tier].capture_key if self.is_measured(week, tier) else 0 for week in weeks)


class _Made(NamedTuple):
    """The windows that were made by then, by what they are made of."""

    by_inputs: Mapping[tuple[int, tuple[int, ...]], Stored]

    @classmethod
    def read(cls, db: Database, first: str, last: str, before: str | None) -> _Made:
        inputs = windows.inputs_between(db, first, last)
        stored = [each for each in windows.between(db, first, last) if each.made_at < (before or "9")]
        return cls({(each.length, inputs[each.window_key]): each for each in stored})

    def of_captures(self, length: int, keys: tuple[int, ...], before: str | None) -> Stored | None:
        """The window that is made of these captures, if it was made by then."""
        stored = self.by_inputs.get((length, keys))
        return stored if stored and stored.made_at < (before or "9") else None


@dataclass(frozen=True, slots=True)
class WindowSpell:
    """From the end of `day` on the window stood like this; None: its last week had no current capture."""

    day: str
    window: Window | None


def window_spells(
    db: Database, of_partitions: Mapping[tuple[str, str], Sequence[Spell]], ends: Sequence[date] | None = None,
    length: int | None = None,
) -> dict[tuple[str, str, int], list[WindowSpell]]:
    """By week, tier and length, how each window that ends with these weeks (None: with any) stood, one state after the other;
    `of_partitions` is what `spells` returns. Raises UsageError as `select`."""
    kept = windows.progress(db).lengths
    lengths = _lengths(kept, length)
    wanted = {key for key in of_partitions if ends is None or date.fromisoformat(key[0]) in ends}
    if not wanted:
        return {}
    within = (_earlier(min(wanted)[0], max(kept)), max(wanted)[0])
    stored, keys = windows.between(db, *within), windows.inputs_between(db, *within)
    made_on, changed_on = _by_day(stored, keys), _changes(of_partitions)
    touched = _touched(of_partitions, stored, max(kept), wanted)
    current: dict[tuple[str, str], Known] = {}
    made = _Made({})
    history: dict[tuple[str, str, int], list[WindowSpell]] = {}
    for day in sorted(touched):
        current = {key: capture for key, capture in {**current, **changed_on.get(day, {})}.items() if capture}
        captures = _Captures(current, end_of(date.fromisoformat(day)))
        made = _Made({**made.by_inputs, **made_on.get(day, {})})
        for (week, tier), each in itertools.product(sorted(touched[day]), lengths):
            is_current = (week, tier) in captures.current
            window = _window(db, week, tier, each, captures, made) if is_current else None
            changes = history.setdefault((week, tier, each), [])
            if window != (changes[-1].window if changes else None):
                changes.append(WindowSpell(day, window))
    return {key: history[key] for key in sorted(history) if history[key]}


def _touched(
    of_partitions: Mapping[tuple[str, str], Sequence[Spell]], stored: Iterable[Stored], longest: int,
    wanted: AbstractSet[tuple[str, str]],
) -> dict[str, set[tuple[str, str]]]:
    """By day, the wanted partitions that end a window which may have changed: one of its weeks did, or a week of the window that
    it is compared with, or one of both was made."""
    touched: dict[str, set[tuple[str, str]]] = {}

    def touch(day: str, week: str, tier: str, length: int) -> None:
        ends = ((end.isoformat(), tier) for end in weeks_with(date.fromisoformat(week), length))
        touched.setdefault(day, set()).update(end for end in ends if end in wanted)

    for (week, tier), of_partition in of_partitions.items():
        measured = {day_of(spell.capture.measured_at) for spell in of_partition if spell.capture and spell.capture.measured_at}
        for day in {spell.day for spell in of_partition} | measured:
            touch(day, week, tier, 2 * longest)
    for each in stored:
        touch(day_of(each.made_at), each.week, each.tier, longest + 1)
    return touched


def _by_day(
    stored: Iterable[Stored], keys: Mapping[int, tuple[int, ...]]
) -> dict[str, dict[tuple[int, tuple[int, ...]], Stored]]:
    """By day, which windows were made, by what they are made of."""
    made: dict[str, dict[tuple[int, tuple[int, ...]], Stored]] = {}
    for each in stored:
        made.setdefault(day_of(each.made_at), {})[each.length, keys[each.window_key]] = each
    return made


def _changes(of_partitions: Mapping[tuple[str, str], Sequence[Spell]]) -> dict[str, dict[tuple[str, str], Known | None]]:
    """By day, which capture became current in which partition."""
    changes: dict[str, dict[tuple[str, str], Known | None]] = {}
    for partition, of_partition in of_partitions.items():
        for spell in of_partition:
            changes.setdefault(spell.day, {})[partition] = spell.capture
    return changes


def _window(db: Database, week: str, tier: str, length: int, captures: _Captures, made: _Made) -> Window:
    weeks = _weeks(week, length)
    absent = [each for each in weeks if not captures.is_measured(each, tier)]
    if absent:
        return Window(week, tier, length, None, reason=_reason(db, absent, tier, captures))
    return _made_window(week, tier, length, captures, made) or Window(week, tier, length, None, reason=NOT_MADE)


def _made_window(week: str, tier: str, length: int, captures: _Captures, made: _Made) -> Window | None:
    """The window that is made of exactly these captures; None where there is none, or a week has no capture."""
    weeks, earlier = _weeks(week, length), _weeks(_earlier(week, length), length)
    stored = made.of_captures(length, captures.keys(weeks, tier), captures.before)
    if stored is None:
        return None
    compared = made.of_captures(length, captures.keys(earlier, tier), captures.before)
    pruned = next((f"{each} {tier}" for each in weeks if captures.current[each, tier].pruned_at), None)
    return Window(week, tier, length, stored, compared.window_key if compared else 0, None, pruned, captures.keys(weeks, tier))


def _reason(db: Database, absent: Sequence[str], tier: str, captures: _Captures) -> str:
    """Why the newest of the absent weeks is, and how many others are."""
    week = absent[-1]
    others = f" and {len(absent) - 1} weeks more" if len(absent) > 2 else " and one week more" if len(absent) == 2 else ""
    return f"{week} {tier} {_state(db, week, tier, captures)}{others}"


def _state(db: Database, week: str, tier: str, captures: _Captures) -> str:
    if (week, tier) in captures.current:
        return "not measured"
    return "withdrawn or held" if was_normalized(db, date.fromisoformat(week), tier, captures.before) else "missing"


def _weeks(week: str, length: int) -> list[str]:
    return [each.isoformat() for each in weeks_of(date.fromisoformat(week), length)]


def _earlier(week: str, length: int) -> str:
    return (date.fromisoformat(week) - timedelta(weeks=length)).isoformat()


def _listed(lengths: Sequence[int]) -> str:
    return " and ".join(map(str, lengths)) if len(lengths) < 3 else ", ".join(map(str, lengths))
