"""Every example of the Python API is run on both engines: those of the docstrings, of the pages, and the notebooks."""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import make_python_reference
from stand_ins.postgres_server import Databases
from support import page_desks, pages
from support.page_desks import Desks

import market_spine
from market_spine import clock, python
from market_spine import db as databases
from market_spine.db import copy as db_copy

PAGES = ("README.md", "docs/python.md")
NOTEBOOKS = ("venue_share_trend", "hhi_restatement", "backtest")
FOLDER, PICTURES = pages.ROOT / "docs" / "notebooks", pages.ROOT / "docs" / "pictures"
NAMED = '"data/market_spine.db"'  # as the examples open it
RULES = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory, _databases: Databases) -> Iterator[dict[str, str]]:
    """The database of the documentation on both engines."""
    path, url = Desks(tmp_path_factory.mktemp("desks")).database(page_desks.SQL_DESK), _databases.create()
    with contextlib.closing(databases.connect(str(path))) as sqlite, contextlib.closing(databases.connect(url)) as postgres:
        db_copy.copy(sqlite, postgres, clock.utc_now())
    yield {"sqlite": str(path), "postgresql": url}
    _databases.drop(url)


def faults(text: str, name: str, target: str) -> str:
    """What the examples in a text print otherwise than they say."""
    names = {"market_spine": market_spine, "store": market_spine.open(target)}
    example = doctest.DocTestParser().get_doctest(text.replace(NAMED, repr(target)), names, name, None, 0)
    report = io.StringIO()
    doctest.DocTestRunner(optionflags=RULES).run(example, out=report.write)
    return report.getvalue()


def documented() -> Iterator[tuple[str, str]]:
    for made in (python.open, python.Store, python.Query, python.Result, python.Provenance):
        yield made.__name__, made.__doc__ or ""
        public = ((name, member) for name, member in vars(made).items() if callable(member) and not name.startswith("_"))
        yield from ((f"{made.__name__}.{name}", member.__doc__ or "") for name, member in public)


def test_the_examples_of_the_docstrings_and_pages_print_what_they_say(engine: str, targets: dict[str, str]) -> None:
    texts = dict(documented()) | {
        name: "\n\n".join(block.text + "\n" for block in pages.page(name).of("python") if ">>>" in block.text) for name in PAGES
    }
    without = [name for name, text in texts.items() if ">>>" not in text]
    assert without == ["Store", "Query", "Provenance"]
    assert [fault for name, text in texts.items() if (fault := faults(text, name, targets[engine]))] == []


def test_a_wrong_example_is_noticed(targets: dict[str, str]) -> None:
    assert "Expected:\n    7" in faults(">>> len(store.hhi(tier='OTC').latest())\n7\n", "x", targets["sqlite"])


def test_both_engines_give_equal_frames(targets: dict[str, str]) -> None:
    for measure in ("venue_share", "hhi", "volume", "weeks"):
        tables = [getattr(market_spine.open(target), measure)(tier="OTC").all_releases().to_arrow() for target in targets.values()]
        assert tables[0].equals(tables[1]) and tables[0].num_rows > 0, measure
    rolling = [market_spine.open(t).rolling("venue_share", not_ready="include").latest().to_arrow() for t in targets.values()]
    assert rolling[0].equals(rolling[1])


def test_the_notebooks_run_and_draw_the_pictures_of_the_page(
    engine: str, targets: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MARKET_SPINE_DB", targets[engine])
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.chdir(tmp_path)
    for name in NOTEBOOKS:
        runpy.run_path(str(FOLDER / f"{name}.py"))
        picture = (tmp_path / f"{name}.svg").read_text("utf-8")
        if os.environ.get("MARKET_SPINE_WRITE_DOCS") == "1":
            (PICTURES / f"{name}.svg").write_text(picture, "utf-8")
        assert (PICTURES / f"{name}.svg").read_text("utf-8") == picture, name
    assert "2025-12-26: known is the week ending 2025-12-05" in capsys.readouterr().out


def test_every_notebook_is_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == {*NOTEBOOKS, "svg"}


def test_the_page_of_the_python_api_is_the_one_the_docstrings_make() -> None:
    stale = "docs/python-api.md is not up to date: python scripts make_python_reference"
    assert make_python_reference.PAGE.read_text("utf-8") == make_python_reference.render(), stale
