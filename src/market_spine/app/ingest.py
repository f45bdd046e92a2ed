"""RAW: take what the source offers, when it is new."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from market_spine import anomalies, captures, clock, manifest
from market_spine.app.source import Absent, Offer, Source
from market_spine.errors import SourceError
from market_spine.outcome import Outcome, Phase, Reason, Status
from market_spine.partition import DOMAIN, Partition, generate_capture_id
from market_spine.run import Run


@dataclass(frozen=True, slots=True)
class Decision:
    """What ingest will do with a partition, and why. Without an offer there is nothing to take."""

    partition: Partition
    reason: Reason
    explanation: str
    content_hash: str
    ingest_no: int
    offer: Offer


def decide(run: Run, source: Source, partition: Partition) -> Decision:
    """Asks the source and the manifest; writes nothing. Raises SourceError."""
    offer = source.fetch(partition)
    if isinstance(offer, Absent):
        raise SourceError("SOURCE_UNAVAILABLE", f"not found: {offer.where}", hint="see workflows/incident/DEBUG_MISSING_DATA.md")
    content_hash = hashlib.sha256(offer.content).hexdigest()
    newest = manifest.newest_raw(partition.week_ending, partition.tier, run.db, as_of=run.run_date)
    check = manifest.compare_hash(content_hash, newest)
    if newest is None:
        reason = Reason.NEW
    elif check.needed:
        reason = Reason.CHANGED
    else:
        reason = Reason.FORCED if run.force else Reason.UNCHANGED
    before = newest.metadata.get("ingest_no", 0) if newest else 0
    return Decision(partition, reason, check.reason, content_hash, before + 1, offer)


def carry_out(run: Run, decision: Decision) -> Outcome:
    """Skips, or stores bytes, capture and manifest row in one transaction."""
    if decision.reason is Reason.UNCHANGED:
        return _skip(run, decision)
    partition, offer = decision.partition, decision.offer
    capture_id = generate_capture_id(DOMAIN, partition.week, partition.tier, run.run_date)
    updated = clock.stamp(offer.last_updated) if offer.last_updated else None
    rows = _data_lines(offer.content)
    with run.db.transaction():
        captures.store_raw(run.db, offer.content, decision.content_hash)
        captures.open_capture(
            run.db, partition, capture_id, run.run_date, captured_at=run.stamp, content_hash=decision.content_hash,
            source_uri=offer.uri, source_last_updated=updated,
        )  # fmt: skip
        manifest.record_stage(
            run.db, manifest.RAW, partition, capture_id, row_count=rows, metadata=_metadata(decision, updated),
            captured_at=run.stamp, now=run.now,
        )  # fmt: skip
        anomalies.resolve_stage(run.db, partition.key, manifest.RAW, f"ingested as {capture_id}", run.now)
    return Outcome.of(
        Phase.INGEST, Status.DONE, partition, f"Ingested {rows:,} rows ({decision.reason.value}, capture …:{capture_id[-8:]})",
        reason=decision.reason.value, capture_id=capture_id, rows=rows,
    )  # fmt: skip


def _skip(run: Run, decision: Decision) -> Outcome:
    partition = decision.partition
    with run.db.transaction():
        anomalies.resolve_stage(run.db, partition.key, manifest.RAW, "the source is well again", run.now)
        anomalies.observe(
            run.db, severity=anomalies.INFO, category="UNCHANGED", message=f"Skipped: {decision.explanation}",
            partition_key=partition.key, stage=manifest.RAW, now=run.now, execution_id=run.execution_id,
            resolution_note="nothing to do",
        )  # fmt: skip
    return Outcome.of(Phase.INGEST, Status.SKIPPED, partition, "Skipped (unchanged)", reason=Reason.UNCHANGED.value)


def _metadata(decision: Decision, updated: str | None) -> dict[str, object]:
    facts: dict[str, object] = {
        **decision.offer.metadata,
        "content_hash": decision.content_hash[:16],
        "sha256": decision.content_hash,
        "bytes": len(decision.offer.content),
        "ingest_no": decision.ingest_no,
        "reason": decision.reason.value,
        "source_uri": decision.offer.uri,
    }
    if updated:
        facts["source_last_updated"] = updated
    return facts


def _data_lines(content: bytes) -> int:
    from market_spine.weekly_file import data_lines

    return data_lines(content)
