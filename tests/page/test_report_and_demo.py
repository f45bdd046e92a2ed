"""The pages as files: complete in themselves; and the demonstration: of the shipped files, in a wheel too."""

from __future__ import annotations

import contextlib
import io
import zipfile
from importlib.resources import files as resources
from pathlib import Path

import pytest
from fixtures.shipped_fixtures import shipped
from pages.demonstration import Seen
from support.commands import RunCommand

from market_spine.db import connect
from market_spine.operate import audit
from market_spine.page import demo


def test_a_report_is_whole_and_relative(sqlite_demo: str, tmp_path: Path, run_command: RunCommand) -> None:
    out = tmp_path / "report"
    arguments = ("--out", str(out), "--db", sqlite_demo, "--run-date", str(demo.DAY), "--symbols", "BRK.B,CLVRw")
    done = run_command("spine", "report", *arguments, "--last", "8")
    assert done.exit_code == 0, done.stderr
    pages = [*out.rglob("*.html")]
    assert f"{len(pages):,} pages in {out}; open {out}/index.html\n" == done.stdout
    for page in pages:
        for link in set(Seen(page.read_text("utf-8")).links) - {"#main"}:
            assert "://" not in link and not link.startswith("/"), (page, link)
            assert (page.parent / link).resolve().is_file(), (page, link)
    assert (out / "weeks" / "2025-12-26" / "NMS_TIER_1.html").is_file()
    assert (out / "symbols" / "BRK.B.html").is_file()
    assert "As of" not in (out / "index.html").read_text("utf-8")
    again = run_command("spine", "report", *arguments)
    assert (again.exit_code, "is not empty" in again.stderr) == (2, True)


@pytest.mark.parametrize(("name", "why"), [("x" * 300, "File name too long"), ("file/below", "Not a directory")])
def test_a_folder_that_cannot_be_written_is_one_line(
    sqlite_demo: str, tmp_path: Path, run_command: RunCommand, name: str, why: str
) -> None:
    (tmp_path / "file").write_text("")
    done = run_command("spine", "report", "--out", tmp_path / name, "--db", sqlite_demo, "--run-date", str(demo.DAY))
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == f"Error: cannot write to {tmp_path / name}: {why}. Try: choose a writable --out"


def test_a_report_of_a_past_day_says_so(sqlite_demo: str, tmp_path: Path, run_command: RunCommand) -> None:
    out = tmp_path / "report"
    done = run_command("spine", "report", "--out", str(out), "--db", sqlite_demo, "--as-of", "2026-01-16", "--last", "1", "--json")
    assert done.exit_code == 0, done.stderr
    assert "As of 2026-01-16" in (out / "index.html").read_text("utf-8")


def test_the_packed_files_are_the_shipped_ones() -> None:
    with zipfile.ZipFile(io.BytesIO((resources("market_spine.page") / demo.FILES).read_bytes())) as packed:
        assert {f"fixtures/{name}": packed.read(name) for name in packed.namelist()} == shipped()


@pytest.mark.parametrize("name", ["sqlite_demo", "postgres_demo"])
def test_the_demonstration_is_a_whole_store(name: str, request: pytest.FixtureRequest) -> None:
    with contextlib.closing(connect(request.getfixturevalue(name))) as db:
        assert not audit.verify(db, []).faults
