"""The progress line as text; on a real terminal, what a server says at its start."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pytest
from support.commands import RunCommand

from market_spine.cli.progress import line
from market_spine.db import Database
from market_spine.db.copy import copy


@pytest.mark.parametrize(
    ("unit", "done", "total", "seconds", "text"),
    [
        pytest.param("rows", 500, 1000, 5, "500 of 1,000 rows, 100/s, 5 s left", id="half"),
        pytest.param("bytes", 6 << 20, 24 << 20, 3, "6 MB of 24 MB, 2 MB/s, 9 s left", id="bytes"),
        pytest.param("weeks", 1, 60, 20, "1 of 60 weeks, 20 min left", id="slow"),
        pytest.param("rows", 19, 2000, 5, "19 of 2,000 rows, 4/s", id="too early for a guess"),
        pytest.param("files", 0, 10, 2, "0 of 10 files", id="nothing yet"),
        pytest.param("files", 10, 10, 2, "10 of 10 files, 5/s", id="all"),
    ],
)
def test_the_line_says_how_much_how_fast_and_how_long(unit: str, done: int, total: int, seconds: float, text: str) -> None:
    words = line("copy", unit, done, total, seconds).split(" ", 2)
    assert (words[0], len(words[1]), words[2]) == ("copy", 16, text)


def test_the_rows_of_years_fit_80_columns() -> None:
    assert len(line("verify", "rows", 99_849_436, 99_849_437, 600)) < 80


def test_a_copy_counts_each_row_when_it_is_written_and_when_it_is_verified(db: Database, tmp_path: Path) -> None:
    from market_spine.core.anomalies import record_anomaly
    from market_spine.db import connect

    for number in range(3):
        record_anomaly(db, domain="x", severity="WARN", category="RAISED", message=str(number))
    seen: list[tuple[int, int]] = []
    new = connect(str(tmp_path / "new.db"))
    copied = copy(db, new, db.now(), lambda done, total: seen.append((done, total)))
    new.close()
    rows = sum(table.rows for table in copied)
    assert rows >= 3
    assert seen[-1] == (2 * rows, 2 * rows)


def test_a_worker_says_on_a_terminal_what_it_does(target: str, run_command: RunCommand) -> None:
    assert run_command("spine", "worker", "--drain", "--db", target).stderr.startswith('{"time": ')
    main, other = pty.openpty()
    script = "import os, sys; os.dup2(int(sys.argv[1]), 2); from market_spine.cli.spine import main; main(sys.argv[2:])"
    pid = os.posix_spawn(
        sys.executable, [sys.executable, "-c", script, str(other), "worker", "--drain", "--db", target],
        {**os.environ, "TERM": "xterm"}, file_actions=[(os.POSIX_SPAWN_DUP2, other, other)],
    )
    _, status = os.waitpid(pid, 0)
    os.close(other)
    said = " ".join(os.read(main, 65536).decode().split())
    os.close(main)
    assert os.waitstatus_to_exitcode(status) == 0, said
    assert "Working on the queue of " in said and "until nothing is due." in said
    assert '{"time"' not in said
