"""Hold and release: an operator keeps a capture from being current, or overrules what the gates hold.

Each is an action with an actor and a reason, and one transaction with its consequences: the week's results are computed again and
its readiness is evaluated. A release counts for exactly that content of the partition: it passes when it is offered again.
"""

from __future__ import annotations

from datetime import date

from market_spine.app.context import Run
from market_spine.core import anomalies, captures, executions, holds, manifest
from market_spine.core.holds import Held, Hold
from market_spine.errors import NotFound
from market_spine.operate.follow import Changed, follow
from market_spine.operate.operation import record_action
from market_spine.partition import Partition


def hold(run: Run, week: date, tier: str, reason: str) -> Changed:
    """Holds the current capture of a partition. Raises NotFound when there is none."""
    partition = Partition(week, tier)
    current = captures.current(run.db, partition)
    if current is None:
        raise NotFound(f"{partition} has no current capture to hold", hint=f"spine captures {week} {tier}")
    capture = next(
        c for c in captures.of_partition(run.db, partition, manifest.CALC) if c.capture_id == current.capture_id
    )
    held = Held(
        partition, capture.capture_id, capture.ingest_no, capture.content_hash, capture.captured_at, current.row_count
    )
    with run.db.transaction():
        holds.hold(run.db, held, gate=holds.OPERATOR, reason=reason, by=executions.actor(), now=run.now)
        record_action(run.db, "hold", capture.capture_id, reason, run.now)
        return follow(run, {partition: capture.capture_id}, became="held")


def release(run: Run, week: date, tier: str, reason: str) -> Changed:
    """Releases what is held of a partition: its rows become current, or are made if only its bytes were stored. Raises NotFound
    when nothing is held."""
    partition = Partition(week, tier)
    standing = holds.standing(run.db, partition)
    if standing is None:
        raise NotFound(_nothing_held(run, partition), hint=f"spine captures {week} {tier}")
    before = captures.current(run.db, partition)
    with run.db.transaction():
        holds.release(run.db, partition, standing.capture_id, by=executions.actor(), reason=reason, now=run.now)
        record_action(run.db, "release", standing.capture_id, reason, run.now, _details(standing))
        note = f"released by {executions.actor()}: {reason}"
        anomalies.resolve_stage(run.db, partition.key, manifest.NORMALIZED, note, run.now)
        return follow(run, {partition: before.capture_id if before else None}, normalizes=not standing.has_rows)


def _details(standing: Hold) -> dict[str, object]:
    return {"gate": standing.gate, "reason": standing.reason, "ingest_no": standing.ingest_no}


def _nothing_held(run: Run, partition: Partition) -> str:
    superseded = [hold for hold in holds.of_partition(run.db, partition) if hold.released_at is None]
    current = captures.current(run.db, partition)
    if superseded and current:
        return f"nothing of {partition} is held any more: …:{current.capture_id[-8:]} passed the gates since, and is current"
    return f"nothing of {partition} is held"
