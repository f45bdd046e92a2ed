"""Captures read ahead by a forked process: the same readings, and nothing lost when the child is."""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
import weekly_files

from market_spine.app import ingest, normalize, reading
from market_spine.app.run import Run
from market_spine.app.source.files import FileSource
from market_spine.captures import Capture
from market_spine.db import Database
from market_spine.errors import DamagedRaw, UnusableContent
from market_spine.partition import Partition

WEEKS = [date(2025, 12, 5) + timedelta(weeks=n) for n in range(6)]


@pytest.fixture
def run(db: Database) -> Run:
    return Run(db, date(2026, 1, 30), datetime(2026, 1, 30, 12, tzinfo=timezone.utc), "test")


@pytest.fixture
def pending(run: Run, tmp_path: Path) -> list[Capture]:
    """Six captures ingested and not normalized; the third one's content is no weekly file."""
    partitions = [Partition(week, "OTC") for week in WEEKS]
    for n, partition in enumerate(partitions):
        weekly_files.write(tmp_path / "files", partition.week, "OTC", weekly_files.lines("OTC", symbols=5 + n))
    (tmp_path / "files" / f"otc_week_{WEEKS[2]}.psv").write_text("<html>Sorry</html>\n")
    source = FileSource(str(tmp_path / "files"), max_bytes=1 << 20)
    for partition in partitions:
        ingest.carry_out(run, ingest.decide(run, source, partition))
    return [capture for partition in partitions for capture in normalize.pending(run, partition)]


def rows(run: Run, pending: list[Capture]) -> list[int | str]:
    """How many rows each capture was read into, or why it was not."""
    found: list[int | str] = []
    for _, answer in reading.readings(run, pending):
        try:
            found.append(len(answer().file.columns.shares))
        except UnusableContent as error:
            found.append(error.category)
    return found


def children() -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]


EXPECTED = [15, 18, "NO_HEADER", 24, 27, 30]


def test_a_forked_reading_equals_one_made_here(run: Run, pending: list[Capture]) -> None:
    assert rows(run, pending) == EXPECTED
    assert [rows(run, [capture])[0] for capture in pending] == EXPECTED


def test_batches_are_bounded(run: Run, pending: list[Capture], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_BATCH_BYTES", 1)
    assert rows(run, pending) == EXPECTED


@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP, None], ids=["killed", "stopped", "hanging"])
def test_a_child_that_dies_or_hangs_costs_nothing_but_time(
    run: Run, pending: list[Capture], monkeypatch: pytest.MonkeyPatch, fate: signal.Signals | None
) -> None:
    here, read = os.getpid(), reading.read

    def hang_in_the_child(order: reading.Order) -> reading.Reading:
        while os.getpid() != here:
            signal.pause()
        return read(order)

    monkeypatch.setattr(reading, "read", hang_in_the_child)
    monkeypatch.setattr(reading, "_PATIENCE_SECONDS", 0.2)
    before = set(children())
    found: list[int | str] = []
    for n, (_, answer) in enumerate(reading.readings(run, pending)):
        if n == 0 and fate:
            (child,) = [pid for pid in children() if pid not in before and _is_fork(pid)]
            os.kill(child, fate)
        try:
            found.append(len(answer().file.columns.shares))
        except UnusableContent as error:
            found.append(error.category)
    assert found == EXPECTED


def _is_fork(pid: int) -> bool:
    """Whether it is a copy of this very process and not a program that it started."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == Path("/proc/self/cmdline").read_bytes()
    except OSError:
        return False


def test_no_child_is_left(run: Run, pending: list[Capture]) -> None:
    before = children()
    answers = reading.readings(run, pending)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert [pid for pid in children() if pid not in before and _is_fork(pid)] == []


def test_bytes_stored_by_this_very_run_are_not_hashed_again_and_others_are(run: Run, pending: list[Capture]) -> None:
    capture = pending[0]
    with run.db.transaction():
        run.db.execute(
            """
            UPDATE finra_otc_transparency_raw SET content =
                (SELECT content FROM finra_otc_transparency_raw WHERE content_hash = ?) WHERE content_hash = ?
            """,
            (pending[1].content_hash, capture.content_hash),
        )
    assert len(reading.read_here(run, capture).file.columns.shares) == EXPECTED[1]
    run.stored.clear()
    with pytest.raises(DamagedRaw, match="do not hash to their name"):
        reading.read_here(run, capture)
