"""The pages over HTTP: each at its address, alike on both engines, with every table as CSV and JSON."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import httpx
import pytest
from pages.demonstration import PAGES, Seen, looking_at
from support.commands import RunCommand
from support.desk import FRIDAYS, REVISED, WEEK, Desk

from market_spine import clock
from market_spine.app.context import Expectations, Run
from market_spine.core import executions
from market_spine.db import Database, connect
from market_spine.operate import anomalies, hold, rollback, runs
from market_spine.operate.status_grid import GLYPHS, CellState
from market_spine.operate.status_grid import REVISED as REVISED_GLYPH
from market_spine.page import demo
from market_spine.page.kept_weeks import KeptWeeks
from market_spine.page.looking import Look
from market_spine.page.routes import Display
from market_spine.page.site import ASSETS, hashed
from market_spine.page.views import measures, weeks
from market_spine.partition import OTC, TIERS

TOKEN = "r" * 32


def without_what_differs(html: str) -> str:
    """Without the names of databases and folders, the ids of runs, and their seconds."""
    html = re.sub(r"postgresql://[^\s<]*|/[\w/.-]*demo[\w/.-]*", "…", html)
    return re.sub(r"\d{8}T\d{6}-[0-9a-f]{8}|number\">\d+\.\d\d<|ratio n\">[\d.]+<|2\d{3}-\d\d-\d\d \d\d:\d\d", "…", html)


def test_every_page_is_the_same_on_both_engines(client: httpx.Client, postgres_demo: str) -> None:
    with looking_at(postgres_demo) as other:
        for path in PAGES:
            one, two = client.get(path), other.get(path)
            assert (one.status_code, two.status_code) == (200, 200), path
            assert without_what_differs(one.text) == without_what_differs(two.text), path


def test_every_link_of_every_page_leads_somewhere(client: httpx.Client) -> None:
    """From the front page on; of links that are alike, those of one week and one venue."""
    waiting, seen, alike = ["/"], {"/"}, re.compile(r"/weeks/(?!2025-12-26)|/venues/(?!UBSA)|format=|week=")
    while waiting:
        response = client.get(waiting.pop())
        assert response.status_code == 200, response.url
        if not response.headers["content-type"].startswith("text/html"):
            continue
        for link in set(Seen(response.text).links) - seen - {"#main"}:
            assert link.startswith("/"), link
            seen.add(link)
            if not alike.search(link):
                waiting.append(link)
    assert set(PAGES) - {"/symbols?q=co", "/symbols/BRK.B"} <= {unquote(link) for link in seen}


@pytest.mark.parametrize("path", PAGES)
def test_every_table_is_also_csv_and_json(client: httpx.Client, path: str) -> None:
    joint = "&" if "?" in path else "?"
    document = client.get(f"{path}{joint}format=json").json() if "symbols" not in path or "?" in path or "BRK" in path else {"tables": {}}
    for name, rows in document["tables"].items():
        answer = client.get(f"{path}{joint}format=csv&table={name}")
        assert answer.headers["content-type"].startswith("text/csv")
        assert [*csv.DictReader(io.StringIO(answer.text))] == [
            {column: "" if value is None else str(value) for column, value in row.items()} for row in rows
        ], name
        assert client.get(f"{path}{joint}format=json&table={name}").json()["tables"] == {name: rows}


def test_the_headers_allow_nothing_from_elsewhere_and_set_no_cookie(client: httpx.Client) -> None:
    response = client.get("/weeks")
    assert response.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "set-cookie" not in response.headers
    assert not re.search(r"<style|<script>|\sstyle=|\son\w+=|javascript:", response.text)


def test_an_unchanged_page_is_not_sent_twice(client: httpx.Client, sqlite_demo: str) -> None:
    first = client.get("/anomalies")
    tag = {"If-None-Match": first.headers["etag"]}
    again = client.get("/anomalies", headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    db = connect(sqlite_demo)
    open_one = next(a for a in anomalies.list_anomalies(db, unresolved=True) if a.state(demo.DAY) == "open")
    anomalies.acknowledge(db, open_one.id, date(2099, 1, 1), "seen", clock.utc_now())
    db.close()
    changed = client.get("/anomalies", headers=tag)
    assert changed.status_code == 200
    assert "acknowledged until 2099-01-01" in changed.text


def test_static_files_are_named_by_their_content_and_kept_forever(client: httpx.Client) -> None:
    for asset in ASSETS:
        response = client.get(f"/static/{hashed(asset)}")
        assert response.status_code == 200
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert client.get(f"/static/{asset}").status_code == 404


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/weeks/2025-12-27", 422, "not a Friday"),
        ("/weeks/2025-12-26/NMS", 422, "tier"),
        ("/venues/NOBODY", 404, "no measured week holds a venue"),
        ("/symbols/brk.b", 404, "case matters: BRK.B"),
        ("/diff/x/y", 404, "there is no capture"),
        ("/runs/nothing", 404, "there is no run"),
        ("/weeks?as_of=1999-01-01", 422, "between"),
        ("/weeks?as_of=2020-01-01", 404, "log"),
        ("/weeks?format=csv&table=none", 404, "no table"),
        ("/nowhere", 404, "Not Found"),
    ],
)
def test_an_error_is_a_page_that_says_what_is_wrong(client: httpx.Client, path: str, status: int, says: str) -> None:
    response = client.get(path, headers={"Accept": "text/html"})
    assert response.status_code == status
    assert says in Seen(response.text).text
    assert response.headers["content-security-policy"]


def test_an_unknown_address_is_a_problem_for_a_program(client: httpx.Client) -> None:
    assert client.get("/nowhere").json()["status"] == 404


@pytest.fixture(scope="module")
def guarded(sqlite_demo: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The pages beyond loopback."""
    tokens = tmp_path_factory.mktemp("guarded") / "tokens"
    tokens.write_text(f"read anna {TOKEN}\n")
    with looking_at(sqlite_demo, host="10.0.0.5", token_file=str(tokens)) as client:
        yield client


