"""Stored content: packed once, read back whole, and never taken for what it no longer is."""

from __future__ import annotations

import base64
import hashlib

import pytest

from market_spine.core import contents
from market_spine.db import Database
from market_spine.errors import DamagedRaw

CONTENT = b"tierDescription|issueSymbolIdentifier\n" + b"".join(b"OTC|S%04d\n" % n for n in range(40))
DIGEST = hashlib.sha256(CONTENT).hexdigest()
# The same content as the package `zstandard` packed it, which stores were written with before.
OLDER = base64.b64decode(
    "KLUv/WC2AE0EAKJFFBmASzpA/4QTtYcVGWDQcnHoUyTZzYMZA5UOh2leTTwrNM2riWd1pnk18azMNK8mnlVVIQuAMDiOP+JT4gdBQikoGogzEPolUT4t"
    "/hiQB45/Cicg4NdFyhVWpFxhRcotSFiRcoUVKVdYkXILIqxIucKKlCusSLkFCStSrrAi5Qorost9i1QG"
)


def test_content_packed_before_is_read_back() -> None:
    assert b"".join(contents.unpacked(OLDER, DIGEST)) == CONTENT


@pytest.mark.parametrize("size", [0, 1, 1 << 19, (1 << 19) + 1, 3_000_000], ids=str)
def test_content_comes_back_byte_for_byte_in_blocks(db: Database, size: int) -> None:
    content = bytes(n * n % 251 for n in range(1000)) * (size // 1000) + b"x" * (size % 1000)
    digest = hashlib.sha256(content).hexdigest()
    with db.transaction():
        contents.store_raw(db, content, digest)
    blocks = list(contents.read_raw(db, digest))
    assert b"".join(blocks) == content
    assert all(len(block) <= 1 << 19 for block in blocks)


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(OLDER[:-9], id="cut short"),
        pytest.param(OLDER[:60] + b"\x00" + OLDER[61:], id="a byte changed"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"not packed", id="something else"),
    ],
)
def test_damage_is_named(packed: bytes) -> None:
    with pytest.raises(DamagedRaw):
        b"".join(contents.unpacked(packed, DIGEST))
