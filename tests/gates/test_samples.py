"""FINRA's real rows of the NMS tiers, few as they are, through ingest, gates and CALC; skipped where they are not at hand."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from support.desk import Desk

from market_spine.app.source.files import stem
from market_spine.calendar import publication
from market_spine.db import Database
from market_spine.gates.verdict import Verdict
from market_spine.operate import gates
from market_spine.outcome import Phase, Status
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, Partition
from market_spine.query import history

WEEK = date(2025, 11, 28)
DAY = date(2026, 1, 9)
HEADER = (
    "tierDescription|issueSymbolIdentifier|issueName|marketParticipantName|MPID|totalWeeklyShareQuantity|"
    "totalWeeklyTradeCount|lastUpdateDate"
)


def tier_1(samples: Path) -> str:
    """A hundred real rows that somebody wrote down in other columns and under another week, as FINRA publishes rows."""
    day = publication.nominal_day(Partition(WEEK, NMS_TIER_1))
    with (samples / "t1_real_rows_reformatted.psv").open(encoding="utf-8") as file:
        rows = [
            f"NMS Tier 1|{r['Symbol']}|{r['Symbol']} Common Stock|{r['MPID']} ATS|{r['MPID']}|{r['TotalShares']}|{r['TotalTrades']}|{day}"
            for r in csv.DictReader(file, delimiter="|")
        ]
    return "\n".join([HEADER, *rows]) + "\n"


def tier_2(samples: Path) -> str:
    return (samples / "t2_real_rows_aaoi_20251229.psv").read_text("utf-8")


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return Desk(tmp_path / "files", db)


SAMPLES = [pytest.param(NMS_TIER_1, tier_1, id="T1"), pytest.param(NMS_TIER_2, tier_2, id="T2")]


@pytest.mark.parametrize(("tier", "read"), SAMPLES)
def test_real_rows_pass_every_gate(desk: Desk, samples_dir: Path, tier: str, read: Callable[[Path], str]) -> None:
    here = Partition(WEEK, tier)
    (desk.folder / f"{stem(here)}.psv").write_text(read(samples_dir), "utf-8")
    result = desk.run(DAY, weeks=(WEEK,), tiers=(tier,))
    assert [outcome.status for outcome in result.of(Phase.NORMALIZE)] == [Status.DONE]
    explained = gates.explain(desk.context(DAY), here)
    assert explained.is_same and {check.verdict for check in explained.checks} <= {Verdict.PASS, Verdict.INFO}
    assert [entry.state for entry in history.list_captures(desk.db, WEEK, (tier,))] == ["current"]


@pytest.mark.parametrize(("tier", "read"), SAMPLES)
def test_they_are_kept_from_another_tier(desk: Desk, samples_dir: Path, tier: str, read: Callable[[Path], str]) -> None:
    (desk.folder / f"{stem(Partition(WEEK, OTC))}.psv").write_text(read(samples_dir), "utf-8")
    result = desk.run(DAY, weeks=(WEEK,), tiers=(OTC,))
    assert [outcome.status for outcome in result.of(Phase.NORMALIZE)] != [Status.DONE]
    assert "current" not in [entry.state for entry in history.list_captures(desk.db, WEEK, (OTC,))]
