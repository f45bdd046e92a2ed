"""The Python API: four ways to run a query, what it refuses, and what it costs to import."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from support.commands import run_here
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk, Line

import market_spine
from market_spine import python
from market_spine.db import Database
from market_spine.errors import ConfigurationError, InvalidWeek, NotFound, NotReady, UnknownTier, UsageError
from market_spine.operate import anomalies, prune, rollback
from market_spine.operate.windows import keep
from market_spine.partition import OTC
from market_spine.python.query import NotReadyRule

WEEKS = tuple(WEEK - timedelta(weeks=back) for back in reversed(range(4)))
FIRST, RESTATED, ROLLED_BACK, UNDONE = FRIDAYS
DAYS = tuple(date(2026, 1, day) for day in (8, 9, 12, 16, 22, 23, 29, 30))


def asked(store: market_spine.Store, not_ready: NotReadyRule = "include") -> dict[str, market_spine.Query]:
    """Every kind of query."""
    return {
        "weeks": store.weeks(),
        "volume": store.volume(tier="OTC", not_ready=not_ready),
        "volume of a symbol": store.volume("AAPL", not_ready=not_ready),
        "venue_share": store.venue_share(week=WEEK, not_ready=not_ready),
        "venue_share of a symbol": store.venue_share(symbol="AAPL", not_ready=not_ready),
        "hhi": store.hhi(not_ready=not_ready),
        "hhi of every symbol": store.hhi(tier="OTC", every_symbol=True, not_ready=not_ready),
        "rolling venue_share": store.rolling("venue_share", length=2, not_ready=not_ready),
        "rolling hhi": store.rolling("hhi", week=f"{WEEKS[0]}..{WEEKS[-1]}", not_ready=not_ready),
        "rolling totals": store.rolling("totals", tier="OTCE", not_ready=not_ready),
        "rolling symbol": store.rolling("symbol", symbol="AAPL", not_ready=not_ready),
    }


def lines_of(week: date) -> list[Line]:
    return [(symbol, mpid, venue, shares + WEEKS.index(week), trades) for symbol, mpid, venue, shares, trades in PLAIN]


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """Four weeks with windows of two; the third was restated, rolled back and restored."""
    desk = Desk(tmp_path / "files", db)
    for week in WEEKS:
        desk.publish_weeks([week], lines_of(week))
    keep(desk.context(FIRST), (2,))
    desk.run(FIRST, WEEKS)
    desk.publish(WEEKS[2], OTC, REVISED)
    desk.run(RESTATED, WEEKS)
    rollback.roll_back(desk.context(ROLLED_BACK), WEEKS[2], [OTC], "faulty file")
    rollback.undo(desk.context(UNDONE), WEEKS[2], [OTC], "right after all")
    desk.run(UNDONE, WEEKS)
    return desk


@pytest.fixture
def store(desk: Desk, target: str) -> market_spine.Store:
    return market_spine.open(target)


def named(result: market_spine.Result) -> list[dict[str, Any]]:
    return [row._asdict() for row in result.rows()]


def of_query(row: dict[str, Any]) -> str:
    """A row without the days of its release."""
    return repr({name: value for name, value in row.items() if name not in ("known_from", "known_to")})


def has_figures(row: dict[str, Any]) -> bool:
    """Not the row that only names why there is no window."""
    return row.get("inputs_hash", "x") is not None


# --- Releases and days --------------------------------------------------------------------------------------------------


def test_the_releases_known_on_a_day_are_what_was_returned_as_of_it(store: market_spine.Store) -> None:
    for name, query in asked(store).items():
        if name.startswith("volume"):  # whose rows have the days that FINRA declares
            continue
        releases = named(query.all_releases())
        assert len({row["known_from"] for row in releases}) > (1 if name != "venue_share" else 0), name
        for day in DAYS:
            known = [row for row in releases if row["known_from"] <= str(day) < (row["known_to"] or "9")]
            assert sorted(map(of_query, known)) == sorted(of_query(row) for row in returned(query, day)), (name, day)
        now = [of_query(row) for row in releases if row["known_to"] is None]
        assert sorted(now) == sorted(of_query(row) for row in named(query.latest()) if has_figures(row)), name


def returned(query: market_spine.Query, day: date) -> list[dict[str, Any]]:
    """What has figures; nothing before the log of events."""
    try:
        return [row for row in named(query.as_of(day)) if has_figures(row)]
    except NotFound:
        return []


@pytest.mark.one_engine
def test_a_first_release_is_what_was_known_before_anything_was_restated(store: market_spine.Store) -> None:
    for name, query in asked(store).items():
        first = named(query.first_release())
        as_of = [row for row in named(query.as_of(FIRST)) if has_figures(row)]
        if not name.startswith("volume"):
            assert [of_query(row) for row in first] == [of_query(row) for row in as_of], name


def test_the_releases_of_rows_have_the_days_that_finra_declares(store: market_spine.Store) -> None:
    with pytest.raises(NotFound, match="case matters"):
        store.volume("aapl").latest()
    result = store.volume("AAPL", tier="OTC", week=WEEKS[2], not_ready="include").all_releases()
    at_noon = datetime(2026, 1, 16, 12, tzinfo=timezone.utc)
    for week in (WEEKS[2], str(WEEKS[2]), datetime.combine(WEEKS[2], at_noon.timetz())):
        assert len(store.volume(week=week, tier="OTC", not_ready="include").as_of(at_noon)) == len(REVISED)
    spans = [(row.mpid, row.total_shares, row.known_from, row.known_to) for row in result.rows()]
    assert ("UBSA", 1002, "2025-12-22", "2026-01-16") in spans
    assert result.basis == "declared and observed"


# --- What is not ready --------------------------------------------------------------------------------------------------


@pytest.mark.one_engine
def test_a_week_that_is_not_ready_is_refused_unless_it_is_asked_for(desk: Desk, target: str) -> None:
    anomalies.raise_anomaly(desk.db, WEEK, OTC, "CRITICAL", "the venue reported twice", desk.context(UNDONE).now)
    desk.run(UNDONE, WEEKS)
    store = market_spine.open(target)
    for name, query in asked(store, "refuse").items():
        if name not in ("weeks", "volume of a symbol"):
            with pytest.raises(NotReady, match=rf"{WEEK} / OTC \(1 unresolved CRITICAL") as caught:
                query.latest()
            assert caught.value.hint == 'not_ready="omit", or not_ready="include"'
    assert len(store.hhi(tier="NMS_TIER_1").latest()) == 4
    omitted, included = (store.hhi(tier="OTC", not_ready=rule).latest() for rule in ("omit", "include"))  # type: ignore[arg-type]
    assert (len(omitted), len(included)) == (3, 4)
    assert omitted.readiness == included.readiness
    assert [each.blocking_issues for each in omitted.readiness] == [None, None, None, "1 unresolved CRITICAL anomalies"]
    assert "1 partitions not ready" in repr(included)
    assert len(store.hhi(tier="OTC").as_of(RESTATED)) == 4


@pytest.mark.one_engine
def test_a_named_week_without_a_capture_is_refused_too(store: market_spine.Store) -> None:
    with pytest.raises(NotReady, match=r"2026-01-02 / OTC \(nothing is stored of it\)"):
        store.hhi(tier="OTC", week="2026-01-02").latest()
    assert len(store.hhi(tier="OTC", week="2026-01-02", not_ready="omit").latest()) == 0
    with pytest.raises(NotReady, match="and 1 more"):
        store.hhi(tier="OTC", week="2026-01-02..2026-01-23").latest()


@pytest.mark.one_engine
def test_a_day_before_the_log_of_events_cannot_be_judged(store: market_spine.Store) -> None:
    with pytest.raises(NotFound, match="log of events"):
        store.hhi(tier="OTC", week=WEEK).as_of("2026-01-08")
    result = store.hhi(tier="OTC", week=WEEK, not_ready="include").as_of("2026-01-08")
    assert (len(result), result.readiness) == (0, ())


def test_pruned_captures_are_left_out_and_named(desk: Desk, target: str) -> None:
    prune.prune(desk.context(date(2026, 6, 5)), 30, "old")
    result = market_spine.open(target).hhi(week=WEEKS[2], tier="OTC", not_ready="include").all_releases()
    assert ([row.known_from for row in result.rows()], result.pruned) == (
        ["2026-01-16", "2026-01-30"], (f"finra.otc_transparency:OTC:{WEEKS[2]}:20260109",),
    )


WRONG: dict[str, tuple[Callable[[market_spine.Store], Any], type[Exception], str]] = {
    "a Saturday": (lambda store: store.hhi(week="2025-12-27"), InvalidWeek, "is a Saturday, not a Friday"),
    "a Saturday as a date": (lambda store: store.hhi(week=date(2025, 12, 27)), InvalidWeek, "is a Saturday, not a Friday"),
    "no date": (lambda store: store.hhi(week=["soon"]), InvalidWeek, "Invalid date format"),
    "no day": (lambda store: store.hhi().as_of("soon"), InvalidWeek, "Invalid date format"),
    "a tier": (lambda store: store.hhi(tier="T9"), UnknownTier, "unknown tier"),
    "another purpose": (lambda store: store.weeks(ready_for="fun").latest(), UsageError, "no week was judged for 'fun'"),
    "a measure": (lambda store: store.rolling("volume"), UsageError, "no rolling measure"),
    "a length": (lambda store: store.rolling("hhi", length=5).latest(), UsageError, "of 5 weeks are not kept"),
    "a symbol of venues": (lambda store: store.rolling("hhi", symbol="AAPL"), UsageError, "not of a symbol"),
}


@pytest.mark.parametrize(("ask", "error", "message"), WRONG.values(), ids=WRONG)
@pytest.mark.one_engine
def test_what_cannot_be_asked_is_refused(
    db: Database, target: str, ask: Callable[[market_spine.Store], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        ask(market_spine.open(target))
    assert f"Try: {caught.value.hint}" in "".join(caught.value.__notes__)  # type: ignore[attr-defined]


def test_a_path_stays_that_of_its_folder(db: Database, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = market_spine.open(os.path.relpath(target) if "://" not in target else target)
    monkeypatch.chdir("/")
    assert len(store.weeks().latest()) == 0


@pytest.mark.parametrize("name", ["nothing.db", "mysql://x"])
def test_what_is_not_a_store_is_refused_when_it_is_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError):
        market_spine.open(name if ":" in name else tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# --- Results ------------------------------------------------------------------------------------------------------------


def test_rows_and_their_digest_are_those_of_spine_query(desk: Desk, target: str, store: market_spine.Store, tmp_path: Path) -> None:
    commands = {
        "volume": "normalized --tiers OTC", "volume of a symbol": "normalized --symbol AAPL",
        "venue_share": f"venue_share --weeks {WEEK}", "venue_share of a symbol": "symbol_venue_share --symbol AAPL",
        "hhi of every symbol": "hhi --tiers OTC", "rolling venue_share": "rolling_venue_share --length 2",
        "rolling totals": "rolling_totals --tiers OTC",
    }
    for name, command in commands.items():
        result = asked(store)[name].latest()
        printed = run_here(["spine", "query", *command.split(), "--csv", "--db", target], tmp_path, {}).stdout
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([result.columns, *result.rows()])
        assert text.getvalue() == printed, name
        assert store.provenance(result).rows_sha256 == hashlib.sha256(printed.encode()).hexdigest()


def test_a_result_says_what_it_rests_on(store: market_spine.Store, target: str) -> None:
    result = store.rolling("hhi", length=2, tier="OTC", week=WEEKS[3], not_ready="include").all_releases()
    ids = [f"{OTC}:{WEEKS[2]}:20260109", f"{OTC}:{WEEKS[2]}:20260116", f"{OTC}:{WEEKS[3]}:20260109"]
    assert [each.capture_id.partition(":")[2] for each in result.captures] == ids
    cited = str(store.provenance(result))
    assert cited.startswith(f"rolling(measure='hhi', length=2, tier='OTC', week='{WEEKS[3]}').all_releases(), ")
    assert all(f"{each.capture_id} sha256:{each.content_hash}" in cited for each in result.captures)
    assert f"checkpoint market-spine/{result.checkpoint.split()[0].partition('/')[2]}" in cited if result.checkpoint else False
    assert "password" not in cited


def test_frames_have_the_types_of_the_columns_whatever_they_hold(store: market_spine.Store) -> None:
    polars = pytest.importorskip("polars")
    shown: dict[str, str] = {}
    for name, query in asked(store).items():
        for result in (query.latest(), query.all_releases(), store.hhi(week="2026-01-02", not_ready="omit").latest()):
            table, frame = result.to_arrow(), result.to_pandas()
            types = {column.name: str(column.type) for column in table.schema}
            assert all(shown.setdefault(column, kind) == kind for column, kind in types.items()), name
            assert (len(frame), tuple(frame.columns), tuple(result.to_polars().columns)) == (len(result), result.columns, result.columns)
            assert isinstance(result.to_polars(), polars.DataFrame)
            assert [tuple(map(plain, row.values())) for row in table.to_pylist()] == list(map(tuple, result.rows()))
    assert {kind: sorted(c for c, k in shown.items() if k == kind) for kind in set(shown.values()) - {"double", "string"}} == {
        "bool": ["is_ready"],
        "date32[day]": ["held_from", "known_from", "known_to", "published_on", "revised_on", "week_ending"],
        "timestamp[s, tz=UTC]": ["captured_at", "judged_at"],
        "int64": ["active_weeks", "firm_crd", "lag_days", "length", "rank", "rank_change", "sessions", "total_trades", "venue_count"],
    }


def plain(value: Any) -> Any:
    """A value of a frame as the view has it."""
    return value.isoformat() if hasattr(value, "isoformat") else int(value) if isinstance(value, bool) else value


# --- The package --------------------------------------------------------------------------------------------------------

HEAVY = ("numpy", "pandas", "polars", "pyarrow", "sqlite_utils", "click", "requests")


@pytest.mark.one_engine
def test_importing_and_reading_rows_loads_nothing_heavy(desk: Desk, target: str) -> None:
    program = (
        "import json, sys, market_spine\n"
        f"rows = market_spine.open({target!r}).volume('AAPL', not_ready='include').all_releases().rows()\n"
        f"print(json.dumps([len(rows), [name for name in {HEAVY!r} if name in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    count, loaded = json.loads(done.stdout)
    assert (count > 0, loaded) == (True, [])


def test_the_package_has_its_names_and_loads_them_when_they_are_used() -> None:
    program = "import sys, market_spine; print('market_spine.python' in sys.modules, dir(market_spine))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("False") and all(f"'{name}'" in shown for name in python.__all__)
    assert {name: getattr(market_spine, name) for name in python.__all__} == {n: getattr(python, n) for n in python.__all__}
    stub = (Path(market_spine.__file__).parent / "__init__.pyi").read_text("utf-8")
    assert [line.split(" as ")[1] for line in stub.splitlines() if " as " in line] == python.__all__
    with pytest.raises(AttributeError, match="has no attribute 'closed'"):
        market_spine.closed  # type: ignore[attr-defined]  # noqa: B018
