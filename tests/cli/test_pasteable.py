"""A suggested command carries what was given on this command line, as far as that command takes it."""

from __future__ import annotations

import pytest

from market_spine.cli import weekly
from market_spine.cli.commands import pasteable

CARRIED = [
    ("spine backfill --from 2026-01-02", "spine backfill --from 2026-01-02 --db 'my db' --source file --data-dir f"),
    ("spine doctor --fix", "spine doctor --fix --db 'my db' --source file --data-dir f"),
    ("spine status", "spine status --db 'my db'"),
    ("spine db migrate", "spine db migrate --db 'my db'"),
    ("spine status --db other", "spine status --db other"),
    ("spine calendar", "spine calendar"),
    ("run_finra_weekly_schedule --force", "run_finra_weekly_schedule --force --db 'my db' --source file --data-dir f"),
    ("pg_restore --clean copy", "pg_restore --clean copy"),
]


@pytest.mark.parametrize(("command", "pasted"), CARRIED, ids=[command for command, _ in CARRIED])
def test_a_suggestion_carries(command: str, pasted: str) -> None:
    given = ["--db", "my db", "--source", "file", "--data-dir", "f"]
    with weekly.command.make_context("run_finra_weekly_schedule", given):
        assert pasteable(command) == pasted


def test_nothing_is_carried_that_was_not_given() -> None:
    with weekly.command.make_context("run_finra_weekly_schedule", []):
        assert pasteable("spine backfill --from 2026-01-02") == "spine backfill --from 2026-01-02"


def test_what_archived_files_were_observed_on_is_carried_or_they_would_be_loaded_as_of_today() -> None:
    with weekly.command.make_context("run_finra_weekly_schedule", ["--as-observed-on", "2026-01-09", "--data-dir", "old"]):
        assert pasteable("spine backfill --weeks 2025-12-05").endswith(" --data-dir old --as-observed-on 2026-01-09")
        assert pasteable("spine doctor --fix") == "spine doctor --fix --data-dir old"
