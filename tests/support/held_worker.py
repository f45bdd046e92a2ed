"""A real worker whose every item stops at a gate: `python held_worker.py DB LEASE GRACE [ARRIVED ONWARD]`.

An item's one effect is a row in torture_effect. Without a gate items are done at once. Besides its log, the worker writes lines
`{"event": …}`, each when it is done: `beat` (a heartbeat of an item in hand), `seen` (one of its own), `abandoned` (it gives an
item up), `COMPLETE 7` (item 7 is settled so), `failed sweep` (a duty failed) and `connected` (a session is open).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from gates import stop_at  # beside this file, which is only ever run as a script
from psycopg import AsyncConnection

from market_spine.db.postgres import Postgres
from market_spine.outcome import Outcome
from market_spine.work import lease, roster
from market_spine.work import worker as worker_module
from market_spine.work.fence import ItemTransaction
from market_spine.work.item import Item, Lease
from market_spine.work.trouble import Troubles
from market_spine.work.worker import Settings, Worker, start_log


def main(target: str, lease_seconds: str, grace: str, gate: tuple[str, str] | None) -> None:
    def perform(db: ItemTransaction, item: Item, now: datetime) -> Sequence[Outcome]:
        if gate:
            stop_at(*gate, item.id)
        with db.transaction():
            db.execute("INSERT INTO torture_effect (item_id) VALUES (?)", (item.id,))
        return []

    announce_moments()
    settings = Settings(lease=Lease(timedelta(seconds=float(lease_seconds))), grace=float(grace))
    worker = Worker(target, perform, settings)
    start_log(worker, json_lines=True, verbose=False)
    worker.run()


def announce_moments() -> None:
    for where, name, event in (
        (lease, "beat", lambda *_: "beat"),
        (roster, "beat", lambda *_: "seen"),
        (ItemTransaction, "abandon", lambda *_: "abandoned"),
        (worker_module, "execute", lambda state, _db, _transaction, item, *_: f"{state and state.value} {item.id}"),
        (Troubles, "failed", lambda _pause, _self, duty, _error: f"failed {duty}"),
        (Postgres, "_open", lambda *_: "connected"),
    ):
        setattr(where, name, announced(getattr(where, name), event))
    connect = AsyncConnection.connect

    async def connected(*arguments: Any, **more: Any) -> Any:  # the delivery engine's sessions
        connection = await connect(*arguments, **more)
        announce("connected")
        return connection

    AsyncConnection.connect = connected  # type: ignore[method-assign, assignment]


def announced(act: Callable[..., Any], event: Callable[..., str]) -> Callable[..., Any]:
    """The same; announced once it is done. `event` makes the word of the result and the arguments."""

    def acted(*arguments: Any) -> Any:
        result = act(*arguments)
        announce(event(result, *arguments))
        return result

    return acted


def announce(event: str) -> None:
    sys.stderr.write(json.dumps({"event": event}) + "\n")  # one write, or threads mix their lines
    sys.stderr.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], (sys.argv[4], sys.argv[5]) if len(sys.argv) > 4 else None)
