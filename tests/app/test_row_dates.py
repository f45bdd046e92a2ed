"""The dates FINRA declares of each row: read from either form, kept once where rows share them, shown by the view."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from support.desk import FRIDAYS, REVISED, WEEK, Desk

from market_spine.db import Database
from market_spine.operate import prune, verify
from market_spine.operate.rebuild import rebuild
from market_spine.parse import weekly_file
from market_spine.parse.columns import RowDates
from market_spine.partition import OTC, Partition

HEADER = "issueSymbolIdentifier|marketParticipantName|MPID|totalWeeklyShareQuantity|totalWeeklyTradeCount"
UPDATED, BOTH = f"{HEADER}|lastUpdateDate", f"{HEADER}|lastUpdateDate|initialPublishedDate|lastReportedDate"
APART = f"initialPublishedDate|{UPDATED}"
DAY = RowDates("2025-12-15", "2025-12-15")


def dates_of(header: str, *rows: str) -> list[RowDates]:
    text = "\n".join([header, *rows]) + "\n"
    columns = weekly_file.read([text.encode()], Partition(WEEK, OTC)).columns
    return [columns.dates[at] for at in columns.dated.tolist()]


FORMS = {
    "8 columns": (UPDATED, ["A|x|X|1|1|2025-12-15", "B|x|X|1|1|2026-01-08"], [RowDates(None, "2025-12-15"), RowDates(None, "2026-01-08")]),
    "the API": (BOTH, ["A|x|X|1|1|2025-12-15|2025-12-15|2025-11-28"] * 1, [DAY]),
    "revised": (BOTH, ["A|x|X|1|1|2026-01-08|2025-12-15|2026-01-08"], [RowDates("2025-12-15", "2026-01-08")]),
    "fields apart": (APART, ["2025-12-15|A|x|X|1|1|2026-01-08"], [RowDates("2025-12-15", "2026-01-08")]),
    "with a time": (UPDATED, ["A|x|X|1|1|2025-12-15 00:00:00"], [RowDates(None, "2025-12-15")]),
    "unreadable": (BOTH, ["A|x|X|1|1|soon|12/15/2025|"], [RowDates(None, None)]),
    "blank": (BOTH, ["A|x|X|1|1||2025-12-15|"], [RowDates("2025-12-15", None)]),
    "no dates": (HEADER, ["A|x|X|1|1"], [RowDates(None, None)]),
    "quoted": (
        BOTH.replace("issueSymbolIdentifier", '"issueSymbolIdentifier"'),
        ['"A"|"x"|"X"|1|1|"2026-01-08"|"2025-12-15"|'], [RowDates("2025-12-15", "2026-01-08")],
    ),
    "rejected rows in between": (
        UPDATED, ["A|x|X|1|1|2025-12-15", "B|x|X|-1|1|2026-01-07", "C|x|X|1|1|2026-01-08"],
        [RowDates(None, "2025-12-15"), RowDates(None, "2026-01-08")],
    ),
}


@pytest.mark.parametrize(("header", "rows", "expected"), FORMS.values(), ids=FORMS)
def test_each_row_has_the_dates_of_its_line(header: str, rows: list[str], expected: list[RowDates]) -> None:
    assert dates_of(header, *rows) == expected


def test_files_of_many_blocks_keep_each_row_with_its_date() -> None:
    days = [date.fromordinal(date(2025, 12, 15).toordinal() + n % 7).isoformat() for n in range(500)]
    text = "\n".join([UPDATED, *(f"S{n}|x|X|{n}|1|{day}" for n, day in enumerate(days))]) + "\n"
    content = text.encode()
    blocks = (content[at : at + 300] for at in range(0, len(content), 300))
    columns = weekly_file.read(blocks, Partition(WEEK, OTC)).columns
    assert [columns.dates[at].revised_on for at in columns.dated.tolist()] == days


# --- What is stored ---------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK])
    return desk


def redate(desk: Desk, symbol: str, day: str) -> None:
    """A symbol's rows are dated otherwise in the file of the OTC tier."""
    path = desk.folder / f"otc_week_{WEEK}.psv"
    lines = path.read_text("utf-8").splitlines()
    dated = [f"{line.rpartition('|')[0]}|{day}" if f"|{symbol}|" in line else line for line in lines]
    path.write_text("\n".join(dated) + "\n", "utf-8")


def shown(db: Database) -> list[tuple[str, str | None, str | None]]:
    rows = db.execute(
        """
        SELECT symbol, published_on, revised_on FROM finra_otc_transparency_normalized_latest
        WHERE tier = 'OTC' ORDER BY symbol, mpid
        """
    )
    return [tuple(row) for row in rows.fetchall()]


def own_dates(db: Database) -> int:
    return int(db.execute("SELECT COUNT(*) FROM finra_otc_transparency_row_date").fetchone()[0])


def test_a_week_without_revisions_costs_nothing_a_row(desk: Desk) -> None:
    desk.run()
    assert own_dates(desk.db) == 0
    assert {row[1:] for row in shown(desk.db)} == {(None, "2025-12-29")}


def test_only_rows_that_differ_have_dates_of_their_own(desk: Desk) -> None:
    redate(desk, "MSFT", "2026-01-07")
    desk.run()
    assert own_dates(desk.db) == 1
    assert shown(desk.db) == [
        ("AAPL", None, "2025-12-29"), ("AAPL", None, "2025-12-29"), ("BRK.B", None, "2025-12-29"), ("MSFT", None, "2026-01-07"),
    ]


def test_a_row_without_a_date_among_dated_ones_has_none(desk: Desk) -> None:
    redate(desk, "MSFT", "soon")
    desk.run()
    assert shown(desk.db)[-1] == ("MSFT", None, None)


def test_a_replay_replaces_the_dates_and_a_prune_removes_them(desk: Desk) -> None:
    redate(desk, "AAPL", "2026-01-07")
    redate(desk, "MSFT", "2026-01-08")
    desk.run()
    assert own_dates(desk.db) == 2  # of AAPL's two and the other two one pair is shared
    redate(desk, "AAPL", "2025-12-29")
    desk.run()
    assert own_dates(desk.db) == 1
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1])
    prune.prune(desk.context(FRIDAYS[2]), 0, "space")
    assert own_dates(desk.db) == 0


def test_a_deep_verify_finds_dates_that_are_not_those_of_the_bytes_and_a_rebuild_puts_them_right(desk: Desk) -> None:
    redate(desk, "MSFT", "2026-01-07")
    desk.run()
    before = shown(desk.db)
    desk.db.execute("UPDATE finra_otc_transparency_capture SET revised_on = NULL WHERE tier = 'OTC'")
    desk.db.execute("DELETE FROM finra_otc_transparency_row_date")
    assert [str(fault) for fault in verify.verify(desk.db, deep=True)] == [
        "finra.otc_transparency:OTC:2025-11-28:20260109: 4 rows have other dates than in its bytes"
    ]
    rebuild(desk.context(FRIDAYS[1]), WEEK)
    assert (list(verify.verify(desk.db, deep=True)), shown(desk.db)) == ([], before)
