"""The lines of a weekly file: comments and header first, then blocks of whole lines; and the lookup of a line by its number."""

from __future__ import annotations

import csv
import re
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from market_spine.categories import Category
from market_spine.errors import UnusableContent

UNIT_SEPARATOR = 31  # separates the fields of a quoted line once its quotes are removed
_HEADER_BYTES = 1 << 16
_LINE_BYTES = 1 << 20
_COUNTED_AT_ONCE = 1 << 17  # bytes: they stay in the cache
_TEXT_CHARACTERS = 1000
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T].*)?")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # C0, DEL and C1


class Header(NamedTuple):
    """The header line: the field of each column, and how fields are separated."""

    fields: tuple[str, ...]
    delimiter: int
    quoted: bool
    line_number: int

    def at(self, name: str) -> int | None:
        return self.fields.index(name) if name in self.fields else None


def read_header(blocks: Iterator[bytes], required: tuple[str, ...]) -> tuple[Header, Iterator[bytes]]:
    """Skips comments and blank lines, reads the header, and returns it with the blocks that follow."""
    head, line_number = b"", 0
    for block in blocks:
        head += block
        while b"\n" in head or len(head) > _HEADER_BYTES:
            line, _, head = head.partition(b"\n")
            line_number += 1
            if line_number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip() and not line.startswith(b"#"):
                return _parse_header(line, line_number, required), _prepend(head, blocks)
    return _parse_header(head.removeprefix(b"\xef\xbb\xbf"), line_number + 1, required), iter(())


def _parse_header(line: bytes, line_number: int, required: tuple[str, ...]) -> Header:
    text = line[:_HEADER_BYTES].decode("utf-8", "replace").strip()
    delimiter = "|" if "|" in text else ","
    quoted = text.startswith('"')
    try:
        names = next(csv.reader([text], delimiter=delimiter)) if quoted else text.split(delimiter)
    except csv.Error:  # for example a lone carriage return between quoted fields
        names = []
    fields = tuple(name.strip().lower() for name in names)
    missing = [name for name in required if name not in fields]
    if missing or len(set(fields)) < len(fields):
        seen = CONTROL.sub("?", text[:60])
        raise UnusableContent(
            Category.NO_HEADER,
            f"line {line_number} is not a FINRA header: {seen!r}",
            hint="fetch the file again; the header names issueSymbolIdentifier … with | or , between",
        )
    return Header(fields, ord(delimiter), quoted, line_number)


def _prepend(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def whole_lines(blocks: Iterable[bytes], unended: list[bytes] | None = None) -> Iterator[bytes]:
    """Blocks cut at line ends; a missing last newline is added, and its line is appended to `unended`.

    Raises UnusableContent for a line beyond 1 MB.
    """
    left = b""
    for block in blocks:
        cut = block.rfind(b"\n") + 1
        if not cut:
            left += block
            if len(left) > _LINE_BYTES:
                raise UnusableContent(Category.LINE_TOO_LONG, "a line is longer than 1 MB", hint="fetch the file again")
            continue
        yield b"".join((left, memoryview(block)[:cut]))
        left = block[cut:]
    if left:
        if unended is not None:
            unended.append(left)
        yield left + b"\n"


def data_lines(content: bytes) -> int:
    """How many data lines a file has, by counting newlines; 0 without a header."""
    start = 0
    while content.startswith(b"#", start):
        start = content.find(b"\n", start) + 1
        if start == 0:
            return 0
    data = np.frombuffer(content, dtype=np.uint8)
    parts = (data[at : at + _COUNTED_AT_ONCE] for at in range(start, len(data), _COUNTED_AT_ONCE))
    newlines = sum(int(np.count_nonzero(part == ord("\n"))) for part in parts)
    return newlines if content[-1:] not in (b"\n", b"") else max(newlines - 1, 0)


def lines_at(blocks: Iterable[bytes], numbers: Iterable[int]) -> dict[int, str]:
    """The text of the lines with these numbers (from 1), cut at 1000 characters, unreadable bytes replaced."""
    wanted = sorted(set(numbers))
    texts: dict[int, str] = {}
    line_number = 0
    for block in whole_lines(blocks):
        lines = block.count(b"\n")
        in_block = [n for n in wanted if line_number < n <= line_number + lines]
        if in_block:
            split = block.split(b"\n")
            for n in in_block:
                texts[n] = _printable(split[n - line_number - 1])
        line_number += lines
    return texts


def _printable(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", "replace")[:_TEXT_CHARACTERS].replace("\x00", "\N{REPLACEMENT CHARACTER}")


def unquoted(block: bytes, delimiter: int) -> tuple[bytes, list[int]]:
    """Quoted CSV lines as plain lines with the unit separator between fields, line for line; and the numbers of those whose
    quotes cannot be read (one that is not closed, text after a closing one), which are left blank."""
    separator, bad, plain = chr(UNIT_SEPARATOR), [], []
    for number, line in enumerate(block.decode("utf-8", "surrogateescape").split("\n")[:-1]):
        # Line by line: a reader over all of them would read everything after an unclosed quote as one field.
        row = None if separator in line else _csv_row(line, chr(delimiter))
        if row is None:
            bad.append(number)
        plain.append(separator.join(row or ()))
    return ("\n".join(plain) + "\n").encode("utf-8", "surrogateescape"), bad


def _csv_row(line: str, delimiter: str) -> list[str] | None:
    """The fields of a quoted line; None where they are ambiguous."""
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None


def is_cut(header: Header, last_line: bytes, whole_texts: Container[str]) -> bool:
    """Whether a last line without a line end may be the beginning of a longer one.

    FINRA's downloads may lack the final newline, so that alone proves nothing. A line is complete if it has every field and
    the last one is closed by a quote, is a full date, or is one of `whole_texts`. A figure or a name might have continued.
    """
    text = last_line.rstrip(b"\r").decode("utf-8", "replace")
    fields = _csv_row(text, chr(header.delimiter)) if header.quoted else text.split(chr(header.delimiter))
    if fields is None or len(fields) < len(header.fields):
        return True
    closed = header.quoted and text.endswith('"')
    dated = header.fields[-1].endswith("date") and _DATE.fullmatch(fields[-1])
    return not (closed or dated or fields[-1] in whole_texts)
