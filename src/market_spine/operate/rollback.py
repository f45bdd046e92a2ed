"""Rollback: the current capture is withdrawn and the previous good one becomes current again. Nothing is deleted.

A withdrawal and its consequences (the week's results computed again, readiness evaluated) are one transaction. Every interval
in which a capture was withdrawn is kept, so that queries as of a past day return what they returned then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import chain

from market_spine.app.context import Run
from market_spine.core import anomalies, captures, executions, manifest, withdrawals
from market_spine.errors import NotFound
from market_spine.operate.follow import Changed, current_id, follow
from market_spine.operate.operation import record_action
from market_spine.partition import Partition, partition_of


def roll_back(run: Run, week: date, tiers: Sequence[str], reason: str) -> Changed:
    """Withdraws the current capture of each of these tiers. Raises NotFound when none has one."""
    partitions = [Partition(week, tier) for tier in tiers]
    current = {partition: capture_id for partition in partitions if (capture_id := current_id(run, partition))}
    if not current:
        raise NotFound(f"{_names(partitions)} has no current capture to withdraw", hint=f"spine captures {week}")
    with run.db.transaction():
        for partition, capture_id in current.items():
            withdrawals.withdraw(run.db, partition, capture_id, by=executions.actor(), reason=reason, now=run.now)
            record_action(run.db, "rollback", capture_id, reason, run.now)
        return follow(run, current)


def withdraw_future(run: Run, reason: str) -> Changed:
    """Withdraws every capture of a day after the run's: what a wrong clock or a mistyped date captured. Raises NotFound."""
    by_week: dict[date, dict[Partition, list[str]]] = {}
    for capture_id, _ in captures.later_than(run.db, run.run_date):
        partition = partition_of(capture_id)
        by_week.setdefault(partition.week_ending, {}).setdefault(partition, []).append(capture_id)
    if not by_week:
        raise NotFound(f"no capture is of a day after {run.run_date}", hint="spine captures")
    done = [_withdraw_all(run, of_week, reason) for of_week in by_week.values()]
    changes, outcomes = zip(*((rollback.changes, rollback.outcomes) for rollback in done), strict=True)
    return Changed(tuple(chain.from_iterable(changes)), tuple(chain.from_iterable(outcomes)))


def _withdraw_all(run: Run, ids: Mapping[Partition, Sequence[str]], reason: str) -> Changed:
    with run.db.transaction():
        before = {partition: current_id(run, partition) for partition in ids}
        for partition, of_partition in ids.items():
            for capture_id in of_partition:
                by = executions.actor()  # the day was wrong, not the content: that may come again at once
                withdrawals.withdraw(run.db, partition, capture_id, by=by, reason=reason, now=run.now, content_too=False)
                record_action(run.db, "rollback --future", capture_id, reason, run.now)
        return follow(run, before)


def undo(run: Run, week: date, tiers: Sequence[str], reason: str) -> Changed:
    """Reinstates the capture withdrawn last, in each of these tiers. Raises NotFound when none is withdrawn."""
    partitions = [Partition(week, tier) for tier in tiers]
    withdrawn = {partition: last for partition in partitions if (last := _withdrawn_last(run, partition))}
    if not withdrawn:
        raise NotFound(f"{_names(partitions)} has no withdrawn capture", hint=f"spine captures {week}")
    before = {partition: current_id(run, partition) for partition in partitions}
    with run.db.transaction():
        for capture_id in withdrawn.values():
            withdrawals.reinstate(run.db, capture_id, by=executions.actor(), now=run.now)
            record_action(run.db, "rollback --undo", capture_id, reason, run.now)
        for partition in withdrawn:
            anomalies.resolve_stage(run.db, partition.key, manifest.RAW, "the withdrawal was undone", run.now)
        return follow(run, {partition: before[partition] for partition in withdrawn})


def _withdrawn_last(run: Run, partition: Partition) -> str | None:
    (capture_id,) = run.db.execute(
        """
        SELECT c.capture_id FROM finra_otc_transparency_capture c
        JOIN finra_otc_transparency_withdrawal w ON w.capture_id = c.capture_id AND w.undone_at IS NULL
        WHERE c.week_ending = ? AND c.tier = ? AND c.withdrawn_at IS NOT NULL
        ORDER BY w.id DESC LIMIT 1
        """,
        (partition.week, partition.tier),
    ).fetchone() or (None,)
    return capture_id


def _names(partitions: Sequence[Partition]) -> str:
    return str(partitions[0]) if len(partitions) == 1 else str(partitions[0].week)
