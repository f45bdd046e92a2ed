"""FINRA's service on this machine, on Friday 2026-10-02, with eight weeks of every tier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date

import pytest
from stand_ins.finra_fake import FinraFake

from market_spine.app.source.api import ApiSettings, ApiSource

FRIDAY = date(2026, 10, 2)

OpenApi = Callable[..., ApiSource]


@pytest.fixture
def fake() -> Iterator[FinraFake]:
    with FinraFake(FRIDAY) as service:
        service.fill(weeks=8)
        yield service


@pytest.fixture
def open_api(fake: FinraFake) -> Iterator[OpenApi]:
    """Opens the API source at the fake; keywords are further settings. Without `paced` it asks as fast as it can; with `keep_wire`
    it keeps what it receives."""
    opened: list[ApiSource] = []

    def open_it(today: date = FRIDAY, paced: bool = False, keep_wire: bool = False, **environ: str) -> ApiSource:
        settings = ApiSettings.of({**fake.environ, **environ})
        if not paced:
            settings = replace(settings, limits=replace(settings.limits, per_second=10_000))
        opened.append(ApiSource(settings, today, keep_wire=keep_wire))
        return opened[-1]

    yield open_it
    for source in opened:
        source.close()
