"""`spine audit`: whether the log of events is whole, and whether the tables are what it adds up to.

What is proved: since the log began nothing was put into it, taken out or changed behind it, as far as a checkpoint kept
elsewhere reaches; and the tables are what its events made of them. Without such a checkpoint, somebody who owns the database
could have written the whole log anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from market_spine.core import events, merkle, replay
from market_spine.core.checkpoint import Checkpoint
from market_spine.core.events import FIRST_PREV, Line
from market_spine.core.replay import State
from market_spine.db import Database


class Verdict(NamedTuple):
    """What was checked, and every fault by name."""

    size: int
    faults: list[str]
    checkpoint: Checkpoint | None


def verify(db: Database, against: Iterable[Checkpoint] = ()) -> Verdict:
    """Checks chain, tree and head, compares with checkpoints kept elsewhere, and replays the events against the tables."""
    walk = _Walk()
    faults = list(walk.through(events.lines(db)))
    faults += _head_faults(db, walk)
    kept = list(against)
    faults += [fault for one in kept for fault in _compare(one, walk)]
    faults += [str(difference) for difference in replay.differences(db, walk.state)]
    return Verdict(len(walk.leaves), faults, walk.checkpoint)


class _Walk:
    """Goes through the log once: the leaves as they must be, and the state they add up to."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.state = State()
        self.edge: merkle.Frontier = ()

    @property
    def checkpoint(self) -> Checkpoint | None:
        return Checkpoint(self.leaves[0].hex()[:16], len(self.leaves), merkle.root(self.edge)) if self.leaves else None

    def through(self, lines: Iterable[Line]) -> Iterator[str]:
        prev, expected = FIRST_PREV, 1
        for line in lines:
            leaf = merkle.leaf_hash(line.line.encode())
            if line.seq != expected:
                yield f"events {expected} to {line.seq - 1} are missing"
            yield from self._check(line, leaf, prev)
            self.edge = merkle.append(self.edge, len(self.leaves), leaf)
            self.leaves.append(leaf)
            prev, expected = leaf.hex(), line.seq + 1

    def _check(self, line: Line, leaf: bytes, prev: str) -> Iterator[str]:
        if line.leaf != leaf:
            yield f"event {line.seq}: its leaf is not the hash of its line"
        try:
            entry = events.parse(line.line)
            if entry["seq"] != line.seq:
                yield f"event {line.seq}: its line says that it is event {entry['seq']}"
            if entry["prev"] != prev:
                yield f"event {line.seq}: it does not follow the line before it"
            if not events.is_canonical(line.line, entry):
                yield f"event {line.seq}: its line is not in canonical form"
            self.state.apply(entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            yield f"event {line.seq}: {type(error).__name__} {error}: not an event that this program writes here"


def _head_faults(db: Database, walk: _Walk) -> Iterator[str]:
    size, last = len(walk.leaves), walk.leaves[-1].hex() if walk.leaves else FIRST_PREV
    try:
        head = events.head(db)
    except ValueError:
        yield "core_event_head holds no hashes"
        return
    if head.size != size:
        yield f"core_event_head says {head.size} events, and there are {size}"
    if head.last_leaf != last or head.frontier != walk.edge:
        yield "core_event_head does not fit the last event"


def _compare(kept: Checkpoint, walk: _Walk) -> Iterator[str]:
    """Whether the log of today begins with the one a checkpoint was made of."""
    what = f"the checkpoint of {kept.size} events"
    if not walk.leaves or kept.store != walk.leaves[0].hex()[:16]:
        yield f"{what} is of another log, or of one that began otherwise"
    elif kept.size > len(walk.leaves):
        yield f"{what} reaches beyond the log: its last {kept.size - len(walk.leaves)} events are gone"
    elif merkle.root_of(walk.leaves[: kept.size]) != kept.root:
        yield f"{what} does not fit: an event up to {kept.size} was changed, put in or taken out since"
