"""Reads the small text files that a user names (settings, calendars, tokens, secrets), up to a size limit."""

from __future__ import annotations

from pathlib import Path

MOST_BYTES = 1 << 20


def read_small_text(path: str | Path) -> str:
    """The text of a file, or of a pipe. Raises OSError, and ValueError for what is not UTF-8 text or too large. The limit
    also ends the reading of a device such as /dev/zero."""
    with Path(path).open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES >> 20} MB")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None


def why(error: Exception) -> str:
    """Why a file could not be read, in a few words."""
    return getattr(error, "strerror", None) or " ".join(str(error).split())
