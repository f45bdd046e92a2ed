"""What is suggested where a capture is held: first why, then the choices; nothing that is pasted makes a bad capture current."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from support.commands import run_here
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk

from market_spine.db import Database
from market_spine.partition import OTC

EXPLAIN = f"spine gates explain {WEEK} {OTC}"
FETCH = f"spine backfill --weeks {WEEK} --tiers {OTC}"


@pytest.fixture
def held(db: Database, tmp_path: Path) -> Desk:
    """A week of which the restatement of a tier is far too small."""
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK], PLAIN)
    desk.run(FRIDAYS[0], [WEEK])
    desk.publish(WEEK, OTC, PLAIN[:1])
    desk.run(FRIDAYS[1], [WEEK])
    return desk


def test_the_way_from_the_card_to_a_good_file(held: Desk, target: str, tmp_path: Path) -> None:
    def typed(command: str, *more: str) -> tuple[int, list[str]]:
        ended = run_here([*shlex.split(command), *more, "--db", target], tmp_path, {"MARKET_SPINE_RUN_DATE": str(FRIDAYS[1])})
        assert not ended.stderr, ended
        return ended.exit_code, ended.stdout.splitlines()

    for look in ("card", "status --weeks 8", "doctor --weeks 8", "anomalies --unresolved"):
        assert typed(f"spine {look}")[1][-1].startswith(f"next: {EXPLAIN}"), look
    _, lines = typed(EXPLAIN)
    assert lines[-2].startswith(f'  spine release {WEEK} {OTC} --reason "FINRA confirmed the figures"')
    assert lines[-1].startswith(f"next: {FETCH}")
    folder = ("--data-dir", str(held.folder))
    code, lines = typed(FETCH, *folder)
    assert (code, lines[-1].startswith(f"next: {EXPLAIN}")) == (1, True), "the source shows the same file"
    held.publish(WEEK, OTC, REVISED)
    assert typed(FETCH, *folder)[0] == 0
    assert str(WEEK) not in typed("spine status --weeks 8")[1][-1]
