"""Firm totals from the source to the views: kept beside their rows, checked, used where they fit, missed where they are not there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from stand_ins import finra_faults, finra_rows
from stand_ins.finra_fake import FinraFake
from stand_ins.finra_faults import status
from stand_ins.finra_rows import Row, firm_totals, unhidden
from support.commands import RunCommand
from support.schedules import open_anomalies, schedule

from market_spine import clock
from market_spine.app.context import Run
from market_spine.app.source import asks_totals
from market_spine.app.source.api import ApiSource
from market_spine.app.source.files import FileSource
from market_spine.core import contents, responses
from market_spine.db import Database, connect, migrations
from market_spine.db.copy import copy
from market_spine.errors import ConfigurationError
from market_spine.operate import gaps, prune, rollback, verify
from market_spine.operate.rebuild import rebuild
from market_spine.outcome import Phase, Status
from market_spine.partition import NMS_TIER_1, OTC, TIERS, Partition
from market_spine.query import answer, export
from market_spine.query.answer import Question
from market_spine.query.views import VIEWS

FRIDAY = date(2026, 10, 2)
WEEK = Partition(date(2026, 9, 11), NMS_TIER_1)
MONDAY = "2026-09-07"
FIRM_TYPES = {"ATS_W_FIRM", "OTC_W_FIRM"}
HEADER = (
    "weekStartDate", "tierIdentifier", "issueSymbolIdentifier", "issueName", "productTypeCode", "marketParticipantName", "MPID",
    "firmCRDNumber", "summaryTypeCode", "totalWeeklyShareQuantity", "totalWeeklyTradeCount", "lastUpdateDate",
)

SETTING = "MARKET_SPINE_FIRM_TOTALS"

OpenApi = Callable[..., ApiSource]


def is_totals(seen: finra_faults.Seen) -> bool:
    filters = seen.body.get("domainFilters") or [{}]
    return seen.is_data and set(filters[0].get("values", ())) == FIRM_TYPES


def run_week(db: Database, source: Any, day: date = FRIDAY, **options: Any) -> Any:
    return schedule(db, source, day, weeks=[WEEK.week_ending], tiers=(NMS_TIER_1,), rehash_share=1, **options)


def symbol_rows(fake: FinraFake) -> list[Row]:
    return [row for row in fake.rows(MONDAY, "T1") if row["summaryTypeCode"].endswith("_W_SMBL_FIRM")]


def files_of(fake: FinraFake, folder: Path, totals: list[Row] | None = None) -> FileSource:
    """The same partition as one file that holds rows and totals."""
    rows = [*symbol_rows(fake), *(firm_totals(symbol_rows(fake)) if totals is None else totals)]
    lines = ["|".join(HEADER), *("|".join("" if row[name] is None else str(row[name]) for name in HEADER) for row in rows)]
    folder.mkdir(exist_ok=True)
    (folder / f"nms_tier_1_week_{WEEK.week}.psv").write_text("\n".join(lines) + "\n")
    return FileSource(str(folder), max_bytes=1 << 24)


@pytest.fixture(params=["api", "file"])
def source(request: pytest.FixtureRequest, fake: FinraFake, open_api: OpenApi, tmp_path: Path) -> Any:
    return open_api() if request.param == "api" else files_of(fake, tmp_path / "files")


def view(db: Database, name: str) -> list[dict[str, Any]]:
    return [dict(zip(VIEWS[name].columns, row, strict=True)) for row in answer.answer(db, Question(VIEWS[name]))]


def true_volumes(fake: FinraFake) -> dict[tuple[str, Any], Decimal]:
    """Every firm's shares by the rows that FINRA does not publish."""
    volumes: dict[tuple[str, Any], Decimal] = {}
    for row in unhidden(symbol_rows(fake)):
        firm = (row["summaryTypeCode"][:3], row["MPID"] or row["firmCRDNumber"])
        volumes[firm] = volumes.get(firm, Decimal(0)) + Decimal(str(row["totalWeeklyShareQuantity"]))
    return volumes


def hhi(volumes: list[Decimal]) -> float:
    total = sum(map(Fraction, volumes))
    return float(sum((Fraction(volume) / total) ** 2 for volume in volumes))


