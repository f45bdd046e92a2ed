"""A process that takes the run lock and does what it is told, line by line: `write NAME`, `hold`, `beats N`, `quit`.

`hold` stays in a transaction until `go`; `beats N` says so when the lock's heart has beaten N times more.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from market_spine import lock
from market_spine.db import Database, connect
from market_spine.errors import DatabaseLost, MarketSpineError
from market_spine.lock import run_lock

BEATS = threading.Semaphore(0)


def counted(beat: Callable[[object], None]) -> Callable[[object], None]:
    """The same heartbeat; each one is counted once it is written."""

    def beaten(heart: object) -> None:
        beat(heart)
        BEATS.release()

    return beaten


def main(target: str, owner: str, lease: str, wait: str) -> None:
    lock._Heart._beat = counted(lock._Heart._beat)  # type: ignore[method-assign, assignment, arg-type]
    db = connect(target)
    try:
        with run_lock(db, owner, lease_seconds=float(lease), wait_seconds=float(wait)):
            say("holds")
            while order := sys.stdin.readline():
                obey(db, order.split())
    except MarketSpineError as error:
        say(f"{type(error).__name__}: {error.message}")


def obey(db: Database, order: list[str]) -> None:
    if order[0] == "write":
        try:
            write_once(db, order[1])
        except DatabaseLost:  # as a run does: connect again and go on, if one may
            db.reconnect()
            write_once(db, order[1])
        say("wrote")
    elif order[0] == "hold":
        with db.transaction():
            write(db, "held")
            say("in a transaction")
            while (inner := sys.stdin.readline().split()) != ["go"]:
                obey(db, inner)
        say("wrote")
    elif order[0] == "beats":
        beats(int(order[1]))
    elif order[0] == "quit":
        raise SystemExit


def beats(count: int) -> None:
    while BEATS.acquire(blocking=False):
        pass
    for _ in range(count):
        BEATS.acquire()
    say("beat")


def write_once(db: Database, name: str) -> None:
    with db.transaction():
        write(db, name)


def write(db: Database, name: str) -> None:
    db.execute("INSERT INTO core_operator_actions (at, actor, action, target) VALUES ('', '', 'test', ?)", (name,))


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
