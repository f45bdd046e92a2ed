"""What content must be to have rows at all. Each check raises UnusableContent: it stays stored, and no operator can release it.

Everything else that keeps a content from becoming current is a gate (see market_spine.gates).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_spine.categories import Category
from market_spine.errors import UnusableContent
from market_spine.partition import Partition

if TYPE_CHECKING:
    from market_spine.core.withdrawals import Withdrawal
    from market_spine.parse.weekly_file import WeeklyFile

MOST_UNITS = 33 * 10**12
"""The most shares or trades of a tier. The sum of three such tiers fits the 20 digits that shares have in a Parquet file, six of
them decimals; the busiest week so far had a sixtieth of it."""


def check(file: WeeklyFile, partition: Partition, withdrawal: Withdrawal | None) -> None:
    """Runs every check: not withdrawn, with a row, and summable."""
    check_withdrawal(withdrawal, partition)
    check_rows(file)
    check_sums(file)


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


def check_rows(file: WeeklyFile) -> None:
    """Refuses a file without a good row."""
    first = f"; the first: line {file.rejects[0].line_number}, {file.rejects[0].reason}" if file.rejects else ""
    if not len(file.columns.shares):
        raise UnusableContent(Category.NO_ROWS, f"no good row in {file.lines:,} lines{first}", hint="fetch the file again")


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
