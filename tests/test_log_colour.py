"""Where a log line is coloured."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from market_spine import log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    yield
    logger = logging.getLogger("market_spine")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


FORCED = {"FORCE_COLOR": "1"}


@pytest.mark.parametrize(
    ("stream", "options", "environment", "coloured"),
    [
        pytest.param(io.StringIO, {}, {}, False, id="a pipe"),
        pytest.param(io.StringIO, {}, FORCED, True, id="a pipe, forced"),
        pytest.param(io.StringIO, {"cron": True}, FORCED, True, id="held for cron, forced"),
        pytest.param(io.StringIO, {}, {"FORCE_COLOR": ""}, False, id="a pipe, forced by an empty variable"),
        pytest.param(io.StringIO, {"json_lines": True}, FORCED, False, id="JSON, forced"),
        pytest.param(Terminal, {}, {}, True, id="a terminal"),
        pytest.param(Terminal, {"quiet": True}, {}, True, id="held at a terminal"),
        pytest.param(Terminal, {}, {"TERM": "dumb"}, False, id="a terminal without colour"),
        pytest.param(Terminal, {}, {"TERM": "dumb", **FORCED}, True, id="a terminal without colour, forced"),
        pytest.param(Terminal, {}, {"NO_COLOR": "1"}, False, id="a terminal, forbidden"),
        pytest.param(Terminal, {}, {"NO_COLOR": ""}, True, id="a terminal, forbidden by an empty variable"),
        pytest.param(Terminal, {}, {"NO_COLOR": "1", **FORCED}, False, id="a terminal, forced and forbidden"),
    ],
)
def test_a_mark_is_coloured_on_a_terminal_or_by_force(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], options: dict[str, bool], environment: dict[str, str], coloured: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    written = stream()
    handler = log.set_up(**{"quiet": False, "verbose": False, **options}, stream=written)
    logging.getLogger("market_spine").info("2025-12-26 / OTC: ✓ Ingested 5 rows")
    log.release(handler)
    assert "Ingested 5 rows" in written.getvalue()
    assert ("\x1b[32m✓\x1b[0m" in written.getvalue()) is coloured
