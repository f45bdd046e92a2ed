"""The gates without a threshold to learn: what the content itself shows, and whether it is that of another partition.

They hold from the first week on. A content that cannot be stored at all is refused before (see app/refusals.py).
"""

from __future__ import annotations

from market_spine.calendar import publication
from market_spine.categories import Category
from market_spine.gates.figures import SKETCH, Figures, Seen, contained, likeness
from market_spine.gates.past import Limits, Past
from market_spine.gates.verdict import Kind, Result, Verdict
from market_spine.partition import Partition

_SAME = 0.90  # of the sketches: 99 % equal rows are found with certainty, and no two weeks of FINRA have a fifth
_REPLACED = 1 / 3  # likeness of two contents of which half of the rows differ
_ENOUGH = 100  # different rows or symbols from which on a likeness means anything
_WEEKS_OF_TOTALS = 26  # whose firm totals fitted, until one that does not is held


def judge(seen: Seen, partition: Partition, past: Past, limits: Limits) -> list[Result]:
    """The result of each of these gates, the gravest first."""
    figures = seen.figures
    return [
        _operator(past),
        _whole(figures),
        _twin(past),
        _date(figures, partition),
        _rejects(figures, limits),
        _shrink(figures, past, limits),
        _repeated(seen, past),
        _swapped(seen, partition, past),
        _replaced(seen, past),
        _totals(figures, past),
    ]


def _result(gate: str, verdict: Verdict = Verdict.PASS, explanation: str = "", **more: object) -> Result:
    return Result(gate, Kind.EXACT, verdict, explanation, **more)  # type: ignore[arg-type]


def _operator(past: Past) -> Result:
    """Whether an operator holds exactly this content."""
    if past.decision is None or not past.decision.is_placed:
        return _result("operator")
    words = f"{past.decision.held_by} held it on {past.decision.held_at[:10]}: {past.decision.reason}"
    return _result("operator", Verdict.HOLD, words, category=Category.HELD_BY_OPERATOR)


def _whole(figures: Figures) -> Result:
    """Whether the file may be truncated in its last line."""
    if figures.cut_at is None:
        return _result("truncated")
    words = f"line {figures.cut_at}, the last, may be truncated: it has no line end"
    hint = "fetch the file again; if it is complete, end its last line with a newline"
    return _result("truncated", Verdict.HOLD, words, category=Category.TRUNCATED_CONTENT, hint=hint)


def _twin(past: Past) -> Result:
    """Whether it is the current content of another partition, byte for byte."""
    if past.twin is None:
        return _result("same_content")
    hint = (
        f"put this week's own file in its place; if {past.twin} is wrong: "
        f"spine rollback {past.twin.week} {past.twin.tier} --reason 'another week under its name'"
    )
    words = f"the content is that of {past.twin}, byte for byte"
    return _result("same_content", Verdict.HOLD, words, category=Category.SAME_CONTENT, hint=hint)


def _date(figures: Figures, partition: Partition) -> Result:
    """Whether its newest lastUpdateDate lies before the week's own publication; without any date nothing is known.

    The Monday is taken as it is: where an exchange holiday moves the publication, the dates are later, never earlier.
    """
    published = publication.nominal_day(partition).isoformat()
    if figures.newest_date is None or figures.newest_date >= published:
        return _result("dates")
    words = f"its newest lastUpdateDate is {figures.newest_date}, but {partition} is published on {published} at the earliest"
    return _result("dates", Verdict.HOLD, words, category=Category.TOO_EARLY, hint="put it under the name of its own week")


def _rejects(figures: Figures, limits: Limits) -> Result:
    """Whether too many lines were rejected."""
    share = figures.rejects / figures.lines if figures.lines else 0.0
    if figures.rejects <= limits.max_reject_ratio * figures.lines:
        return _result("rejects", y=share, high=limits.max_reject_ratio)
    words = f"{figures.rejects:,} of {figures.lines:,} lines rejected, more than {limits.max_reject_ratio:.0%}"
    hint = "fetch the file again, or raise --max-reject-percent"
    return _result(
        "rejects", Verdict.HOLD, words, category=Category.TOO_MANY_REJECTS, hint=hint, y=share, high=limits.max_reject_ratio
    )


