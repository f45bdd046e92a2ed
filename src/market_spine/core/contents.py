"""The stored contents: the exact bytes a source delivered, compressed, under their SHA-256."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from typing import Any

from market_spine.db import Database
from market_spine.errors import DamagedRaw

_BLOCK = 1 << 19
_ZSTD_LEVEL, _ZSTD_WINDOW = 1, 18  # a window of 256 KB stays in the cache


def store_raw(db: Database, content: bytes, content_hash: str) -> None:
    """Stores the bytes once under their SHA-256 (64 hex); replaces a damaged copy. Call it inside a transaction."""
    row = db.execute("SELECT 1 FROM finra_otc_transparency_raw WHERE content_hash = ?", (content_hash,)).fetchone()
    if row is None or not is_intact(db, content_hash):
        zstd = _zstd()
        parameter = zstd.CompressionParameter
        options = {parameter.compression_level: _ZSTD_LEVEL, parameter.window_log: _ZSTD_WINDOW}
        packed = zstd.compress(content, options=options)
        db.execute(
            """
            INSERT INTO finra_otc_transparency_raw (content_hash, size, codec, content) VALUES (?, ?, 'zstd', ?)
            ON CONFLICT (content_hash) DO UPDATE SET size = excluded.size, codec = excluded.codec, content = excluded.content
            """,
            (content_hash, len(content), packed),
        )


def is_intact(db: Database, content_hash: str) -> bool:
    """Whether the stored bytes still hash to their name."""
    try:
        for _ in read_raw(db, content_hash):
            pass
    except DamagedRaw:
        return False
    return True


def packed_raw(db: Database, content_hash: str) -> bytes:
    """The compressed bytes of a content. Raises DamagedRaw when they are missing."""
    row = db.execute("SELECT content FROM finra_otc_transparency_raw WHERE content_hash = ?", (content_hash,)).fetchone()
    if row is None:
        raise DamagedRaw(f"the raw bytes {content_hash[:16]} are gone")
    (packed,) = row
    return bytes(packed)


def unpacked(packed: bytes, content_hash: str, *, hashed: bool = False) -> Iterator[bytes]:
    """The bytes in blocks of 512 KB. Raises DamagedRaw when they no longer hash to their name.

    With `hashed` the check is skipped: the content was hashed and stored a moment ago.
    """
    zstd, digest = _zstd(), hashlib.sha256()
    stream = zstd.ZstdDecompressor()
    try:
        block = stream.decompress(packed, _BLOCK)
        while block:
            if not hashed:
                digest.update(block)
            yield block
            block = b"" if stream.eof else stream.decompress(b"", _BLOCK)
    except zstd.ZstdError as error:
        raise DamagedRaw(f"the raw bytes {content_hash[:16]} are damaged: {error}") from error
    if not hashed and digest.hexdigest() != content_hash:
        raise DamagedRaw(f"the raw bytes {content_hash[:16]} do not hash to their name")


def _zstd() -> Any:
    """Zstandard: in the standard library from Python 3.14 on, before that its backport."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def read_raw(db: Database, content_hash: str) -> Iterator[bytes]:
    """The stored bytes of a content, in blocks of 512 KB. Raises DamagedRaw when they are missing or damaged."""
    return unpacked(packed_raw(db, content_hash), content_hash)
