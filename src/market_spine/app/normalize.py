"""NORMALIZED: a capture's bytes become typed rows, or rejects with a line number and a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from market_spine.app import firm_totals, judging, refusals
from market_spine.app.content import Reading, read
from market_spine.app.context import Run
from market_spine.categories import Category
from market_spine.core import anomalies, captures, events, holds, manifest, withdrawals
from market_spine.core.captures import Capture
from market_spine.core.events import Kind
from market_spine.core.holds import Hold
from market_spine.core.withdrawals import Withdrawal
from market_spine.errors import PartitionError, UnusableContent
from market_spine.gates.verdict import Verdict
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import DOMAIN, Partition, run_date_of

if TYPE_CHECKING:
    from market_spine.app.judging import Verdicts
    from market_spine.measure.facts import Facts
    from market_spine.measure.firm_totals import Checked
    from market_spine.parse.weekly_file import WeeklyFile

_REJECT = ("domain", "partition_key", "capture_id", "line_number", "reason", "line", "created_at")


def pending(run: Run, partition: Partition) -> list[Capture]:
    """The captures whose rows are missing or made from older bytes; a superseded one that failed is left alone."""
    stored = captures.of_partition(run.db, partition, manifest.NORMALIZED)
    standing = [c for c in run.forecast.standing(stored, partition, manifest.NORMALIZED) if run.works_on(c.run_date)]
    return unfinished(standing, partial(failed_before, run))


def unfinished(standing: Sequence[Capture], has_failed: Callable[[Capture], bool]) -> list[Capture]:
    """Which of a partition's captures, oldest first, are still to be normalized."""
    return [
        capture
        for capture in standing
        if capture.stage_no != capture.ingest_no and (capture is standing[-1] or not has_failed(capture))
    ]


def failed_before(run: Run, capture: Capture) -> bool:
    """Whether exactly this content could not be normalized."""
    stage, ingest_no = manifest.NORMALIZED, capture.ingest_no
    return anomalies.has_failed(run.db, capture.partition.key, capture.capture_id, stage, ingest_no)


def normalize(run: Run, capture: Capture) -> Outcome:
    """Reads, judges and stores one capture; what a gate holds is stored and does not become current. Raises UnusableContent for
    what cannot be stored, or was withdrawn."""
    try:
        if _is_left_over(run, capture) and (captures.is_superseded(run.db, capture) or run.forecast.supersedes(capture)):
            return _set_aside(run, capture)
        reading = run.forecast.reading_of(capture) or read(run.db, capture, hashed=capture.content_hash in run.stored)
        return _normalize(run, capture, reading)
    except PartitionError as error:
        error.capture_id, error.ingest_no = capture.capture_id, capture.ingest_no
        if isinstance(error, UnusableContent) and not run.dry:
            judging.refuse(run, capture, error.category, error.message)
        raise


def _normalize(run: Run, capture: Capture, reading: Reading) -> Outcome:
    file = reading.file
    refusals.check(file, capture.partition, _withdrawal(run, capture))
    judged = judging.judge(run, capture, reading.seen)
    if judged.judgement.is_held and _would_replace(run, capture):
        return _keep_waiting(run, capture, judged)
    made = run.forecast.normalize(capture, reading, run.run_date, judged) if run.dry else _act(run, capture, reading, judged)
    if made is None:
        message = "Already normalized, by a worker or another run"
        return Outcome.of(Phase.NORMALIZE, Status.SKIPPED, capture.partition, message, capture_id=capture.capture_id)
    capture = made
    rows = len(file.columns.shares)
    if judged.judgement.is_held:
        return _held(capture, judged, rows)
    message = f"Normalized {rows:,} rows" + _remarks(file, reading.firm_totals, judged)
    is_odd = file.rejects or reading.firm_totals.problem or judged.judgement.of(Verdict.WARN)
    return Outcome.of(
        Phase.NORMALIZE, Status.WARNING if is_odd else Status.DONE, capture.partition, message, capture_id=capture.capture_id,
        rows=rows,
        details={
            "rejects": len(file.rejects), "duplicates": file.duplicates, "excluded": file.excluded,
            "totals_problem": reading.firm_totals.problem,
        },
    )


