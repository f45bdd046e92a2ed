"""What an operator asks, with 60 and with 600 weeks stored: whole processes, start included."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median

from bench.contest import Setting
from bench.goals import Finding, Goal
from bench.processes import Usage, measure, program

_SIZES = (60, 600)
_LIMIT = 2.0
_NOW = datetime(2026, 2, 6, 12, tzinfo=timezone.utc)


def operator(setting: Setting) -> Finding:
    """status, captures, the difference of two captures of 50,000 rows, and the history of a symbol, at 60 and at 600 weeks."""
    from bench import many_weeks  # not before: a process that measures stays small

    finding = Finding("operator", operator.__doc__ or "", setting.rounds)
    stores = {weeks: _store(setting.work / f"operator-{weeks}.db", weeks) for weeks in _SIZES}
    questions = {
        "status": ["status", "--run-date", "2026-02-06"],
        "captures": ["captures"],
        "captures of a week": ["captures", str(many_weeks.NEWEST)],
        "diff, 2 × 50,000 rows": [
            "diff",
            *(
                f"{tier}:{many_weeks.NEWEST}:{many_weeks.NEWEST + timedelta(days=35):%Y%m%d}"
                for tier in ("NMS_TIER_1", "NMS_TIER_2")
            ),
        ],
        "one symbol, every week": ["query", "normalized", "--symbol", "SYM007", "--csv"],
    }
    usages: dict[tuple[str, int], list[Usage]] = {(name, weeks): [] for name in questions for weeks in _SIZES}
    for _ in range(setting.rounds):
        for name, asked in questions.items():
            for weeks, store in stores.items():
                command = [program("spine"), *asked, "--db", str(store)]
                usages[name, weeks].append(measure(command, cwd=setting.work))
    for name in questions:
        _note(finding, name, *(usages[name, weeks] for weeks in _SIZES))
    for store in stores.values():
        store.unlink()
    return finding


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


def _store(path: Path, weeks: int) -> Path:
    from bench import many_weeks
    from market_spine.db import connect
    from market_spine.migrations import prepare

    path.unlink(missing_ok=True)
    with contextlib.closing(connect(str(path))) as db:
        prepare(db, _NOW)
        many_weeks.fill(db, weeks)
        many_weeks.enlarge(db, weeks)
    return path