def test_a_tier_is_measured_by_its_true_firms(db: Database, fake: FinraFake, source: Any) -> None:
    assert run_week(db, source).exit_code == 0
    volumes = true_volumes(fake)
    shares = view(db, "venue_share")
    assert {row["basis"] for row in shares} == {"firm_total"}
    shown = {(row["venue_class"], row["mpid"] or row["firm_crd"]): Decimal(str(row["total_shares"])) for row in shares}
    assert shown == volumes
    total = sum(volumes.values())
    for row in shares:
        assert row["share"] == pytest.approx(float(Fraction(Decimal(str(row["total_shares"]))) / Fraction(total)), rel=1e-15)
        assert row["rank"] == 1 + sum(other > Decimal(str(row["total_shares"])) for other in volumes.values())
    tier = next(row for row in view(db, "hhi") if row["scope"] == "TIER")
    assert (tier["hhi"], tier["hhi_low"], tier["hhi_high"], tier["basis"]) == (*[pytest.approx(hhi(list(volumes.values())))] * 3, "firm_total")
    (found,) = view(db, "concentration")
    de_minimis = [row["totalWeeklyShareQuantity"] for row in symbol_rows(fake) if row["marketParticipantName"] == "De Minimis Firms"]
    assert (found["hidden_shares"], found["venue_count"]) == (sum(de_minimis), len(volumes))
    assert found["effective_venues"] == pytest.approx(1 / found["hhi"])
    assert found["ats_hhi"] == pytest.approx(hhi([volume for (kind, _), volume in volumes.items() if kind == "ATS"]))
    assert found["non_ats_hhi"] == pytest.approx(hhi([volume for (kind, _), volume in volumes.items() if kind == "OTC"]))
    assert not [found for found in open_anomalies(db) if found[1].startswith("FIRM_TOTALS")]


def test_the_latest_views_show_the_same(db: Database, source: Any) -> None:
    run_week(db, source)
    for name in ("venue_share", "hhi", "concentration"):
        columns = ", ".join(VIEWS[name].columns)
        rows, latest = (
            sorted(map(tuple, db.execute(f"SELECT {columns} FROM finra_otc_transparency_{name}{end}").fetchall()), key=repr)
            for end in ("", "_latest")
        )
        assert rows == latest != []


def test_totals_are_kept_and_given_back(db: Database, fake: FinraFake, source: Any, run_command: RunCommand, target: str) -> None:
    run_week(db, source)
    found = db.execute("SELECT content_hash, totals_hash FROM finra_otc_transparency_version").fetchone()
    content_hash, totals_hash = found
    assert (totals_hash == content_hash) is (source.name == "file")
    done = run_command("spine", "raw", WEEK.week, NMS_TIER_1, "--totals", "--db", target)
    assert done.exit_code == 0, done.stderr
    assert hashlib.sha256(done.stdout.encode()).hexdigest() == totals_hash
    assert "the firm totals in" in done.stderr
    kept = db.execute("SELECT COUNT(*) FROM finra_otc_transparency_firm_total").fetchone()
    assert tuple(kept) == (len(firm_totals(symbol_rows(fake))),)


WRONG = [
    pytest.param(finra_rows.missing, "FIRM_TOTALS_MISSING", "127.0.0.1 has no firm totals of 2026-09-11", id="missing"),
    pytest.param(finra_rows.doubled, "FIRM_TOTALS_UNUSABLE", "has more than one", id="doubled"),
    pytest.param(finra_rows.of_another_tier, "FIRM_TOTALS_UNUSABLE", "got a row of 2026-09-07 of T2", id="another tier"),
    pytest.param(finra_rows.of_another_week, "FIRM_TOTALS_UNUSABLE", "got a row of 2026-08-31 of T1", id="another week"),
    pytest.param(finra_rows.negative, "FIRM_TOTALS_UNUSABLE", "negative share quantity", id="negative"),
    pytest.param(finra_rows.ats_off_by_a_millionth, "FIRM_TOTALS_DIFFER", "EBXL: rows ", id="an ATS off by a millionth"),
    pytest.param(finra_rows.above_its_total, "FIRM_TOTALS_DIFFER", "CITADEL SECURITIES LLC (CRD 116797) above its total", id="above"),
]


