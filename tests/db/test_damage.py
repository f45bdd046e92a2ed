"""Damage of every kind is said by name, with the page on recovery; nothing that is damaged is ever unexpected."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.desk import FRIDAYS, REVISED, WEEK, Desk

from market_spine.cli.spine import command
from market_spine.db import Database, connect
from market_spine.db.migrations import prepare
from market_spine.errors import RECOVERY, DamagedDatabase, MarketSpineError
from market_spine.operate.verify import verify

_PAGE = 8192
_TEXTS = (b"finra.otc", b"2025-11-28", b"NMS_TIER", b"2026-01-", b'{"', b"ingest_no", b"sha256")
_HEADER = 100  # bytes; damaged there, a file is no database at all


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with two captures of each tier."""
    folder = tmp_path_factory.mktemp("good")
    db = connect(str(folder / "good.db"))
    prepare(db)
    desk = Desk(folder / "files", db)
    lines = tuple((f"S{number}", "UBSA", "UBS ATS", number, 1) for number in range(1, 400))
    for day, content in zip(FRIDAYS[:2], (lines, (*REVISED, *lines)), strict=True):
        desk.publish_weeks([WEEK], content)
        desk.run(day)
    db.close()
    return (folder / "good.db").read_bytes()


def flipped(content: bytearray, dice: random.Random) -> None:
    content[dice.randrange(_HEADER, len(content))] ^= 1 << dice.randrange(8)


def wiped(content: bytearray, dice: random.Random) -> None:
    start = dice.randrange(_PAGE, len(content)) // _PAGE * _PAGE
    content[start : start + _PAGE] = bytes(_PAGE)


def cut(content: bytearray, dice: random.Random) -> None:
    del content[dice.randrange(_HEADER, len(content)) :]


def overwritten(content: bytearray, dice: random.Random) -> None:
    start = dice.randrange(_HEADER, len(content) - 500)
    content[start : start + 500] = dice.randbytes(500)


def rewritten(content: bytearray, dice: random.Random) -> None:
    """A letter in one of our own texts: the file stays whole, and what it says is wrong."""
    text = dice.choice(_TEXTS)
    places = [at for at in range(len(content)) if content.startswith(text, at)]
    content[dice.choice(places) + dice.randrange(len(text) + 3)] = dice.randrange(32, 127)


def spine(*words: str) -> Result:
    return CliRunner().invoke(command, words)


@pytest.mark.parametrize("damage", [flipped, wiped, cut, overwritten, rewritten], ids=lambda damage: damage.__name__)
def test_damage_is_named_or_harmless(good: bytes, tmp_path: Path, damage: Callable[[bytearray, random.Random], None]) -> None:
    path = str(tmp_path / "spine.db")
    for number in range(8):
        content = bytearray(good)
        damage(content, random.Random(f"{damage.__name__} {number}"))
        Path(path).write_bytes(content)
        for words in (("verify", "--db", path), ("verify", "--deep", "--db", path), ("db", "copy", path, f"{path}.{number}")):
            ended = spine(*words)
            assert isinstance(ended.exception, (MarketSpineError, SystemExit, type(None))), (number, words, ended.exc_info)


def test_verify_names_the_damage_and_the_page_on_recovery(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "spine.db"
    path.write_bytes(good)
    found = "SELECT rootpage FROM sqlite_master WHERE name = 'finra_otc_transparency_volume'"
    with contextlib.closing(connect(str(path))) as db:
        (page,) = db.execute(found).fetchone()
    content = bytearray(good)
    content[(page - 1) * _PAGE : page * _PAGE] = bytes(_PAGE)
    path.write_bytes(content)
    ended = spine("verify", "--db", str(path))
    first, *_, last = ended.stdout.splitlines()
    assert (ended.exit_code, first.startswith(f"{path}: is damaged: "), RECOVERY in last) == (1, True, True)
    copied = spine("db", "copy", str(path), str(tmp_path / "copy.db"))
    assert isinstance(copied.exception, DamagedDatabase)
    assert (str(path) in copied.exception.message, copied.exception.hint) == (True, RECOVERY)


def test_what_a_check_trips_over_is_a_fault_of_its_capture(db: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK])
    desk.run()
    db.execute("UPDATE core_manifest SET metadata_json = '{}' WHERE stage = 'RAW' AND capture_id LIKE '%:OTC:%'")
    (fault,) = verify(db)
    assert (fault.where.split(":")[1], fault.remedy) == ("OTC", RECOVERY)
    assert "KeyError" in fault.what


@pytest.mark.parametrize("engine", ["postgresql"])
@pytest.mark.parametrize("code", ["XX001", "XX002"])
def test_a_page_that_the_server_finds_damaged(db: Database, code: str) -> None:
    with pytest.raises(DamagedDatabase, match="invalid page in block 0") as caught:
        db.execute(f"DO $$ BEGIN RAISE 'invalid page in block 0' USING ERRCODE = '{code}'; END $$")
    assert caught.value.hint == RECOVERY


@pytest.mark.parametrize("engine", ["postgresql"])
def test_what_the_other_engine_refuses_names_the_table(db: Database, target: str, tmp_path: Path) -> None:
    source = connect(str(tmp_path / "source.db"))
    prepare(source)
    source.execute(
        "INSERT INTO core_operator_actions (at, actor, action, target, reason) VALUES ('', 'a' || char(0), '', '', '')"
    )
    source.close()
    ended = spine("db", "copy", str(tmp_path / "source.db"), target)
    assert "cannot hold a row of core_operator_actions" in str(ended.exception)
    assert db.execute("SELECT COUNT(*) FROM core_operator_actions").fetchone() == (0,)
