"""The two engines' schemas are one schema, and every statement of ours fits it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import sql_texts
from support.commands import RunCommand

import market_spine
from market_spine import db as databases
from market_spine.db import Database, migrations

SOURCE = Path(market_spine.__file__).parent
VERBS = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH ")


def shape(db: Database) -> dict[str, list[str]]:
    """Every table and view with its columns."""
    views = "SELECT name FROM sqlite_master WHERE type = 'view'"
    if db.engine == "postgresql":
        views = "SELECT viewname FROM pg_views WHERE schemaname = current_schema()"
    shapes = dict(db.tables())
    for (name,) in db.execute(views).fetchall():
        cursor = db.execute(f"SELECT * FROM {name} LIMIT 0")
        shapes[name] = [column[0] for column in cursor.description]  # type: ignore[attr-defined]
    return shapes


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_both_engines_end_with_the_same_tables_columns_and_views(db: Database, tmp_path: Path) -> None:
    sqlite = databases.connect(str(tmp_path / "beside.db"))
    migrations.prepare(sqlite)
    assert shape(db) == shape(sqlite)
    assert len(shape(db)) > 30
    sqlite.close()


def test_both_engines_count_the_same_migrations() -> None:
    numbered = [[(m.number, m.name) for m in migrations.migrations(engine)] for engine in ("sqlite", "postgresql")]
    assert numbered[0] == numbered[1]
    assert [number for number, _ in numbered[0]] == list(range(1, len(numbered[0]) + 1))


def literals() -> Iterator[tuple[str, str]]:
    """Every SQL text in the source, with the place it stands."""
    for path in sorted(SOURCE.rglob("*.py")):
        for line, text in sql_texts.texts(ast.parse(path.read_text("utf-8"))):
            if text.strip().startswith(VERBS):
                yield f"{path.relative_to(SOURCE)}:{line}", text.strip()


ONE_ENGINE = {
    "sqlite": ("pg_", "information_schema", "to_regclass", "FOR KEY SHARE", "FOR UPDATE"),
    "postgresql": ("sqlite_master", "pragma_"),
}


def test_every_statement_can_be_planned(db: Database) -> None:
    planned = 0
    for place, text in literals():
        if any(word in text for word in ONE_ENGINE[db.engine]) or "{}" in text or not _is_whole(text):
            continue
        try:
            db.execute("EXPLAIN " + text.replace("?", "NULL")).fetchall()
        except Exception as error:
            pytest.fail(f"{place}: {error}\n{text}")
        planned += 1
    assert planned >= 30


def _is_whole(text: str) -> bool:
    """A piece of an f-string, or of a text that Python joins, is no statement."""
    return (
        text.upper().startswith(("SELECT", "WITH"))
        and " FROM " in " ".join(text.split())
        and not text.endswith(("FROM", "(", "IN"))
    ) or (text.startswith(("INSERT", "UPDATE", "DELETE")) and len(text.split()) > 4)


def test_a_migration_that_has_landed_is_never_edited() -> None:
    landed, present = migrations.landed(), migrations.digests()
    assert {name: present.get(name) for name in landed} == landed, "change the schema in a new file"
    newest = max(present)[:4]
    assert {name for name in present if name not in landed and not name.startswith(newest)} == set(), "scripts/land_migrations.py"


def test_landing_adds_new_files_and_refuses_an_edited_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import land_migrations

    monkeypatch.setattr(migrations, "SCHEMA", tmp_path)
    monkeypatch.setattr(land_migrations, "SCHEMA", tmp_path)
    (tmp_path / "digests.txt").touch()
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE one (n INTEGER);")
    assert land_migrations.main() == 0
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE two (n INTEGER);")
    assert land_migrations.main() == 0
    assert list(migrations.landed()) == ["0001_first.sql", "0002_second.sql"]
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE one (n TEXT);")
    before = (tmp_path / "digests.txt").read_text()
    assert (land_migrations.main(), (tmp_path / "digests.txt").read_text()) == (1, before)
    assert "0001_first.sql has landed and was edited since" in capsys.readouterr().err


def test_a_database_remembers_the_digest_of_each_migration(db: Database) -> None:
    kept = dict(db.execute("SELECT number, digest FROM core_migrations").fetchall())
    assert kept == {migration.number: migration.digest for migration in migrations.migrations(db.engine)}


EDITED = [
    pytest.param(("run_finra_weekly_schedule", "--data-dir", "."), id="the weekly run"),
    pytest.param(("run_finra_weekly_schedule", "--data-dir", ".", "--mode", "dry-run"), id="a dry run"),
    pytest.param(("spine", "status"), id="status"),
    pytest.param(("spine", "backfill", "--from", "2025-12-26", "--to", "2025-12-26", "--data-dir", "."), id="backfill"),
    pytest.param(("spine", "db", "migrate"), id="migrate"),
    pytest.param(("spine", "worker", "--drain", "--log-format", "text"), id="a worker"),
]


@pytest.mark.parametrize("command", EDITED)
def test_a_program_whose_migration_was_edited_refuses_the_database_by_name(
    run_command: RunCommand, target: str, db: Database, command: tuple[str, ...]
) -> None:
    db.execute("UPDATE core_migrations SET digest = 'another' WHERE number = 2")
    done = run_command(*command, "--db", target)
    assert (done.exit_code, "another text of 0002_views.sql" in done.stderr) == (2, True), done.stderr


def test_a_database_without_digests_is_accepted_and_filled_at_the_next_migrate(
    run_command: RunCommand, target: str, db: Database
) -> None:
    db.execute("ALTER TABLE core_migrations DROP COLUMN digest")
    migrations.check_schema(db)
    done = run_command("spine", "db", "migrate", "--db", target)
    assert (done.exit_code, "is at schema" in done.stdout) == (0, True), done.stderr
    other = db.reopen()
    test_a_database_remembers_the_digest_of_each_migration(other)
    other.close()