@pytest.mark.parametrize(("how", "category", "words"), WRONG)
@pytest.mark.one_engine
def test_wrong_totals_are_one_warning_and_the_capture_stands(
    db: Database, fake: FinraFake, open_api: OpenApi, how: Callable[[list[Row]], list[Row]], category: str, words: str
) -> None:
    fake.spoil_totals(MONDAY, "T1", how)
    result = run_week(db, open_api())
    assert result.exit_code == 0
    assert [found for found in open_anomalies(db) if found[1].startswith("FIRM_TOTALS")] == [("WARN", category, WEEK.key)]
    message, details = db.execute("SELECT message, details_json FROM core_anomalies WHERE category = ?", (category,)).fetchone()
    assert words in message
    if category == "FIRM_TOTALS_DIFFER":
        (difference,) = json.loads(details)["differences"]
        assert {"rows", "total"} <= difference.keys()
        assert result.of(Phase.NORMALIZE)[0].status is Status.WARNING
    assert {row["basis"] for row in view(db, "venue_share")} == {"symbol_rows"}
    assert {row["venue_name"] for row in view(db, "venue_share")} >= {"De Minimis Firms"}
    tier = next(row for row in view(db, "hhi") if row["scope"] == "TIER")
    assert (tier["hhi_low"], tier["hhi_high"]) == (None, None)
    assert list(verify.verify(db, deep=True)) == []

    fake.spoil_totals(MONDAY, "T1", list)
    run_week(db, open_api(), FRIDAY + timedelta(days=3), force=True)
    assert not [found for found in open_anomalies(db) if found[1].startswith("FIRM_TOTALS")]
    (now,) = db.execute("SELECT DISTINCT basis FROM finra_otc_transparency_venue_share_latest").fetchone()
    assert now == "firm_total"
    assert {row[-1] for row in answer.answer(db, Question(VIEWS["venue_share"], as_of=FRIDAY))} == {"symbol_rows"}


