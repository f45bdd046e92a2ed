"""FINRA's weekly file as columns: the 8-column download and the 17-field API text, read by header name.

Works on blocks of a few hundred kilobytes with NumPy: separators are found at once, a run of equal fields is recognized
before any of it becomes text, and figures are read digit by digit over all rows together. Only irregular lines and figures
(quotes, exponents, missing fields) are read one by one. Figures are exact: millionths, in 64-bit integers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date
from functools import partial
from itertools import pairwise, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from market_spine.calendar.tiers import TIER_OF_CODE
from market_spine.categories import Category
from market_spine.errors import UnusableContent
from market_spine.parse import firm_totals
from market_spine.parse.columns import MICRO, Columns, Issue, Venue
from market_spine.parse.figure_text import NOTIONAL, SHARES, TRADES, read_figure
from market_spine.parse.firm_totals import TotalRow
from market_spine.parse.grid import Grid, Interner, find_grid, joined
from market_spine.parse.lines import CONTROL, UNIT_SEPARATOR, Header, is_cut, read_header, unquoted, whole_lines
from market_spine.parse.repeats import are_tapes, move_to_second_tape
from market_spine.parse.repeats import find as find_repeats
from market_spine.parse.row_dates import PUBLISHED, UPDATED, date_text, read_dates
from market_spine.partition import Partition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]

SYMBOL, ISSUE_NAME, PRODUCT = "issuesymbolidentifier", "issuename", "producttypecode"
VENUE_NAME, MPID, CRD, SUMMARY = "marketparticipantname", "mpid", "firmcrdnumber", "summarytypecode"
TIER_NAME, TIER_CODE, MONDAY = "tierdescription", "tieridentifier", "weekstartdate"
_WRITTEN = {TIER_NAME: "tierDescription", TIER_CODE: "tierIdentifier", MONDAY: "weekStartDate"}

REQUIRED = (SYMBOL, VENUE_NAME, MPID, SHARES, TRADES)
VENUE_CLASS_OF_SUMMARY = {"ATS_W_SMBL_FIRM": "ATS", "OTC_W_SMBL_FIRM": "OTC"}

_TEXT_CHARACTERS = 1000
_SUMMARY_CODE = re.compile(rb"(ATS|OTC)_[A-Z_]+")
# Codes that are not a prefix of another code.
_WHOLE_CODES = frozenset(f"{kind}_W_{rest}" for kind in ("ATS", "OTC") for rest in ("SMBL_FIRM", "FIRM", "VOL_STATS"))
_FIRM_ROWS = frozenset(name.encode() for name in VENUE_CLASS_OF_SUMMARY)
_FIRM_TOTALS = frozenset(name.encode() for name in firm_totals.CLASS_OF_SUMMARY)

_MISSING = "wrong number of fields"
_QUOTES = "unreadable quotes"


class Reject(NamedTuple):
    """A line that did not become a row. `line_number` counts from 1 over the whole file."""

    line_number: int
    reason: str


class WeeklyFile(NamedTuple):
    """The content of a file: its rows as columns, the rejected lines, and the number of rows left out on purpose. `second_tapes`
    rows of a file without productTypeCode repeat a security and venue with other figures."""

    columns: Columns
    rejects: tuple[Reject, ...]
    duplicates: int
    excluded: int
    first_updated: str | None
    last_updated: str | None
    cut_at: int | None = None  # number of the last line, where it has no line end and may be the beginning of a longer one
    second_tapes: int = 0
    totals: tuple[TotalRow, ...] = ()  # the firm totals it holds beside its rows
    nameless: tuple[tuple[Venue | None, int], ...] = ()  # venue and shares of lines rejected for their symbol

    @property
    def lines(self) -> int:
        """The number of data lines that are rows or should have been."""
        return len(self.columns.shares) + len(self.rejects) + self.duplicates


def read(blocks: Iterable[bytes], partition: Partition) -> WeeklyFile:
    """Reads a whole file. Raises UnusableContent when it has no usable header, names another partition, holds a figure
    with a thousands comma, or a line beyond 1 MB; anything smaller becomes a Reject."""
    header, rest = read_header(iter(blocks), REQUIRED)
    reader = _Reader(header, partition)
    line_number = header.line_number
    last: list[bytes] = []
    for block in whole_lines(rest, last):
        line_number += reader.take(block, line_number)
    cut = bool(last) and is_cut(header, last[0], _WHOLE_CODES)
    return reader.finish()._replace(cut_at=line_number if cut else None)


class _Reader:
    """Takes blocks of whole lines and gathers columns."""

    def __init__(self, header: Header, partition: Partition) -> None:
        self._header = header
        self._partition = partition
        self._delimiter = UNIT_SEPARATOR if header.quoted else header.delimiter
        self._issue_fields = _present(header, (SYMBOL, ISSUE_NAME, PRODUCT))
        self._venue_fields = _present(header, (VENUE_NAME, MPID, CRD, SUMMARY))
        self._date_fields = _present(header, (PUBLISHED, UPDATED))
        self._issues, self._venues, self._summaries, self._dates = Interner(), Interner(), Interner(), Interner()
        self._plain_issue = [header.fields[at] for at in self._issue_fields] == [SYMBOL, ISSUE_NAME]
        self._parts: list[dict[str, Any]] = []
        self._rejects: list[Reject] = []
        self._excluded = 0
        self._totals: list[TotalRow] = []
        self._second_tapes = 0

    def take(self, block: bytes, lines_before: int) -> int:
        """Adds the block's rows and returns its number of lines."""
        if self._header.quoted:
            block, bad = unquoted(block, self._header.delimiter)
            self._rejects += [Reject(lines_before + line + 1, _QUOTES) for line in bad]
        grid = find_grid(block, self._delimiter, len(self._header.fields))
        self._rejects += [Reject(lines_before + line + 1, _MISSING) for line in grid.broken]
        grid = self._of_this_partition(self._wanted(grid, lines_before), lines_before)
        if not len(grid.lines):
            return grid.line_count
        lines = grid.lines + (lines_before + 1)
        part: dict[str, Any] = {
            "issue": self._codes_of(grid, self._issue_fields, self._issues, runs=True),
            "venue": self._codes_of(grid, self._venue_fields, self._venues, runs=False),
            "dated": self._codes_of(grid, self._date_fields, self._dates, runs=True),
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

    def _wanted(self, grid: Grid, lines_before: int) -> Grid:
        """Leaves out the sums that FINRA publishes beside the rows (`ATS_W_SMBL` …): they would count twice. Those of firms
        (`OTC_W_FIRM` …) are kept apart."""
        at = self._header.at(SUMMARY)
        if at is None:
            return grid
        codes = grid.codes(at, at, self._summaries, runs=True)
        sums = [code for text, code in self._summaries.items() if _SUMMARY_CODE.fullmatch(text) and text not in _FIRM_ROWS]
        out = np.isin(codes, sums)
        self._excluded += int(out.sum())
        firms = [code for text, code in self._summaries.items() if text in _FIRM_TOTALS]
        if firms and len(self._totals) <= firm_totals.MOST:
            self._totals += firm_totals.rows_of(grid.only(np.isin(codes, firms)), self._header, lines_before)
        return grid.only(~out) if out.any() else grid

    def _of_this_partition(self, grid: Grid, lines_before: int) -> Grid:
        """Rejects rows whose tier or week is unknown. Refuses a file with rows of another partition."""
        for name in (TIER_NAME, TIER_CODE, MONDAY):
            at = self._header.at(name)
            if at is None or not self._foreign(name, grid.distinct(at)):
                continue
            good: Mask = np.ones(len(grid.lines), dtype=np.bool_)
            for row, value in enumerate(grid.texts(at)):
                reason = self._foreign(name, {value})
                if reason:
                    good[row] = False
                    self._rejects.append(Reject(lines_before + int(grid.lines[row]) + 1, reason))
            grid = grid.only(good)
        return grid

    def _foreign(self, name: str, values: set[bytes]) -> str:
        """Why a row with one of these tiers or weeks is not of this partition; '' where all are.
        Raises UnusableContent for a tier or week of another partition."""
        reason = ""
        for text in sorted(value.decode("utf-8", "replace") for value in values):
            ours, valid = self._is_ours(name, text)
            if valid and not ours:
                raise UnusableContent(
                    Category.WRONG_PARTITION,
                    f"the content says {_WRITTEN[name]} {text!r}, but was offered as {self._partition}",
                    hint="put it under its own name; nothing is relabelled",
                )
            reason = reason if ours else f"unknown {_WRITTEN[name]}"
        return reason

    def _is_ours(self, name: str, text: str) -> tuple[bool, bool]:
        """Whether a tier or week is this partition's, and whether it is a valid one."""
        if name == MONDAY:
            day = date_text(text)
            return text == self._partition.monday.isoformat(), day == text and date.fromisoformat(text).weekday() == 0
        return TIER_OF_CODE.get(text) == self._partition.tier, text in TIER_OF_CODE

    def _codes_of(self, grid: Grid, fields: tuple[int, ...], table: Interner, *, runs: bool) -> NDArray[np.int32]:
        """A number for each row's distinct combination of fields; the combination's bytes are joined by the delimiter. Without
        fields all rows have number 0."""
        if not fields:
            return np.zeros(len(grid.lines), dtype=np.int32)
        if all(b - a == 1 for a, b in pairwise(fields)):
            return grid.codes(fields[0], fields[-1], table, runs=runs)
        columns = [grid.texts(at) for at in fields]
        return np.fromiter(map(table.__getitem__, joined(columns, self._delimiter)), np.int32, len(grid.lines))

    def _odd_figures(self, grid: Grid, at: int, name: str, lines: Ints, rows: Ints, good: Mask) -> Ints:
        """The figures of the rows whose text is not a whole number: trades, or millionths. Odd ones are read one by one;
        unreadable ones are rejected and no longer `good`."""
        values, odd = grid.decimals(at, rows)
        for index in np.flatnonzero(odd & good[rows]).tolist():
            row = int(rows[index])
            value = read_figure(grid.text(row, at), name, int(lines[row]))
            if isinstance(value, str):
                self._reject(row, value, lines, good)
            else:
                values[index] = value
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
        out = np.isin(rows["issue"], list(bad_issues)) if bad_issues else slice(0, 0)
        nameless = zip([venues[code] for code in rows["venue"][out].tolist()], rows[SHARES][out].tolist(), strict=True)
        rows = self._without(rows, "issue", bad_issues)
        rows = self._without(rows, "venue", bad_venues)
        rows, duplicates = self._collapse(rows, issues, venues)
        dates = read_dates(self._dates, [self._header.fields[at] for at in self._date_fields], self._delimiter)
        columns = Columns(
            issues=issues,
            venues=venues,
            issue=rows["issue"],
            venue=rows["venue"],
            dates=dates,
            dated=rows["dated"],
            shares=rows[SHARES],
            trades=rows[TRADES],
            notional=rows.get(NOTIONAL),
        )
        updated = sorted(day.revised_on for day in dates if day.revised_on)
        rejects = tuple(sorted(self._rejects, key=lambda reject: reject.line_number))
        return WeeklyFile(
            columns,
            rejects,
            duplicates,
            self._excluded,
            updated[0] if updated else None,
            updated[-1] if updated else None,
            second_tapes=self._second_tapes,
            totals=tuple(self._totals),
            nameless=tuple(nameless),
        )

    def _rows(self) -> dict[str, Any]:
        """The columns of all blocks, concatenated."""
        if not self._parts:
            empty = np.zeros(0, dtype=np.int64)
            return {"issue": empty, "venue": empty, "dated": empty, "line": empty, SHARES: empty, TRADES: empty}
        first = self._parts[0]
        rows: dict[str, Any] = {}
        for name in list(first):
            rows[name] = np.concatenate([part.pop(name) for part in self._parts])
        self._parts = []
        return rows

    def _decode(self, table: Interner, decode: Callable[[list[str]], Any]) -> tuple[list[Any], dict[int, str]]:
        """Each distinct combination as a value, None where it is invalid; and the reasons for those, by number."""
        delimiter = chr(self._delimiter)
        texts = _plain_texts(table)
        if texts and self._plain_issue and table is self._issues and {delimiter, " "}.isdisjoint(text[0] for text in texts):
            fields = delimiter.join(texts).split(delimiter)
            return list(map(_AN_ISSUE, zip(fields[::2], fields[1::2], repeat("")))), {}
        values: list[Any] = []
        bad = {}
        combinations: Iterable[str | bytes] = texts or table
        for code, text in enumerate(combinations):
            try:
                values.append(decode(list(map(_checked, _decoded(text).split(delimiter)))))
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
        """Rejects the rows of invalid combinations."""
        if not bad:
            return rows
        out = np.isin(rows[name], list(bad))
        for code, line in zip(rows[name][out].tolist(), rows["line"][out].tolist(), strict=True):
            self._rejects.append(Reject(line, bad[code]))
        return {column: values[~out] for column, values in rows.items()}

    def _collapse(self, rows: dict[str, Any], issues: list[Any], venues: list[Any]) -> tuple[dict[str, Any], int]:
        """One row per natural key: equal repeats collapse, conflicting ones are rejected after the first, unless they are the
        rows of a second tape."""
        facts = [rows[name] for name in ("venue", SHARES, TRADES, NOTIONAL) if name in rows]
        repeats = find_repeats(rows["issue"], rows["venue"], venues, facts)
        if repeats is None:
            return rows, 0
        if PRODUCT not in self._header.fields and repeats.differs.any() and are_tapes(rows["issue"], repeats):
            self._second_tapes = len(repeats.again)
            return rows | {"issue": move_to_second_tape(rows["issue"], rows[SHARES], issues, repeats)}, 0
        for row in repeats.again[repeats.differs].tolist():
            self._rejects.append(Reject(int(rows["line"][row]), "conflicting duplicate"))
        keep = np.ones(len(rows["line"]), dtype=np.bool_)
        keep[repeats.again] = False
        return {column: values[keep] for column, values in rows.items()}, int(np.count_nonzero(~repeats.differs))


_AN_ISSUE = partial(tuple.__new__, Issue)  # in a third of the time that Issue(…) takes


class _NotAValue(Exception):
    """A combination of fields that is not an issue or venue."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _present(header: Header, names: tuple[str, ...]) -> tuple[int, ...]:
    """The indexes of those of the fields that the header has, in the file's order."""
    return tuple(sorted(at for name in names if (at := header.at(name)) is not None))


def _plain_texts(table: Interner) -> list[str] | None:
    """The table's texts; None where it is empty, or where one of them has to be checked on its own."""
    if not table:
        return None
    try:
        texts = b"\n".join(table).decode("utf-8").split("\n")
    except UnicodeDecodeError:
        return None
    return texts if "".join(texts).isprintable() and max(map(len, texts)) <= _TEXT_CHARACTERS else None


def _decoded(text: str | bytes) -> str:
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
    except UnicodeDecodeError:
        raise _NotAValue("not UTF-8") from None
    if len(decoded) > _TEXT_CHARACTERS:
        raise _NotAValue("text too long")
    return decoded


def _checked(field: str) -> str:
    if CONTROL.search(field):
        raise _NotAValue("control character")
    return field


def _crd(text: str) -> int:
    if not text:
        return 0
    match = re.fullmatch(r"([0-9]{1,12})(\.0*)?", text)
    if not match:
        raise _NotAValue("unreadable firm CRD number")
    return int(match[1])

