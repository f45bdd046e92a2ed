"""What a server says on a terminal when it starts."""

from __future__ import annotations

import sys

import pytest

from market_spine.cli.progress import greet

URL = "http://127.0.0.1:8000/openapi.json"


@pytest.mark.parametrize(("on_terminal", "log_format", "lines"), [(True, None, 2), (True, "json", 0), (False, "text", 0)])
def test_its_lines_end_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, on_terminal: bool, log_format: str | None, lines: int
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: on_terminal)
    greet(f"Serving /srv/market-spine/data/market_spine.db on port 8000, described at {URL}. Stop with Ctrl-C.", log_format)
    shown = capsys.readouterr().err.splitlines()
    assert (len(shown), URL in " ".join(shown), any(len(line) > 80 for line in shown)) == (lines, bool(lines), False)
