"""The judgement on a content: every gate in one order, the gravest first. Pure: the same inputs give the same verdicts."""

from __future__ import annotations

from typing import NamedTuple

from market_spine.gates import exact, learnt, shapes
from market_spine.gates.figures import Seen, contained
from market_spine.gates.mixes import mixes
from market_spine.gates.past import Limits, Past
from market_spine.gates.profile import MIN_ROWS, MIN_WEEKS
from market_spine.gates.verdict import Judgement, Kind, Result, Verdict
from market_spine.partition import Partition


class Judged(NamedTuple):
    """A content with its distances to its history, and the judgement on it."""

    seen: Seen
    judgement: Judgement


def judge(seen: Seen, partition: Partition, past: Past, limits: Limits) -> Judged:
    """Judges a content of a partition against its past."""
    venue_mixes = mixes(seen.shape, past, partition)
    of_ats, of_firms = (mix.distance for mix in venue_mixes)
    seen = seen.with_distances(of_ats, of_firms, _churn_of(seen, past))
    results = exact.judge(seen, partition, past, limits)
    if past.is_enough:
        results += shapes.judge(seen.figures, seen.shape, past, venue_mixes)
        results += learnt.judge(seen.figures, partition, past)
        results.append(_churn(seen))
    else:
        results.append(_insufficient(past))
    released = past.decision is not None and not past.decision.is_placed
    facts = (partition, past.profile.profile_id, learnt.regime(partition), tuple(results))
    return Judged(seen, Judgement(*facts, overruled=released))


def _churn_of(seen: Seen, past: Past) -> float | None:
    if not past.weeks or past.weeks[-1].shape is None:
        return None
    return 1 - contained(seen.shape.symbols, past.weeks[-1].shape.symbols)


def _churn(seen: Seen) -> Result:
    churn = seen.figures.churn
    words = f"about {churn:.0%} of its symbols are not those of the week before" if churn is not None else ""
    return Result("symbol_churn", Kind.LEARNT, Verdict.INFO, words, y=churn)


def _insufficient(past: Past) -> Result:
    words = (
        f"insufficient history: {len(past.weeks)} accepted weeks before this one; the learnt gates need {MIN_WEEKS}, of at least "
        f"{MIN_ROWS} rows"
    )
    return Result("insufficient_history", Kind.LEARNT, Verdict.INFO, words, n=len(past.weeks))
