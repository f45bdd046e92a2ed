"""What keeps a content from becoming current: each decision by itself, and what a run makes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from support import weekly_files
from support.desk import FRIDAYS, WEEK, Desk

from market_spine.app import refusals
from market_spine.app.context import Limits
from market_spine.app.refusals import MOST_UNITS
from market_spine.db import Database
from market_spine.errors import UnusableContent
from market_spine.gates.figures import Seen, of_file
from market_spine.gates.judge import judge
from market_spine.gates.past import Past
from market_spine.gates.verdict import Verdict
from market_spine.measure.firm_totals import Checked
from market_spine.operate import rollback
from market_spine.parse import weekly_file
from market_spine.parse.weekly_file import WeeklyFile
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, Partition

MONDAY_OF = {NMS_TIER_1: "2025-12-15", NMS_TIER_2: "2025-12-29", OTC: "2025-12-29"}


@pytest.mark.parametrize(
    ("tier", "newest", "refused"),
    [
        (NMS_TIER_1, "2025-12-14", True),
        (NMS_TIER_1, "2025-12-15", False),
        (NMS_TIER_1, "2025-12-16", False),
        (NMS_TIER_1, "2026-05-01", False),
        (NMS_TIER_2, "2025-12-28", True),
        (NMS_TIER_2, "2025-12-29", False),
        (OTC, "2025-12-22", True),
        (OTC, "2025-12-29", False),
        (OTC, None, False),
    ],
    ids=["T1 before", "T1 on the day", "T1 a day after", "T1 revised", "T2 before", "T2 on the day", "OTC before", "OTC on the day", "no dates"],
)
def test_dates_before_the_weeks_own_publication_are_refused(tier: str, newest: str | None, refused: bool) -> None:
    assert held(seen_of(newest_date=newest), Past(), Partition(WEEK, tier)) == (["TOO_EARLY"] if refused else [])


def file_of(*figures: tuple[int, int]) -> WeeklyFile:
    rows = [f"OTC|S{n}|S{n} Inc.|UBS ATS|UBSA|{shares}|{trades}|{MONDAY_OF[OTC]}" for n, (shares, trades) in enumerate(figures)]
    return weekly_file.read(["\n".join([weekly_files.HEADER, *rows, ""]).encode()], Partition(WEEK, OTC))


LARGEST = 9 * 10**12


@pytest.mark.parametrize(
    ("figures", "refused"),
    [
        ([(5 * 10**12, 1)] * 2, False),
        ([(LARGEST, 1)] * 3 + [(MOST_UNITS - 3 * LARGEST, 1)], False),
        ([(LARGEST, 1)] * 3 + [(MOST_UNITS - 3 * LARGEST + 1, 1)], True),
        ([(1, LARGEST)] * 4, True),
    ],
    ids=["beyond 64 bits of millionths", "just enough", "a share too many", "trades"],
)
def test_sums_that_cannot_be_kept_exactly_are_refused(figures: list[tuple[int, int]], refused: bool) -> None:
    assert category(lambda: refusals.check_sums(file_of(*figures))) == ("SUM_TOO_LARGE" if refused else "")


def test_another_partitions_content_is_held_with_its_name() -> None:
    assert held(seen_of(), Past(), Partition(WEEK, OTC)) == []
    judged = judge(seen_of(), Partition(WEEK, OTC), Past(twin=Partition(WEEK, OTC)), Limits()).judgement
    assert judged.sentence == "the content is that of 2025-11-28 / OTC, byte for byte."
    assert "spine rollback 2025-11-28 OTC --reason" in judged.hint


def seen_of(newest_date: str | None = None) -> Seen:
    """The figures of a small file."""
    seen = of_file(file_of((100, 1), (50, 2)), Checked())
    return seen._replace(figures=replace(seen.figures, newest_date=newest_date))


def held(seen: Seen, past: Past, partition: Partition) -> list[str]:
    """The categories of the gates that hold it."""
    return [result.category for result in judge(seen, partition, past, Limits()).judgement.of(Verdict.HOLD)]


def category(check: object) -> str:
    try:
        check()  # type: ignore[operator]
    except UnusableContent as error:
        return error.category
    return ""


def states(db: Database) -> tuple[set[str], list[str]]:
    """The weeks that are current, and the categories that stand open."""
    current = {row[0] for row in db.execute("SELECT week_ending FROM finra_otc_transparency_current").fetchall()}
    rows = db.execute("SELECT category FROM core_anomalies WHERE resolved_at IS NULL AND severity = 'ERROR'").fetchall()
    return current, [row[0] for row in rows]


def put_last_weeks_file(desk: Desk, week: date) -> None:
    (desk.folder / f"otc_week_{week}.psv").write_bytes((desk.folder / f"otc_week_{week - timedelta(weeks=1)}.psv").read_bytes())


def test_last_weeks_file_under_this_weeks_name_is_kept_and_not_current(db: Database, tmp_path: Path) -> None:
    desk, next_week = Desk(tmp_path / "files", db), WEEK + timedelta(weeks=1)
    desk.publish(WEEK, OTC)
    put_last_weeks_file(desk, next_week)
    desk.run(FRIDAYS[0], [WEEK, next_week], [OTC])
    assert states(db) == ({str(WEEK)}, ["SAME_CONTENT"])
    desk.publish(next_week, OTC)
    desk.run(FRIDAYS[1], [WEEK, next_week], [OTC])
    assert states(db) == ({str(WEEK), str(next_week)}, [])


def test_a_file_first_taken_under_a_wrong_name_is_taken_under_its_own_once_that_is_withdrawn(
    db: Database, tmp_path: Path
) -> None:
    desk, later = Desk(tmp_path / "files", db), WEEK + timedelta(weeks=1)
    right = desk.publish(later, OTC)
    wrong = desk.folder / f"otc_week_{WEEK}.psv"
    wrong.write_bytes(right.read_bytes())
    right.unlink()
    desk.run(FRIDAYS[0], [WEEK], [OTC])
    wrong.rename(right)
    desk.run(FRIDAYS[1], [later], [OTC])
    assert states(db) == ({str(WEEK)}, ["SAME_CONTENT"])
    rollback.roll_back(desk.context(FRIDAYS[1]), WEEK, [OTC], "another week under its name")
    desk.run(FRIDAYS[2], [later], [OTC])
    assert states(db) == ({str(later)}, [])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda content: content[:-20], ["TRUNCATED_CONTENT"]),
        (lambda content: content.replace(MONDAY_OF[OTC].encode(), b"2025-12-22"), ["TOO_EARLY"]),
        (lambda content: content.rstrip(), []),
        (lambda content: content.replace(MONDAY_OF[OTC].encode(), b""), []),
    ],
    ids=["cut", "dated a week before", "no final newline", "no dates"],
)
def test_a_first_capture_that_cannot_be_right_is_not_current(
    db: Database, tmp_path: Path, damage: object, expected: list[str]
) -> None:
    desk = Desk(tmp_path / "files", db)
    path = desk.publish(WEEK, OTC)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    desk.run(FRIDAYS[0], [WEEK], [OTC], limits=Limits(max_reject_ratio=1))
    assert states(db) == (set() if expected else {str(WEEK)}, expected)
