"""Delimited text as a grid of fields, found and read with NumPy: every separator at once, figures eight digits at a time.

Works on one block of whole lines; irregular lines and fields are marked, never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]
    Words = NDArray[np.uint64]

MICRO_DIGITS = 6
_NEWLINE, _RETURN = 10, 13
_WIDEST = 256  # bytes of a field that are compared at once; a wider one is compared separately
_PAD = _WIDEST  # zero bytes before and after a block, so that a strip of it can be taken at any position
_DIGITS = 18  # of a figure that a 64-bit number holds
_WHOLE_DIGITS = 12  # whole units of a figure whose millionths fit 64 bits
# _LOW_BYTES[n]: the n lowest bytes of a word are ones.
_LOW_BYTES = np.array([(1 << (8 * n)) - 1 for n in range(9)], dtype=np.uint64)
# 2⁶⁴ divided by the golden ratio, an odd number: a product with it spreads over its high bits, which number the bucket.
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BUCKETS = 1 << 16
_BUCKET_SHIFT = np.uint64(48)
_ASCII_ZEROS = np.uint64(0x3030303030303030)
_HIGH_NIBBLES = np.uint64(0xF0F0F0F0F0F0F0F0)


class Interner(dict[bytes, int]):
    """Gives each distinct field its number, in order of appearance."""

    def __missing__(self, key: bytes) -> int:
        self[key] = code = len(self)
        return code


@dataclass(slots=True)
class Grid:
    """The positions of the fields in a block's regular lines. `edges` (rows × fields) holds the position after each field.

    `lines` (rows,) are line numbers from 0, `broken` those of the lines with another number of fields, `line_count` counts all.
    """

    block: bytes
    padded: NDArray[np.uint8]
    edges: Ints
    line_starts: Ints
    lines: Ints
    broken: list[int]
    line_count: int

    def starts(self, at: int) -> Ints:
        return self.line_starts if at == 0 else np.asarray(self.edges[:, at - 1] + 1)

    def ends(self, at: int) -> Ints:
        """The positions after field `at`; a carriage return before the newline belongs to no field."""
        ends = self.edges[:, at]
        if at == self.edges.shape[1] - 1 and b"\r" in self.block:
            before = self.padded[ends + (_PAD - 1)]
            return np.asarray(ends - ((before == _RETURN) & (ends > self.starts(at))))
        return ends

    def text(self, row: int, at: int) -> str:
        start = self.edges[row, at - 1] + 1 if at else self.line_starts[row]
        field = self.block[int(start) : int(self.edges[row, at])]
        is_last = at == self.edges.shape[1] - 1
        return (field.removesuffix(b"\r") if is_last else field).decode("utf-8", "replace")

    def texts(self, at: int) -> list[bytes]:
        return self._slices(self.starts(at), self.ends(at))

    def distinct(self, at: int) -> set[bytes]:
        """The different texts of a field; a field that is the same in every line needs one comparison."""
        starts, ends = self.starts(at), self.ends(at)
        if _all_alike(self.padded, starts, ends - starts):
            return {self.block[int(starts[0]) : int(ends[0])]}
        heads = self._run_heads(starts, ends)
        return set(self._slices(starts[heads], ends[heads]))

    def codes(self, first: int, last: int, table: Interner, *, runs: bool) -> NDArray[np.int32]:
        """The numbers of the spans from field `first` to field `last`.

        With `runs`, equal neighbours are looked up once. Without, a few texts recur all over: they are recognized by a hash
        and then compared byte for byte.
        """
        starts, ends = self.starts(first), self.ends(last)
        if not runs:
            return self._recurring(starts, ends, table)
        heads = self._run_heads(starts, ends)
        codes = np.fromiter(map(table.__getitem__, self._slices(starts[heads], ends[heads])), np.int32)
        return np.asarray(codes[np.cumsum(heads) - 1])

    def whole_numbers(self, fields: Sequence[int]) -> tuple[Ints, Mask]:
        """(fields, rows): fields read as whole numbers; True where the text is anything else."""
        starts = np.concatenate([self.starts(at) for at in fields])
        ends = np.concatenate([self.ends(at) for at in fields])
        values, odd = _whole_numbers(self.padded, starts, ends)
        return values.reshape(len(fields), -1), odd.reshape(len(fields), -1)

    def decimals(self, at: int, rows: Ints) -> tuple[Ints, Mask]:
        """A field of some rows read as figures (`123.000000`, `1.23E10`), in millionths, half-even beyond them; True where the
        text is anything else."""
        return _decimals(self.block, self.starts(at)[rows], self.ends(at)[rows])

    def only(self, mask: Mask) -> Grid:
        """The lines where `mask` is true."""
        kept = (self.edges[mask], self.line_starts[mask], self.lines[mask])
        return Grid(self.block, self.padded, *kept, self.broken, self.line_count)

    def _run_heads(self, starts: Ints, ends: Ints) -> Mask:
        """True where a span differs from the one in the row above, byte for byte; a very wide one always."""
        lengths = ends - starts
        heads = lengths > _WIDEST
        heads[:1] = True
        words = _words(self.padded, starts, lengths)
        heads[1:] |= (lengths[1:] != lengths[:-1]) | _differ(words[1:], words[:-1])
        return heads

    def _recurring(self, starts: Ints, ends: Ints, table: Interner) -> NDArray[np.int32]:
        lengths = ends - starts
        words = _words(self.padded, starts, lengths)
        first, group = _alike(words)
        alike = first[group]
        odd = _differ(words, words.take(alike, axis=0)) | (lengths != lengths[alike]) | (lengths > _WIDEST)
        slices = self._slices(starts[first], ends[first])
        codes = np.fromiter(map(table.__getitem__, slices), np.int32, len(first))[group]
        for row in np.flatnonzero(odd).tolist():
            codes[row] = table[self.block[starts[row] : ends[row]]]
        return codes

    def _slices(self, starts: Ints, ends: Ints) -> list[bytes]:
        return list(map(self.block.__getitem__, map(slice, starts.tolist(), ends.tolist())))


def find_grid(block: bytes, delimiter: int, fields: int) -> Grid:
    """Finds every field of every line that has the right number of them."""
    padded = np.empty(len(block) + 2 * _PAD, dtype=np.uint8)
    padded[:_PAD] = padded[-_PAD:] = 0
    data = padded[_PAD:-_PAD]
    data[:] = np.frombuffer(block, dtype=np.uint8)
    is_newline = data == _NEWLINE
    edges = np.flatnonzero((data == delimiter) | is_newline)
    count = int(np.count_nonzero(is_newline))
    # Every line has as many separators as fields, its newline being the last: then each n-th one is a newline, and the
    # edges are the grid. Counting alone is not enough, for a line with one too many makes up for one with too few.
    if len(edges) == count * fields and is_newline[edges[fields - 1 :: fields]].all():
        grid = edges.reshape(-1, fields)
        starts = np.concatenate(([0], grid[:-1, -1] + 1)) if count else edges
        return Grid(block, padded, grid, starts, np.arange(count), [], count)
    newlines = np.flatnonzero(is_newline)
    starts = np.concatenate(([0], newlines[:-1] + 1)) if count else newlines
    # The number of edges up to each newline, and from that the number in each line.
    counts = np.diff(np.searchsorted(edges, newlines), prepend=-1)
    regular = counts == fields
    blank = (newlines == starts) | ((newlines == starts + 1) & (data[starts] == _RETURN))
    kept = edges[: counts.sum()][np.repeat(regular, counts)].reshape(-1, fields)
    broken = np.flatnonzero(~regular & ~blank).tolist()
    return Grid(block, padded, kept, starts[regular], np.flatnonzero(regular), broken, count)


def _words(padded: NDArray[np.uint8], starts: Ints, lengths: Ints) -> Words:
    """(rows, width): the spans' bytes, eight to a word, zeros after a span's end; cut off at _WIDEST.

    They are gathered as voids from a view that has one at every byte: the whole span at once, wherever it begins.
    """
    width = max(1, -(-min(int(lengths.max(initial=0)), _WIDEST) // 8))
    words = _taken(padded, starts, width)
    words &= _masks(width).take(lengths, axis=0, mode="clip")
    return words


def _taken(padded: NDArray[np.uint8], starts: Ints, width: int) -> Words:
    """(rows, width): `width` words from each start, whatever they hold."""
    # Strides of one byte: element n is the strip that begins at byte n. NumPy takes any of them unaligned, in one copy each.
    at_every_byte = np.ndarray(len(padded) - 8 * width + 1, dtype=f"V{8 * width}", buffer=padded.data, strides=(1,))
    return at_every_byte[starts + _PAD].view(np.uint64).reshape(-1, width)


def _all_alike(padded: NDArray[np.uint8], starts: Ints, lengths: Ints) -> bool:
    """Whether there are spans and all are the same, byte for byte; False for very wide ones."""
    if not len(lengths) or lengths[0] > _WIDEST or (lengths != lengths[0]).any():
        return False
    width = int(lengths[0]) // 8 + 1
    words = _taken(padded, starts, width)
    return not any(((column ^ column[0]) & mask).any() for column, mask in zip(words.T, _masks(width)[lengths[0]], strict=True))


@lru_cache(maxsize=_WIDEST // 8)
def _masks(width: int) -> Words:
    """(8 × width + 1, width): in row n the first n bytes are ones."""
    ones = np.arange(8 * width) < np.arange(8 * width + 1)[:, None]
    return (ones * np.uint8(255)).view(np.uint64)


def _differ(some: Words, others: Words) -> Mask:
    """True for each row in which any word differs."""
    rows = np.zeros(len(some), dtype=np.bool_)
    rows[np.flatnonzero(some != others) // some.shape[1]] = True  # few words differ: cheaper than a test of each row
    return rows


def _alike(words: Words) -> tuple[Ints, Ints]:
    """One row for each distinct text, and for every row the index of its text among them. Rows are bucketed by hash, and those
    in one bucket count as equal: the caller compares them byte for byte."""
    mix = _MIX * (2 * np.arange(words.shape[1], dtype=np.uint64) + np.uint64(1))
    bucket = (np.einsum("ij,j->i", words, mix) >> _BUCKET_SHIFT).astype(np.intp)
    rows = np.arange(len(words))
    # Never cleared: only buckets that the next line writes are read. The last row of a bucket overwrites the others.
    in_bucket = np.empty(_BUCKETS, dtype=np.intp)
    in_bucket[bucket] = rows
    first = np.flatnonzero(in_bucket[bucket] == rows)
    in_bucket[bucket[first]] = np.arange(len(first))
    return first, in_bucket[bucket]


def _whole_numbers(padded: NDArray[np.uint8], starts: Ints, ends: Ints) -> tuple[Ints, Mask]:
    """Unsigned whole numbers of up to twelve digits, eight at a time; True where the text is anything else."""
    lengths = ends - starts
    odd = (lengths == 0) | (lengths > _WHOLE_DIGITS)
    # The sixteen bytes before a field's end: its last digit is then always the highest byte of the second word.
    sixteen = np.ndarray(len(padded) - 15, dtype="V16", buffer=padded.data, strides=(1,))
    words = sixteen[ends + (_PAD - 16)].view("<u8").reshape(-1, 2)
    values, bad = _eight_digits(words[:, 1], np.minimum(lengths, 8))
    odd |= bad
    if (lengths > 8).any():
        high, bad = _eight_digits(words[:, 0], np.maximum(np.minimum(lengths, 16) - 8, 0))
        values += high * 100_000_000
        odd |= bad
    return values, odd


def _eight_digits(word: NDArray[np.uint64], digits: Ints) -> tuple[Ints, Mask]:
    """The last `digits` characters of each word as a number, and whether any of them is not a digit.

    The word is little-endian: its lowest byte is the leftmost character. Three multiplications join neighbouring
    digits into pairs, pairs into fours, fours into eight.
    """
    # The bytes before the digits (the field before, the delimiter) are overwritten by zeros, which add nothing.
    blanks = _LOW_BYTES[8 - digits]
    word = (word & ~blanks) | (_ASCII_ZEROS & blanks)
    # A digit is 0x30…0x39: its high nibble is 3, and stays 3 when 6 is added. A carry out of a byte ≥ 0xFA can only reach a
    # word that is bad already.
    shifted = (word & _HIGH_NIBBLES) ^ _ASCII_ZEROS | (word + np.uint64(0x0606060606060606)) & _HIGH_NIBBLES ^ _ASCII_ZEROS
    bad = shifted != 0
    # 2561 = 10 × 256 + 1: ten times a digit is added to its right neighbour, one byte up. Then 100 × 65,536 + 1 and
    # 10,000 × 2³² + 1 do the same with pairs and fours; the masks drop the halves that are not sums.
    word = ((word & np.uint64(0x0F0F0F0F0F0F0F0F)) * np.uint64(2561)) >> np.uint64(8)
    word = ((word & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(6553601)) >> np.uint64(16)
    word = ((word & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(42949672960001)) >> np.uint64(32)
    return word.astype(np.int64), bad


def _decimals(block: bytes, starts: Ints, ends: Ints) -> tuple[Ints, Mask]:
    """Figures of up to eighteen digits with a point, an exponent or both, in millionths; True for anything else."""
    data = np.frombuffer(block, dtype=np.uint8)
    exponent, ends = _exponents(data, starts, ends)
    lengths = ends - starts
    values = np.zeros(len(starts), dtype=np.int64)
    decimals = np.full(len(starts), -1, dtype=np.int64)  # −1 before the point, then digits behind it
    longest = _DIGITS + 1
    odd = (lengths == 0) | (lengths > longest)
    for offset in range(min(int(lengths.max(initial=0)), longest)):
        live = lengths > offset
        character = data[np.minimum(starts + offset, len(data) - 1)]
        digit = character.astype(np.int64) - ord("0")
        plain = live & (digit >= 0) & (digit <= 9)
        values = np.where(plain, values * 10 + digit, values)
        decimals += plain & (decimals >= 0)
        point = live & (character == ord(".")) & (decimals < 0)
        decimals[point] = 0
        odd |= live & ~plain & ~point
    after = np.maximum(decimals, 0)
    whole = lengths - after - (decimals >= 0)
    # A point without a digit before or behind it is left to figure_text.
    odd |= (whole == 0) | (decimals == 0) | (whole + after > _DIGITS) | (whole + exponent > _WHOLE_DIGITS)
    return _scaled(values, np.where(odd, 0, MICRO_DIGITS + exponent - after)), odd


def _exponents(data: NDArray[np.uint8], starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """The exponents of figures like `1.23E10` (0 where there is none) and where the figure before them ends."""
    last, second, third = (data[np.maximum(ends - back, 0)].astype(np.int64) - ord("0") for back in (1, 2, 3))
    letter = ord("E") - ord("0")
    units, tens = (last >= 0) & (last <= 9), (second >= 0) & (second <= 9)
    short = units & (second == letter) & (ends - starts > 2)
    long = units & tens & (third == letter) & (ends - starts > 3)
    exponent = np.where(short | long, last, 0) + np.where(long, 10 * second, 0)
    return exponent, ends - 2 * short - 3 * long


def _scaled(values: Ints, power: Ints) -> Ints:
    """values × 10 ** power, half-even to whole numbers."""
    divisor = 10 ** np.clip(-power, 0, _DIGITS)
    whole, rest = np.divmod(values * 10 ** np.clip(power, 0, _DIGITS), divisor)
    return np.asarray(whole + ((2 * rest > divisor) | ((2 * rest == divisor) & (whole % 2 == 1))))


def joined(columns: list[list[bytes]], delimiter: int) -> list[bytes]:
    """The fields of several columns joined row by row, with the delimiter between them."""
    return list(map(bytes.join, repeat(bytes([delimiter])), zip(*columns, strict=True)))