def _act(run: Run, capture: Capture, reading: Reading, judged: Verdicts) -> Capture | None:
    """Stores the rows and the verdicts on them, and returns the capture they belong to; None when somebody else has stored them
    meanwhile."""
    from market_spine.measure.measures import measure_tier

    try:
        with run.db.transaction():
            if captures.is_made(run.db, capture, manifest.NORMALIZED):
                return None
            capture = _make_room(run, capture)
            facts = _store(run, capture, reading, run.stamp)
            _note_rejects(run, capture, reading.file, judged)
            judging.record(run, capture, judged)
            if judged.judgement.is_held:
                judging.hold(run, capture, judged, rows=len(reading.file.columns.shares), has_rows=True)
                run.judge(capture.partition.week_ending)
            else:
                _note_totals(run, capture, reading.firm_totals)
                run.judge_if_ready(capture.partition)
    except BaseException:
        run.dimensions.forget()
        raise
    run.hand_over(capture.capture_id, capture.ingest_no, measure_tier(facts))
    return capture


def _would_replace(run: Run, capture: Capture) -> bool:
    """Whether the capture has rows of other content that are not held: rows that a held content must not take the place of."""
    if capture.stage_no is None or _is_left_over(run, capture):
        return False
    rows_held = [hold for hold in holds.of_partition(run.db, capture.partition) if hold.has_rows and hold.released_at is None]
    return capture.capture_id not in {hold.capture_id for hold in rows_held}


def _keep_waiting(run: Run, capture: Capture, judged: Verdicts) -> Outcome:
    """Holds a content of which only the bytes are stored, beside the good rows of the same day."""
    if run.dry:
        run.forecast.hold(capture, judged)
    else:
        with run.db.transaction():
            judging.remember(run, capture, judged)
            judging.hold(run, capture, judged, rows=judged.seen.figures.rows, has_rows=False)
            run.judge(capture.partition.week_ending)
    return _held(capture, judged, None)


def _held(capture: Capture, judged: Verdicts, rows: int | None) -> Outcome:
    judgement = judged.judgement
    category = judgement.headline.category if judgement.headline else None
    message = f"{category}: held: {judgement.message}"
    return Outcome.of(
        Phase.NORMALIZE, Status.HELD, capture.partition, message, capture_id=capture.capture_id, rows=rows, category=category,
        details=judgement.entry(),
    )


def standing_hold(run: Run, partition: Partition) -> Hold | None:
    """The hold that stands and whose content has its rows: it is judged again in each run, because its history or an option may
    have changed. A content that only waits is pending."""
    hold = holds.standing(run.db, partition)
    is_ours = hold is not None and hold.has_rows and run.works_on(str(run_date_of(hold.capture_id)))
    return hold if is_ours and not run.forecast.stored.get(partition) else None


def review(run: Run, partition: Partition, hold: Hold) -> Outcome:
    """Judges a held content again, by its figures: releases it if it passes now."""
    capture = next(c for c in captures.of_partition(run.db, partition, manifest.NORMALIZED) if c.capture_id == hold.capture_id)
    capture = capture._replace(content_hash=hold.content_hash, ingest_no=hold.ingest_no)
    seen = judging.seen_again(run.db, capture) or read(run.db, capture).seen
    judged = judging.judge(run, capture, seen)
    rows = seen.figures.rows
    if run.dry:
        if not judged.judgement.is_held:
            run.forecast.release(capture, seen)
    else:
        with run.db.transaction():
            judging.record(run, capture, judged)
            if judged.judgement.is_held:
                judging.hold(run, capture, judged, rows=rows, has_rows=True)
            else:
                note = f"{capture.capture_id} passes the gates"
                anomalies.resolve_stage(run.db, partition.key, manifest.NORMALIZED, note, run.now)
            run.judge(partition.week_ending)
    if judged.judgement.is_held:
        return _held(capture, judged, None)
    message = f"Released: {rows:,} rows that were held pass the gates now"
    return Outcome.of(Phase.NORMALIZE, Status.DONE, partition, message, capture_id=capture.capture_id)


def _is_left_over(run: Run, capture: Capture) -> bool:
    """Whether other content waits for a capture of an earlier day, which keeps the rows it had on that day."""
    return capture.stage_no is not None and capture.run_date < run.run_date.isoformat()


