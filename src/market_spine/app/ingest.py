"""RAW: take what the source offers, when it is new."""

from __future__ import annotations

import hashlib
from datetime import date
from typing import NamedTuple

from market_spine import anomalies, captures, clock, manifest, publication
from market_spine.app.run import Run
from market_spine.app.source import Absent, Glance, Offer, Source
from market_spine.errors import SourceError
from market_spine.manifest import RevisionCheck, StageRow
from market_spine.outcome import Outcome, Phase, Reason, Status
from market_spine.partition import DOMAIN, TIERS, Partition, generate_capture_id
from market_spine.publication import PublicationState


class Decision(NamedTuple):
    """What ingest will do with a partition, and why."""

    partition: Partition
    reason: Reason
    explanation: str
    content_hash: str = ""
    ingest_no: int = 0
    offer: Offer | None = None  # none when a glance was enough


class Absence(NamedTuple):
    """The source has no such partition, or does not answer for one that is not due, and what that means today."""

    partition: Partition
    state: PublicationState
    due: date
    where: str


def decide(run: Run, source: Source, partition: Partition, *, swept: bool = False) -> Decision | Absence:
    """Asks the source and the manifest; writes nothing. `swept` partitions lie outside the window. Raises SourceError."""
    newest = manifest.newest_raw(partition.week_ending, partition.tier, run.db, as_of=run.run_date)
    try:
        unchanged = _glance(run, source, partition, newest)
        if isinstance(unchanged, Absent):
            return _absence(run, partition, unchanged.where)
        if unchanged:
            return Decision(partition, Reason.UNCHANGED, unchanged.reason)
        offer = source.fetch(partition)
    except SourceError as error:
        if error.category != "SOURCE_UNAVAILABLE" or _state(run, partition) is not PublicationState.AWAITING:
            raise
        return _absence(run, partition, error.message)
    if isinstance(offer, Absent):
        return _absence(run, partition, offer.where)
    return _compare(run, partition, offer, newest, swept)


def _glance(run: Run, source: Source, partition: Partition, newest: StageRow | None) -> RevisionCheck | Absent | None:
    """Asks cheaply whether anything changed; the check when nothing did, None when only the content can tell."""
    if newest is None or run.force or due_for_rehash(partition, run.run_date, run.expected.rehash_share):
        return None
    glance = source.glance(partition)
    if not isinstance(glance, Glance):
        return glance
    check = manifest.check_revision_needed_via_metadata(
        partition.week_ending, partition.tier, glance.last_updated, run.db, as_of=run.run_date
    )
    return None if check.needed or glance.row_count != newest.metadata.get("rows") else check


def due_for_rehash(partition: Partition, run_date: date, share: float) -> bool:
    """Whether this week's run hashes the partition anew, whatever its dates say: silent edits, deletions and renames leave no
    date. A share of a quarter reaches every partition once in four weekly runs; 0 never, 1 always."""
    if share <= 0:
        return False
    turn = partition.week_ending.toordinal() // 7 * len(TIERS) + TIERS.index(partition.tier) + run_date.toordinal() // 7
    return turn % max(1, round(1 / share)) == 0


def _compare(run: Run, partition: Partition, offer: Offer, newest: StageRow | None, swept: bool) -> Decision:
    content_hash = hashlib.sha256(offer.content).hexdigest()
    check = manifest.compare_hash(content_hash, newest)
    if newest is None:
        reason = Reason.NEW
    elif check.needed:
        reason = Reason.REVISED if swept else Reason.CHANGED
    else:
        reason = Reason.FORCED if run.force else Reason.UNCHANGED
    before = newest.metadata.get("ingest_no", 0) if newest else 0
    return Decision(partition, reason, check.reason, content_hash, before + 1, offer)


def _state(run: Run, partition: Partition) -> PublicationState:
    """What an absence means today; without a calendar, that it is missing."""
    expected = run.expected
    if expected.calendar is None:
        return PublicationState.MISSING
    return publication.state(partition, run.run_date, expected.grace_days, expected.calendar)


def _absence(run: Run, partition: Partition, where: str) -> Absence:
    due = publication.due_date(partition, run.expected.calendar or publication.EXCHANGE)
    return Absence(partition, _state(run, partition), due, where)


