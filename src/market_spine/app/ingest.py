"""RAW: store what the source delivers, when it is new."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from typing import NamedTuple

from market_spine import clock
from market_spine.app import checks, firm_totals, observed
from market_spine.app.content import foresee
from market_spine.app.context import Run
from market_spine.app.firm_totals import SourceTotals
from market_spine.app.source import Absent, Glance, Offer, Source
from market_spine.calendar import publication
from market_spine.calendar.publication import PublicationState
from market_spine.categories import Category
from market_spine.core import anomalies, captures, contents, manifest, responses
from market_spine.core.captures import Capture, Version
from market_spine.core.manifest import RevisionCheck, StageRow
from market_spine.errors import SourceError, UnusableContent
from market_spine.outcome import Outcome, Phase, Reason, Status
from market_spine.partition import DOMAIN, Partition, generate_capture_id


class Decision(NamedTuple):
    """What ingest will do with a partition, and why."""

    partition: Partition
    reason: Reason
    explanation: str
    content_hash: str = ""
    ingest_no: int = 0
    offer: Offer | None = None  # None when the metadata was enough
    totals: SourceTotals = SourceTotals()

    @property
    def is_stored(self) -> bool:
        """Whether the content is to be stored."""
        return self.offer is not None and self.reason is not Reason.UNCHANGED


class Absence(NamedTuple):
    """The source has no such partition, or is unavailable for one that is not due, and what that means today."""

    partition: Partition
    state: PublicationState
    due: date
    where: str


def decide(run: Run, source: Source, partition: Partition, *, swept: bool = False, whole: bool = False) -> Decision | Absence:
    """Queries the source and the manifest; writes nothing. `swept` partitions lie outside the window; with `whole` the content
    is compared, whatever the source reports.

    Raises SourceError, and UnusableContent for content that was withdrawn.
    """
    newest = manifest.newest_raw(partition.week_ending, partition.tier, run.db, as_of=run.run_date)
    try:
        unchanged = None if whole else _glance(run, source, partition, newest)
        if isinstance(unchanged, Absent):
            return _absence(run, partition, unchanged.where)
        if unchanged and _withdrawal(run, partition, newest) is None:
            return Decision(partition, Reason.UNCHANGED, unchanged.reason)
        offer = source.fetch(partition)
    except SourceError as error:
        if error.category is not Category.SOURCE_UNAVAILABLE or _state(run, partition) is not PublicationState.AWAITING:
            raise
        return _absence(run, partition, error.message)
    if isinstance(offer, Absent):
        return _absence(run, partition, offer.where)
    decision = _compare(run, partition, offer, newest, swept)
    if decision.is_stored:
        return decision._replace(totals=firm_totals.ask(source, partition, offer.content, decision.content_hash))
    withdrawn = _withdrawal(run, partition, newest)
    if withdrawn is not None:  # a failure: a week without data must not look like one with nothing to do
        reason = withdrawn.metadata.get("reason", "no reason given")
        message = f"the source still shows only the content that was withdrawn ({reason}); a better file from FINRA ends it"
        raise UnusableContent(Category.WITHDRAWN_CONTENT, message)
    return decision


def _withdrawal(run: Run, partition: Partition, newest: StageRow | None) -> StageRow | None:
    """The manifest row of an operator's withdrawal of the newest content, while the partition has nothing else."""
    if newest is None or captures.current(run.db, partition) is not None:
        return None
    rows = manifest.week_rows(partition.week_ending, run.db, partition.tier)
    return next((r for r in rows if r.stage == manifest.WITHDRAWN and r.capture_id == newest.capture_id), None)


