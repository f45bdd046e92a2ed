"""Delimited text as a grid of fields, found and read with NumPy: every separator at once, figures digit by digit over all rows.

Works on one block of whole lines; what is irregular is marked, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]

_NEWLINE, _RETURN = 10, 13
_DIGITS = 19
_POINT_LESS_ZERO = (ord(".") - ord("0")) % 256


class Interner(dict[bytes, int]):
    """Gives each distinct field its number, in order of appearance."""

    def __missing__(self, key: bytes) -> int:
        self[key] = code = len(self)
        return code


@dataclass(slots=True)
class Grid:
    """Where the fields of a block's regular lines lie. `edges` (rows × fields) holds the place after each field."""

    block: bytes
    data: NDArray[np.uint8]
    edges: Ints
    line_starts: Ints
    lines: Ints
    broken: list[int]

    def starts(self, at: int) -> Ints:
        return self.line_starts if at == 0 else np.asarray(self.edges[:, at - 1] + 1)

    def ends(self, at: int) -> Ints:
        ends = self.edges[:, at]
        if at == self.edges.shape[1] - 1:
            returns = (self.data[ends - 1] == _RETURN) & (ends > self.starts(at))
            return np.asarray(ends - returns)
        return ends

    def text(self, row: int, at: int) -> str:
        return self.block[int(self.starts(at)[row]) : int(self.ends(at)[row])].decode("utf-8", "replace")

    def texts(self, at: int) -> list[bytes]:
        return self._slices(self.starts(at), self.ends(at))

    def distinct(self, at: int) -> set[bytes]:
        starts, ends = self.starts(at), self.ends(at)
        heads = _run_heads(self.data, starts, ends)
        return set(self._slices(starts[heads], ends[heads]))

    def codes(self, first: int, last: int, table: Interner, *, runs: bool) -> NDArray[np.int32]:
        """The numbers of the spans from field `first` to field `last`; with `runs`, equal neighbours are looked up once."""
        starts, ends = self.starts(first), self.ends(last)
        if not runs:
            return np.fromiter(map(table.__getitem__, self._slices(starts, ends)), np.int32, len(starts))
        heads = _run_heads(self.data, starts, ends)
        codes = np.fromiter(map(table.__getitem__, self._slices(starts[heads], ends[heads])), np.int32)
        return np.asarray(codes[np.cumsum(heads) - 1])

    def only(self, mask: Mask) -> Grid:
        """The lines where `mask` is true."""
        return Grid(self.block, self.data, self.edges[mask], self.line_starts[mask], self.lines[mask], self.broken)

    def _slices(self, starts: Ints, ends: Ints) -> list[bytes]:
        return list(map(self.block.__getitem__, map(slice, starts.tolist(), ends.tolist())))


def find_grid(block: bytes, delimiter: int, fields: int) -> Grid:
    """Finds every field of every line that has the right number of them; the others' line numbers (from 0) are `broken`."""
    data = np.frombuffer(block, dtype=np.uint8)
    edges = np.flatnonzero((data == delimiter) | (data == _NEWLINE))
    newlines = edges[data[edges] == _NEWLINE]
    lines = np.arange(len(newlines))
    broken: list[int] = []
    if len(edges) != len(newlines) * fields or not np.array_equal(edges[fields - 1 :: fields], newlines):
        last_edge = np.searchsorted(edges, newlines)
        counts = np.diff(last_edge, prepend=-1)
        regular = counts == fields
        starts = np.concatenate(([0], newlines[:-1] + 1))
        blank = (newlines == starts) | ((newlines == starts + 1) & (data[starts] == _RETURN))
        broken = np.flatnonzero(~regular & ~blank).tolist()
        edges = edges[np.repeat(regular, counts)]
        lines = np.flatnonzero(regular)
        line_starts = starts[regular]
    else:
        line_starts = np.concatenate(([0], newlines[:-1] + 1))
    return Grid(block, data, edges.reshape(-1, fields), line_starts, lines, broken)


def _run_heads(data: NDArray[np.uint8], starts: Ints, ends: Ints) -> Mask:
    """True where a field differs from the one in the row above; exact, eight bytes at a time."""
    lengths = ends - starts
    heads = np.ones(len(starts), dtype=np.bool_)
    rows = np.flatnonzero(lengths[1:] == lengths[:-1]) + 1
    words = _words(data)
    offset = 0
    while len(rows):
        rest = lengths[rows] - offset
        if offset:
            here = rest > 0
            heads[rows[~here]] = False
            rows, rest = rows[here], rest[here]
        difference = words[starts[rows] + offset] ^ words[starts[rows - 1] + offset]
        same = (difference & _LOW_BYTES[np.minimum(rest, 8)]) == 0
        rows = rows[same]
        offset += 8
    return heads


_LOW_BYTES = np.array([(1 << (8 * n)) - 1 for n in range(9)], dtype=np.uint64)


def _words(data: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The eight little-endian bytes that begin at each place, as one number; past the end are zeros."""
    padded = np.concatenate((data, np.zeros(16, dtype=np.uint8)))
    return np.ndarray(len(data) + 8, dtype="<u8", buffer=padded.data, strides=(1,))


def read_digits(data: NDArray[np.uint8], starts: Ints, ends: Ints) -> tuple[Ints, Mask]:
    """Plain figures (`123`, `123.000000`) in millionths, over all rows at once; True where the text is anything else."""
    lengths = ends - starts
    odd = (lengths == 0) | (lengths > _DIGITS)
    values = np.zeros(len(starts), dtype=np.int64)
    decimals = np.full(len(starts), -1, dtype=np.int64)
    longest = int(np.minimum(lengths, _DIGITS).max(initial=0))
    last = len(data) - 1
    for place in range(longest):
        live = lengths > place
        digit = data[np.minimum(starts + place, last)] - np.uint8(48)
        plain = live & (digit <= 9)
        values = np.where(plain, values * 10 + digit, values)
        pointed = decimals >= 0
        if pointed.any():
            decimals += plain & pointed
        strange = live & (digit > 9)
        if strange.any():
            points = strange & (digit == _POINT_LESS_ZERO) & ~pointed
            decimals[points] = 0
            odd |= strange & ~points
    fractional = np.maximum(decimals, 0)
    odd |= (fractional > 6) | (lengths - (decimals >= 0) - fractional > 12) | (decimals == lengths - 1)
    return values * _SCALE[np.minimum(fractional, 6)], odd


_SCALE = np.array([10 ** (6 - n) for n in range(7)], dtype=np.int64)
