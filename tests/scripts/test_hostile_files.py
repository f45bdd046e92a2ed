"""Three hundred damaged files: never a crash, a hang, a traceback, or a wrong current capture. 10,000: `python scripts hostile_files`."""

from __future__ import annotations

import gzip
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.hostile_files import GOOD, Desk, hostile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import weekly_files

from market_spine.db import Database

WEEK = "2025-12-26"
RUN = [sys.executable, "-m", "market_spine.cli.weekly"]
MEGABYTES = 1 << 20


def test_a_hundred_mutated_files() -> None:
    verdicts = hostile(100, seed=3)

    assert verdicts.wrong == []
    assert verdicts.accepted > 10, "most mutations of one field leave a file that is mostly right"
    assert verdicts.exit_codes[2] > 20


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    yield Desk(tmp_path_factory.mktemp("hostile"))


LINES = GOOD.split(b"\n")
FIELD = st.one_of(st.binary(max_size=30), st.text(max_size=30).map(str.encode), st.sampled_from(LINES[1].split(b"|")))
LINE = st.one_of(st.sampled_from(LINES), st.lists(FIELD, min_size=6, max_size=10).map(b"|".join))
FILE = st.one_of(st.binary(max_size=400), st.lists(LINE, max_size=400).map(lambda lines: b"\n".join([LINES[0], *lines])))


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@given(content=FILE)
def test_fifty_files_that_hypothesis_makes(desk: Desk, content: bytes) -> None:
    assert desk.offer(content) is None


def test_it_notices_what_is_wrong(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge is worth something: a reader that loses a line, or changes a figure, is found out."""
    from market_spine.parse import columns, weekly_file

    read = weekly_file.read
    revised = GOOD.replace(b"|2026-01-20", b"|2026-02-01").replace(b"Common", b"Ordinary")
    assert desk.offer(revised) is None
    monkeypatch.setattr(
        weekly_file, "read", lambda blocks, partition: read(iter([b"".join(blocks).rpartition(b"\n")[0]]), partition)
    )
    monkeypatch.setattr(columns, "whole_or_fraction", lambda micro: micro / 1e6)
    wrong = desk.offer(revised.rstrip(b"\n"))
    assert wrong is not None and "accounted for" in wrong


def run_within(memory: int, target: Path, folder: Path, *more: str) -> tuple[int, str]:
    """Exit code and stderr of a run of one week's OTC tier, to which the system gives no more memory than this for its data."""
    command = [*RUN, "--db", str(target), "--data-dir", str(folder), "--weeks", WEEK, "--tiers", "OTC", *more]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (memory, memory)),
    )
    return done.returncode, done.stderr


def bomb(folder: Path) -> Path:
    """Two gigabytes of zeros in two megabytes."""
    path = folder / f"otc_week_{WEEK}.psv.gz"
    with path.open("wb") as file:
        one = gzip.compress(bytes(256 * MEGABYTES), 9)
        for _ in range(8):  # members one after the other are one stream
            file.write(one)
    return path


def lines_of_ten_megabytes(folder: Path) -> Path:
    long = b"OTC|AAAA|" + b"x" * (10 * MEGABYTES) + b"|V|V|1|1|2026-01-26\n"
    path = weekly_files.write(folder, WEEK, "OTC")
    with path.open("ab") as file:
        file.write(long * 3)
    return path


def blank_lines(folder: Path) -> Path:
    path = weekly_files.write(folder, WEEK, "OTC")
    with path.open("ab") as file:
        file.write(b"\n" * (20 * MEGABYTES))
    return path


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (bomb, "SOURCE_TOO_LARGE: {path} holds more than 32 MB; raise --max-file-mb if this is right"),
        (lines_of_ten_megabytes, "LINE_TOO_LONG: a line is longer than 1 MB"),
        (blank_lines, "Normalized 30 rows"),
    ],
    ids=["a gzip bomb", "lines of 10 MB", "20 million blank lines"],
)
def test_memory_is_bounded_by_the_size_cap(tmp_path: Path, make: object, said: str) -> None:
    (tmp_path / "files").mkdir()
    path = make(tmp_path / "files")  # type: ignore[operator]
    code, stderr = run_within(600 * MEGABYTES, tmp_path / "spine.db", tmp_path / "files", "--max-file-mb", "32")
    assert said.format(path=path) in stderr
    assert ("Traceback" in stderr, code in (0, 1, 2)) == (False, True)


NAMES = ["'); DROP TABLE core_manifest; --", '"; DELETE FROM core_locks; --', "%s %d {} ?", "\\N", "=HYPERLINK(1)", "a\\tb", "$1"]


def test_what_looks_like_sql_is_stored_as_it_stands(db: Database, target: str, tmp_path: Path) -> None:
    rows = [f"OTC|S{n}|{name}|{name}|M{n}|100|1|2026-01-26" for n, name in enumerate(NAMES)]
    weekly_files.write(tmp_path / "files", WEEK, "OTC", rows)
    command = [*RUN, "--db", target, "--data-dir", str(tmp_path / "files"), "--weeks", WEEK, "--tiers", "OTC"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = db.execute("SELECT issue_name, venue_name FROM finra_otc_transparency_normalized_latest ORDER BY symbol").fetchall()
    assert [tuple(row) for row in shown] == [(name, name) for name in NAMES]
    assert db.has_table("core_manifest")


def test_a_figure_beyond_all_bounds_is_judged_like_any_other(desk: Desk) -> None:
    """Python could not even multiply the first of these; both are rejects, and the other lines become rows."""
    fields = GOOD.split(b"\n")[1].split(b"|")
    for figure in (b"1e99912345", b"9" * 400):
        line = b"|".join(figure if field == fields[5] else field for field in fields)
        assert desk.offer(GOOD.replace(b"Common", b"Ordinary") + line + b"\n") is None