def _glance(run: Run, source: Source, partition: Partition, newest: StageRow | None) -> RevisionCheck | Absent | None:
    """Whether the source's metadata proves that nothing changed: the check if so, None when the content must be compared."""
    if newest is None or run.force:
        return None
    glance = source.glance(partition)
    if not isinstance(glance, Glance):
        return glance
    check = manifest.check_revision_needed_via_metadata(
        partition.week_ending, partition.tier, glance.last_updated, run.db, as_of=run.run_date
    )
    if check.needed or glance.row_count != newest.metadata.get("rows"):
        return None
    at = checks.last_checked(run, source.name, partition) or datetime.fromisoformat(newest.captured_at)
    # FINRA dates by the day: what it revised on the day of our last check may have been revised again after it.
    return None if glance.last_updated.date() >= clock.market_date(at) else check


def _compare(run: Run, partition: Partition, offer: Offer, newest: StageRow | None, swept: bool) -> Decision:
    content_hash = hashlib.sha256(offer.content).hexdigest()
    if run.as_observed:
        observed.check(run, partition, offer.content, content_hash, newest)
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
    """What an absence means today; without a calendar, that the partition is missing."""
    expected = run.expected
    if expected.calendar is None:
        return PublicationState.MISSING
    return publication.state(partition, run.run_date, expected.grace_days, expected.calendar)


def _absence(run: Run, partition: Partition, where: str) -> Absence:
    due = publication.due_date(partition, run.expected.calendar or publication.EXCHANGE)
    return Absence(partition, _state(run, partition), due, where)


def carry_out(run: Run, decision: Decision | Absence) -> Outcome:
    """Stores what is new; skips what is unchanged; reports an absence. Raises SourceError for a partition that is missing."""
    if isinstance(decision, Absence):
        return _note_absence(run, decision)
    if decision.offer is None or not decision.is_stored:
        return _skip(run, decision)
    return _store(run, decision, decision.offer)


def absence_outcome(absence: Absence) -> Outcome:
    """The outcome of an absence that is not a failure. Raises SourceError for one that is."""
    due = f"due {absence.due}"
    if absence.state is PublicationState.AWAITING:
        return Outcome.of(Phase.INGEST, Status.AWAITING, absence.partition, f"Awaiting publication ({due})", reason="awaiting")
    if absence.state is PublicationState.MISSING:
        raise SourceError(Category.SOURCE_UNAVAILABLE, f"not found: {absence.where} ({due})")
    late, reason = Category.LATE_DATA, str(absence.state)
    message = f"{late}: not there yet ({due}): {absence.where}"
    return Outcome.of(Phase.INGEST, Status.LATE, absence.partition, message, reason=reason, category=late)


def _note_absence(run: Run, absence: Absence) -> Outcome:
    outcome = absence_outcome(absence)
    awaiting = outcome.status is Status.AWAITING
    if run.dry:
        run.forecast.resolve(absence.partition.week_ending, absence.partition.tier, *([manifest.RAW] if awaiting else []))
        return outcome
    with run.db.transaction():
        if awaiting:
            anomalies.resolve_stage(run.db, absence.partition.key, manifest.RAW, f"not due before {absence.due}", run.now)
        anomalies.observe(
            run, Category.AWAITING_PUBLICATION if awaiting else Category.LATE_DATA, absence.partition, outcome.message,
            details={"where": absence.where}, resolution_note="nothing is wrong" if awaiting else None,
        )
    return outcome


