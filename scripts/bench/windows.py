"""The rolling measures: of a Friday, of a restatement and from nothing; against DuckDB, which computes them from Parquet."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.contest import Setting
from bench.goals import Finding, Goal
from bench.many_weeks import record_stage

if TYPE_CHECKING:
    from market_spine.app.context import Run
    from market_spine.db import Database
    from market_spine.query.answer import Question

VENUES, SYMBOLS, NEWEST = 200, 10_000, date(2025, 12, 26)
_SIZES, _BACKFILL = (60, 600), 260
_BYTES_A_WEEK = 5_270_000  # of three tiers of 50,000 rows, as `grown` stores them


def windows(setting: Setting) -> Finding:
    """CPU of the windows of 200 venues × 3 tiers: a Friday, a restated week, 260 weeks from nothing, all symbols of a tier."""
    finding = Finding("windows", windows.__doc__ or "", setting.rounds)
    with contextlib.ExitStack() as stack:
        stores = {weeks: stack.enter_context(_store(setting.work / f"windows-{weeks}.db", weeks)) for weeks in _SIZES}
        for db in stores.values():
            _cpu(partial(_follow, db))
        samples: dict[tuple[str, int], list[float]] = {}
        for number in range(setting.rounds):
            for weeks, db in stores.items():
                for name, act in (("a Friday", _friday), ("a restated week", _restate)):
                    act(db, number)
                    samples.setdefault((name, weeks), []).append(_cpu(partial(_follow, db)))
        for name, limit in (("a Friday", 50), ("a restated week", 150)):
            few, many = (samples[name, weeks] for weeks in _SIZES)
            ratio = median(b / a for a, b in zip(few, many, strict=True))
            finding.rows.append({"what": name, "CPU ms": round(1000 * median(many), 1), "600 weeks ÷ 60": round(ratio, 3)})
            finding.goals += [
                Goal(f"{name}: CPU ms", 1000 * median(many), limit),
                Goal(f"{name}: 600 weeks ÷ 60", ratio, 1.1),
            ]
    _from_nothing(finding, setting)
    _symbols(finding, setting)
    return finding


def _from_nothing(finding: Finding, setting: Setting) -> None:
    ours, theirs = [], []
    for _ in range(max(setting.rounds // 3, 1)):
        with _store(setting.work / "windows-backfill.db", _BACKFILL) as db:
            parquet = setting.work / "windows.parquet"
            _export(db, parquet)
            before = db.size_bytes()
            ours.append(_cpu(partial(_follow, db)))
            theirs.append(_cpu(partial(_by_duckdb, parquet)))
            share = (db.size_bytes() - before) / _BACKFILL / _BYTES_A_WEEK
    ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
    finding.rows += [
        {"what": "260 weeks from nothing", "CPU ms": round(1000 * median(ours), 1), "ours ÷ DuckDB": round(ratio, 2)},
        {"what": "DuckDB from Parquet, not stored", "CPU ms": round(1000 * median(theirs), 1)},
    ]
    finding.goals += [
        Goal("260 weeks from nothing: CPU ms", 1000 * median(ours), 3_000),
        Goal("disk of the windows ÷ that of the weeks", share, 0.03),
    ]


def _symbols(finding: Finding, setting: Setting) -> None:
    from market_spine.query.answer import Question
    from market_spine.query.views import VIEWS

    view, tiers = VIEWS["rolling_symbol"], ("OTC",)
    with _store(setting.work / "windows-symbols.db", 13, SYMBOLS) as db:
        _follow(db)
        for name, symbol, limit in (("all symbols of a tier, 13 weeks", None, 300), ("one symbol, 13 weeks", "S00007", 10)):
            asked = Question(view, (NEWEST,), tiers, symbol, length=13)
            taken = [_cpu(partial(_read, db, asked)) for _ in range(setting.rounds)]
            finding.rows.append({"what": name, "CPU ms": round(1000 * median(taken), 1)})
            finding.goals.append(Goal(f"{name}: CPU ms", 1000 * median(taken), limit))


def _read(db: Database, asked: Question) -> int:
    from market_spine.query.answer import answer

    return len(list(answer(db, asked)))


def _cpu(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return time.process_time() - began


@contextlib.contextmanager
def _store(path: Path, weeks: int, symbols: int = 10) -> Iterator[Database]:
    """A store of `weeks` weeks, with measures and without windows."""
    from market_spine.db import connect
    from market_spine.db.migrations import prepare

    path.unlink(missing_ok=True)
    with contextlib.closing(connect(str(path))) as db:
        prepare(db)
        chance = random.Random(1)
        with db.transaction():
            issues = [(n + 1, f"S{n:05}", f"Name {n}", "") for n in range(symbols)]
            db.bulk_insert("finra_otc_transparency_issue", ("issue_id", "symbol", "issue_name", "product_type"), issues)
            venues = [(n + 1, "ATS" if n < 33 else "OTC", f"MP{n:02}" if n < 33 else "", n, f"Venue {n}") for n in range(VENUES)]
            db.bulk_insert("finra_otc_transparency_venue", ("venue_id", "venue_class", "mpid", "firm_crd", "venue_name"), venues)
            for back in range(weeks):
                _week(db, NEWEST - timedelta(weeks=back), date(2026, 2, 6), chance, symbols)
        yield db
    path.unlink()


def _friday(db: Database, number: int) -> None:
    """A new week of every tier."""
    with db.transaction():
        _week(db, NEWEST + timedelta(weeks=number + 1), date(2026, 2, 6), random.Random(number), 10)


def _restate(db: Database, number: int) -> None:
    """Another capture of a week of one tier."""
    with db.transaction():
        _capture(db, NEWEST - timedelta(weeks=20), "OTC", date(2026, 3, 6) + timedelta(weeks=number), random.Random(number), 10)


def _week(db: Database, week: date, day: date, chance: random.Random, symbols: int) -> None:
    from market_spine.partition import TIERS

    for tier in TIERS:
        _capture(db, week, tier, day, chance, symbols)


def _capture(db: Database, week: date, tier: str, day: date, chance: random.Random, symbols: int) -> None:
    from market_spine.core import events
    from market_spine.partition import DOMAIN, generate_capture_id, partition_key

    capture_id, at = generate_capture_id(DOMAIN, week, tier, day), f"{day}T12:00:00+00:00"
    volumes = {n + 1: chance.randint(1, 10**8) for n in range(VENUES) if chance.random() < 0.9}
    total = sum(volumes.values())
    (key,) = db.execute(
        """
        INSERT INTO finra_otc_transparency_capture (capture_id, week_ending, tier, run_date, captured_at, content_hash,
                                                    source_uri, total_shares, normalized_at)
        VALUES (?, ?, ?, ?, ?, ?, '', ?, ?) RETURNING capture_key
        """,
        (capture_id, str(week), tier, str(day), at, f"{chance.getrandbits(256):064x}", total, at),
    ).fetchone()
    rows = [(key, venue, shares, 5, 3, 0.1, 1) for venue, shares in volumes.items()]
    columns = ("capture_key", "venue_id", "total_shares", "total_trades", "symbol_count", "share", "rank")
    db.bulk_insert("finra_otc_transparency_venue_measure", columns, rows)
    measured = [(key, n + 1, chance.randint(1, 10**7), 100, 5, 3, chance.random()) for n in range(symbols)]
    columns = ("capture_key", "issue_id", "total_shares", "ats_shares", "total_trades", "venue_count", "hhi")
    db.bulk_insert("finra_otc_transparency_symbol_measure", columns, measured)
    columns = ("capture_key", "total_shares", "ats_shares", "total_trades", "symbol_count", "venue_count", "hhi")
    db.bulk_insert("finra_otc_transparency_tier_measure", columns, [(key, total, total // 3, 1_000, symbols, len(volumes), 0.1)])
    record_stage(db, "CALC", 3, partition_key(str(week), tier), capture_id, 1, {"ingest_no": 1}, at)
    events.record(db, events.Kind.CAPTURE_MEASURED, f"{week}/{tier}", at, capture_id=capture_id, ingest_no=1)


def _follow(db: Database) -> int | None:
    from market_spine.app import windows as windows_of_calc

    return windows_of_calc.follow(_run(db), NEWEST).rows


def _run(db: Database) -> Run:
    from market_spine.app.context import Run

    return Run(db, date(2026, 12, 31), datetime(2026, 12, 31, 12, tzinfo=timezone.utc), "benchmark")


def _export(db: Database, path: Path) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    rows = db.execute(
        "SELECT tier, week_ending, venue_class || mpid || venue_name, total_shares FROM finra_otc_transparency_venue_share"
    )
    columns = zip(*rows.fetchall(), strict=True)
    parquet.write_table(arrow.table(dict(zip(("tier", "week", "venue", "shares"), map(list, columns), strict=True))), path)


def _by_duckdb(path: Path) -> None:
    """The same figures of every venue, 6 and 13 weeks, on one thread, without storing them."""
    import duckdb

    with duckdb.connect(config={"threads": 1}) as duck:
        for length in (6, 13):
            duck.execute(
                f"""
                WITH dense AS (
                    SELECT v.tier, w.week, v.venue, COALESCE(x.shares, 0) AS shares
                    FROM (SELECT DISTINCT tier, venue FROM '{path}') v CROSS JOIN (SELECT DISTINCT week FROM '{path}') w
                    LEFT JOIN '{path}' x ON x.tier = v.tier AND x.week = w.week AND x.venue = v.venue),
                shares AS (
                    SELECT *, shares / SUM(shares) OVER (PARTITION BY tier, week) AS share,
                           DENSE_RANK() OVER (ORDER BY week) AS i FROM dense),
                rolled AS (
                    SELECT tier, week, venue, SUM(shares) OVER w AS volume, AVG(share) OVER w AS mean,
                           REGR_SLOPE(share, i) OVER w AS slope, MEDIAN(share) OVER b AS middle, MAD(share) OVER b AS spread,
                           share
                    FROM shares WINDOW w AS (PARTITION BY tier, venue ORDER BY week ROWS {length - 1} PRECEDING),
                        b AS (PARTITION BY tier, venue ORDER BY week ROWS BETWEEN {length - 1} PRECEDING AND 1 PRECEDING))
                SELECT *, volume / SUM(volume) OVER (PARTITION BY tier, week),
                       RANK() OVER (PARTITION BY tier, week ORDER BY volume DESC), (share - middle) / NULLIF(1.4826 * spread, 0)
                FROM rolled
                """
            ).fetchnumpy()
