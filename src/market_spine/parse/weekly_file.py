"""FINRA's weekly file as columns: the 8-column download and the 17-field API text, read by header name.

Works on blocks of a few hundred kilobytes with NumPy: separators are found at once, a run of equal fields is recognized
before any of it becomes text, and figures are read digit by digit over all rows together. Only what is irregular (quotes,
exponents, broken lines) is looked at one by one. Figures are exact: millionths, in 64-bit integers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import partial
from itertools import pairwise, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from market_spine.app.source import TIER_OF_CODE
from market_spine.errors import UnusableContent
from market_spine.parse.columns import MICRO, Columns, Issue, Venue
from market_spine.parse.grid import Grid, Interner, find_grid, joined
from market_spine.parse.text_lines import UNIT_SEPARATOR, Header, read_header, unquoted, whole_lines
from market_spine.partition import Partition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]

SYMBOL, ISSUE_NAME, PRODUCT = "issuesymbolidentifier", "issuename", "producttypecode"
VENUE_NAME, MPID, CRD, SUMMARY = "marketparticipantname", "mpid", "firmcrdnumber", "summarytypecode"
SHARES, TRADES, NOTIONAL = "totalweeklysharequantity", "totalweeklytradecount", "totalnotionalsum"
TIER_NAME, TIER_CODE, MONDAY, UPDATED = "tierdescription", "tieridentifier", "weekstartdate", "lastupdatedate"

REQUIRED = (SYMBOL, VENUE_NAME, MPID, SHARES, TRADES)
VENUE_CLASS_OF_SUMMARY = {"ATS_W_SMBL_FIRM": "ATS", "OTC_W_SMBL_FIRM": "OTC"}

_TEXT_CHARACTERS = 1000
_DENSE_CELLS = 1 << 20
_FIGURE = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_THOUSANDS = re.compile(r'"?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?"?')
_LARGEST = Decimal(9 * 10**12)  # whole units whose millionths fit 64 bits
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SUMMARY_CODE = re.compile(rb"(ATS|OTC)_[A-Z_]+")
_FIRM_ROWS = frozenset(name.encode() for name in VENUE_CLASS_OF_SUMMARY)

_MISSING = "wrong number of fields"
_UNREADABLE = {SHARES: "unreadable share quantity", TRADES: "unreadable trade count", NOTIONAL: "unreadable notional"}
_NEGATIVE = {SHARES: "negative share quantity", TRADES: "negative trade count", NOTIONAL: "negative notional"}


class Reject(NamedTuple):
    """A line that did not become a row. `line_number` counts from 1 over the whole file."""

    line_number: int
    reason: str


class WeeklyFile(NamedTuple):
    """What a file holds: its rows as columns, the lines rejected, and what was left out on purpose."""

    columns: Columns
    rejects: tuple[Reject, ...]
    duplicates: int
    excluded: int
    first_updated: str | None
    last_updated: str | None

    @property
    def lines(self) -> int:
        """Data lines that were meant to be rows."""
        return len(self.columns.shares) + len(self.rejects) + self.duplicates


def read(blocks: Iterable[bytes], partition: Partition) -> WeeklyFile:
    """Reads a whole file. Raises UnusableContent when it has no usable header, names another partition, holds a figure
    with a thousands comma, or a line beyond 1 MB; anything smaller becomes a Reject."""
    header, rest = read_header(iter(blocks), REQUIRED)
    reader = _Reader(header, partition)
    line_number = header.line_number
    for block in whole_lines(rest):
        line_number += reader.take(block, line_number)
    return reader.finish()


class _Reader:
    """Takes blocks of whole lines and gathers columns."""

    def __init__(self, header: Header, partition: Partition) -> None:
        self._header = header
        self._partition = partition
        self._delimiter = UNIT_SEPARATOR if header.quoted else header.delimiter
        self._issue_fields = _present(header, (SYMBOL, ISSUE_NAME, PRODUCT))
        self._venue_fields = _present(header, (VENUE_NAME, MPID, CRD, SUMMARY))
        self._issues, self._venues, self._summaries = Interner(), Interner(), Interner()
        self._plain_issue = [header.fields[at] for at in self._issue_fields] == [SYMBOL, ISSUE_NAME]
        self._parts: list[dict[str, Any]] = []
        self._rejects: list[Reject] = []
        self._excluded = 0
        self._updated: set[bytes] = set()

    def take(self, block: bytes, lines_before: int) -> int:
        """Adds the block's rows and answers how many lines it has."""
        if self._header.quoted:
            block = unquoted(block, self._header.delimiter)
        grid = find_grid(block, self._delimiter, len(self._header.fields))
        for line in grid.broken:
            self._rejects.append(Reject(lines_before + line + 1, _MISSING))
        grid = self._wanted(grid)
        if not len(grid.lines):
            return grid.line_count
        lines = grid.lines + (lines_before + 1)
        self._check_label(grid)
        part: dict[str, Any] = {
            "issue": self._codes_of(grid, self._issue_fields, self._issues, runs=True),
            "venue": self._codes_of(grid, self._venue_fields, self._venues, runs=False),
            "line": lines,
        }
        good: Mask = np.ones(len(lines), dtype=np.bool_)
        figures = {name: at for name in (SHARES, TRADES, NOTIONAL) if (at := self._header.at(name)) is not None}
        for (name, at), values, odd in zip(figures.items(), *grid.whole_numbers(list(figures.values())), strict=True):
            part[name] = values if name == TRADES else values * MICRO
            if odd.any():
                rows = np.flatnonzero(odd)
                part[name][rows] = self._odd_figures(grid, at, name, lines, rows, good)
        if not good.all():
            part = {name: values[good] for name, values in part.items()}
        self._parts.append(part)
        return grid.line_count

    def _wanted(self, grid: Grid) -> Grid:
        """Leaves out the sums FINRA publishes beside the rows (`ATS_W_SMBL`, `OTC_W_FIRM` …); adding them would double."""
        at = self._header.at(SUMMARY)
        if at is None:
            return grid
        codes = grid.codes(at, at, self._summaries, runs=True)
        sums = [code for text, code in self._summaries.items() if _SUMMARY_CODE.fullmatch(text) and text not in _FIRM_ROWS]
        out = np.isin(codes, sums)
        self._excluded += int(out.sum())
        return grid.only(~out) if out.any() else grid

    def _check_label(self, grid: Grid) -> None:
        """Refuses a file that says it is another partition; notes lastUpdateDate."""
        monday = self._partition.monday.isoformat()
        for name in (TIER_NAME, TIER_CODE, MONDAY, UPDATED):
            at = self._header.at(name)
            if at is None:
                continue
            for value in grid.distinct(at):
                text = value.decode("utf-8", "replace")
                if name == UPDATED:
                    self._updated.add(value)
                elif name == MONDAY and text != monday:
                    self._refuse(f"weekStartDate {text[:40]!r}, expected {monday}")
                elif name in (TIER_NAME, TIER_CODE) and TIER_OF_CODE.get(text) != self._partition.tier:
                    self._refuse(f"tier {text[:40]!r}")

    def _refuse(self, saying: str) -> None:
        raise UnusableContent(
            "WRONG_PARTITION",
            f"the content says {saying}, but was offered as {self._partition}",
            hint="put it under its own name; nothing is relabelled",
        )

    def _codes_of(self, grid: Grid, fields: tuple[int, ...], table: Interner, *, runs: bool) -> NDArray[np.int32]:
        """A number for each row's distinct combination of fields; the combination's bytes are joined by the delimiter."""
        if all(b - a == 1 for a, b in pairwise(fields)):
            return grid.codes(fields[0], fields[-1], table, runs=runs)
        columns = [grid.texts(at) for at in fields]
        return np.fromiter(map(table.__getitem__, joined(columns, self._delimiter)), np.int32, len(grid.lines))

    def _odd_figures(self, grid: Grid, at: int, name: str, lines: Ints, rows: Ints, good: Mask) -> Ints:
        """The figures of rows where the text is no whole number: in trades, else in millionths. The oddest are read one by one;
        unreadable ones are rejected and no longer `good`."""
        values, odd = grid.decimals(at, rows)
        for place in np.flatnonzero(odd & good[rows]).tolist():
            row = int(rows[place])
            value = _figure(grid.text(row, at), name, int(lines[row]))
            if isinstance(value, str):
                self._reject(row, value, lines, good)
            else:
                values[place] = value
        if name != TRADES:
            return values
        for row in rows[(values % MICRO != 0) & good[rows]].tolist():
            self._reject(row, "trade count is not a whole number", lines, good)
        return values // MICRO

    def _reject(self, row: int, reason: str, lines: Ints, good: Mask) -> None:
        good[row] = False
        self._rejects.append(Reject(int(lines[row]), reason))

    def finish(self) -> WeeklyFile:
        rows = self._rows()
        issues, bad_issues = self._decode(self._issues, self._issue)
        venues, bad_venues = self._decode(self._venues, self._venue)
        rows = self._without(rows, "issue", bad_issues)
        rows = self._without(rows, "venue", bad_venues)
        rows, duplicates = self._collapse(rows, issues, venues)
        columns = Columns(
            issues=issues,
            venues=venues,
            issue=rows["issue"],
            venue=rows["venue"],
            shares=rows[SHARES],
            trades=rows[TRADES],
            notional=rows.get(NOTIONAL),
        )
        updated = sorted(day for value in self._updated if (day := _date_text(value)))
        rejects = tuple(sorted(self._rejects, key=lambda reject: reject.line_number))
        return WeeklyFile(
            columns,
            rejects,
            duplicates,
            self._excluded,
            updated[0] if updated else None,
            updated[-1] if updated else None,
        )

    def _rows(self) -> dict[str, Any]:
        """The blocks' columns end to end."""
        if not self._parts:
            empty = np.zeros(0, dtype=np.int64)
            return {"issue": empty, "venue": empty, "line": empty, SHARES: empty, TRADES: empty}
        first = self._parts[0]
        rows: dict[str, Any] = {}
        for name in list(first):
            rows[name] = np.concatenate([part.pop(name) for part in self._parts])
        self._parts = []
        return rows

    def _decode(self, table: Interner, decode: Callable[[list[str]], Any]) -> tuple[list[Any], dict[int, str]]:
        """Each distinct combination as a value (None where it is none), and the reasons for those, by number."""
        delimiter = chr(self._delimiter)
        texts = _plain_texts(table)
        if texts and self._plain_issue and table is self._issues and {delimiter, " "}.isdisjoint(text[0] for text in texts):
            fields = delimiter.join(texts).split(delimiter)
            return list(map(_AN_ISSUE, zip(fields[::2], fields[1::2], repeat("")))), {}
        values: list[Any] = []
        bad = {}
        closely: Iterable[str | bytes] = texts or table
        for code, text in enumerate(closely):
            try:
                values.append(decode(_clean(text).split(delimiter)))
            except _NotAValue as problem:
                values.append(None)
                bad[code] = problem.reason
        return values, bad

    def _issue(self, texts: list[str]) -> Issue:
        if self._plain_issue:
            issue = Issue(texts[0], texts[1], "")
        else:
            fields = dict(zip((self._header.fields[at] for at in self._issue_fields), texts, strict=True))
            issue = Issue(fields[SYMBOL], fields.get(ISSUE_NAME, ""), fields.get(PRODUCT, ""))
        if not issue.symbol.strip():
            raise _NotAValue("blank symbol")
        return issue

    def _venue(self, texts: list[str]) -> Venue:
        fields = dict(zip((self._header.fields[at] for at in self._venue_fields), texts, strict=True))
        mpid, summary, crd = fields[MPID].strip(), fields.get(SUMMARY), fields.get(CRD, "").strip()
        if summary is not None and summary not in VENUE_CLASS_OF_SUMMARY:
            raise _NotAValue("unknown summaryTypeCode")
        venue_class = VENUE_CLASS_OF_SUMMARY[summary] if summary is not None else "ATS" if mpid else "OTC"
        if not mpid and not crd and not fields[VENUE_NAME].strip():
            raise _NotAValue("blank venue")
        return Venue(venue_class, mpid, _crd(crd), fields[VENUE_NAME])

    def _without(self, rows: dict[str, Any], name: str, bad: dict[int, str]) -> dict[str, Any]:
        """Rejects the rows of combinations that are no value."""
        if not bad:
            return rows
        out = np.isin(rows[name], list(bad))
        for code, line in zip(rows[name][out].tolist(), rows["line"][out].tolist(), strict=True):
            self._rejects.append(Reject(line, bad[code]))
        return {column: values[~out] for column, values in rows.items()}

    def _collapse(self, rows: dict[str, Any], issues: list[Any], venues: list[Any]) -> tuple[dict[str, Any], int]:
        """One row per natural key: identical repeats collapse, conflicting ones are rejected after the first."""
        groups: dict[tuple[object, ...], int] = {}
        group_of = np.array(
            [0 if v is None else groups.setdefault(v.identity, len(groups)) for v in venues] or [0], dtype=np.int64
        )
        key = rows["issue"].astype(np.int64) * max(len(groups), 1) + group_of[rows["venue"]]
        cells = len(issues) * max(len(groups), 1)
        if cells <= _DENSE_CELLS and np.bincount(key, minlength=1).max() <= 1:
            return rows, 0
        order = np.argsort(key, kind="stable")
        repeats = np.flatnonzero(key[order][1:] == key[order][:-1]) + 1
        if not len(repeats):
            return rows, 0
        facts: list[Any] = [rows[name] for name in ("venue", SHARES, TRADES, NOTIONAL) if name in rows]
        keep = np.ones(len(key), dtype=np.bool_)
        duplicates = 0
        first = order[0]
        heads = set(repeats.tolist())
        for place in repeats.tolist():
            if place - 1 not in heads:
                first = order[place - 1]
            row = order[place]
            keep[row] = False
            if all(fact[row] == fact[first] for fact in facts):
                duplicates += 1
            else:
                self._rejects.append(Reject(int(rows["line"][row]), "conflicting duplicate"))
        return {column: values[keep] for column, values in rows.items()}, duplicates


