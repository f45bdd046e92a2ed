"""What an operator asks, with 60 and with 600 weeks stored: whole processes, start included."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from statistics import median

from bench.contest import Setting
from bench.goals import Finding, Goal
from bench.postgres import own_server, with_server
from bench.processes import Usage, measure, program

_SIZES = (60, 600)
_LIMIT = 2.0
_NOW = datetime(2026, 2, 6, 12, tzinfo=timezone.utc)


Measure = Callable[[list[str]], Usage]


def operator(setting: Setting) -> Finding:
    """status, captures, the difference of two captures of 50,000 rows, and the history of a symbol, at 60 and at 600 weeks."""
    finding = Finding("operator", operator.__doc__ or "", setting.rounds)
    paths = {weeks: setting.work / f"operator-{weeks}.db" for weeks in _SIZES}
    for path in paths.values():
        path.unlink(missing_ok=True)
    stores = {weeks: _filled(str(path), weeks) for weeks, path in paths.items()}
    _ask(finding, setting, stores, lambda command: measure(command, cwd=setting.work))
    for path in paths.values():
        path.unlink()
    return finding


def operator_postgres(setting: Setting) -> Finding:
    """The same questions to PostgreSQL, on disk and with its own settings; its CPU is counted with the client's."""
    server_class, databases_class, binaries = own_server()
    finding = Finding("operator-postgres", operator_postgres.__doc__ or "", setting.rounds)
    with server_class(binaries, durable=True) as server:
        databases = databases_class(server.url)
        stores = {weeks: _filled(databases.create(), weeks) for weeks in _SIZES}
        _ask(finding, setting, stores, lambda command: with_server(command, server.pid, setting.work))
        databases.close()
    return finding


def _ask(finding: Finding, setting: Setting, stores: Mapping[int, str], take: Measure) -> None:
    """Every question to both stores in turn, as often as there are rounds."""
    questions = _questions()
    usages: dict[tuple[str, int], list[Usage]] = {(name, weeks): [] for name in questions for weeks in _SIZES}
    for _ in range(setting.rounds):
        for name, asked in questions.items():
            for weeks, store in stores.items():
                usages[name, weeks].append(take([program("spine"), *asked, "--db", store]))
    for name in questions:
        _note(finding, name, *(usages[name, weeks] for weeks in _SIZES))


def _questions() -> dict[str, list[str]]:
    from bench import many_weeks  # not before: a process that measures stays small

    last = f"{many_weeks.NEWEST}:{many_weeks.NEWEST + timedelta(days=35):%Y%m%d}"
    return {
        "status": ["status", "--run-date", "2026-02-06"],
        "captures": ["captures"],
        "captures of a week": ["captures", str(many_weeks.NEWEST)],
        "diff, 2 × 50,000 rows": ["diff", *(f"{tier}:{last}" for tier in ("NMS_TIER_1", "NMS_TIER_2"))],
        "one symbol, every week": ["query", "normalized", "--symbol", "SYM007", "--csv"],
    }


def _note(finding: Finding, name: str, few: list[Usage], many: list[Usage]) -> None:
    ratio = float(median(b.cpu / a.cpu for a, b in zip(few, many, strict=True)))
    finding.rows.append(
        {
            "what": name,
            **{
                f"CPU s, {weeks} weeks": round(median(u.cpu for u in of), 3)
                for weeks, of in zip(_SIZES, (few, many), strict=True)
            },
            "600 ÷ 60": round(ratio, 3),
        }
    )
    finding.goals.append(Goal(f"{name}: CPU with 600 weeks ÷ with 60", ratio, _LIMIT))


def _filled(target: str, weeks: int) -> str:
    from bench import many_weeks
    from market_spine.db import connect
    from market_spine.db.migrations import prepare

    with contextlib.closing(connect(target)) as db:
        prepare(db, _NOW)
        many_weeks.fill(db, weeks)
        many_weeks.enlarge(db, weeks)
    return target