def _make_room(run: Run, capture: Capture) -> Capture:
    """The capture the rows are for: one of today if a replay was left over from an earlier day. Call it in a transaction."""
    if _is_left_over(run, capture):
        return captures.carry_over(run.db, capture, run.run_date, run.now)
    if capture.stage_no is not None:
        captures.take_on(run.db, capture, run.now)
    return capture


def _set_aside(run: Run, capture: Capture) -> Outcome:
    """A left-over replay that a later capture has superseded needs no rows; its content is kept as a version."""
    if not run.dry:
        with run.db.transaction():
            captures.end_wait(run.db, capture, run.now)
            captures.set_aside(run.db, capture, run.now)
    message = f"Content {capture.ingest_no} of capture …:{capture.capture_id[-8:]} was superseded before it was normalized"
    return Outcome.of(Phase.NORMALIZE, Status.SKIPPED, capture.partition, message, capture_id=capture.capture_id)


def remake(run: Run, capture: Capture, normalized_at: str) -> Facts:
    """Deletes a capture's rows and makes them again from its bytes alone. Raises PartitionError."""
    reading = read(run.db, capture)
    refusals.check_rows(reading.file)
    refusals.check_sums(reading.file)
    with run.db.transaction():
        if judging.seen_again(run.db, capture) is None:  # stored by a release without gates
            judging.remember(run, capture, judging.judge(run, capture, reading.seen))
        return _store(run, capture, reading, normalized_at)


def _remarks(file: WeeklyFile, checked: Checked, judged: Verdicts) -> str:
    parts = [f"{len(file.rejects):,} rejected"] if file.rejects else []
    parts += [f"{file.duplicates:,} repeated, collapsed"] if file.duplicates else []
    parts += [f"{file.excluded:,} sums left out"] if file.excluded else []
    parts += [f"{file.second_tapes:,} on a second tape"] if file.second_tapes else []
    parts += [f"{checked.problem}: {checked.message}"] if checked.problem else []
    unusual = judged.judgement.of(Verdict.WARN) and not checked.problem
    parts += [f"{Category.UNUSUAL_CONTENT}: {judged.judgement.sentence}"] if unusual else []
    return f" ({', '.join(parts)})" if parts else ""


def _withdrawal(run: Run, capture: Capture) -> Withdrawal | None:
    """The withdrawal that applies to the content; None where an operator forced the content, now or at its ingest."""
    held = withdrawals.withdrawal_of(run.db, capture.partition, capture.content_hash)
    if held is None or run.force:
        return None
    if run.forecast.stores(capture):
        return held
    return None if captures.version(run.db, capture.capture_id, capture.ingest_no).metadata.get("forced") else held


def _store(run: Run, capture: Capture, reading: Reading, normalized_at: str) -> Facts:
    """Replaces the rows and rejects of a capture, its sums and its manifest row. Call it inside a transaction."""
    from market_spine.measure import facts as facts_of
    from market_spine.measure import row_dates
    from market_spine.parse.columns import whole_or_fraction
    from market_spine.parse.figures import total

    db, file, columns = run.db, reading.file, reading.file.columns
    facts = _store_totals(run, capture, reading, facts_of.from_columns(run.dimensions, columns))
    db.execute("DELETE FROM finra_otc_transparency_volume WHERE capture_key = ?", (capture.capture_key,))
    for rows in facts_of.volume_columns(facts):
        db.bulk_columns("finra_otc_transparency_volume", {"capture_key": capture.capture_key}, rows)
    dated = row_dates.of_rows(columns, facts)
    db.execute("DELETE FROM finra_otc_transparency_row_date WHERE capture_key = ?", (capture.capture_key,))
    db.bulk_columns("finra_otc_transparency_row_date", {"capture_key": capture.capture_key}, dated.others)
    _store_rejects(run, capture, reading)
    db.execute(
        """
        UPDATE finra_otc_transparency_capture
        SET row_count = ?, total_shares = ?, normalized_at = ?, source_last_updated = COALESCE(source_last_updated, ?),
            basis = ?, published_on = ?, revised_on = ?
        WHERE capture_key = ?
        """,
        (
            len(columns.shares), whole_or_fraction(total(facts.shares)), normalized_at, file.last_updated,
            reading.firm_totals.basis, *dated.shared, capture.capture_key,
        ),
    )
    manifest.record_stage(
        db, manifest.NORMALIZED, capture.partition, capture.capture_id, row_count=len(columns.shares),
        metadata=_metadata(capture, file), captured_at=capture.captured_at, now=run.now,
    )
    manifest.keep_last_updated(db, capture.capture_id, capture.ingest_no, file.last_updated)
    events.record(
        db, Kind.CAPTURE_NORMALIZED, events.subject_of(capture.partition.key), run.stamp, capture_id=capture.capture_id,
        ingest_no=capture.ingest_no, rows=len(columns.shares), shares=events.figure(whole_or_fraction(total(facts.shares))),
        normalized_at=normalized_at,
    )
    return facts


