"""What the gates make of a content: its past is read from the database, and its verdicts are stored with its rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from market_spine.app.context import Run
from market_spine.categories import Category
from market_spine.core import anomalies, captures, checks, holds
from market_spine.core.captures import Capture
from market_spine.core.checks import StoredCheck, StoredFigures
from market_spine.core.holds import Held
from market_spine.db import Database
from market_spine.gates import inputs
from market_spine.gates.past import SHAPES, Limits, Other, Past, Week
from market_spine.gates.profile import BUILT_IN, Profile, read_profile
from market_spine.gates.verdict import Judgement, Result, Verdict
from market_spine.partition import Partition

if TYPE_CHECKING:
    from market_spine.gates.figures import Figures, Seen, Shape

_AROUND = timedelta(weeks=2)  # other tiers' weeks that a content is compared with, and the own ones after it


class Verdicts(NamedTuple):
    """A content with its distances to its history, the judgement on it, and what it was judged by."""

    seen: Seen
    judgement: Judgement
    past: Past
    limits: Limits


def judge(run: Run, capture: Capture, seen: Seen) -> Verdicts:
    """Judges a content of a capture by what the database, or the forecast of a dry run, holds now."""
    from market_spine.gates import judge as gates

    past = past_of(run, capture)
    return Verdicts(*gates.judge(seen, capture.partition, past, run.limits), past, run.limits)


def past_of(run: Run, capture: Capture) -> Past:
    """What the content of a capture is judged against."""
    db, partition, forecast = run.db, capture.partition, run.forecast
    twin = captures.twin(db, partition, capture.content_hash)
    weeks = {week.partition: week for week in map(_week, checks.accepted_before(db, partition))}
    weeks |= forecast.weeks_before(partition)
    around, others = _around(run, partition, sorted(p.week_ending for p in weeks)[-SHAPES:])
    shapes = {(other.partition): other.seen.shape for other in around}
    return Past(
        weeks=[weeks[p]._replace(shape=weeks[p].shape or shapes.get(p)) for p in sorted(weeks)],
        others=others,
        replaced=next((other for other in around if other.partition == partition), None),
        current=forecast.current(captures.current(db, partition, run.run_date), partition),
        twin=forecast.twin(twin, partition, capture.content_hash),
        decision=holds.decision_on(db, partition, capture.content_hash),
        levels=checks.levels(db, partition.tier),
        profile=profile_of(db),
    )


def _around(run: Run, partition: Partition, last: Sequence[date]) -> tuple[list[Other], list[Other]]:
    """The accepted contents with their spread, this partition's and the last weeks of its tier among them, however long ago; and
    of those the ones it may be confused with."""
    week = partition.week_ending
    first = min([*last, week - timedelta(weeks=SHAPES + 1)])
    near = checks.accepted_around(run.db, partition.tier, (first, week + _AROUND), (week - _AROUND, week + _AROUND))
    stored = {other.partition: other for other in map(_other, near)}
    stored |= run.forecast.seen_between(first, week + _AROUND)
    around = [stored[p] for p in sorted(stored) if p.tier == partition.tier or abs(p.week_ending - week) <= _AROUND]
    return around, [other for other in around if other.partition != partition]


@lru_cache(maxsize=512)
def _figures(text: str) -> Figures:
    from market_spine.gates.figures import read_figures

    return read_figures(text)


@lru_cache(maxsize=128)
def _shape(text: str) -> Shape:
    from market_spine.gates.figures import read_shape

    return read_shape(text)


def _week(stored: StoredFigures) -> Week:
    partition = Partition(date.fromisoformat(stored.week), stored.tier)
    return Week(partition, stored.capture_id, stored.content_hash, _figures(stored.figures_json))


def _other(stored: StoredFigures) -> Other:
    from market_spine.gates.figures import Seen

    seen = Seen(_figures(stored.figures_json), _shape(str(stored.shape_json)))
    return Other(Partition(date.fromisoformat(stored.week), stored.tier), seen, stored.capture_id, stored.content_hash)


def profile_of(db: Database, before: str | None = None) -> Profile:
    """The thresholds in force now, or before a moment (a stamp)."""
    stored = checks.profile_in_force(db, before)
    return BUILT_IN if stored is None else read_profile(stored.thresholds_json, stored.source)


def seen_again(db: Database, capture: Capture) -> Seen | None:
    """The figures of a content that was judged before; None where it never was."""
    stored = checks.figures_of(db, capture.capture_id, capture.content_hash)
    return None if stored is None else _other(stored).seen


def record(run: Run, capture: Capture, judged: Verdicts) -> None:
    """Stores the figures and the verdicts; of a content that passes, ends its hold and notes what is unusual. Call it inside a
    transaction."""
    remember(run, capture, judged)
    judgement = judged.judgement
    if judgement.is_held:
        return
    reason = "passes the gates now"
    holds.release(run.db, capture.partition, capture.capture_id, by=holds.BY_GATES, reason=reason, now=run.now)
    if judgement.of(Verdict.WARN):
        anomalies.observe(
            run, Category.UNUSUAL_CONTENT, capture.partition, judgement.sentence, capture_id=capture.capture_id,
            details=judgement.entry() | {"ingest_no": capture.ingest_no},
        )


def remember(run: Run, capture: Capture, judged: Verdicts) -> None:
    """Stores the figures of a content and the verdicts on it. Call it inside a transaction."""
    from market_spine.gates.figures import figures_json, shape_json

    partition, (figures, shape), judgement = capture.partition, judged.seen, judged.judgement
    texts = figures_json(figures), shape_json(shape)
    content = StoredFigures(capture.capture_id, capture.content_hash, partition.week, partition.tier, *texts)
    past_json = inputs.past_json(judged.past, judged.limits)
    checks.record_figures(run.db, content, judgement.profile_id, past_json, run.now)
    checks.record_checks(run.db, capture.capture_id, capture.ingest_no, [_check(r, judgement) for r in judgement.results])


def refuse(run: Run, capture: Capture, category: Category, message: str) -> None:
    """Records that a content cannot be stored, beside the verdicts of the gates."""
    with run.db.transaction():
        check = StoredCheck(category.lower(), "exact", "", "", None, None, None, None, None, None, None, "REFUSE", message)
        checks.record_checks(run.db, capture.capture_id, capture.ingest_no, [check])


def hold(run: Run, capture: Capture, judged: Verdicts, *, rows: int, has_rows: bool) -> None:
    """Holds a content, and records why. Call it inside a transaction."""
    judgement = judged.judgement
    headline = judgement.headline
    if headline is None:
        raise AssertionError("a content is held by a gate")
    held = Held(capture.partition, capture.capture_id, capture.ingest_no, capture.content_hash, capture.captured_at, rows)
    standing = holds.standing(run.db, capture.partition)
    decision = holds.decision_on(run.db, capture.partition, capture.content_hash) if headline.gate == holds.OPERATOR else None
    by, why = (decision.held_by, decision.reason) if decision else (holds.BY_GATES, judgement.sentence)
    if standing is None or standing[:2] != held[1:3] or standing.reason != why:
        holds.hold(run.db, held, gate=headline.gate, reason=why, by=by, now=run.now, has_rows=has_rows)
    anomalies.observe(
        run, headline.category, capture.partition, f"held: {judgement.message}", capture_id=capture.capture_id,
        details=judgement.entry() | {"ingest_no": capture.ingest_no, "hint": judgement.hint},
    )


def _check(result: Result, judgement: Judgement) -> StoredCheck:
    words = result.explanation
    if judgement.overruled and result.verdict is Verdict.HOLD:
        words = f"{words} (overruled: released by an operator)"
    return StoredCheck(
        result.gate, result.kind.value, judgement.profile_id, judgement.regime, result.y, result.expected, result.low,
        result.high, result.z, result.p, result.n, result.verdict.value, words,
    )


def again(db: Database, partition: Partition, capture_id: str, content_hash: str) -> list[StoredCheck]:
    """The verdicts on a content, computed again from what was stored when it was judged."""
    from market_spine.gates import judge as gates

    stored, seen = checks.judgement_of(db, capture_id, content_hash), checks.figures_of(db, capture_id, content_hash)
    if stored is None or seen is None:
        return []
    named = inputs.read(stored.past_json)
    rows = _stored(db, named.weeks)
    profile = next((p for p in checks.profiles(db) if p.profile_id == stored.profile_id), None)
    past = Past(
        weeks=[*map(_week, rows[:-SHAPES]), *(_week(row)._replace(shape=_shape(str(row.shape_json))) for row in rows[-SHAPES:])],
        others=[_other(row) for row in _stored(db, named.others)],
        replaced=next((_other(row) for row in _stored(db, named.replaced)), None),
        current=named.current, twin=named.twin, decision=named.decision, levels=named.levels,
        profile=BUILT_IN if profile is None else read_profile(profile.thresholds_json, profile.source),
    )
    judgement = gates.judge(_other(seen).seen, partition, past, named.limits).judgement
    return [_check(result, judgement) for result in judgement.results]


def _stored(db: Database, names: Sequence[tuple[str, str]]) -> list[StoredFigures]:
    rows = (checks.figures_of(db, capture_id, content_hash) for capture_id, content_hash in names)
    return [row for row in rows if row is not None]
