"""What is stored of a range of weeks, read with seven statements however long it is.

The state of each partition, its gaps and the commands for them follow from it without another statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from market_spine.app import calc, coverage, normalize, readiness
from market_spine.app.context import Run
from market_spine.app.readiness import Difference, Judgement
from market_spine.categories import Category
from market_spine.core import captures, executions, manifest
from market_spine.core.captures import Capture, Staged
from market_spine.core.executions import Asked
from market_spine.core.manifest import StageRow
from market_spine.db import Database
from market_spine.operate import anomalies
from market_spine.operate.anomalies import Anomaly
from market_spine.partition import TIERS, Partition
from market_spine.query import history
from market_spine.query.history import CURRENT, WITHDRAWN, Entry


@dataclass(frozen=True, slots=True)
class Evidence:
    """By partition its captures, oldest first; by week its manifest rows, its errors (newest first, resolved ones too), its
    current results and what was judged of it; by tier the first week that was ever asked for; the last source."""

    entries: Mapping[Partition, Sequence[Entry]]
    rows: Mapping[date, list[StageRow]]
    errors: Mapping[date, list[Anomaly]]
    results: Mapping[date, list[str]]
    judged: Mapping[date, Mapping[str | None, set[bool]]]
    first_weeks: Mapping[str, date]
    asked: Asked
    _judgements: dict[tuple[date, tuple[str, ...]], Judgement] = field(default_factory=dict)

    def faults(self, week: date, tier: str | None) -> list[Anomaly]:
        """The unresolved errors of a tier of the week, or of the week itself."""
        return [a for a in self.errors.get(week, ()) if a.resolved_at is None and a.tier == tier]

    def failures(self, capture: Capture) -> list[Anomaly]:
        """The errors that refused exactly this content, resolved or not."""
        errors = self.errors.get(capture.partition.week_ending, ())
        wanted = (capture.capture_id, manifest.NORMALIZED, capture.ingest_no)
        return [a for a in errors if (a.capture_id, a.stage, a.ingest_no) == wanted]

    def is_damaged(self, capture: Capture) -> bool:
        """Whether its content could not be normalized because its bytes are damaged or lost."""
        return any(failure.category == Category.RAW_DAMAGED for failure in self.failures(capture))

    def is_before_coverage(self, partition: Partition) -> bool:
        """Whether its week lies before the first one ever asked for in its tier, and nothing at all is known of that week."""
        first, week = self.first_weeks.get(partition.tier), partition.week_ending
        return first is not None and week < first and not self.rows.get(week) and not self.faults(week, partition.tier)

    def entries_of(self, partition: Partition) -> list[Entry]:
        """The captures of a partition, oldest first, but for those of a mistaken day."""
        rows = self.rows.get(partition.week_ending, ())
        mistaken = {r.capture_id for r in rows if r.stage == manifest.WITHDRAWN and manifest.is_of_a_mistaken_day(r)}
        return [entry for entry in self.entries.get(partition, ()) if entry.capture_id not in mistaken]

    def hold_on(self, partition: Partition) -> StageRow | None:
        """The hold that stands on a partition: the HELD row of its capture."""
        return next((r for r in manifest.holds(self.rows.get(partition.week_ending, [])) if r.tier == partition.tier), None)

    def to_normalize(self, run: Run, partition: Partition) -> list[Capture]:
        """The captures that are to be normalized: as normalize.pending."""
        staged = [c for c in self._staged(partition, manifest.NORMALIZED) if run.works_on(c.run_date)]
        return normalize.unfinished(staged, lambda capture: bool(self.failures(capture)))

    def to_measure(self, run: Run, partition: Partition) -> list[Capture]:
        """The captures that are to be measured: as calc.pending."""
        staged = [c for c in self._staged(partition, manifest.CALC) if run.works_on(c.run_date)]
        return [capture for capture in staged if capture.stage_no != capture.ingest_no]

    def lacks_results(self, week: date) -> bool:
        """Whether every tier is measured, and the week's own results are missing or stale: as calc.week_is_pending."""
        made_from = {}
        for tier in TIERS:
            current = next((e for e in self.entries.get(Partition(week, tier), ()) if e.state == CURRENT), None)
            row = self._row(week, current.capture_id, manifest.CALC) if current else None
            if row is None:
                return False
            made_from[tier] = {"capture_id": row.capture_id, "ingest_no": row.metadata["ingest_no"]}
        return not calc.is_made_from(self.rows.get(week, []), self.results.get(week, []), made_from)

    def judgement(self, run: Run, week: date) -> Judgement:
        """Whether the week and its tiers are ready: as readiness.look."""
        return self._judge(week, run)

    def differences(self, week: date) -> list[Difference]:
        """Where the stored judgement is out of date: as readiness.differences."""
        return readiness.differing(week, self.judged.get(week, {}), self._judge(week, None))

    def _judge(self, week: date, run: Run | None) -> Judgement:
        """Both callers ask the same where no tier is awaited: that is evaluated once."""
        rows = self.rows.get(week, [])
        awaited = readiness.expected(str(week), rows, run.now, run.expected.calendar) if run else {}
        key = (week, tuple(awaited))
        if key in self._judgements:
            return self._judgements[key]
        criticals = [a.tier for a in self.errors.get(week, ()) if a.resolved_at is None and a.severity == "CRITICAL"]
        stored = readiness.Evidence(rows, criticals, self.results.get(week, []))
        return self._judgements.setdefault(key, readiness.judge(stored, awaited))

    def _staged(self, partition: Partition, stage: str) -> list[Capture]:
        before = manifest.RAW if stage == manifest.NORMALIZED else manifest.NORMALIZED
        staged = []
        for entry in self.entries.get(partition, ()):
            ready = self._row(partition.week_ending, entry.capture_id, before)
            done = self._row(partition.week_ending, entry.capture_id, stage)
            if ready is not None:
                withdrawn_at = entry.captured_at if entry.state == WITHDRAWN else None
                facts = (entry.capture_key, entry.capture_id, entry.run_date, entry.captured_at, withdrawn_at)
                row = Staged(*facts, ready.metadata, done.metadata if done else None)
                staged.append(captures.staged_capture(partition, stage, row))
        return [capture for capture in staged if capture is not None]

    def _row(self, week: date, capture_id: str, stage: str) -> StageRow | None:
        return next((r for r in self.rows.get(week, ()) if r.capture_id == capture_id and r.stage == stage), None)


def read(
    db: Database, first: date, last: date, first_weeks: Mapping[str, date] | None = None, asked: Asked | None = None
) -> Evidence:
    """What is stored of the weeks from `first` to `last`; `first_weeks` and `asked` where the caller has read them already."""
    entries: dict[Partition, list[Entry]] = {}
    for entry in history.captures_between(db, first, last):
        entries.setdefault(Partition(date.fromisoformat(entry.week), entry.tier), []).append(entry)
    return Evidence(
        entries,
        manifest.rows_between(first, last, db),
        anomalies.faults_between(db, first, last),
        readiness.results_between(db, first, last),
        readiness.judged_between(db, first, last),
        coverage.known_weeks(db) if first_weeks is None else first_weeks,
        executions.last_source(db) if asked is None else asked,
    )