_AN_ISSUE = partial(tuple.__new__, Issue)  # in a third of the time that Issue(…) takes


class _NotAValue(Exception):
    """A combination of fields that is no issue or venue."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _present(header: Header, names: tuple[str, ...]) -> tuple[int, ...]:
    """The places of those fields the header has, in the file's order."""
    return tuple(sorted(at for name in names if (at := header.at(name)) is not None))


def _plain_texts(table: Interner) -> list[str] | None:
    """The table's texts; None where there are none, or one of them needs a closer look."""
    if not table:
        return None
    try:
        texts = b"\n".join(table).decode("utf-8").split("\n")
    except UnicodeDecodeError:
        return None
    return texts if "".join(texts).isprintable() and max(map(len, texts)) <= _TEXT_CHARACTERS else None


def _clean(text: str | bytes) -> str:
    if isinstance(text, str):
        return text
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        raise _NotAValue("not UTF-8") from None
    if len(decoded) > _TEXT_CHARACTERS:
        raise _NotAValue("text too long")
    if _CONTROL.search(decoded.replace(chr(UNIT_SEPARATOR), "")):
        raise _NotAValue("control character")
    return decoded


def _crd(text: str) -> int:
    if not text:
        return 0
    match = re.fullmatch(r"([0-9]{1,12})(\.0*)?", text)
    if not match:
        raise _NotAValue("unreadable firm CRD number")
    return int(match[1])


def _date_text(value: bytes) -> str | None:
    try:
        return date.fromisoformat(value.decode("ascii")[:10]).isoformat()
    except ValueError:
        return None


def _figure(text: str, name: str, line_number: int) -> int | str:
    """One figure in millionths (half-even beyond them), or the reason why it is none."""
    text = text.strip()
    if _THOUSANDS.fullmatch(text):
        raise UnusableContent(
            "THOUSANDS_SEPARATOR",
            f"line {line_number}: {text[:40]} has a thousands comma, so another program has rewritten the file",
            hint="fetch the file again and do not re-save it",
        )
    if not text:
        return 0 if name == NOTIONAL else _UNREADABLE[name]
    if text.startswith("-"):
        return _NEGATIVE[name] if _FIGURE.fullmatch(text[1:]) else _UNREADABLE[name]
    if len(text) > 60 or not _FIGURE.fullmatch(text):
        return _UNREADABLE[name]
    try:
        value = Decimal(text)
    except InvalidOperation:
        return _UNREADABLE[name]
    return int((value * MICRO).to_integral_value()) if value <= _LARGEST else _UNREADABLE[name]
