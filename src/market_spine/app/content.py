"""A capture's bytes, parsed into rows and rejects."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from market_spine.core import contents
from market_spine.errors import PartitionError

if TYPE_CHECKING:
    from market_spine.core.captures import Capture
    from market_spine.db import Database
    from market_spine.parse.weekly_file import WeeklyFile
    from market_spine.partition import Partition

_BLOCK = 1 << 19
_REJECTS_KEPT = 1000


class Reading(NamedTuple):
    """A capture's bytes, parsed: rows and rejects, and the text of the rejected lines by number."""

    file: WeeklyFile
    rejected: dict[int, str]


def read(db: Database, capture: Capture, *, hashed: bool = False) -> Reading:
    """Parses a capture's stored bytes; with `hashed` their hash is known to be right and not computed again.

    Raises UnusableContent, or DamagedRaw when the bytes are missing or are not those of the capture.
    """
    from market_spine.parse import lines, weekly_file

    packed, content_hash = contents.packed_raw(db, capture.content_hash), capture.content_hash
    file = weekly_file.read(contents.unpacked(packed, content_hash, hashed=hashed), capture.partition)
    numbers = [reject.line_number for reject in file.rejects[:_REJECTS_KEPT]]
    return Reading(file, lines.lines_at(contents.unpacked(packed, content_hash, hashed=True), numbers) if numbers else {})


def foresee(content: bytes, partition: Partition) -> Reading | PartitionError:
    """What `read` would return for bytes that are not stored, or what it would raise; without the texts of rejected lines."""
    from market_spine.parse import weekly_file

    blocks = (content[at : at + _BLOCK] for at in range(0, len(content), _BLOCK))
    try:
        return Reading(weekly_file.read(blocks, partition), {})
    except PartitionError as error:
        return error
