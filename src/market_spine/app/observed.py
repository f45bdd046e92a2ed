"""Whether kept content can have been observed on the past day that `--as-observed-on` names."""

from __future__ import annotations

from datetime import datetime

from market_spine import clock
from market_spine.app.content import Reading, foresee
from market_spine.app.context import Run
from market_spine.categories import Category
from market_spine.core import captures, executions
from market_spine.core.manifest import StageRow
from market_spine.errors import SourceError
from market_spine.partition import Partition, run_date_of


def check(run: Run, partition: Partition, content: bytes, content_hash: str, newest: StageRow | None) -> None:
    """Refuses content that the day cannot have had; `newest` is what the store had by then. Raises SourceError."""
    _check_captured(run, partition, content_hash)
    if newest is not None:
        _check_between(run, partition, content_hash, newest)
    _check_dates(run, partition, content)


def _check_captured(run: Run, partition: Partition, content_hash: str) -> None:
    """A past day keeps what was captured on it: loaded content may only fill a gap, or be the same."""
    taken = captures.content_of_day(run.db, partition, run.run_date)
    if taken is not None and taken != content_hash:
        raise _taken(partition, f"{run.run_date} has a capture of other content ({taken[:8]}, offered {content_hash[:8]})")


def _check_between(run: Run, partition: Partition, content_hash: str, newest: StageRow) -> None:
    """A day keeps what was seen unchanged on it or after it: then it was the answer, and answers of past days stay. Content that
    was refused or held was no answer."""
    before, current = newest.metadata["sha256"], captures.current(run.db, partition, run.run_date)
    answered = current and captures.content_of_day(run.db, partition, run_date_of(current.capture_id))
    if before == content_hash or before != answered:
        return
    end = captures.day_after(run.db, partition, run.run_date)
    again = executions.seen_unchanged(run.db, partition.week, partition.tier, run.run_date, end)
    if again is not None:
        since = clock.market_date(datetime.fromisoformat(newest.captured_at))
        raise _taken(
            partition,
            f"the content captured on {since} ({before[:8]}) was seen again on {again}, so {run.run_date} had no other "
            f"(offered {content_hash[:8]})",
        )


def _check_dates(run: Run, partition: Partition, content: bytes) -> None:
    """No file has a lastUpdateDate later than the day on which it was fetched. What cannot be parsed is refused later."""
    reading = foresee(content, None, partition)
    updated = reading.file.last_updated if isinstance(reading, Reading) else None
    if updated is not None and updated > run.run_date.isoformat():
        raise SourceError(
            Category.OBSERVED_TOO_EARLY,
            f"its newest lastUpdateDate is {updated}: it cannot have been fetched on {run.run_date}",
            hint="name the day on which it was fetched in --as-observed-on",
        )


def _taken(partition: Partition, words: str) -> SourceError:
    return SourceError(Category.DAY_TAKEN, words, hint=f"spine captures {partition.week} {partition.tier}")