def _shrink(figures: Figures, past: Past, limits: Limits) -> Result:
    """Whether it has far fewer rows or shares than the current capture."""
    current = past.current
    if current is None or limits.accept_shrink:
        return _result("shrink")
    least_rows, least_shares = limits.min_kept_ratio * current.row_count, limits.min_kept_ratio * current.total_shares
    if figures.rows >= least_rows and figures.shares >= least_shares:
        return _result("shrink", y=figures.rows, low=least_rows)
    words = (
        f"{figures.rows:,} rows and {figures.shares:,.0f} shares, where the current capture has {current.row_count:,} and "
        f"{current.total_shares:,.0f}"
    )
    hint = "if FINRA means it, run again with --accept-shrink"
    return _result("shrink", Verdict.HOLD, words, category=Category.SHRUNK_CAPTURE, hint=hint, y=figures.rows, low=least_rows)


def _repeated(seen: Seen, past: Past) -> Result:
    """Whether nearly all of its rows are those of another week, under other dates."""
    for other in past.others if len(seen.shape.rows) >= _ENOUGH else ():
        if abs(other.seen.figures.rows - seen.figures.rows) > 0.05 * seen.figures.rows:
            continue
        same = likeness(seen.shape.rows, other.seen.shape.rows)
        if same >= _SAME:
            share = contained(seen.shape.rows, other.seen.shape.rows)
            words = f"about {share:.0%} of its rows have the figures of {other.partition}"
            cause = "Likely that week's file under this name."
            return _result("repeated_rows", Verdict.HOLD, words, cause=cause, y=same, high=_SAME)
    return _result("repeated_rows")


def _swapped(seen: Seen, partition: Partition, past: Past) -> Result:
    """Whether its symbols are those of another tier. The mixes of the two NMS tiers are alike, their symbols never."""
    own = [o for o in past.others if o.partition.tier == partition.tier]
    if not own or len(seen.shape.symbols) < _ENOUGH:
        return _result("tier_swap")
    to_own = max(contained(seen.shape.symbols, other.seen.shape.symbols) for other in own[-2:])
    for other in past.others:
        if other.partition.tier != partition.tier and len(other.seen.shape.symbols) >= _ENOUGH:
            to_other = contained(seen.shape.symbols, other.seen.shape.symbols)
            if to_other > to_own and to_other - to_own > 2 / SKETCH**0.5:
                words = f"{to_other:.0%} of its symbols are those of {other.partition}, {to_own:.0%} those of its own tier"
                return _result("tier_swap", Verdict.HOLD, words, cause="Likely another tier's file.", y=to_other, high=to_own)
    return _result("tier_swap", y=to_own)


def _replaced(seen: Seen, past: Past) -> Result:
    """Whether a restatement changes more than half of the rows."""
    if past.replaced is None or min(len(seen.shape.rows), len(past.replaced.seen.shape.rows)) < _ENOUGH:
        return _result("restatement")
    same = likeness(seen.shape.rows, past.replaced.seen.shape.rows)
    changed = 1 - contained(seen.shape.rows, past.replaced.seen.shape.rows)
    if same >= _REPLACED:
        return _result("restatement", y=changed, high=0.5)
    words = f"about {changed:.0%} of its rows have other figures than in the current capture"
    return _result("restatement", Verdict.HOLD, words, cause="Likely another week's file.", y=changed, high=0.5)


def _totals(figures: Figures, past: Past) -> Result:
    """Whether the rows of each firm add up to the total that FINRA publishes of it, where the totals are held."""
    fitted = sum(week.figures.totals_fit is True for week in past.weeks)
    if figures.totals_fit is not False:
        return _result("control_totals", n=fitted)
    verdict = Verdict.HOLD if fitted >= _WEEKS_OF_TOTALS else Verdict.WARN
    words = figures.totals_problem or "its rows do not add up to the firm totals"
    return _result("control_totals", verdict, words, cause="Likely rows are missing.", n=fitted)
