"""A real worker whose every item stops at a gate: `python held_worker.py DB LEASE GRACE [ARRIVED ONWARD]`.

An item's one effect is a row in torture_effect. Besides its log, the worker writes a line `{"event": "beat"}` for each heartbeat of
an item in hand, and `{"event": "abandoned"}` when it gives one up. Without a gate items are done at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from gates import stop_at  # beside this file, which is only ever run as a script

from market_spine.outcome import Outcome
from market_spine.work import lease
from market_spine.work.fence import ItemTransaction
from market_spine.work.item import Item, Lease
from market_spine.work.worker import Settings, Worker, start_log


def main(target: str, lease_seconds: str, grace: str, gate: tuple[str, str] | None) -> None:
    def perform(db: ItemTransaction, item: Item, now: datetime) -> Sequence[Outcome]:
        if gate:
            stop_at(*gate, item.id)
        with db.transaction():
            db.execute("INSERT INTO torture_effect (item_id) VALUES (?)", (item.id,))
        return []

    lease.beat = announced(lease.beat, "beat")
    ItemTransaction.abandon = announced(ItemTransaction.abandon, "abandoned")  # type: ignore[method-assign]
    settings = Settings(lease=Lease(timedelta(seconds=float(lease_seconds))), grace=float(grace))
    worker = Worker(target, perform, settings)
    start_log(worker, json_lines=True, verbose=False)
    worker.run()


def announced(act: Callable[..., Any], event: str) -> Callable[..., Any]:
    """The same; said once it is done."""

    def acted(*arguments: Any) -> Any:
        result = act(*arguments)
        print(json.dumps({"event": event}), file=sys.stderr, flush=True)
        return result

    return acted


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], (sys.argv[4], sys.argv[5]) if len(sys.argv) > 4 else None)
