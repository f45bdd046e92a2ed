"""Readers between any two transactions of a run that holds a capture, killed or not. For hours: `python scripts held_reads`."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.desk import FRIDAYS, PLAIN, WEEK, Desk
from torture.held_reads import wrong

from market_spine.db import Database
from market_spine.partition import OTC
from market_spine.query import history

KILLED_AT = (2, 4, 6, 8, 10, 12)  # of the moments at which a transaction begins or is about to commit


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """A current capture, and a file that a gate holds."""
    made = Desk(tmp_path / "files", db)
    made.publish(WEEK, OTC)
    made.run(FRIDAYS[0], tiers=(OTC,))
    made.publish(WEEK, OTC, PLAIN[:1])
    return made


@pytest.fixture
def look(desk: Desk) -> Iterator[Callable[[], list[str]]]:
    """Another process's look at what is current."""
    content = (desk.folder / f"otc_week_{WEEK}.psv").read_bytes()
    held = frozenset({hashlib.sha256(content).hexdigest()})
    with contextlib.closing(desk.db.reopen()) as other:
        yield lambda: wrong(other, held)


def test_no_reader_sees_what_is_held(desk: Desk, look: Callable[[], list[str]]) -> None:
    seen: list[list[str]] = []
    desk.db.guard = lambda: seen.append(look())
    assert desk.run(FRIDAYS[1], tiers=(OTC,)).exit_code == 1
    assert len(seen) >= max(KILLED_AT)
    assert [each for each in (*seen, look()) if each] == []


@pytest.mark.parametrize("moment", KILLED_AT)
def test_nor_where_the_run_is_killed(desk: Desk, look: Callable[[], list[str]], moment: int) -> None:
    left = moment

    def guard() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Killed

    desk.db.guard = guard
    with pytest.raises(Killed):
        desk.run(FRIDAYS[1], tiers=(OTC,))
    desk.db.guard = None
    assert look() == []
    desk.run(FRIDAYS[1], tiers=(OTC,))
    assert (look(), [entry.state for entry in history.list_captures(desk.db, WEEK, (OTC,))]) == ([], ["current", "held"])


def test_a_held_capture_that_is_current_is_noticed(desk: Desk, look: Callable[[], list[str]]) -> None:
    desk.run(FRIDAYS[1], tiers=(OTC,))
    desk.db.execute("UPDATE finra_otc_transparency_capture SET held_at = NULL")
    assert len(look()) == 1
