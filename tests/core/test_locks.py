"""One run at a time: with real processes, real kills and real stops, on both engines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.gates import DEADLINE

from market_spine import clock
from market_spine.core import locks
from market_spine.core.locks import Holder, holder_of, judge, run_lock
from market_spine.db import Database, connect
from market_spine.errors import DatabaseLocked, LockLost, RunLocked
from market_spine.process import Process, is_gone, this_process

LEASE = 3.0
BEATS_BEYOND = 8  # at five beats a lease: longer than one
HOLDER = Path(__file__).resolve().parents[1] / "support" / "lock_holder.py"
NOON = datetime(2026, 1, 9, 12, tzinfo=timezone.utc)
SOMEONE = Holder("run-1", Process("host", "machine", 123, "456"), NOON, NOON, lease_seconds=60)


@pytest.mark.parametrize(
    ("holder", "age", "gone", "session_free", "held", "reason"),
    [
        pytest.param(None, 0, False, True, False, "nobody", id="nobody has it"),
        pytest.param(None, 0, False, False, True, "just ending", id="its row is gone, its session not yet"),
        pytest.param(SOMEONE, 5, False, False, True, "5 s old", id="it beats"),
        pytest.param(SOMEONE, 60, False, False, True, "60 s old", id="just within its lease"),
        pytest.param(SOMEONE, 60.1, False, False, False, "60 s old", id="just beyond its lease"),
        pytest.param(SOMEONE, 0, True, False, False, "process is gone", id="its process is gone"),
        pytest.param(SOMEONE, 14, False, True, True, "14 s old", id="SQLite, or a lost session that may come back"),
        pytest.param(SOMEONE, 16, False, True, False, "session is gone", id="session gone and three beats missed"),
        pytest.param(SOMEONE, -3, False, False, True, "0 s old", id="the clock stepped back a little"),
        pytest.param(SOMEONE, -61, False, False, False, "61 s old", id="the clock was set back"),
    ],
)
def test_a_holder_is_judged(
    holder: Holder | None, age: float, gone: bool, session_free: bool, held: bool, reason: str
) -> None:
    verdict = judge(holder, age, gone=gone, session_free=session_free)

    assert (verdict.held, reason in verdict.reason) == (held, True), verdict


class Other:
    """Another process with, or waiting for, the lock."""

    def __init__(self, target: str, owner: str, lease: float = 60, wait: float = 0) -> None:
        command = [sys.executable, str(HOLDER), target, owner, str(lease), str(wait)]
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def hears(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def told(self, order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        with self.process:
            self.process.kill()


Start = Callable[..., Other]


@pytest.fixture
def start(target: str) -> Iterator[Start]:
    started: list[Other] = []

    def begin(owner: str, **limits: float) -> Other:
        started.append(Other(target, owner, **limits))
        return started[-1]

    yield begin
    for other in started:
        other.end()


def actions(db: Database) -> list[str]:
    return [row[0] for row in db.execute("SELECT target FROM core_operator_actions ORDER BY id")]


def take_within(db: Database, owner: str, seconds: float) -> Holder | None:
    with run_lock(db, owner, wait_seconds=seconds) as before:
        return before


def test_the_second_run_is_told_who_holds_the_lock_and_since_when(db: Database) -> None:
    rival = db.reopen()
    with run_lock(db, "run-1"):
        holder = holder_of(db)
        with pytest.raises(RunLocked) as refused, run_lock(rival, "run-2"):
            pass
    rival.close()

    assert holder is not None and holder.process == this_process()
    for part in ("run-1", f"pid {holder.process.pid} on {holder.process.host}", clock.stamp(holder.since), "last heartbeat"):
        assert part in refused.value.message
    assert refused.value.exit_code == 75 and "--if-locked wait" in str(refused.value.hint)


def test_the_lock_is_given_back_also_when_the_body_fails(db: Database) -> None:
    with pytest.raises(ValueError), run_lock(db, "run-1"):
        db.execute("BEGIN")
        raise ValueError

    assert holder_of(db) is None
    assert take_within(db, "run-2", 0) is None, "and then it is ours"


def test_who_waits_gets_it_when_the_holder_is_done(start: Start) -> None:
    first = start("run-1")
    assert first.hears() == "holds"
    second = start("run-2", wait=DEADLINE)
    first.told("write one")
    assert first.hears() == "wrote"
    first.told("quit")

    assert second.hears() == "holds"


def test_who_waits_gives_up_at_the_deadline(db: Database, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    assert start("run-1").hears() == "holds"
    pauses: list[float] = [0]
    monkeypatch.setattr(clock, "ticks", lambda: sum(pauses))
    monkeypatch.setattr(clock, "pause", pauses.append)
    with pytest.raises(RunLocked):
        take_within(db, "run-2", 100)

    assert sum(pauses) == pytest.approx(100, rel=0.1), "by a clock that only its own pauses move"


def test_a_killed_holder_s_lock_is_taken_over_at_once(db: Database, start: Start) -> None:
    first = start("run-1")
    assert first.hears() == "holds"
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    before = take_within(db, "run-2", 0)

    assert before is not None and before.owner == "run-1"


def test_a_killed_holder_that_nobody_reaped_is_dead_too(start: Start) -> None:
    first = start("run-1")
    assert first.hears() == "holds"
    process = Process(this_process().host, this_process().machine, first.process.pid, "")
    living = this_process()
    first.process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # returns when it is dead, and leaves it unreaped

    assert is_gone(process, living) and not is_gone(living, living)
    assert is_gone(Process(living.host, living.machine, living.pid, "0"), living), "the PID was given out again"
    assert not is_gone(Process(living.host, "elsewhere", first.process.pid, ""), living), "cannot be seen from here"


def test_a_living_holder_keeps_the_lock_far_beyond_its_lease(db: Database, start: Start) -> None:
    first = start("run-1", lease=LEASE)
    assert first.hears() == "holds"
    first.told(f"beats {BEATS_BEYOND}")
    assert first.hears() == "beat"
    with pytest.raises(RunLocked):
        take_within(db, "run-2", 0)
    first.told("write one")

    assert first.hears() == "wrote"


def test_a_transaction_longer_than_the_lease_does_not_cost_the_lock(
    db: Database, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start("run-1", lease=LEASE)
    assert first.hears() == "holds"
    first.told("hold")
    assert first.hears() == "in a transaction"
    if db.engine == "sqlite":  # nobody beats meanwhile: what keeps the lock is that nobody else can write
        an_hour_later(db, monkeypatch)
        expected: type[Exception] = DatabaseLocked
    else:
        first.told(f"beats {BEATS_BEYOND}")
        assert first.hears() == "beat"
        expected = RunLocked
    with pytest.raises(expected):
        take_within(db, "run-2", 0)
    first.told("go")

    assert first.hears() == "wrote"
    assert actions(db) == ["held"]


def an_hour_later(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's clock is this machine's, so a lease can lapse without anybody waiting. A write is tried once."""
    now = type(db).now
    monkeypatch.setattr(type(db), "now", lambda self: now(self) + timedelta(hours=1))
    reopen = type(db).reopen

    def impatient(self: Database) -> Database:
        other = reopen(self)
        other.patience = 0
        return other

    monkeypatch.setattr(type(db), "reopen", impatient)


