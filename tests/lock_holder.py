"""A process that takes the run lock and does what it is told, line by line: `write NAME`, `hold SECONDS`, `quit`."""

from __future__ import annotations

import sys

from market_spine import clock
from market_spine.db import Database, connect
from market_spine.errors import DatabaseLost, MarketSpineError
from market_spine.lock import run_lock


def main(target: str, owner: str, lease: str, wait: str) -> None:
    db = connect(target)
    try:
        with run_lock(db, owner, lease_seconds=float(lease), wait_seconds=float(wait)):
            say("holds")
            for order in sys.stdin:
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
            clock.pause(float(order[1]))
        say("wrote")
    elif order[0] == "quit":
        sys.stdin.close()


def write_once(db: Database, name: str) -> None:
    with db.transaction():
        write(db, name)


def write(db: Database, name: str) -> None:
    db.execute("INSERT INTO core_operator_actions (at, actor, action, target) VALUES ('', '', 'test', ?)", (name,))


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