def test_a_source_that_fails_for_the_totals_alone_fails_nothing(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    fake.fail(status(503), when=is_totals)
    result = run_week(db, open_api())
    assert (result.exit_code, result.count(Phase.CALC, Status.DONE)) == (0, 1)
    assert [found[1] for found in open_anomalies(db) if found[1].startswith("FIRM")] == ["FIRM_TOTALS_MISSING"]


def test_totals_are_asked_for_only_when_rows_are_stored(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    run_week(db, open_api())
    assert len(fake.asked(is_totals)) == 1
    fake.seen.clear()
    run_week(db, open_api(), FRIDAY + timedelta(days=1))
    assert (len(fake.asked()), fake.asked(is_totals)) == (1, [])


@pytest.mark.parametrize("kind", ["api", "file"])
def test_off_asks_for_no_totals_and_reads_none(
    db: Database, fake: FinraFake, open_api: OpenApi, tmp_path: Path, kind: str
) -> None:
    files_of(fake, tmp_path / "files")
    file = FileSource(str(tmp_path / "files"), max_bytes=1 << 24, totals=False)
    run_week(db, open_api(MARKET_SPINE_FIRM_TOTALS="off") if kind == "api" else file)
    assert fake.asked(is_totals) == []
    assert {row["basis"] for row in view(db, "venue_share")} == {"symbol_rows"}
    assert not [found for found in open_anomalies(db) if found[1].startswith("FIRM_TOTALS")]


def test_a_week_of_the_archive_brings_its_totals_along(db: Database, open_api: OpenApi) -> None:
    with FinraFake(date(2025, 8, 29)) as archive:
        archive.fill(weeks=5)
        archive.today, archive.oldest_weekly = FRIDAY, date(2025, 9, 29)
        source = open_api(**archive.environ)
        schedule(db, source, FRIDAY, weeks=[date(2025, 8, 1)], tiers=(NMS_TIER_1,), sweeps=False)
        historic = [seen for seen in archive.asked() if seen.path.endswith("Historic")]
    assert len(historic) == 1
    assert {row["basis"] for row in view(db, "venue_share")} == {"firm_total"}


def test_a_dry_run_says_what_the_run_then_says(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    fake.spoil_totals(MONDAY, "T1", finra_rows.ats_off_by_a_millionth)
    dry = run_week(db, open_api(), dry=True)
    assert open_anomalies(db) == []
    done = run_week(db, open_api())
    assert [(o.phase, o.where, o.status) for o in dry.outcomes] == [(o.phase, o.where, o.status) for o in done.outcomes]


def everything(db: Database) -> list[Any]:
    views = [list(answer.answer(db, Question(view))) for view in VIEWS.values()]
    total = "SELECT * FROM finra_otc_transparency_firm_total ORDER BY capture_key, venue_id"
    return [*views, list(map(tuple, db.execute(total).fetchall()))]


def test_rebuild_and_verify_agree_and_a_copy_is_the_same(db: Database, source: Any, tmp_path: Path) -> None:
    run_week(db, source)
    before = everything(db)
    assert list(verify.verify(db, deep=True)) == []
    db.execute("UPDATE finra_otc_transparency_firm_total SET total_shares = total_shares + 1 WHERE rank = 1")
    assert [fault.what for fault in verify.verify(db, deep=True)] == ["2 firm totals are not those of its bytes"]
    run = Run(db, FRIDAY, clock.moment_of(FRIDAY), "rebuild")
    assert {outcome.status for outcome in rebuild(run, None)} == {Status.DONE}
    assert (everything(db), list(verify.verify(db, deep=True))) == (before, [])
    other = connect(str(tmp_path / "copy.db"))
    copy(db, other, clock.moment_of(FRIDAY))
    assert [sorted(map(repr, rows)) for rows in everything(other)[:-1]] == [sorted(map(repr, rows)) for rows in before[:-1]]
    assert list(verify.verify(other, deep=True)) == []
    other.close()


def test_stage_by_stage_the_measures_are_those_of_one_run(db: Database, source: Any, tmp_path: Path) -> None:
    once = connect(str(tmp_path / "once.db"))
    migrations.prepare(once)
    run_week(once, source)
    for stage in ("ingest", "normalize", "calc"):
        run_week(db, source, only=stage)
    assert [view(db, name) for name in ("venue_share", "hhi", "concentration")] == [
        view(once, name) for name in ("venue_share", "hhi", "concentration")
    ]
    once.close()


def test_a_rollback_and_its_undo_leave_the_totals(db: Database, source: Any) -> None:
    run_week(db, source)
    before = everything(db)
    run = Run(db, FRIDAY, clock.moment_of(FRIDAY), "operator")
    rollback.roll_back(run, WEEK.week_ending, [NMS_TIER_1], "why")
    assert view(db, "concentration") == []
    rollback.undo(run, WEEK.week_ending, [NMS_TIER_1], "back")
    assert everything(db) == before


def test_a_prune_takes_totals_that_no_other_capture_has(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    def pruned() -> int:
        """Prunes what is not current, and returns how many captures went; what was freed is what was announced."""
        late = date(2027, 6, 4)
        run, size = Run(db, late, clock.moment_of(late), "prune"), "SELECT SUM(LENGTH(content)) FROM finra_otc_transparency_raw"
        planned = prune.plan(run, 30)
        (before,) = db.execute(size).fetchone()
        prune.prune(run, 30, "old")
        (after,) = db.execute(size).fetchone()
        assert before - after == sum(pruning.bytes for pruning in planned)
        return len(planned)

    def totals_of(day: date) -> str:
        found = db.execute("SELECT capture_id, totals_hash FROM finra_otc_transparency_version").fetchall()
        return next(totals for capture_id, totals in found if capture_id.endswith(f"{day:%Y%m%d}"))

    days = [FRIDAY, FRIDAY + timedelta(days=3), FRIDAY + timedelta(days=6)]
    run_week(db, open_api(), days[0])
    symbol_rows(fake)[0]["issueName"] = "Renamed, Inc."  # the rows are others, the totals stay as they were
    run_week(db, open_api(), days[1])
    shared = totals_of(days[0])
    assert totals_of(days[1]) == shared
    assert (pruned(), contents.is_intact(db, shared)) == (1, True)

    fake.revise(days[2], MONDAY, "T1", lambda row: row.update(totalWeeklyShareQuantity=5))
    fake.today = days[2]
    run_week(db, open_api(), days[2])
    assert totals_of(days[2]) != shared
    assert (pruned(), contents.is_intact(db, shared)) == (1, False)
    keys = db.execute("SELECT COUNT(DISTINCT capture_key) FROM finra_otc_transparency_firm_total").fetchone()
    assert (tuple(keys), list(verify.verify(db, deep=True))) == ((1,), [])


def test_lost_totals_are_found_and_fetched_again(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    run_week(db, open_api())
    db.execute(
        "DELETE FROM finra_otc_transparency_raw WHERE content_hash IN (SELECT totals_hash FROM finra_otc_transparency_version)"
    )
    assert any("are gone" in fault.what for fault in verify.verify(db))
    run = Run(db, FRIDAY, clock.moment_of(FRIDAY), "doctor")
    found = [gap for gap in gaps.find_gaps(run, [WEEK.week_ending], (NMS_TIER_1,)) if gap.kind is gaps.Kind.BYTES]
    assert [gap.remedy for gap in found] == [gaps.Remedy.FETCH_AGAIN]
    run_week(db, open_api(), FRIDAY, force=True)
    assert list(verify.verify(db, deep=True)) == []


def test_totals_without_a_capture_are_orphans(db: Database) -> None:
    db.execute(
        "INSERT INTO finra_otc_transparency_firm_total (capture_key, venue_id, total_shares, total_trades, rank) VALUES (99, 1, 1, 1, 1)"
    )
    assert ["finra_otc_transparency_firm_total" in gap.what for gap in gaps.orphans(db)] == [True]
    assert gaps.remove_orphans(db) == 1
    assert gaps.orphans(db) == []


def test_a_restatement_under_the_same_day_replaces_the_totals(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    run_week(db, open_api())
    fake.revise(FRIDAY, MONDAY, "T1", lambda row: row.update(totalWeeklyShareQuantity=7), rows=3)
    run_week(db, open_api())
    assert len(db.execute("SELECT capture_id FROM finra_otc_transparency_capture").fetchall()) == 1
    shown = {(r["venue_class"], r["mpid"] or r["firm_crd"]): Decimal(str(r["total_shares"])) for r in view(db, "venue_share")}
    assert shown == true_volumes(fake)
    assert list(verify.verify(db, deep=True)) == []


def test_all_tiers_of_a_friday_rest_on_their_totals(db: Database, open_api: OpenApi) -> None:
    schedule(db, open_api(), FRIDAY)
    rows = db.execute("SELECT DISTINCT tier, basis FROM finra_otc_transparency_concentration_latest ORDER BY tier").fetchall()
    assert [tuple(row) for row in rows] == [(NMS_TIER_1, "firm_total"), ("NMS_TIER_2", "firm_total"), (OTC, "firm_total")]
    for tier in TIERS:
        true, named = (
            {
                (row["venue_class"], row["mpid"], row["firm_crd"], row["venue_name"]): row["total_shares"]
                for row in view(db, name)
                if (row["tier"], row["week_ending"]) == (tier, "2026-08-28")
            }
            for name in ("venue_share", "venue_volume")
        )
        rest = Decimal(str(named.pop(("OTC", "", None, "De Minimis Firms"))))
        hidden = {firm: Decimal(str(total)) - Decimal(str(named.get(firm, 0))) for firm, total in true.items() if firm[0] == "OTC"}
        assert (sum(hidden.values()), min(hidden.values()) >= 0) == (rest, True)


def test_the_responses_of_the_totals_are_kept_with_those_of_the_rows(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    run_week(db, open_api(keep_wire=True))
    received = responses.of_content(db, f"finra.otc_transparency:{WEEK.tier}:{WEEK.week}:{FRIDAY:%Y%m%d}", 1)
    bodies = [json.loads(b"".join(contents.read_raw(db, one.content_sha256))) for one in received]
    assert [(one.page_no, one.record_offset) for one in received] == [(1, 0), (2, 0)]
    assert {row["summaryTypeCode"] for row in bodies[1]} == FIRM_TYPES
    assert list(verify.verify(db, deep=True)) == []


def test_totals_of_a_refused_replay_are_not_those_of_the_rows(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    run_week(db, open_api())
    before = everything(db)
    del fake.rows(MONDAY, "T1")[2:]
    fake.spoil_totals(MONDAY, "T1", finra_rows.missing)
    assert run_week(db, open_api()).exit_code != 0  # it shrank
    assert (everything(db), list(verify.verify(db, deep=True))) == (before, [])
    rebuild(Run(db, FRIDAY, clock.moment_of(FRIDAY), "rebuild"), None)
    assert everything(db) == before


@pytest.mark.parametrize("name", ["venue_share", "hhi", "concentration"])
def test_what_is_exported_is_what_is_shown(db: Database, open_api: OpenApi, tmp_path: Path, name: str) -> None:
    run_week(db, open_api())
    export.export(db, VIEWS[name], tmp_path / name, export.PARQUET)
    (file,) = (tmp_path / name).glob("**/*.parquet")
    rows = parquet.read_table(file).to_pylist()
    shown = [{k: v for k, v in row.items() if k not in ("week_ending", "tier")} for row in view(db, name)]
    assert [{k: pytest.approx(float(v)) if isinstance(v, (float, Decimal)) else v for k, v in row.items()} for row in shown] == [
        {k: float(v) if isinstance(v, Decimal) else v for k, v in row.items()} for row in rows
    ]


def test_a_setting_that_is_neither_warn_nor_off_is_refused() -> None:
    assert (asks_totals({}), asks_totals({SETTING: "warn"}), asks_totals({SETTING: "off"})) == (True, True, False)
    with pytest.raises(ConfigurationError, match="MARKET_SPINE_FIRM_TOTALS is not warn or off: 'hold'"):
        asks_totals({SETTING: "hold"})