def _store_totals(run: Run, capture: Capture, reading: Reading, facts: Facts) -> Facts:
    """Replaces the capture's firm totals. Returns the facts, with the totals where they fit. Inside a transaction."""
    from market_spine.measure import facts as facts_of
    from market_spine.measure.firm_totals import FIRM_TOTAL, stored_columns

    run.db.execute("DELETE FROM finra_otc_transparency_firm_total WHERE capture_key = ?", (capture.capture_key,))
    checked = reading.firm_totals
    if not checked.totals:
        return facts
    totals = facts_of.totals_of(run.dimensions, checked.totals, facts, reading.file.columns.venues)
    rows = stored_columns(totals, checked.totals)
    run.db.bulk_columns("finra_otc_transparency_firm_total", {"capture_key": capture.capture_key}, rows)
    return facts._replace(totals=totals) if checked.basis == FIRM_TOTAL else facts


def _metadata(capture: Capture, file: WeeklyFile) -> dict[str, object]:
    return {
        "content_hash": capture.content_hash[:16],
        "sha256": capture.content_hash,
        "ingest_no": capture.ingest_no,
        "rejects": len(file.rejects),
        "duplicates": file.duplicates,
        "excluded": file.excluded,
        "first_update_date": file.first_updated,
        "last_update_date": file.last_updated,
    }


def _store_rejects(run: Run, capture: Capture, reading: Reading) -> None:
    """The rejected lines, the first 1000."""
    key, lines, made = capture.partition.key, reading.rejected, run.stamp
    run.db.execute("DELETE FROM core_rejects WHERE capture_id = ?", (capture.capture_id,))
    kept = [reject for reject in reading.file.rejects if reject.line_number in lines]
    run.db.bulk_insert(
        "core_rejects",
        _REJECT,
        [(DOMAIN, key, capture.capture_id, r.line_number, r.reason, lines[r.line_number], made) for r in kept],
    )


def _note_rejects(run: Run, capture: Capture, file: WeeklyFile, judged: Verdicts) -> None:
    """One WARN for all rejected lines; a clean file resolves the open anomalies. Of a held content the hold is the only one."""
    key, note = capture.partition.key, f"normalized as {capture.capture_id}"
    if judged.judgement.is_held:
        category = judged.judgement.headline.category if judged.judgement.headline else Category.IMPLAUSIBLE_CONTENT
        anomalies.resolve_stage(run.db, key, manifest.NORMALIZED, note, run.now, but=(category, capture.capture_id))
        return
    lasting = (Category.REJECTED_ROWS, capture.capture_id) if file.rejects else None
    anomalies.resolve_stage(run.db, key, manifest.NORMALIZED, note, run.now, but=lasting)
    if file.rejects:
        reasons = Counter(reject.reason for reject in file.rejects)
        counts = ", ".join(f"{count} × {reason}" for reason, count in sorted(reasons.items()))
        lines = "1 line" if len(file.rejects) == 1 else f"{len(file.rejects)} lines"
        anomalies.observe(
            run, Category.REJECTED_ROWS, capture.partition, f"{lines} rejected: {counts}",
            details=dict(reasons), affected_records=len(file.rejects), capture_id=capture.capture_id,
        )


def _note_totals(run: Run, capture: Capture, checked: Checked) -> None:
    """One WARN for firm totals that cannot be used or do not fit; totals that fit close what stood open."""
    if checked.problem is not None:
        firm_totals.observe(run, checked.problem, capture.partition, checked.message, checked.details)
    elif checked.totals:
        firm_totals.resolve(run, capture.partition, f"the firm totals of {capture.capture_id} fit its rows")
