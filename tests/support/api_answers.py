"""What the tests of the API source ask for, and what they read out of its answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from stand_ins.finra_fake import FinraFake
from stand_ins.finra_rows import Row

from market_spine.app.source import Absent, Offer
from market_spine.app.source.api import ApiSource
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, Partition

OpenApi = Callable[..., ApiSource]

T1 = Partition(date(2026, 9, 11), NMS_TIER_1)  # the newest published on 2026-10-02
T2 = Partition(date(2026, 8, 28), NMS_TIER_2)
OTCE = Partition(date(2026, 8, 28), OTC)
NOT_YET = Partition(date(2026, 9, 18), NMS_TIER_1)
FIRM_TYPES = ("ATS_W_SMBL_FIRM", "OTC_W_SMBL_FIRM")


def rows_in(content: bytes) -> list[dict[str, str]]:
    """The canonical document's rows, read by nothing of the program."""
    lines = [line for line in content.decode().split("\n") if line and not line.startswith("#")]
    return [dict(zip(lines[0].split("|"), line.split("|"), strict=True)) for line in lines[1:]]


def offered(answer: Offer | Absent) -> Offer:
    assert isinstance(answer, Offer)
    return answer


def firm_rows(fake: FinraFake, monday: date, code: str) -> list[Row]:
    return [row for row in fake.rows(monday, code) if row["summaryTypeCode"] in FIRM_TYPES]