def carry_out(run: Run, found: Decision | Absence) -> Outcome:
    """Stores what is new; skips what is unchanged; says what an absence means. Raises SourceError for a missing one."""
    if isinstance(found, Absence):
        return _note_absence(run, found)
    if found.offer is None or found.reason is Reason.UNCHANGED:
        return _skip(run, found)
    return _store(run, found, found.offer)


def absence_outcome(absence: Absence) -> Outcome:
    """The outcome of an absence that is no failure. Raises SourceError for one that is."""
    due = f"due {absence.due}"
    if absence.state is PublicationState.AWAITING:
        return Outcome.of(Phase.INGEST, Status.AWAITING, absence.partition, f"Awaiting publication ({due})", reason="awaiting")
    if absence.state is PublicationState.MISSING:
        hint = "see workflows/incident/DEBUG_MISSING_DATA.md"
        raise SourceError("SOURCE_UNAVAILABLE", f"not found: {absence.where} ({due})", hint=hint)
    message = f"LATE_DATA: not there yet ({due}): {absence.where}"
    return Outcome.of(Phase.INGEST, Status.LATE, absence.partition, message, reason=str(absence.state), category="LATE_DATA")


def _note_absence(run: Run, absence: Absence) -> Outcome:
    outcome = absence_outcome(absence)
    awaiting = outcome.status is Status.AWAITING
    with run.db.transaction():
        if awaiting:
            anomalies.resolve_stage(run.db, absence.partition.key, manifest.RAW, f"not due before {absence.due}", run.now)
        anomalies.observe(
            run.db, severity=anomalies.INFO if awaiting else anomalies.WARN, message=outcome.message,
            category="AWAITING_PUBLICATION" if awaiting else "LATE_DATA", partition_key=absence.partition.key,
            stage=manifest.RAW, now=run.now, details={"where": absence.where}, execution_id=run.execution_id,
            resolution_note="nothing is wrong" if awaiting else None,
        )  # fmt: skip
    return outcome


def _store(run: Run, decision: Decision, offer: Offer) -> Outcome:
    """Bytes, capture and manifest row, in one transaction."""
    partition = decision.partition
    capture_id = generate_capture_id(DOMAIN, partition.week, partition.tier, run.run_date)
    updated = clock.stamp(offer.last_updated) if offer.last_updated else None
    rows = _data_lines(offer.content)
    with run.db.transaction():
        captures.store_raw(run.db, offer.content, decision.content_hash)
        captures.open_capture(
            run.db, partition, capture_id, run.run_date, captured_at=run.stamp, content_hash=decision.content_hash,
            source_uri=offer.uri, source_last_updated=updated,
        )  # fmt: skip
        # MERGE: stands in for the one that writes versions with everything about them; SAME_CONTENT looks them up by content.
        run.db.execute(
            """
            INSERT INTO finra_otc_transparency_version (capture_id, ingest_no, content_hash, observed_at, source_uri)
            VALUES (?, ?, ?, ?, ?) ON CONFLICT (capture_id, ingest_no) DO NOTHING
            """,
            (capture_id, decision.ingest_no, decision.content_hash, run.stamp, offer.uri),
        )
        manifest.record_stage(
            run.db, manifest.RAW, partition, capture_id, row_count=rows, metadata=_metadata(decision, offer, updated),
            captured_at=run.stamp, now=run.now,
        )  # fmt: skip
        anomalies.resolve_stage(run.db, partition.key, manifest.RAW, f"ingested as {capture_id}", run.now)
    run.stored.add(decision.content_hash)
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


def _metadata(decision: Decision, offer: Offer, updated: str | None) -> dict[str, object]:
    facts: dict[str, object] = {
        **offer.metadata,
        "content_hash": decision.content_hash[:16],
        "sha256": decision.content_hash,
        "bytes": len(offer.content),
        "ingest_no": decision.ingest_no,
        "reason": decision.reason.value,
        "source_uri": offer.uri,
    }
    if updated:
        facts["source_last_updated"] = updated
    return facts


def _data_lines(content: bytes) -> int:
    from market_spine.parse.text_lines import data_lines

    return data_lines(content)
