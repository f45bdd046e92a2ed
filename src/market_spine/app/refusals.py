"""What keeps a capture's content from becoming current: decisions about a file that was read. Each raises UnusableContent.

A refused content stays stored, and what was current before stays current.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from market_spine.calendar import publication
from market_spine.categories import Category
from market_spine.errors import UnusableContent
from market_spine.partition import Partition

if TYPE_CHECKING:
    from market_spine.app.context import Limits
    from market_spine.core.captures import Withdrawal
    from market_spine.parse.weekly_file import WeeklyFile

MOST_UNITS = 33 * 10**12
"""Shares or trades of a tier. Three tiers of so many fit the 20 digits that shares have in a Parquet file, six of them behind
the point; the busiest week there ever was had a sixtieth of it."""


class Known(NamedTuple):
    """What is stored beside the file: the partition that is current with this very content, the rows and shares of the capture
    that is current for this partition, and the withdrawal that holds for the content."""

    twin: Partition | None
    before: tuple[int, float] | None
    withdrawal: Withdrawal | None = None


def check(file: WeeklyFile, partition: Partition, known: Known, limits: Limits) -> None:
    """Whether the content may become current: whole, this partition's own, readable, addable, and not suddenly smaller."""
    check_whole(file)
    check_twin(known.twin)
    check_withdrawal(known.withdrawal, partition)
    check_date(file.last_updated, partition)
    check_rows(file, limits.max_reject_ratio)
    check_sums(file)
    if known.before is not None and not limits.accept_shrink:
        check_shrink(file, known.before, limits.min_kept_ratio)


def check_whole(file: WeeklyFile) -> None:
    """No file that may break off in its last line."""
    if file.cut_at is not None:
        raise UnusableContent(
            Category.TRUNCATED_CONTENT,
            f"line {file.cut_at}, the last, breaks off: it has no line end and may lack its end",
            hint="fetch the file again; if it is complete, end its last line with a newline",
        )


def check_twin(twin: Partition | None) -> None:
    """No content that another partition is current with."""
    if twin is not None:
        raise UnusableContent(
            Category.SAME_CONTENT,
            f"the content is that of {twin}, byte for byte",
            hint=f"put this week's own file in its place; if {twin} is wrong: "
            f"spine rollback {twin.week} {twin.tier} --reason 'another week under its name'",
        )


def check_withdrawal(held: Withdrawal | None, partition: Partition) -> None:
    """No content that an operator took back, whatever came between, until an operator says otherwise."""
    if held is not None:
        remedy = f"spine rollback {partition.week} {partition.tier} --undo"
        if held.undone_by is not None:  # another content has its capture: there is nothing to undo
            remedy = f"run_finra_weekly_schedule --force --weeks {partition.week} --tiers {partition.tier}"
        raise UnusableContent(
            Category.WITHDRAWN_CONTENT,
            f"the content of …:{held.capture_id[-8:]}, which {held.withdrawn_by} withdrew on {held.withdrawn_at[:10]} "
            f"({held.reason}), is offered again",
            hint=f"if it was right: {remedy}",
        )


def check_date(newest: str | None, partition: Partition) -> None:
    """No rows whose newest lastUpdateDate lies before the week's own publication; without any date nothing is known.

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
    """Enough good rows."""
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
    """No sums that could not be kept exactly."""
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


def check_shrink(file: WeeklyFile, before: tuple[int, float], ratio: float) -> None:
    """Not far fewer rows or shares than the current capture."""
    from market_spine.parse.columns import MICRO
    from market_spine.parse.figures import total

    rows, shares = len(file.columns.shares), total(file.columns.shares) / MICRO
    rows_before, shares_before = before
    if rows < ratio * rows_before or shares < ratio * shares_before:
        raise UnusableContent(
            Category.SHRUNK_CAPTURE,
            f"{rows:,} rows and {shares:,.0f} shares, where the current capture has {rows_before:,} and {shares_before:,.0f}",
            hint="if FINRA means it, run again with --accept-shrink",
        )
