"""How far the log of events goes, for somebody else to keep: later it shows whether the log still begins like that."""

from __future__ import annotations

import base64
from typing import NamedTuple

from market_spine.core import events, merkle
from market_spine.db import Database
from market_spine.errors import UsageError

ORIGIN = "market-spine"


class Checkpoint(NamedTuple):
    """How far a log went: which one it is, its size, and the root of its tree (RFC 6962)."""

    store: str
    size: int
    root: bytes

    def __str__(self) -> str:
        """As C2SP's tlog-checkpoint writes it: three lines."""
        return f"{ORIGIN}/{self.store}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @property
    def line(self) -> str:
        """The same on one line, for a summary or a ping."""
        return " ".join(str(self).split())


def checkpoint(db: Database) -> Checkpoint | None:
    """The present end of the log; None while it is empty."""
    head = events.head(db)
    first = next(events.lines(db, 0, 1), None)
    return Checkpoint(first.leaf.hex()[:16], head.size, merkle.root(head.frontier)) if first else None


def read_checkpoint(text: str) -> Checkpoint:
    """A checkpoint as it was printed, on three lines or one; what follows (a signature) is left alone. Raises UsageError."""
    try:
        origin, size, root, *_ = text.split()
        name, _, store = origin.partition("/")
        made = Checkpoint(store, int(size), base64.b64decode(root, validate=True))
    except ValueError as error:
        raise UsageError("that is not a checkpoint", hint="keep what spine audit checkpoint prints") from error
    if name != ORIGIN or len(made.root) != merkle.HASH_SIZE or made.size < 1:
        raise UsageError("that is not a checkpoint of a market-spine log", hint="keep what spine audit checkpoint prints")
    return made