def _store(run: Run, decision: Decision, offer: Offer) -> Outcome:
    """Bytes, capture and manifest row, in one transaction."""
    partition = decision.partition
    capture_id = generate_capture_id(DOMAIN, partition.week, partition.tier, run.run_date)
    if run.dry:
        return _foresee(run, decision, offer, capture_id)
    rows, totals = _data_lines(offer.content), decision.totals
    with run.db.transaction():
        decision = _decide_again(run, decision, offer)
        if not decision.is_stored:
            return _skip(run, decision)
        metadata = _metadata(run, decision, offer)
        shown = Version(decision.ingest_no, decision.content_hash, run.stamp, rows, metadata, totals.content_hash)
        contents.store_raw(run.db, offer.content, decision.content_hash)
        if totals.content is not None and totals.content_hash not in (None, decision.content_hash):
            contents.store_raw(run.db, totals.content, totals.content_hash)
        if totals.problem is not None:
            firm_totals.observe(run, totals.problem, partition, totals.message)
        captures.observe(run.db, partition, capture_id, run.run_date, shown, run.now)
        responses.record(run.db, capture_id, decision.ingest_no, (*offer.responses, *totals.responses))
        anomalies.resolve_stage(run.db, partition.key, manifest.RAW, f"ingested as {capture_id}", run.now)
    run.stored.add(decision.content_hash)
    return Outcome.of(
        Phase.INGEST, Status.DONE, partition, f"Ingested {rows:,} rows ({decision.reason.value}, capture …:{capture_id[-8:]})",
        reason=decision.reason.value, capture_id=capture_id, rows=rows,
        details={
            "source_uri": offer.uri, "sha256": decision.content_hash, "bytes": len(offer.content),
            "requests": len(offer.responses) + len(totals.responses),
        },
    )


def _decide_again(run: Run, decision: Decision, offer: Offer) -> Decision:
    """The decision by what a worker or another run has stored since it was made. Call it in the transaction that stores."""
    partition = decision.partition
    newest = manifest.newest_raw(partition.week_ending, partition.tier, run.db, as_of=run.run_date)
    if (newest.metadata.get("ingest_no", 0) if newest else 0) + 1 == decision.ingest_no:
        return decision
    again = _compare(run, partition, offer, newest, swept=decision.reason is Reason.REVISED)
    return again._replace(totals=decision.totals)


def _foresee(run: Run, decision: Decision, offer: Offer, capture_id: str) -> Outcome:
    """The same outcome in a dry run; the forecast keeps what normalize would read."""
    partition, day = decision.partition, run.run_date.isoformat()
    rows = manifest.week_rows(partition.week_ending, run.db, partition.tier)
    made_of = (row.metadata["ingest_no"] for row in rows if (row.stage, row.capture_id) == (manifest.NORMALIZED, capture_id))
    facts = (day, run.stamp, decision.content_hash, decision.ingest_no, next(made_of, None))
    reading = foresee(offer.content, decision.totals.content, partition)
    run.forecast.store(Capture(0, capture_id, partition, *facts), _data_lines(offer.content), reading)
    reason = decision.reason.value
    return Outcome.of(Phase.INGEST, Status.DONE, partition, decision.explanation, reason=reason, capture_id=capture_id)


def _skip(run: Run, decision: Decision) -> Outcome:
    partition = decision.partition
    if run.dry:
        run.forecast.resolve(partition.week_ending, partition.tier, manifest.RAW)
        return Outcome.of(Phase.INGEST, Status.SKIPPED, partition, decision.explanation, reason=Reason.UNCHANGED.value)
    with run.db.transaction():
        anomalies.resolve_stage(run.db, partition.key, manifest.RAW, "the source works again", run.now)
        message = f"Skipped: {decision.explanation}"
        anomalies.observe(run, Category.UNCHANGED, partition, message, resolution_note="nothing to do")
    return Outcome.of(Phase.INGEST, Status.SKIPPED, partition, "Skipped (unchanged)", reason=Reason.UNCHANGED.value)


def _metadata(run: Run, decision: Decision, offer: Offer) -> dict[str, object]:
    facts: dict[str, object] = {
        **offer.metadata,
        "content_hash": decision.content_hash[:16],
        "sha256": decision.content_hash,
        "bytes": len(offer.content),
        "ingest_no": decision.ingest_no,
        "reason": decision.reason.value,
        "source_uri": offer.uri,
    }
    if offer.last_updated:
        facts["source_last_updated"] = clock.stamp(offer.last_updated)
    if run.force:
        facts["forced"] = True
    if run.as_observed:
        facts["as_observed"] = True
    return facts


def _data_lines(content: bytes) -> int:
    from market_spine.parse.lines import data_lines

    return data_lines(content)
