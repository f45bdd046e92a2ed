"""A capture's bytes read into rows and rejects, on a thread while the capture before it is being stored."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from market_spine import captures
from market_spine.captures import Capture
from market_spine.errors import DamagedRaw
from market_spine.run import Run

if TYPE_CHECKING:
    from market_spine.weekly_file import WeeklyFile

_REJECTS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """A capture's bytes, read: rows and rejects, and the text of the rejected lines by number."""

    file: WeeklyFile
    rejected: dict[int, str]


def read(packed: bytes, capture: Capture) -> Reading:
    """Reads a capture's compressed bytes; asks no database, so that another thread may do it. Raises UnusableContent."""
    from market_spine import text_lines, weekly_file

    file = weekly_file.read(captures.unpacked(packed, capture.content_hash), capture.partition)
    if not file.rejects:
        return Reading(file, {})
    numbers = [reject.line_number for reject in file.rejects[:_REJECTS_KEPT]]
    return Reading(file, text_lines.lines_at(captures.unpacked(packed, capture.content_hash), numbers))


def readings(run: Run, pending: list[Capture]) -> Iterator[tuple[Capture, Callable[[], Reading]]]:
    """Each capture with its reading, which is made on a thread while the one before it is being stored."""
    if len(pending) < 2:
        for capture in pending:
            yield capture, partial(read_here, run, capture)
        return
    with _Reader() as reader:
        coming: deque[tuple[Capture, Callable[[], Reading]]] = deque()
        for capture in pending:
            coming.append((capture, _submit(reader, run, capture)))
            if len(coming) > 1:
                yield coming.popleft()
        yield from coming


def _submit(reader: _Reader, run: Run, capture: Capture) -> Callable[[], Reading]:
    try:
        return reader.submit(captures.packed_raw(run.db, capture.content_hash), capture).result
    except DamagedRaw:
        return partial(read_here, run, capture)  # to fail in its turn


class _Reader(threading.Thread):
    """Reads one capture after the other. A daemon, unlike an executor's threads: a run that is interrupted ends at once."""

    def __init__(self) -> None:
        super().__init__(name="read", daemon=True)
        self._orders: SimpleQueue[tuple[bytes, Capture, Future[Reading]] | None] = SimpleQueue()

    def submit(self, packed: bytes, capture: Capture) -> Future[Reading]:
        future: Future[Reading] = Future()
        self._orders.put((packed, capture, future))
        return future

    def run(self) -> None:
        while order := self._orders.get():
            packed, capture, future = order
            try:
                future.set_result(read(packed, capture))
            except BaseException as error:
                future.set_exception(error)

    def __enter__(self) -> _Reader:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._orders.put(None)


def read_here(run: Run, capture: Capture) -> Reading:
    return read(captures.packed_raw(run.db, capture.content_hash), capture)
