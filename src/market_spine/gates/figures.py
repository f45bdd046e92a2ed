"""The figures of a content that the gates look at: taken from its columns, and kept as two JSON documents.

`Figures` are numbers, one a name; `Shape` is how they are spread: over venues, over the alphabet, and two sketches. A sketch is
the least 256 of the 32-bit hashes of a set: of two sketches the share of the sets' elements that both have can be estimated,
within three per cent, whatever the size of the sets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from market_spine.parse.columns import MICRO, UNKNOWN
from market_spine.parse.figures import total

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from market_spine.measure.firm_totals import Checked
    from market_spine.parse.columns import Columns, Venue
    from market_spine.parse.weekly_file import WeeklyFile

    Hashes = NDArray[np.uint32]

ATS, FIRM = "ATS", "OTC"
SKETCH = 256
_LEAST_SHARE = 0.0005  # of the tier: smaller venues are left out
_TOP_SYMBOLS = 20
_ODD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)  # of splitmix64


@dataclass(frozen=True, slots=True)
class Figures:
    """Numbers of a content; shares and notional in millions would lose nothing here, but they are units. `totals_fit`: None where
    no firm totals are held. `mix` and `drift` are distances to the history, set when the content is judged."""

    rows: int
    lines: int
    rejects: int
    symbols: int
    trades: int
    shares: float
    ats_shares: float
    hidden_shares: float
    notional: float | None
    fractional_rows: int
    blank_notional_rows: int
    lower_case_symbols: int
    ats_venues: int
    firm_venues: int
    hhi: float
    cut_at: int | None = None
    newest_date: str | None = None
    totals_fit: bool | None = None
    totals_problem: str | None = None
    mix: float | None = None
    firm_mix: float | None = None
    churn: float | None = None


class Letters(NamedTuple):
    """Rows by the first two characters of the symbol: the characters as a number, ascending, and the rows of each."""

    pairs: NDArray[np.int64]
    rows: NDArray[np.int64]


class Shape(NamedTuple):
    """How the figures are spread. `venues`: shares by `ATS:UBSA` or `OTC:123`; `letters`: over the alphabet; `top`: shares of the
    largest symbols; `rows` and `symbols` are sketches."""

    venues: Mapping[str, float]
    letters: Letters
    top: Mapping[str, float]
    rows: Hashes
    symbols: Hashes


class Seen(NamedTuple):
    """Everything the gates know of a content."""

    figures: Figures
    shape: Shape

    def with_distances(self, mix: float | None, firm_mix: float | None, churn: float | None) -> Seen:
        """The same, with its distances to the history it was judged by."""
        return self._replace(figures=replace(self.figures, mix=mix, firm_mix=firm_mix, churn=churn))


def figures_json(figures: Figures) -> str:
    """The numbers as they are stored; a float is written so that reading it gives the same one."""
    return json.dumps(asdict(figures), separators=(",", ":"), sort_keys=True)


def read_figures(text: str) -> Figures:
    """The numbers as they were stored."""
    return Figures(**json.loads(text))


def shape_json(shape: Shape) -> str:
    """The spread as it is stored."""
    sketches = {"rows": shape.rows.astype("<u4").tobytes().hex(), "symbols": shape.symbols.astype("<u4").tobytes().hex()}
    letters = [shape.letters.pairs.astype("<u2").tobytes().hex(), shape.letters.rows.astype("<u4").tobytes().hex()]
    known = {"venues": shape.venues, "letters": letters, "top": shape.top}
    return json.dumps(known | sketches, separators=(",", ":"), sort_keys=True)


def read_shape(text: str) -> Shape:
    """The spread as it was stored."""
    known: dict[str, Any] = json.loads(text)
    rows, symbols = (np.frombuffer(bytes.fromhex(known[name]), dtype="<u4") for name in ("rows", "symbols"))
    pairs, of_pairs = (
        np.frombuffer(bytes.fromhex(values), kind).astype(np.int64) if isinstance(values, str) else np.array(values, np.int64)
        for values, kind in zip(known["letters"], ("<u2", "<u4"), strict=True)  # lists, as the first stores of gates have them
    )
    return Shape(known["venues"], Letters(pairs, of_pairs), known["top"], rows, symbols)


def of_file(file: WeeklyFile, checked: Checked) -> Seen:
    """The figures of a content as it was parsed."""
    columns = file.columns
    shares, issue = columns.shares / MICRO, columns.issue.astype(np.intp)  # bincount would convert it each time
    by_venue = np.bincount(columns.venue, weights=shares, minlength=len(columns.venues))
    by_issue = np.bincount(issue, weights=shares, minlength=len(columns.issues))
    rows_by_issue = np.bincount(issue, minlength=len(columns.issues))
    names = _Names.of([issue.symbol if issue else "" for issue in columns.issues], rows_by_issue)
    venues = _by_venue(columns.venues, by_venue.tolist())
    everything = float(sum(venues.values()))
    figures = Figures(
        rows=len(shares), lines=file.lines, rejects=len(file.rejects), symbols=len(names.hashes), trades=total(columns.trades),
        shares=total(columns.shares) / MICRO, ats_shares=sum(v for name, v in venues.items() if name.startswith(ATS)),
        hidden_shares=sum(v for venue, v in zip(columns.venues, by_venue.tolist(), strict=True) if venue and venue.is_de_minimis),
        notional=_notional(columns), fractional_rows=int(np.count_nonzero(shares != np.rint(shares))),
        blank_notional_rows=len(shares) if columns.notional is None else int(np.count_nonzero(columns.notional == UNKNOWN)),
        lower_case_symbols=names.lower_case,
        ats_venues=sum(v > 0 and name.startswith(ATS) for name, v in venues.items()),
        firm_venues=sum(v > 0 and name.startswith(FIRM) for name, v in venues.items()),
        hhi=sum((v / everything) ** 2 for v in venues.values()) if everything else 0.0,
        cut_at=file.cut_at, newest_date=file.last_updated,
        totals_fit=None if not checked.totals else checked.problem is None, totals_problem=checked.message or None,
    )
    kept = {name: value for name, value in sorted(venues.items()) if value >= _LEAST_SHARE * everything}
    return Seen(figures, Shape(kept, names.letters, _top(columns, by_issue), _rows_sketch(columns), names.hashes[:SKETCH]))


def least(hashes: NDArray[np.uint64]) -> Hashes:
    """The sketch of a set of hashes, which are the upper halves of these numbers."""
    for bound in (8 * SKETCH / max(len(hashes), 1), 1.0):  # some two thousand, of which many may be equal; else all
        low = hashes if bound >= 1 else hashes[hashes < np.uint64(bound * (1 << 64))]
        kept = distinct((low >> np.uint64(32)).astype(np.uint32))
        if len(kept) >= SKETCH:
            break
    return kept[:SKETCH]


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Each value once, ascending; faster than np.unique, which hashes first, and imports numpy.ma, which takes 20 ms."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def likeness(one: Hashes, other: Hashes) -> float:
    """The estimated share of the elements of either set that both have; 0 for an empty one."""
    merged = np.concatenate((one, other))
    merged.sort()
    both = merged[1:] == merged[:-1]
    rank = np.arange(len(both)) - np.cumsum(both) + both  # among the elements of either
    size = min(max(len(one), len(other)), len(merged) - int(np.count_nonzero(both)))
    return float(np.count_nonzero(both & (rank < size))) / size if size else 0.0


def contained(one: Hashes, other: Hashes) -> float:
    """The estimated share of the elements of the first set that the second has, where both are of a like size."""
    j = likeness(one, other)
    return 2 * j / (1 + j)


def _by_venue(venues: Sequence[Venue | None], shares: Sequence[float]) -> dict[str, float]:
    """Shares by venue; a venue that is written in several ways is one."""
    added: dict[str, float] = {}
    for venue, volume in zip(venues, shares, strict=True):
        if venue is not None:
            name = f"{venue.venue_class}:{venue.mpid or venue.firm_crd or venue.venue_name}"
            added[name] = added.get(name, 0.0) + volume
    return added


def _notional(columns: Columns) -> float | None:
    if columns.notional is None:
        return None
    known = columns.notional[columns.notional != UNKNOWN]
    return total(known) / MICRO if len(known) else None


def _top(columns: Columns, by_issue: NDArray[Any]) -> dict[str, float]:
    """The largest symbols, by shares; a symbol under two names counts by each of them."""
    enough = np.partition(by_issue, -_TOP_SYMBOLS)[-_TOP_SYMBOLS] if len(by_issue) > _TOP_SYMBOLS else 0.0
    large = np.flatnonzero(by_issue >= enough)
    top: dict[str, float] = {}
    for at in large[np.argsort(by_issue[large], kind="stable")][::-1][:_TOP_SYMBOLS].tolist():
        issue = columns.issues[at]
        if issue is not None:
            top[issue.symbol] = top.get(issue.symbol, 0.0) + float(by_issue[at])
    return top


def _rows_sketch(columns: Columns) -> Hashes:
    """Of the pairs (shares, trades) of the rows: those of another week are others, wherever the rows stand."""
    mixed = columns.shares.astype(np.uint64) * _ODD[0] ^ (columns.trades.astype(np.uint64) + np.uint64(1)) * _ODD[1]
    mixed ^= mixed >> np.uint64(29)
    mixed *= _ODD[2]
    return least(mixed)


class _Names(NamedTuple):
    """What the distinct symbols show: their hashes, rows by their first two characters, and how many have a small letter."""

    hashes: Hashes
    letters: Letters
    lower_case: int

    @classmethod
    def of(cls, symbols: Sequence[str], rows: NDArray[np.int64]) -> _Names:
        if not symbols:
            return cls(np.zeros(0, np.uint32), Letters(np.zeros(0, np.int64), np.zeros(0, np.int64)), 0)
        columns = _bytes_of(symbols)
        mixed = np.zeros(len(symbols), np.uint64)
        for column in columns:  # a symbol ends with its last character, whatever the longest has
            mixed = np.where(column, (mixed ^ column) * np.uint64(0x100000001B3), mixed)  # FNV-1a
        mixed ^= mixed >> np.uint64(31)
        mixed *= _ODD[1]
        hashes = distinct((mixed >> np.uint64(32)).astype(np.uint32)[rows > 0])
        lower = ((columns >= ord("a")) & (columns <= ord("z"))).any(axis=0) & (rows > 0)
        pair = columns[0].astype(np.int64) << 8 | columns[1]
        counts = np.bincount(pair, weights=rows, minlength=1)
        used = np.flatnonzero(counts)
        return cls(hashes, Letters(used, counts[used].astype(np.int64)), int(np.count_nonzero(lower)))


def _bytes_of(symbols: Sequence[str]) -> NDArray[np.uint8]:
    """The bytes of symbols: a row for each place in the longest one (at least two), zeros where a symbol has ended."""
    text = np.frombuffer("\n".join(symbols).encode(), np.uint8)
    ends = np.append(np.flatnonzero(text == ord("\n")), len(text))
    starts = np.append(0, ends[:-1] + 1)
    width = max(2, int((ends - starts).max()))
    at = np.arange(width)[:, None] + starts
    return np.where(at < ends, np.append(text, np.zeros(width, np.uint8))[at], np.uint8(0))
