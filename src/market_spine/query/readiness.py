"""Which weeks and partitions were ready at a moment, and what blocked the others: the judgements of the log of events."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Any, NamedTuple

from market_spine.core import events
from market_spine.core import judgements as logged
from market_spine.core.events import Kind
from market_spine.db import Database
from market_spine.errors import UsageError
from market_spine.partition import DOMAIN, TIERS
from market_spine.query.as_of import day_of
from market_spine.query.views import View

Row = tuple[Any, ...]
Subject = tuple[str, "str | None"]  # a week, without a tier, or a week of a tier

TRADING = "trading"
LAG = "lag_days"
READINESS = View("readiness", "week_ending, tier, is_ready, blocking_issues, judged_at", of_capture="", measured=False)


class Judgement(NamedTuple):
    """That a week, or with a tier one of its partitions, was judged; `seq` is its event."""

    seq: int
    week: str
    tier: str
    is_ready: int
    blocking_issues: str | None
    judged_at: str

    @property
    def row(self) -> Row:
        return self.week, self.tier or None, self.is_ready, self.blocking_issues, self.judged_at

    def is_of(self, weeks: tuple[date, ...] | None, tiers: tuple[str, ...]) -> bool:
        """Whether it is of one of these weeks (None: of any), and of the week itself or of one of these tiers."""
        return (weeks is None or date.fromisoformat(self.week) in weeks) and (not self.tier or self.tier in tiers)


def with_lag(row: Row) -> Row:
    """The row, and how many days after its Friday the day came since which it has been ready; None while it is not."""
    shown = dict(zip(READINESS.columns, row, strict=True))
    ready_on = date.fromisoformat(day_of(shown["judged_at"]))
    return *row, (ready_on - date.fromisoformat(shown["week_ending"])).days if shown["is_ready"] else None


def answer(
    db: Database, weeks: tuple[date, ...] | None, tiers: tuple[str, ...], before: str | None, ready_for: str = TRADING
) -> Generator[Row, None, None]:
    """A row for each week (without a tier) and each of its partitions, by week: the last judgement before a moment (a stamp).

    Raises NotFound when the log began later, UsageError for a purpose that nothing was judged for.
    """
    wanted = _subjects(db, ready_for)
    if before is not None:
        events.check_began(db, before)
    judged = {(judged.week, judged.tier): judged for judged in judgements(db, before) if judged.is_of(weeks, tiers)}
    yield from (judged[subject].row for subject in sorted(judged) if wanted is None or subject in wanted)


def _subjects(db: Database, ready_for: str) -> set[tuple[str, str]] | None:
    """What is judged for a purpose; None for all. Every purpose is judged by one rule, and the log has the judgements for
    trading, which stand for the others."""
    if ready_for == TRADING:
        return None
    rows = db.execute(
        """
        SELECT json_extract(partition_key, '$.week_ending'), json_extract(partition_key, '$.tier') FROM core_data_readiness
        WHERE domain = ? AND ready_for = ?
        """,
        (DOMAIN, ready_for),
    )
    judged = {(week, tier or "") for week, tier in rows}
    if not judged:
        raise UsageError(f"no week was judged for {ready_for!r}", hint='ready_for="trading"')
    return judged


def releases(
    db: Database, weeks: tuple[date, ...] | None, tiers: tuple[str, ...], ready_for: str = TRADING
) -> Generator[Row, None, None]:
    """The last judgement of each day with its lag, from which day it held and from which another one did; by week and tier.

    Raises UsageError as `answer`.
    """
    wanted = _subjects(db, ready_for)
    by_subject: dict[tuple[str, str], dict[str, Judgement]] = {}
    for judged in judgements(db):
        if judged.is_of(weeks, tiers):
            by_subject.setdefault((judged.week, judged.tier), {})[day_of(judged.judged_at)] = judged
    for subject in sorted(by_subject if wanted is None else by_subject.keys() & wanted):
        days = by_subject[subject]
        for day, following in zip(days, [*list(days)[1:], None], strict=True):
            yield (*with_lag(days[day].row), day, following)


def judgements(db: Database, before: str | None = None) -> Iterator[Judgement]:
    """Every judgement before a moment (a stamp), oldest first."""
    rows = db.execute(
        """
        SELECT line FROM core_events WHERE json_extract(line, '$.kind') = ? AND json_extract(line, '$.at') < ? ORDER BY seq
        """,
        (Kind.READINESS_CHANGED.value, before or "9"),
    )
    for entry in (json.loads(line) for (line,) in rows):
        for subject, judged in logged.read(entry).items():
            week, _, tier = subject.partition("/")
            yield Judgement(entry["seq"], week, tier, int(judged.is_ready), "; ".join(judged.issues) or None, entry["at"])


def blocking(db: Database, partitions: AbstractSet[tuple[str, str]], before: str | None) -> dict[tuple[str, str], str]:
    """What blocks each of these weeks and tiers at a moment (a stamp), or now; those that were ready are left out. Of a tier
    that was not judged by itself, the judgement of its week counts.

    Raises NotFound when the log began later.
    """
    if not partitions:
        return {}
    weeks = {week for week, _ in partitions}
    if before is None:
        judged = _stored(db, partitions | {(week, None) for week in weeks})
    else:
        rows = answer(db, tuple(map(date.fromisoformat, weeks)), TIERS, before)
        judged = {(week, tier): None if is_ready else issues or "" for week, tier, is_ready, issues, _ in rows}
    of_weeks = {week: judged.get((week, None), "nothing is stored of it") for week in weeks}
    issues_of = {(week, tier): judged.get((week, tier), of_weeks[week]) for week, tier in partitions}
    return {key: issues for key, issues in sorted(issues_of.items()) if issues is not None}


def _stored(db: Database, subjects: AbstractSet[Subject]) -> dict[Subject, str | None]:
    """What blocks each of these by its last judgement; None where nothing does."""
    rows = db.execute(
        """
        SELECT json_extract(partition_key, '$.week_ending'), json_extract(partition_key, '$.tier'), is_ready, blocking_issues
        FROM core_data_readiness
        WHERE domain = ? AND ready_for = 'trading' AND json_extract(partition_key, '$.week_ending') BETWEEN ? AND ?
        """,
        (DOMAIN, min(week for week, _ in subjects), max(week for week, _ in subjects)),
    )
    texts = {(week, tier): None if is_ready else issues or "[]" for week, tier, is_ready, issues in rows}
    return {each: text and "; ".join(json.loads(text)) for each, text in texts.items() if each in subjects}
