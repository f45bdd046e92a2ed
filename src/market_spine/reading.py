"""A capture's bytes read into rows and rejects, on a thread while the capture before it is being stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from market_spine import captures
from market_spine.captures import Capture
from market_spine.errors import DatabaseError
from market_spine.run import Run

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from market_spine.weekly_file import WeeklyFile

_REJECTS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """A capture's bytes, read: rows and rejects, and the text of the rejected lines by number."""

    file: WeeklyFile
    rejected: dict[int, str]


def read(packed: bytes, capture: Capture) -> Reading:
    """Reads a capture's compressed bytes; asks no database, so that another thread may do it. Raises UnusableContent."""
    from market_spine import weekly_file

    file = weekly_file.read(captures.unpacked(packed, capture.content_hash), capture.partition)
    if not file.rejects:
        return Reading(file, {})
    numbers = [reject.line_number for reject in file.rejects[:_REJECTS_KEPT]]
    return Reading(file, weekly_file.lines_at(captures.unpacked(packed, capture.content_hash), numbers))


def readings(run: Run, pending: list[Capture]) -> Iterator[tuple[Capture, Callable[[], Reading]]]:
    """Each capture with its reading, which is made on a thread while the one before it is being stored."""
    if len(pending) < 2:
        for capture in pending:
            yield capture, partial(read_here, run, capture)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, "read") as thread:
        coming: deque[tuple[Capture, Callable[[], Reading]]] = deque()
        for capture in pending:
            coming.append((capture, _submit(thread, run, capture)))
            if len(coming) > 1:
                yield coming.popleft()
        yield from coming


def _submit(thread: Executor, run: Run, capture: Capture) -> Callable[[], Reading]:
    try:
        return thread.submit(read, captures.packed_raw(run.db, capture.content_hash), capture).result
    except DatabaseError:
        return partial(read_here, run, capture)  # to fail in its turn


def read_here(run: Run, capture: Capture) -> Reading:
    return read(captures.packed_raw(run.db, capture.content_hash), capture)
