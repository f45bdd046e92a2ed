"""A capture's bytes, parsed into rows and rejects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from market_spine.core import captures, contents
from market_spine.errors import PartitionError

if TYPE_CHECKING:
    from market_spine.core.captures import Capture
    from market_spine.db import Database
    from market_spine.gates.figures import Seen
    from market_spine.measure.firm_totals import Checked
    from market_spine.parse.weekly_file import WeeklyFile
    from market_spine.partition import Partition

_BLOCK = 1 << 19
_REJECTS_KEPT = 1000


class Reading(NamedTuple):
    """A capture's bytes, parsed: rows and rejects, the text of the rejected lines by number, the firm totals beside them, and the
    figures that the gates look at."""

    file: WeeklyFile
    rejected: dict[int, str]
    firm_totals: Checked
    seen: Seen


def read(db: Database, capture: Capture, *, hashed: bool = False) -> Reading:
    """Parses a capture's stored bytes and firm totals; with `hashed` their hash is known to be right and not computed again.

    Raises UnusableContent, or DamagedRaw when the bytes are missing or are not those of the capture.
    """
    from market_spine.parse import lines, weekly_file

    packed, content_hash = contents.packed_raw(db, capture.content_hash), capture.content_hash
    file = weekly_file.read(contents.unpacked(packed, content_hash, hashed=hashed), capture.partition)
    numbers = [reject.line_number for reject in file.rejects[:_REJECTS_KEPT]]
    rejected = lines.lines_at(contents.unpacked(packed, content_hash, hashed=True), numbers) if numbers else {}
    return _reading(file, rejected, _checked_totals(file, capture.partition, _totals(db, capture, file)))


def foresee(content: bytes, totals: bytes | None, partition: Partition) -> Reading | PartitionError:
    """What `read` would return for bytes that are not stored, or what it would raise; without the texts of rejected lines."""
    from market_spine.parse import weekly_file

    try:
        file = weekly_file.read(_blocks(content), partition)
        beside = file if totals is content else weekly_file.read(_blocks(totals), partition) if totals else None
        return _reading(file, {}, _checked_totals(file, partition, beside))
    except PartitionError as error:
        return error


def _reading(file: WeeklyFile, rejected: dict[int, str], checked: Checked) -> Reading:
    from market_spine.gates import figures

    return Reading(file, rejected, checked, figures.of_file(file, checked))


def _blocks(content: bytes) -> Iterator[bytes]:
    return (content[at : at + _BLOCK] for at in range(0, len(content), _BLOCK))


def _totals(db: Database, capture: Capture, file: WeeklyFile) -> WeeklyFile | None:
    """What the capture's firm totals are in: the content itself, a document of their own, or nothing."""
    from market_spine.parse import weekly_file

    totals_hash = captures.totals_hash(db, capture.capture_id, capture.ingest_no)
    if totals_hash is None or totals_hash == capture.content_hash:
        return file if totals_hash else None
    return weekly_file.read(contents.read_raw(db, totals_hash), capture.partition)


def _checked_totals(file: WeeklyFile, partition: Partition, beside: WeeklyFile | None) -> Checked:
    from market_spine.measure import firm_totals

    return firm_totals.check(file, beside.totals if beside else (), partition)