def basic(password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'me:{password}'.encode()).decode()}"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 401),
        ("GET", "/", basic("x" * 32), 401),
        ("GET", "/", {"Authorization": "Basic !"}, 401),
        ("GET", "/", {"Authorization": f"Bearer {TOKEN}"}, 401),
        ("GET", "/", basic(TOKEN), 200),
        ("GET", "/weeks?format=csv", basic(TOKEN), 200),
        ("GET", "/api/v1/anomalies", basic(TOKEN), 401),
        ("GET", "/api/v1/anomalies", {"Authorization": f"Bearer {TOKEN}"}, 200),
        ("POST", "/api/v1/work/retry", basic(TOKEN), 401),
        ("POST", "/", basic(TOKEN), 401),
    ],
)
def test_beyond_loopback_a_page_takes_a_token_as_the_password_and_the_api_does_not(
    guarded: httpx.Client, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    response = guarded.request(method, path, headers=headers)
    assert response.status_code == status
    if status == 401 and method == "GET":
        expected = "Bearer" if "/api/" in path else "Basic"
        assert response.headers["www-authenticate"].startswith(expected)
        assert "demo.db" not in response.text


class Counting:
    """A database that counts the statements it is given."""

    def __init__(self, db: Database) -> None:
        self._db, self.count = db, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        self.count += 1
        return self._db.execute(sql, parameters)


@pytest.mark.parametrize("span", [12, 600])
def test_the_heat_map_takes_eight_statements_however_many_weeks(db: Database, files: Path, span: int) -> None:
    desk = Desk(files, db)
    desk.publish_weeks([WEEK])
    desk.run()
    counting: Any = Counting(db)
    look = Look(Run(counting, FRIDAYS[0], clock.moment_of(FRIDAYS[0]), "", expected=Expectations()), counting)
    page = weeks.listed(look, FRIDAYS[0] - timedelta(weeks=span - 1), None)
    assert len(page.tables()["weeks"].rows) == span * len(TIERS)
    assert counting.count + 1 <= 8  # and one for the tag


def test_a_server_that_keeps_the_weeks_takes_nine_statements_after_an_event(db: Database, files: Path) -> None:
    desk, kept, counting = Desk(files, db), KeptWeeks(), cast(Any, Counting(db))
    desk.publish_weeks([WEEK])
    desk.run()
    look = Look(Run(counting, FRIDAYS[0], clock.moment_of(FRIDAYS[0]), "", expected=Expectations()), counting, kept=kept)
    for changes in range(2):
        counting.count = 0
        weeks.listed(look, None, None)
        assert counting.count + 1 <= 9, changes  # and one for the tag
        anomalies.raise_anomaly(db, WEEK, OTC, "INFO", "seen", clock.moment_of(FRIDAYS[0]))


STATES_DAY, GRACE = date(2026, 1, 20), 8  # a Tuesday after a holiday: some partitions are due, others late


def story_of_every_state(desk: Desk) -> None:
    """Weeks in every state on STATES_DAY."""
    first = [WEEK - timedelta(weeks=n) for n in range(4)]
    desk.publish_weeks(first)
    desk.publish(first[1], OTC, ())
    desk.run(FRIDAYS[0], [first[3], *first[:3]])
    desk.publish(first[0], OTC, REVISED)
    desk.run(FRIDAYS[1], first)
    rollback.roll_back(desk.context(FRIDAYS[1]), first[2], [OTC], "faulty")
    desk.publish(WEEK + timedelta(weeks=1), OTC)
    desk.run(FRIDAYS[1], [WEEK + timedelta(weeks=1)], only="ingest")
    hold.hold(desk.context(FRIDAYS[1]), first[3], OTC, "asked FINRA")


def test_every_cell_is_that_of_spine_status(desk_target: str, files: Path, run_command: RunCommand) -> None:
    """Of today in every state there is, and as of a past day."""
    with contextlib.closing(connect(desk_target)) as db:
        story_of_every_state(Desk(files, db))
    calendar = ("--weeks", "14", "--grace-days", str(GRACE), "--json", "--db", desk_target)
    with looking_at(desk_target, Display(day=STATES_DAY), grace_days=GRACE) as client:
        now = cells_of(run_command("spine", "status", *calendar, "--run-date", str(STATES_DAY)).stdout)
        assert shown(client, now) == now
        past = cells_of(run_command("spine", "status", *calendar, "--as-of", str(FRIDAYS[0])).stdout)
        assert shown(client, past, as_of=str(FRIDAYS[0])) == past
        html = Seen(client.get("/weeks", params={"from": now[-1][0]}).text)
    assert {cell[2] for cell in now} >= {state.value for state in CellState}
    assert now != past
    signs = Counter(text for text in html.texts if text in {*GLYPHS.values(), REVISED_GLYPH})
    assert all(signs[GLYPHS[CellState(cell[2])]] for cell in now if cell[3] == 0)


def cells_of(stdout: str) -> list[tuple[object, ...]]:
    """The cells as `spine status --json` prints them."""
    weeks = json.loads(stdout)["weeks"]
    return [(w["week_ending"], t["tier"], t["state"], t["revised"], t["problem"], t["command"]) for w in weeks for t in w["tiers"]]


def shown(client: httpx.Client, cells: list[tuple[object, ...]], **more: str) -> list[tuple[object, ...]]:
    """The same weeks as the heat map has them."""
    rows = client.get("/weeks", params={"from": str(cells[-1][0]), "format": "json", "table": "weeks", **more}).json()["tables"]["weeks"]
    return [(r["week_ending"], r["tier"], r["state"], r["revised"], r["problem"], r["command"]) for r in rows]


@pytest.fixture
def desk_target(target: str) -> str:
    return target


def test_a_page_as_of_a_day_is_the_page_of_that_day(target: str, files: Path) -> None:
    """Each Friday's pages are kept, and asked for again when later runs have changed all of it."""
    asked = ("/weeks", f"/weeks/{WEEK}", f"/weeks/{WEEK}/{OTC}", "/venues?tier=OTC", "/concentration", "/symbols/AAPL", "/anomalies?all=yes")
    db = connect(target)
    desk, kept = Desk(files, db), {}
    desk.publish_weeks([WEEK, WEEK - timedelta(weeks=1)])
    for friday, lines in zip(FRIDAYS, (None, REVISED, None, None), strict=True):
        if lines:
            desk.publish(WEEK, OTC, lines)
        if friday == FRIDAYS[2]:
            rollback.roll_back(desk.context(friday), WEEK, [OTC], "faulty")
        desk.run(friday, [WEEK, WEEK - timedelta(weeks=1)])
        if friday < FRIDAYS[3]:
            with looking_at(target, Display(day=friday)) as client:
                kept[friday] = {path: tables(client, path) for path in asked}
    db.close()
    with looking_at(target, Display(day=FRIDAYS[3] + timedelta(days=1))) as client:
        for friday, before in kept.items():
            for path, was in before.items():
                assert tables(client, path, friday) == was, (friday, path)
    assert len({str(pages["/concentration"]) for pages in kept.values()}) > 1


def tables(client: httpx.Client, path: str, as_of: date | None = None) -> Any:
    response = client.get(path, params={"format": "json", **({"as_of": str(as_of)} if as_of else {})})
    assert response.status_code == 200, response.text[:300]
    shown = response.json()["tables"]
    return [{**row, "seen_count": None, "last_seen_at": None} for row in shown["anomalies"]] if "anomalies" in shown else shown


def test_the_anomalies_of_a_page_are_counted_and_cut_by_the_database(db: Database, files: Path) -> None:
    desk = Desk(files, db)
    desk.publish_weeks([WEEK])
    desk.publish(WEEK, OTC, ())
    desk.run()
    desk.run(FRIDAYS[1])
    for severities in ((), ("INFO",), ("ERROR", "CRITICAL")):
        for week in (None, WEEK, FRIDAYS[0]):
            for unresolved in (False, True):
                which = anomalies.Which(severities or anomalies.SEVERITIES, week, unresolved)
                whole = anomalies.list_anomalies(db, which.severities, (week,) if week else (), unresolved)
                assert anomalies.page(db, which, 2, 1) == (whole[1:3], len(whole))


def test_a_run_is_shown_as_it_was_known(db: Database, files: Path) -> None:
    begin, end = clock.moment_of(FRIDAYS[0]), clock.moment_of(FRIDAYS[1])
    executions.start(db, "one", "weekly_schedule", FRIDAYS[0], {}, begin)
    executions.finish(db, "one", 1, end, outcomes={"partitions": []})
    (run,) = runs.list_runs(db, 9)
    during = runs.as_of(run, clock.stamp(begin + timedelta(days=1)))
    assert during is not None
    assert (run.exit_code, during.exit_code, during.finished_at) == (1, None, None)
    assert runs.list_runs(db, 9, before=clock.stamp(begin)) == []


def test_the_runs_of_the_demonstration_are_those_of_its_days(client: httpx.Client) -> None:
    days = [demo.DAY - timedelta(weeks=n) for n in range(4)]
    shown = [client.get("/runs", params={"format": "json", "as_of": str(day)}).json()["tables"]["runs"] for day in days]
    assert [len(rows) for rows in shown] == [5, 3, 2, 1]
    assert [rows[0]["started_at"][:10] for rows in shown] == [str(day) for day in days]


def test_of_a_held_tier_the_page_says_how_to_release_it(client: httpx.Client) -> None:
    for path in ("/weeks/2025-12-19", "/weeks/2025-12-19/OTC"):
        assert 'spine release 2025-12-19 OTC --reason "…"' in Seen(client.get(path).text).text


def test_of_a_symbol_the_least_hhi_is_shown_where_it_is_known(db: Database, files: Path) -> None:
    desk = Desk(files, db)
    desk.publish_weeks([WEEK])
    desk.run()
    with db.transaction():
        db.execute("UPDATE finra_otc_transparency_symbol_measure SET hhi_low = 0.125")
    look = Look(desk.context(), db)
    assert {row[-3] for row in measures.symbol(look, "AAPL").tables()["weeks"].rows} == {0.125}
