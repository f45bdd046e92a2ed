"""Download files by http(s): only from named hosts, whatever a redirect says."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support import weekly_files
from support.commands import RunCommand

from market_spine.app.source import Absent, Offer, SourceSettings
from market_spine.app.source.url import UrlSource, address
from market_spine.app.source.web import Client, HttpLimits
from market_spine.errors import ConfigurationError, SourceError
from market_spine.partition import OTC, Partition

WEEK = Partition(date(2025, 11, 28), OTC)
CONTENT = b"tierDescription|issueSymbolIdentifier\nOTC|AABB\n"
PAGES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/plain/otc_week_2025-11-28.psv": (200, {}, CONTENT),
    "/packed/otc_week_2025-11-28.psv": (200, {}, gzip.compress(CONTENT)),
    "/cut/otc_week_2025-11-28.psv": (200, {}, gzip.compress(CONTENT)[:-9]),
    "/bomb/otc_week_2025-11-28.psv": (200, {}, gzip.compress(bytes(1 << 21))),
    "/empty/otc_week_2025-11-28.psv": (200, {}, b""),
    "/shell/otc_week_2025-11-28.psv": (200, {"Content-Type": "text/html"}, b"<!doctype html>"),
    "/moved/otc_week_2025-11-28.psv": (302, {"Location": "/plain/otc_week_2025-11-28.psv"}, b""),
    "/away/otc_week_2025-11-28.psv": (302, {"Location": "http://169.254.169.254/latest/meta-data"}, b""),
    "/round/otc_week_2025-11-28.psv": (302, {"Location": "/round/otc_week_2025-11-28.psv"}, b""),
    "/closed/otc_week_2025-11-28.psv": (403, {}, b""),
    "/down/otc_week_2025-11-28.psv": (503, {}, b""),
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, headers, body = PAGES.get(self.path.partition("?")[0], (404, {}, b""))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def fetch(base: str, folder: str) -> Offer | Absent:
    client = Client(HttpLimits(backoff=0.001, retries=1))
    source = UrlSource(
        f"{base}/{folder}/{{tier}}_week_{{week_ending}}.psv?key=abc", frozenset({"127.0.0.1"}), max_bytes=1 << 20, client=client
    )
    try:
        return source.fetch(WEEK)
    finally:
        source.close()


@pytest.mark.parametrize("folder", ["plain", "packed", "moved"])
def test_a_file_comes_with_its_exact_bytes(base: str, folder: str) -> None:
    offer = fetch(base, folder)
    assert isinstance(offer, Offer)
    assert offer.content == CONTENT
    assert "abc" not in offer.uri


def test_a_file_that_is_not_there_is_absent(base: str) -> None:
    absent = fetch(base, "nowhere")
    assert isinstance(absent, Absent)
    assert "key=abc" not in absent.where


FAULTS = [
    ("cut", "SOURCE_UNREADABLE"),
    ("bomb", "SOURCE_TOO_LARGE"),
    ("empty", "EMPTY_FILE"),
    ("shell", "SOURCE_NOT_DATA"),
    ("away", "SOURCE_REFUSED"),
    ("round", "SOURCE_REFUSED"),
    ("closed", "SOURCE_REFUSED"),
    ("down", "SOURCE_UNAVAILABLE"),
]


@pytest.mark.parametrize(("folder", "category"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_fault_is_one_error(base: str, folder: str, category: str) -> None:
    with pytest.raises(SourceError) as caught:
        fetch(base, folder)
    assert caught.value.category == category
    assert "key=abc" not in f"{caught.value} {caught.value.hint}"


REFUSED: list[tuple[str, dict[str, str], str]] = [
    ("no address", {}, "needs MARKET_SPINE_FILE_URL"),
    ("an address without places", {"MARKET_SPINE_FILE_URL": "https://a.example/file.psv"}, "needs MARKET_SPINE_FILE_URL"),
    ("a host that is not named", {"MARKET_SPINE_FILE_URL": "https://b.example/{tier}"}, "not on the list"),
    ("a file address", {"MARKET_SPINE_FILE_URL": "file:///etc/{tier}"}, "not on the list"),
    ("a login in the address", {"MARKET_SPINE_FILE_URL": "https://me:pw@a.example/{tier}"}, "holds a login"),
    ("a host that looks like it", {"MARKET_SPINE_FILE_URL": "https://a.example.evil.net/{tier}"}, "not on the list"),
]


@pytest.mark.parametrize(("environ", "says"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_setting_that_is_not_allowed_is_refused_before_any_request(environ: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        UrlSource.of(SourceSettings("", 1, environ={**environ, "MARKET_SPINE_FILE_URL_HOSTS": "a.example, c.example"}))


def test_an_address_has_places_for_the_partition_and_nothing_else() -> None:
    template = "https://a.example/{code}/{TIER}/{tier}/{week_start}/{yyyymmdd}/{week_ending}/{week_ending.__class__}"
    assert address(template, WEEK) == ("https://a.example/OTCE/OTC/otc/2025-11-24/20251128/2025-11-28/{week_ending.__class__}")


def test_the_command_takes_its_files_from_there(base: str, run_command: RunCommand, tmp_path: Path) -> None:
    file = weekly_files.write(tmp_path / "files", "2025-11-28", "OTC")
    PAGES["/weekly/otc_week_2025-11-28.psv"] = (200, {}, file.read_bytes())
    environ = {
        "MARKET_SPINE_FILE_URL": f"{base}/weekly/{{tier}}_week_{{week_ending}}.psv",
        "MARKET_SPINE_FILE_URL_HOSTS": "127.0.0.1",
    }
    week = ("--weeks", "2025-11-28", "--run-date", "2026-01-30", "--db", "spine.db")
    done = run_command("run_finra_weekly_schedule", "--source", "file_url", *week, env=environ)
    assert "2025-11-28 / OTC: ✓ Ingested 30 rows (NEW" in done.stderr
    assert "2025-11-28 / NMS_TIER_1: ✗ SOURCE_UNAVAILABLE: not found: http://127.0.0.1" in done.stderr
    assert done.exit_code == 1


def test_files_cannot_tell_what_was_revised(base: str) -> None:
    source: Any = UrlSource(f"{base}/{{tier}}", frozenset({"127.0.0.1"}), max_bytes=1)
    assert source.glance(WEEK) is None
    assert list(source.revised_since(date(2026, 1, 1), date(2025, 1, 3), date(2026, 1, 2))) == []
