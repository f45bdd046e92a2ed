"""The exit code of a process, by one rule: from the outcomes of a run, or from the error that ended it.

0 all well, 1 something failed or is held, 2 everything that could have succeeded failed; each error has its own (see errors.py).
The process, core_executions and the observers all use it.
"""

from __future__ import annotations

from collections.abc import Iterable

from market_spine.errors import Interrupted, MarketSpineError
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import Partition


def of_outcomes(outcomes: Iterable[Outcome], partitions: Iterable[Partition] | None = None) -> int:
    """The code of a run with these outcomes. `partitions` are those it was to process; without them, those with an
    outcome, or the weeks of a run that processed only whole weeks. One that is not published yet could not fail."""
    worked = [outcome for outcome in outcomes if outcome.phase is not Phase.READINESS]
    failed = {outcome.where for outcome in worked if outcome.status is Status.FAILED}
    if not failed:
        return int(any(outcome.status is Status.HELD for outcome in worked))
    awaiting = {outcome.where for outcome in worked if outcome.status is Status.AWAITING}
    tried = {o.where for o in worked if o.tier} if partitions is None else {str(partition) for partition in partitions}
    return 2 if (tried or {outcome.where for outcome in worked}) - awaiting <= failed else 1


def of_error(error: BaseException) -> int:
    """The code of a process that this error ends."""
    if isinstance(error, (MarketSpineError, Interrupted)):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 141 if isinstance(error, BrokenPipeError) else 2
