"""The API source counts the rows of a partition while its pages come."""

from __future__ import annotations

from datetime import date

import pytest
from app.conftest import OpenApi
from stand_ins.finra_fake import FinraFake
from stand_ins.finra_faults import cut

from market_spine.errors import SourceError
from market_spine.partition import NMS_TIER_1, Partition

T1 = Partition(date(2026, 9, 11), NMS_TIER_1)


def test_each_page_is_counted_between_a_beginning_and_an_end(fake: FinraFake, open_api: OpenApi) -> None:
    fake.page_max = 20
    source, counted = open_api(), []
    source.tell = lambda done, total: counted.append((done, total))
    source.fetch(T1)
    total = counted[-2][0]
    assert total > 40
    assert counted == [(0, 0), *((n, total) for n in range(20, total, 20)), (total, total), (0, 0)]


def test_what_breaks_off_ends_too(fake: FinraFake, open_api: OpenApi) -> None:
    fake.page_max = 20
    fake.fail(cut("reset"), skip=1)
    source, counted = open_api(MARKET_SPINE_HTTP_RETRIES="0"), []
    source.tell = lambda done, total: counted.append((done, total))
    with pytest.raises(SourceError):
        source.fetch(T1)
    assert [done for done, _ in counted][:3] == [0, 20, 0]
    assert counted[-1] == (0, 0)
