"""A capture's bytes read into rows and rejects: by a forked process while the capture before it is being stored."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import select
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from market_spine import captures, signals
from market_spine.app.run import Run
from market_spine.captures import Capture
from market_spine.errors import DamagedRaw

if TYPE_CHECKING:
    from market_spine.parse.weekly_file import WeeklyFile

_REJECTS_KEPT = 1000
_WORTH_FORKING = 4  # captures; below that the fork costs more than it gives
_BATCH_BYTES = 16 << 20  # compressed, held in memory at once
_LENGTH_BYTES = 8
_PIPE_BYTES = 1 << 20  # what an unprivileged user may ask for on Linux
_PATIENCE_SECONDS = 60.0  # then the forked process is given up and the capture read here


@dataclass(frozen=True, slots=True)
class Order:
    """A capture to read: its compressed bytes (None where they are gone), and whether this run has hashed them."""

    capture: Capture
    packed: bytes | None
    hashed: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """A capture's bytes, read: rows and rejects, and the text of the rejected lines by number."""

    file: WeeklyFile
    rejected: dict[int, str]


def read(order: Order) -> Reading:
    """Reads a capture's compressed bytes; asks no database. Raises UnusableContent, or DamagedRaw."""
    from market_spine.parse import text_lines, weekly_file

    capture, content_hash = order.capture, order.capture.content_hash
    if order.packed is None:
        raise DamagedRaw(f"the raw bytes {content_hash[:16]} are gone")
    file = weekly_file.read(captures.unpacked(order.packed, content_hash, hashed=order.hashed), capture.partition)
    numbers = [reject.line_number for reject in file.rejects[:_REJECTS_KEPT]]
    return Reading(
        file, text_lines.lines_at(captures.unpacked(order.packed, content_hash, hashed=True), numbers) if numbers else {}
    )


def read_here(run: Run, capture: Capture) -> Reading:
    """Reads a capture in this process. Raises UnusableContent, or DamagedRaw when its bytes are gone."""
    return read(_order(run, capture))


def _order(run: Run, capture: Capture) -> Order:
    try:
        packed = captures.packed_raw(run.db, capture.content_hash)
    except DamagedRaw:
        packed = None
    return Order(capture, packed, capture.content_hash in run.stored)


def readings(run: Run, pending: list[Capture]) -> Iterator[tuple[Capture, Callable[[], Reading]]]:
    """Each capture with its reading. Several are read ahead by a forked process; what it cannot read is read here, and
    fails here, in its turn."""
    if len(pending) < _WORTH_FORKING or sys.platform != "linux":
        for capture in pending:
            yield capture, partial(read_here, run, capture)
        return
    for batch in _batches(run, pending):
        with _forked(batch) as answers:
            for order in batch:
                yield order.capture, partial(_next_answer, answers, run, order.capture)


def _batches(run: Run, pending: list[Capture]) -> Iterator[list[Order]]:
    """The captures with their compressed bytes, about 16 MB at a time."""
    batch: list[Order] = []
    held = 0
    for capture in pending:
        order = _order(run, capture)
        batch.append(order)
        held += len(order.packed or b"")
        if held > _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


@contextlib.contextmanager
def _forked(batch: list[Order]) -> Iterator[int]:
    """A child that reads the batch and writes one answer for each capture into the pipe that is yielded.

    It is forked, so that NumPy and the bytes are there already; it touches no database, lock or log of its parent.
    """
    import fcntl  # not on Windows, where nothing is forked

    from market_spine.parse import weekly_file  # noqa: F401  before the fork, not after it

    receiver, sender = os.pipe()
    with contextlib.suppress(OSError):  # an unprivileged user has only so much; the pipe works at any size
        fcntl.fcntl(sender, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    child = 0
    try:
        with signals.held(), warnings.catch_warnings():  # raised in the child, a signal would unwind its parent's transaction
            warnings.simplefilter("ignore", DeprecationWarning)  # other threads do not matter to a child that shares nothing
            child = os.fork()
            if child == 0:
                os.close(receiver)
                _serve(batch, sender)
        os.close(sender)
        yield receiver
    finally:
        os.close(receiver)
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _serve(batch: list[Order], sender: int) -> None:
    """The child's life: reads, answers (None for what it cannot read), and ends without any of its parent's clean-up."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        gc.disable()  # it would touch, and so copy, every page the parent shares
        with os.fdopen(sender, "wb") as answers:
            for order in batch:
                answer = None
                with contextlib.suppress(Exception):
                    answer = read(order)
                payload = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
                answers.write(len(payload).to_bytes(_LENGTH_BYTES, "little"))
                answers.write(payload)
                answers.flush()
    finally:
        os._exit(0)


def _next_answer(answers: int, run: Run, capture: Capture) -> Reading:
    """The child's answer for this capture, or the capture read here when there is none."""
    try:
        length = int.from_bytes(_exactly(answers, _LENGTH_BYTES), "little")
        answer = pickle.loads(_exactly(answers, length))
    except (EOFError, OSError):
        answer = None
    return answer if isinstance(answer, Reading) else read_here(run, capture)


def _exactly(pipe: int, count: int) -> bytes:
    """So many bytes. Raises EOFError when the child is gone or silent for too long."""
    parts = []
    while count:
        ready, _, _ = select.select([pipe], [], [], _PATIENCE_SECONDS)
        part = os.read(pipe, count) if ready else b""
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
