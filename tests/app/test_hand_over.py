"""What normalize hands to calc: the measures it has at hand, so that no row is read back; with or without, the same database."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from support import database_picture
from support.schedules import schedule

from market_spine.app import context as runs
from market_spine.app.source.files import FileSource
from market_spine.db import Database, connect
from market_spine.db.migrations import prepare

FIXTURES = Path(__file__).resolve().parents[2] / "data" / "fixtures" / "finra_otc"


@pytest.mark.parametrize("limit", [0, 50], ids=["nothing kept", "a few kept"])
def test_what_is_not_handed_over_is_read_back_and_measured_alike(
    db: Database, new_target: str, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    source = FileSource(str(FIXTURES), max_bytes=1 << 20)
    schedule(db, source, date(2026, 1, 9))
    with closing(connect(new_target)) as other:
        prepare(other)
        monkeypatch.setattr(runs, "_HAND_OVER_SYMBOLS", limit)
        schedule(other, source, date(2026, 1, 9))
        assert database_picture.views(other) == database_picture.views(db)
