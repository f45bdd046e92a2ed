"""Delimited text as a grid of fields, found and read with NumPy: every separator at once, figures eight digits at a time.

Works on one block of whole lines; what is irregular is marked, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]

MICRO_DIGITS = 6
_NEWLINE, _RETURN = 10, 13
_PAD = 16  # zero bytes before and after a block, so that eight bytes can be read at any place of it
_WHOLE_DIGITS = 12  # whole units of a figure whose millionths fit 64 bits
_LOW_BYTES = np.array([(1 << (8 * n)) - 1 for n in range(9)], dtype=np.uint64)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SAMPLE = 2048
_ASCII_ZEROS = np.uint64(0x3030303030303030)
_HIGH_NIBBLES = np.uint64(0xF0F0F0F0F0F0F0F0)


class Interner(dict[bytes, int]):
    """Gives each distinct field its number, in order of appearance."""

    def __missing__(self, key: bytes) -> int:
        self[key] = code = len(self)
        return code


@dataclass(slots=True)
class Grid:
    """Where the fields of a block's regular lines lie. `edges` (rows × fields) holds the place after each field.

    `lines` (rows,) are line numbers from 0, `broken` those of the lines with another number of fields, `line_count` all.
    """

    block: bytes
    words: NDArray[np.uint64]
    edges: Ints
    line_starts: Ints
    lines: Ints
    broken: list[int]
    line_count: int

    def starts(self, at: int) -> Ints:
        return self.line_starts if at == 0 else np.asarray(self.edges[:, at - 1] + 1)

    def ends(self, at: int) -> Ints:
        """The places after field `at`; a carriage return before the newline belongs to no field."""
        ends = self.edges[:, at]
        if at == self.edges.shape[1] - 1 and b"\r" in self.block:
            data = np.frombuffer(self.block, dtype=np.uint8)
            return np.asarray(ends - ((data[ends - 1] == _RETURN) & (ends > self.starts(at))))
        return ends

    def text(self, row: int, at: int) -> str:
        return self.block[int(self.starts(at)[row]) : int(self.ends(at)[row])].decode("utf-8", "replace")

    def texts(self, at: int) -> list[bytes]:
        return self._slices(self.starts(at), self.ends(at))

    def distinct(self, at: int) -> set[bytes]:
        """The different texts of a field."""
        starts, ends = self.starts(at), self.ends(at)
        heads = _run_heads(self.words, starts, ends)
        return set(self._slices(starts[heads], ends[heads]))

    def codes(self, first: int, last: int, table: Interner, *, runs: bool) -> NDArray[np.int32]:
        """The numbers of the spans from field `first` to field `last`.

        With `runs`, equal neighbours are looked up once; without, a few texts recur all over, and are known by a
        fingerprint that is then compared byte for byte.
        """
        starts, ends = self.starts(first), self.ends(last)
        if not runs:
            return self._recurring(starts, ends, table)
        heads = _run_heads(self.words, starts, ends)
        codes = np.fromiter(map(table.__getitem__, self._slices(starts[heads], ends[heads])), np.int32)
        return np.asarray(codes[np.cumsum(heads) - 1])

    def figures(self, at: int) -> tuple[Ints, Mask]:
        """A field read as figures, in millionths; True where its text is no plain figure (`123`, `123.000000`)."""
        starts, ends = self.starts(at), self.ends(at)
        values, odd = _whole_numbers(self.words, starts, ends)
        values *= 10**MICRO_DIGITS
        rows = np.flatnonzero(odd)
        if len(rows):
            values[rows], odd[rows] = _decimals(self.block, starts[rows], ends[rows])
        return values, odd

    def only(self, mask: Mask) -> Grid:
        """The lines where `mask` is true."""
        kept = (self.edges[mask], self.line_starts[mask], self.lines[mask])
        return Grid(self.block, self.words, *kept, self.broken, self.line_count)

    def _recurring(self, starts: Ints, ends: Ints, table: Interner) -> NDArray[np.int32]:
        lengths = ends - starts
        spans = [lengths.astype(np.uint64), *_span_words(self.words, starts, lengths)]
        fingerprint = np.zeros(len(starts), dtype=np.uint64)
        for span in spans:
            fingerprint = (fingerprint ^ span) * _MIX
            fingerprint ^= fingerprint >> np.uint64(29)
        known, first = _distinct(fingerprint)
        place = np.searchsorted(known, fingerprint)
        same = np.ones(len(starts), dtype=np.bool_)
        for span in spans:
            same &= span == span[first][place]
        slices = self._slices(starts[first], ends[first])
        codes = np.fromiter(map(table.__getitem__, slices), np.int32, len(first))[place]
        for row in np.flatnonzero(~same).tolist():
            codes[row] = table[self.block[starts[row] : ends[row]]]
        return codes

    def _slices(self, starts: Ints, ends: Ints) -> list[bytes]:
        return list(map(self.block.__getitem__, map(slice, starts.tolist(), ends.tolist())))


def find_grid(block: bytes, delimiter: int, fields: int) -> Grid:
    """Finds every field of every line that has the right number of them."""
    padded = np.zeros(len(block) + 2 * _PAD, dtype=np.uint8)
    data = padded[_PAD:-_PAD]
    data[:] = np.frombuffer(block, dtype=np.uint8)
    words = np.ndarray(len(padded) - 7, dtype="<u8", buffer=padded.data, strides=(1,))
    edges = np.flatnonzero((data == delimiter) | (data == _NEWLINE))
    newlines = edges[data[edges] == _NEWLINE]
    starts = np.concatenate(([0], newlines[:-1] + 1)) if len(newlines) else newlines
    if len(edges) == len(newlines) * fields and np.array_equal(edges[fields - 1 :: fields], newlines):
        return Grid(block, words, edges.reshape(-1, fields), starts, np.arange(len(newlines)), [], len(newlines))
    counts = np.diff(np.searchsorted(edges, newlines), prepend=-1)
    regular = counts == fields
    blank = (newlines == starts) | ((newlines == starts + 1) & (data[starts] == _RETURN))
    kept = edges[: counts.sum()][np.repeat(regular, counts)].reshape(-1, fields)
    broken = np.flatnonzero(~regular & ~blank).tolist()
    return Grid(block, words, kept, starts[regular], np.flatnonzero(regular), broken, len(newlines))


def _distinct(values: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], Ints]:
    """The different values in order, and a row that has each. Looks at a sample first: most often it holds them all."""
    known, first = np.unique(values[:_SAMPLE], return_index=True)
    missing = np.flatnonzero(known[np.minimum(np.searchsorted(known, values), len(known) - 1)] != values)
    if len(missing):
        more, at = np.unique(values[missing], return_index=True)
        known, first = np.concatenate((known, more)), np.concatenate((first, missing[at]))
        order = np.argsort(known)
        known, first = known[order], first[order]
    return known, first


def _span_words(words: NDArray[np.uint64], starts: Ints, lengths: Ints) -> Iterator[NDArray[np.uint64]]:
    """The spans' bytes, eight at a time, zeros after their end."""
    shortest, longest = int(lengths.min()), int(lengths.max())
    last = len(words) - 1
    for offset in range(0, longest, 8):
        places = starts + (offset + _PAD)
        if offset > _PAD:
            np.minimum(places, last, out=places)
        here = words[places]
        if shortest < offset + 8:
            here &= _LOW_BYTES.take(lengths - offset, mode="clip")
        yield here


