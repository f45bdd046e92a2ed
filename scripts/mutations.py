"""What can be wrong with a weekly file: each mutation takes the bytes of a good one and a source of chance."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable

Mutation = Callable[[bytes, random.Random], bytes]

FIELDS = (
    b"", b" ", b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\xc3", b"=cmd|' /C calc'!A0", b"@SUM(1+1)*cmd", b"-2+3", b"NaN",
    b"Infinity",
    b"-0",
    b"1e999", b"1E-400", b"-1", b"1,234,567", b"9" * 400, b"0x10", b"1_000", b"\xd9\xa1\xd9\xa2", b"12.3456789", b"null",
    b"'; DROP TABLE core_manifest; --", b"\") OR 1=1 --", b"?", b"%s", b"{}", b"$1", b"\\N", b"\\.", b"\t", b"\x1f", b"\x1b[31m",
    b'"', b'""', b"'", b"\xe2\x80\xae", b"e\xcc\x81", b"\xf0\x9f\x92\xa3", b"../../etc/passwd", b"2025-02-30", b"NMS Tier 2",
    b"OTC", b"x" * 1001, b"y" * 70_000,
)  # fmt: skip


def flip_bytes(content: bytes, chance: random.Random) -> bytes:
    out = bytearray(content)
    for _ in range(chance.choice((1, 3, 30))):
        if out:
            out[chance.randrange(len(out))] = chance.randrange(256)
    return bytes(out)


def flip_bits(content: bytes, chance: random.Random) -> bytes:
    out = bytearray(content)
    for _ in range(chance.choice((1, 5))):
        if out:
            out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
    return bytes(out)


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def cut_out(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content) + 1)
    return content[:start] + content[start + chance.randrange(1, 300) :]


def insert_bytes(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    return content[:at] + chance.choice((*FIELDS, b"|", b"\n", b"\r", b"\r\n", b"\n\n\n", b"#")) + content[at:]


def change_field(content: bytes, chance: random.Random) -> bytes:
    lines = content.split(b"\n")
    for _ in range(chance.choice((1, 1, 4))):
        at = chance.randrange(len(lines))
        fields = lines[at].split(b"|")
        fields[chance.randrange(len(fields))] = chance.choice(FIELDS)
        lines[at] = b"|".join(fields)
    return b"\n".join(lines)


def swap_fields(content: bytes, chance: random.Random) -> bytes:
    lines = content.split(b"\n")
    at = chance.randrange(len(lines))
    fields = lines[at].split(b"|")
    chance.shuffle(fields)
    lines[at] = b"|".join(fields)
    return b"\n".join(lines)


def swap_columns(content: bytes, chance: random.Random) -> bytes:
    lines = [line.split(b"|") for line in content.split(b"\n")]
    order = list(range(max(map(len, lines))))
    chance.shuffle(order)
    return b"\n".join(b"|".join(line[at] for at in order if at < len(line)) for line in lines)


def repeat_lines(content: bytes, chance: random.Random) -> bytes:
    lines = content.split(b"\n")
    return b"\n".join(line for line in lines for _ in range(chance.choice((1, 1, 1, 2, 3))))


def drop_lines(content: bytes, chance: random.Random) -> bytes:
    keep = chance.random()
    return b"\n".join(line for line in content.split(b"\n") if chance.random() < keep)


def shuffle_lines(content: bytes, chance: random.Random) -> bytes:
    lines = content.split(b"\n")
    chance.shuffle(lines)
    return b"\n".join(lines)


def change_delimiter(content: bytes, chance: random.Random) -> bytes:
    return content.replace(b"|", chance.choice((b",", b";", b"\t", b"||", b'"|"')))


def change_line_ends(content: bytes, chance: random.Random) -> bytes:
    return content.replace(b"\n", chance.choice((b"\r\n", b"\r", b"\n\n", b"\x0b", b"\xe2\x80\xa8")))


def change_encoding(content: bytes, chance: random.Random) -> bytes:
    text = content.decode("utf-8", "replace")
    return text.encode(chance.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7")), "replace")


def quote(content: bytes, chance: random.Random) -> bytes:
    lines = [b'"' + line.replace(b"|", b'"|"') + b'"' for line in content.split(b"\n")]
    if chance.random() < 0.5:
        at = chance.randrange(len(lines))
        lines[at] = lines[at].replace(b'"', b"", chance.randrange(1, 4))
    return b"\n".join(lines)


def blank_lines(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    return content[:at] + b"\n" * chance.choice((1, 100, 20_000)) + content[at:]


def nothing_of_it(content: bytes, chance: random.Random) -> bytes:
    return chance.choice((
        b"", b"\n", b"\x00" * 5000, b"<!DOCTYPE html><html><body>502|Bad Gateway</body></html>", b'{"statusCode": 429}',
        b"PK\x03\x04" + chance.randbytes(500), chance.randbytes(4000), gzip.compress(content), b"|" * 10_000, b'"' * 999,
        content.split(b"\n")[0], b"\xef\xbb\xbf",
    ))  # fmt: skip


def long_line(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    return content[:at] + b"z" * chance.choice((70_000, 300_000, 1_100_000)) + content[at:]


def large_line(content: bytes, chance: random.Random) -> bytes:
    return content + b"|".join([b"q" * 10_000_000, *content.split(b"\n")[1].split(b"|")])


MUTATIONS: tuple[Mutation, ...] = (
    flip_bytes, flip_bits, cut, cut_out, insert_bytes, change_field, change_field, swap_fields, swap_columns, repeat_lines,
    drop_lines, shuffle_lines, change_delimiter, change_line_ends, change_encoding, quote, blank_lines, nothing_of_it, long_line,
)  # fmt: skip


def mutate(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """One to three mutations, one after the other; now and then a line of 10 MB. Answers their names and the bytes."""
    if chance.random() < 0.002:
        return "large_line", large_line(content, chance)
    names = []
    for _ in range(chance.choice((1, 1, 2, 3))):
        mutation = chance.choice(MUTATIONS)
        names.append(mutation.__name__)
        content = mutation(content, chance)
    return "+".join(names), content


def as_gzip(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """The bytes packed, and the packing damaged."""
    packed = gzip.compress(content, 1)
    mutation = chance.choice((flip_bytes, flip_bits, cut, cut_out))
    return f"gzip+{mutation.__name__}", mutation(packed, chance)
