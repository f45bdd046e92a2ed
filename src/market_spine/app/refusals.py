"""The checks that content must pass to become current. Each raises UnusableContent.

Refused content stays stored, and what was current before stays current.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from market_spine.calendar import publication
from market_spine.categories import Category
from market_spine.errors import UnusableContent
from market_spine.partition import Partition

if TYPE_CHECKING:
    from market_spine.app.context import Limits
    from market_spine.core.captures import Current
    from market_spine.core.withdrawals import Withdrawal
    from market_spine.parse.weekly_file import WeeklyFile

MOST_UNITS = 33 * 10**12
"""The most shares or trades of a tier. The sum of three such tiers fits the 20 digits that shares have in a Parquet file, six of
them decimals; the busiest week so far had a sixtieth of it."""


class Known(NamedTuple):
    """What is already stored: another partition whose current content is exactly this one, the current capture of this
    partition, and the withdrawal that applies to the content."""

    twin: Partition | None
    current: Current | None
    withdrawal: Withdrawal | None = None


def check(file: WeeklyFile, partition: Partition, known: Known, limits: Limits) -> None:
    """Runs every check: complete, this partition's own, not withdrawn, readable, summable, and not suddenly smaller."""
    check_whole(file)
    check_twin(known.twin)
    check_withdrawal(known.withdrawal, partition)
    check_date(file.last_updated, partition)
    check_rows(file, limits.max_reject_ratio)
    check_sums(file)
    if known.current is not None and not limits.accept_shrink:
        check_shrink(file, known.current, limits.min_kept_ratio)


def check_whole(file: WeeklyFile) -> None:
    """Refuses a file that may be truncated in its last line."""
    if file.cut_at is not None:
        raise UnusableContent(
            Category.TRUNCATED_CONTENT,
            f"line {file.cut_at}, the last, may be truncated: it has no line end",
            hint="fetch the file again; if it is complete, end its last line with a newline",
        )


def check_twin(twin: Partition | None) -> None:
    """Refuses the current content of another partition."""
    if twin is not None:
        raise UnusableContent(
            Category.SAME_CONTENT,
            f"the content is that of {twin}, byte for byte",
            hint=f"put this week's own file in its place; if {twin} is wrong: "
            f"spine rollback {twin.week} {twin.tier} --reason 'another week under its name'",
        )


def check_withdrawal(held: Withdrawal | None, partition: Partition) -> None:
    """Refuses content that an operator withdrew, whatever came between, until an operator undoes or forces it."""
    if held is not None:
        remedy = f"spine rollback {partition.week} {partition.tier} --undo"
        if held.undone_by is not None:  # other content has its capture: nothing is left to undo
            remedy = f"run_finra_weekly_schedule --force --weeks {partition.week} --tiers {partition.tier}"
        raise UnusableContent(
            Category.WITHDRAWN_CONTENT,
            f"the content of …:{held.capture_id[-8:]}, which {held.withdrawn_by} withdrew on {held.withdrawn_at[:10]} "
            f"({held.reason}), is offered again",
            hint=f"if it was right: {remedy}",
        )


def check_date(newest: str | None, partition: Partition) -> None:
    """Refuses rows whose newest lastUpdateDate lies before the week's own publication; without any date nothing is known.

    The Monday is taken as it is: where an exchange holiday moves the publication, the dates are later, never earlier.
    """
    published = publication.nominal_day(partition)
    if newest is not None and newest < published.isoformat():
        raise UnusableContent(
            Category.TOO_EARLY,
            f"its newest lastUpdateDate is {newest}, but {partition} is published on {published} at the earliest",
            hint="put it under the name of its own week",
        )


def check_rows(file: WeeklyFile, max_reject_ratio: float) -> None:
    """Refuses a file without a good row, or with too many rejects."""
    first = f"; the first: line {file.rejects[0].line_number}, {file.rejects[0].reason}" if file.rejects else ""
    if not len(file.columns.shares):
        raise UnusableContent(Category.NO_ROWS, f"no good row in {file.lines:,} lines{first}", hint="fetch the file again")
    if len(file.rejects) > max_reject_ratio * file.lines:
        raise UnusableContent(
            Category.TOO_MANY_REJECTS,
            f"{len(file.rejects):,} of {file.lines:,} lines rejected, more than {max_reject_ratio:.0%}{first}",
            hint="fetch the file again, or raise --max-reject-percent",
        )


def check_sums(file: WeeklyFile) -> None:
    """Refuses sums that could not be stored exactly."""
    from market_spine.parse.columns import MICRO
    from market_spine.parse.figures import total

    sums = {"shares": total(file.columns.shares) // MICRO, "trades": total(file.columns.trades)}
    for unit, value in sums.items():
        if value > MOST_UNITS:
            raise UnusableContent(
                Category.SUM_TOO_LARGE,
                f"its rows sum to {value:,} {unit}, beyond the {MOST_UNITS:,} that any tier can have in a week",
                hint="fetch the file again",
            )


def check_shrink(file: WeeklyFile, current: Current, ratio: float) -> None:
    """Refuses far fewer rows or shares than the current capture has."""
    from market_spine.parse.columns import MICRO
    from market_spine.parse.figures import total

    rows, shares = len(file.columns.shares), total(file.columns.shares) / MICRO
    if rows < ratio * current.row_count or shares < ratio * current.total_shares:
        raise UnusableContent(
            Category.SHRUNK_CAPTURE,
            f"{rows:,} rows and {shares:,.0f} shares, where the current capture has {current.row_count:,} and "
            f"{current.total_shares:,.0f}",
            hint="if FINRA means it, run again with --accept-shrink",
        )
