"""Where a backup goes: a folder is a folder, whatever its name looks like."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from market_spine.db import connect
from market_spine.db.migrations import prepare
from market_spine.operate.backup import back_up


def test_a_folder_with_the_name_of_a_url_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite takes a name that begins with `file:` for a URL, and would write /elsewhere."""
    monkeypatch.chdir(tmp_path)
    store = connect("spine.db")
    prepare(store)
    store.close()
    made = back_up("spine.db", Path("file:/elsewhere"), datetime(2026, 1, 9, tzinfo=timezone.utc), 2, lambda done, total: None)
    assert (tmp_path / "file:" / "elsewhere" / made.path.name).stat().st_size == made.size
