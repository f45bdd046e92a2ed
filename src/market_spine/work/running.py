"""The items that a worker is executing: how long each has run, and what becomes of one that takes too long."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from market_spine import clock
from market_spine.errors import Interrupted, TimeUp
from market_spine.work.fence import ItemTransaction
from market_spine.work.item import Item


@dataclass(frozen=True, slots=True)
class Execution:
    """One item in hand: its transaction, the tick at which it began, and whether only its settlement is left."""

    item: Item
    transaction: ItemTransaction
    since: float
    settling: threading.Event = field(default_factory=threading.Event)


def is_overdue(now: float, since: float, longest_minutes: float) -> bool:
    """Whether an item that began at tick `since` has had its longest time."""
    return now - since >= longest_minutes * 60


class Running:
    """The executions of one worker. Used by all its threads."""

    def __init__(self) -> None:
        self._executions: dict[str, Execution] = {}
        self._lock = threading.Lock()
        self.done = 0

    def __len__(self) -> int:
        return len(self._executions)

    def __contains__(self, execution: Execution) -> bool:
        with self._lock:
            return self._executions.get(str(execution.item.current_execution_id)) is execution

    def begin(self, item: Item, transaction: ItemTransaction) -> Execution:
        execution = Execution(item, transaction, clock.ticks())
        with self._lock:
            self._executions[str(item.current_execution_id)] = execution
        return execution

    def end(self, execution: Execution) -> None:
        with self._lock:
            del self._executions[str(execution.item.current_execution_id)]
            self.done += 1

    def all(self) -> list[Execution]:
        with self._lock:
            return list(self._executions.values())

    def overdue(self, longest_minutes: float) -> list[tuple[Execution, Interrupted]]:
        """Those that have had their longest time and were not abandoned yet, and why each is to be."""
        now = clock.ticks()
        return [
            (one, TimeUp(longest_minutes))
            for one in self.all()
            if one.transaction.abandoned is None and is_overdue(now, one.since, longest_minutes)
        ]