def _run_heads(words: NDArray[np.uint64], starts: Ints, ends: Ints) -> Mask:
    """True where a field differs from the one in the row above; exact, eight bytes at a time."""
    heads = np.ones(len(starts), dtype=np.bool_)
    if len(starts) < 2:
        return heads
    lengths = ends - starts
    differs = lengths[1:] != lengths[:-1]
    for here in _span_words(words, starts, lengths):
        differs |= here[1:] != here[:-1]
    heads[1:] = differs
    return heads


def _whole_numbers(words: NDArray[np.uint64], starts: Ints, ends: Ints) -> tuple[Ints, Mask]:
    """Unsigned whole numbers of up to twelve digits, eight at a time; True where the text is anything else."""
    lengths = ends - starts
    odd = (lengths == 0) | (lengths > _WHOLE_DIGITS)
    values, bad = _eight_digits(words[ends + (_PAD - 8)], np.minimum(lengths, 8))
    odd |= bad
    if (lengths > 8).any():
        high, bad = _eight_digits(words[np.maximum(ends + (_PAD - 16), 0)], np.maximum(np.minimum(lengths, 16) - 8, 0))
        values += high * 100_000_000
        odd |= bad
    return values, odd


def _eight_digits(word: NDArray[np.uint64], digits: Ints) -> tuple[Ints, Mask]:
    """The last `digits` characters of each word as a number, and whether any of them is no digit.

    The word is little-endian: its lowest byte is the leftmost character. Three multiplications join neighbouring
    digits into pairs, pairs into fours, fours into eight.
    """
    blanks = _LOW_BYTES[8 - digits]
    word = (word & ~blanks) | (_ASCII_ZEROS & blanks)
    # A digit is 0x30…0x39: its high nibble is 3, and stays 3 when 6 is added.
    shifted = (word & _HIGH_NIBBLES) ^ _ASCII_ZEROS | (word + np.uint64(0x0606060606060606)) & _HIGH_NIBBLES ^ _ASCII_ZEROS
    bad = shifted != 0
    word = ((word & np.uint64(0x0F0F0F0F0F0F0F0F)) * np.uint64(2561)) >> np.uint64(8)
    word = ((word & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(6553601)) >> np.uint64(16)
    word = ((word & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(42949672960001)) >> np.uint64(32)
    return word.astype(np.int64), bad


def _decimals(block: bytes, starts: Ints, ends: Ints) -> tuple[Ints, Mask]:
    """Figures with a decimal point and up to six decimals, in millionths, digit by digit; True for anything else."""
    data = np.frombuffer(block, dtype=np.uint8)
    lengths = ends - starts
    values = np.zeros(len(starts), dtype=np.int64)
    decimals = np.full(len(starts), -1, dtype=np.int64)
    longest = _WHOLE_DIGITS + 1 + MICRO_DIGITS
    odd = (lengths == 0) | (lengths > longest)
    for place in range(min(int(lengths.max(initial=0)), longest)):
        live = lengths > place
        character = data[np.minimum(starts + place, len(data) - 1)]
        digit = character.astype(np.int64) - ord("0")
        plain = live & (digit >= 0) & (digit <= 9)
        values = np.where(plain, values * 10 + digit, values)
        decimals += plain & (decimals >= 0)
        point = live & (character == ord(".")) & (decimals < 0)
        decimals[point] = 0
        odd |= live & ~plain & ~point
    after = np.maximum(decimals, 0)
    odd |= (after > MICRO_DIGITS) | (decimals == 0) | (lengths - after - (decimals >= 0) > _WHOLE_DIGITS)
    odd |= lengths == after + 1
    return values * 10 ** (MICRO_DIGITS - np.minimum(after, MICRO_DIGITS)), odd


def joined(columns: list[list[bytes]], delimiter: int) -> list[bytes]:
    """Row by row the fields of several columns with the delimiter between them."""
    return list(map(bytes.join, repeat(bytes([delimiter])), zip(*columns, strict=True)))
