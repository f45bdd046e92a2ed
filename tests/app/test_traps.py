"""What a naive reader of FINRA's data falls into, each with the tests that keep this program out of it; and those kept here."""

from __future__ import annotations

import ast
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from stand_ins.finra_fake import FinraFake
from support.schedules import ingested, schedule

from market_spine.app.source.api import ApiSource
from market_spine.db import Database
from market_spine.outcome import Phase, Status
from market_spine.partition import NMS_TIER_1, OTC

OpenApi = Callable[..., ApiSource]
TESTS = Path(__file__).resolve().parent.parent
HERE, API, RUN = "app/test_traps.py", "app/source/test_api_source.py", "app/test_api_run.py"
NETWORK = "app/source/test_api_network.py"
CANONICAL, RULES, PARSE = "app/source/test_canonical.py", "app/test_calendar_rules.py", "parse/test_weekly_file.py"

# trap → (file, test)
TRAPS: dict[str, list[tuple[str, str]]] = {
    "the week taken from lastUpdateDate": [
        (HERE, "test_a_week_is_its_monday_and_four_days_whatever_its_dates_say"),
        (PARSE, "test_content_that_names_another_partition_is_refused"),
    ],
    "tier OTC asked for, or no tier at all": [
        (API, "test_one_partition_is_asked_by_both_its_keys_sorted_and_only_for_firm_rows"),
        (CANONICAL, "test_the_stray_tier_of_the_same_week_is_not_tier_1"),
    ],
    "this week's data expected, or a due partition's absence passed over": [
        (RUN, "test_on_a_friday_what_is_due_comes_and_nothing_fails"),
        (RULES, "test_a_file_that_is_not_there"),
    ],
    "one date of readiness for all tiers": [
        (RULES, "test_readiness_says_what_is_awaited_and_a_tier_may_be_ready_before_its_week")
    ],
    "a short page taken for the last": [
        (API, "test_pages_advance_by_what_came_when_the_byte_cap_makes_them_short"),
        (API, "test_what_is_not_proved_whole_is_asked_once_more_and_then_given_up"),
    ],
    "204 or a web page parsed as data": [
        (API, "test_every_way_of_saying_no_rows_is_an_absence"),
        (API, "test_an_answer_in_text_is_read_all_the_same"),
    ],
    "paging without a sort, or sorting without both keys": [
        (API, "test_order_page_size_and_case_of_header_names_do_not_change_the_content"),
        (NETWORK, "test_a_refusal_carries_finras_own_words"),
    ],
    "sums added to what they are sums of; De Minimis left out": [
        (API, "test_every_firm_row_of_the_partition_comes_and_nothing_else"),
        (API, "test_non_ats_rows_keep_their_firm_and_de_minimis_its_name"),
        ("measure/test_measures.py", "test_every_measure_agrees_with_duckdb_over_fifty_thousand_rows"),
    ],
    "a key too narrow, or symbols without case": [
        (RUN, "test_every_oddity_of_the_real_data_becomes_a_row_and_only_the_blank_symbol_a_reject"),
        (PARSE, "test_one_symbol_may_stand_on_two_tapes_and_under_two_names"),
    ],
    "whole shares only, or the text of an answer hashed": [
        (API, "test_a_fractional_quantity_and_names_keep_every_character"),
        (CANONICAL, "test_equal_content_is_equal_bytes_in_any_order_and_format"),
    ],
    "revisions looked for by one date in a few weeks": [
        (API, "test_a_recorded_revision_is_found_however_late_it_came"),
        (API, "test_a_sweep_of_more_rows_than_a_page_depends_on_no_order"),
        (RUN, "test_a_row_deleted_without_a_date_is_noticed_at_once"),
        ("app/test_api_changes.py", "test_an_undated_change_is_found_within_four_runs"),
    ],
    "a bank's calendar": [
        ("calendar/test_publication.py", "test_columbus_and_veterans_day_move_nothing"),
        ("calendar/test_publication.py", "test_a_monday_without_exchange_moves_publication_to_tuesday"),
    ],
    "a smaller week taken for a broken one": [(HERE, "test_a_week_with_half_the_rows_of_the_one_before_is_no_fault")],
    "names stripped, quotes read, a last newline or a trailer wanted": [
        (PARSE, "test_names_keep_their_spaces_and_symbols_their_case"),
        (PARSE, "test_a_quote_in_an_unquoted_file_is_a_character"),
        (PARSE, "test_the_bytes_around_the_lines_do_not_matter"),
        ("app/test_weekly_run.py", "test_finras_real_otc_file"),
    ],
    "a vintage overwritten, or known before it was": [
        ("query/test_answer.py", "test_a_past_day_is_answered_byte_for_byte_as_on_that_day"),
        ("app/test_weekly_run.py", "test_a_restatement_stands_beside_the_old_capture"),
    ],
    "retention, anonymity and page size relied on; the month's gigabytes forgotten": [
        (API, "test_a_week_beyond_retention_comes_from_the_archive_under_its_own_rules"),
        (NETWORK, "test_a_service_that_wants_a_login_says_which_settings_give_it"),
        (API, "test_the_largest_page_is_what_finra_says_it_is"),
        (RUN, "test_what_finra_calls_unchanged_is_not_downloaded"),
    ],
}


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_has_its_tests(trap: str) -> None:
    for file, name in TRAPS[trap]:
        tree = ast.parse((TESTS / file).read_text("utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, file


def test_a_week_is_its_monday_and_four_days_whatever_its_dates_say(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    """Also a Monday that is a holiday, and a row revised long after."""
    fake.today = date(2026, 10, 2)
    fake.revise(date(2026, 9, 30), date(2026, 9, 7), "T1", lambda row: row.update(totalWeeklyTradeCount=5))
    result = schedule(db, open_api(), fake.today, weeks=[date(2026, 9, 11)], tiers=(NMS_TIER_1,))
    assert result.count(Phase.NORMALIZE, Status.FAILED) == 0
    rows = db.execute("SELECT DISTINCT week_ending, tier FROM finra_otc_transparency_normalized").fetchall()
    assert [tuple(row) for row in rows] == [("2026-09-11", NMS_TIER_1)]  # 2026-09-07 is Labor Day


def test_a_week_with_half_the_rows_of_the_one_before_is_no_fault(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    week = date(2026, 8, 28)
    smaller = fake.rows(week - timedelta(days=4), "OTCE")
    smaller[:] = smaller[:20]
    result = schedule(db, open_api(), date(2026, 10, 2), weeks=[week - timedelta(weeks=1), week], tiers=(OTC,))
    assert result.exit_code == 0
    assert ingested(result)[f"{week} / {OTC}"][0] is Status.DONE
    counts = db.execute("SELECT row_count FROM finra_otc_transparency_current ORDER BY week_ending").fetchall()
    assert 0 < 2 * counts[1][0] < counts[0][0]