def test_a_stopped_holder_loses_the_lock_and_writes_nothing_when_it_wakes(db: Database, start: Start) -> None:
    first = start("run-1", lease=0.6)
    assert first.hears() == "holds"
    first.told("write one")
    assert first.hears() == "wrote"
    first.process.send_signal(signal.SIGSTOP)
    with run_lock(db, "run-2", wait_seconds=DEADLINE) as before:
        first.told("write two")
        first.process.send_signal(signal.SIGCONT)

        assert first.hears().startswith("LockLost: this run lost its lock"), "the fence"
        assert actions(db) == ["one"]
        with db.transaction():
            db.execute("INSERT INTO core_operator_actions (at, actor, action, target) VALUES ('', '', 'test', 'mine')")
        assert actions(db) == ["one", "mine"]
    assert before is not None and before.owner == "run-1"


def test_one_stopped_in_a_transaction_writes_nothing_on_postgresql_and_all_or_nothing_on_sqlite(
    db: Database, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start("run-1", lease=0.6)
    assert first.hears() == "holds"
    first.told("hold")
    assert first.hears() == "in a transaction"
    first.process.send_signal(signal.SIGSTOP)
    if db.engine == "sqlite":  # the file stays locked: nobody can take over, nothing can go wrong
        an_hour_later(db, monkeypatch)
        with pytest.raises(DatabaseLocked):
            take_within(db, "run-2", 0)
        first.told("go")
        first.process.send_signal(signal.SIGCONT)
        assert first.hears() == "wrote"
    else:
        assert take_within(db, "run-2", DEADLINE) is not None
        first.told("go")
        first.process.send_signal(signal.SIGCONT)
        assert first.hears().startswith(("DatabaseLost", "LockLost"))
        assert actions(db) == []


def test_a_lost_session_is_replaced_and_the_lock_kept(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    if db.engine == "sqlite":
        pytest.skip("no sessions")
    beaten, replaced, beat, reconnect = threading.Event(), threading.Event(), locks._Heart._beat, type(db).reconnect

    def beating(heart: locks._Heart) -> None:
        beat(heart)
        if replaced.is_set():
            beaten.set()

    def reconnecting(line: Database) -> None:
        reconnect(line)
        replaced.set()

    monkeypatch.setattr(locks._Heart, "_beat", beating)
    monkeypatch.setattr(type(db), "reconnect", reconnecting)
    with run_lock(db, "run-1", lease_seconds=LEASE):
        db.end_sessions("market-spine run-1")
        assert beaten.wait(DEADLINE), "the heart has a new session"
        rival = db.reopen()
        with pytest.raises(RunLocked):
            take_within(rival, "run-2", 0)
        rival.close()
        with db.transaction():
            db.execute("SELECT 1")


def test_a_session_that_is_just_ending_is_waited_for(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    if db.engine == "sqlite":
        pytest.skip("no sessions")
    ending = db.reopen()
    assert ending.session_lock("run")
    monkeypatch.setattr(clock, "pause", lambda seconds: ending.close())  # it ends while the other waits for it

    assert take_within(db, "run-2", 0) is None, "and then it is ours"


def test_of_many_that_start_together_one_at_a_time_holds_it(db: Database, target: str) -> None:
    inside: list[str] = []
    worst: list[int] = []

    def run(owner: str) -> None:
        mine = connect(target)
        with run_lock(mine, owner, wait_seconds=DEADLINE):
            inside.append(owner)
            worst.append(len(inside))
            with mine.transaction():
                mine.execute("INSERT INTO core_operator_actions (at, actor, action, target) VALUES ('', '', '', ?)", (owner,))
            inside.remove(owner)
        mine.close()

    runs = [threading.Thread(target=run, args=(f"run-{n}",)) for n in range(6)]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join(DEADLINE)

    assert worst == [1] * 6
    assert sorted(actions(db)) == [f"run-{n}" for n in range(6)]


def test_the_fence_rolls_back_what_the_transaction_wrote(db: Database) -> None:
    with pytest.raises(LockLost), run_lock(db, "run-1"):
        rival = db.reopen()
        rival.execute("DELETE FROM core_locks")
        rival.close()
        with db.transaction():
            db.execute("INSERT INTO core_operator_actions (at, actor, action, target) VALUES ('', '', '', 'x')")

    assert actions(db) == []
