"""One row for each natural key of a file: repeats collapse, conflicts are rejected, and rows of a second tape are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from market_spine.parse.columns import Issue, Venue

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]

SECOND_TAPE = "2"
"""The product type of a security's rows on its second tape, where the file has no product types."""

_DENSE_CELLS = 1 << 20


class Repeats(NamedTuple):
    """Rows that have the natural key of another one. `first`, `again` (n,) are rows, `differs` (n,) where the figures or the
    venue's name are not equal; `keys` (n,) are the natural keys."""

    first: Ints
    again: Ints
    keys: Ints
    differs: Mask


def find(issue: Ints, venue: Ints, venues: list[Venue | None], facts: list[Any]) -> Repeats | None:
    """The rows whose natural key an earlier row has; None where there is none. Venues are the same by class, MPID and CRD."""
    groups: dict[tuple[object, ...], int] = {}
    group_of = np.array([0 if v is None else groups.setdefault(v.identity, len(groups)) for v in venues] or [0], dtype=np.int64)
    count = max(len(groups), 1)
    key = issue.astype(np.int64) * count + group_of[venue]
    # Counting is cheaper than sorting, where a counter for each cell fits into memory.
    if (int(issue.max(initial=0)) + 1) * count <= _DENSE_CELLS and np.bincount(key, minlength=1).max() <= 1:
        return None
    order = np.argsort(key, kind="stable")
    starts = np.concatenate(([True], key[order][1:] != key[order][:-1]))[: len(order)]
    repeats = np.flatnonzero(~starts)
    if not len(repeats):
        return None
    first = order[np.flatnonzero(starts)[np.cumsum(starts) - 1][repeats]]
    again = order[repeats]
    return Repeats(first, again, key[again], np.any([fact[again] != fact[first] for fact in facts], axis=0))


def are_tapes(issue: Ints, repeats: Repeats) -> bool:
    """Whether the repeats of a file without product types are securities' rows on a second tape: a security that moved
    from one exchange to another in the week has two rows at each venue.

    A doubled file differs: it also repeats securities whose figures are all equal, or rows more than once.
    """
    keys, of_issue = repeats.keys, issue[repeats.again]
    in_pairs = len(set(keys.tolist())) == len(keys)
    return in_pairs and set(of_issue.tolist()) == set(of_issue[repeats.differs].tolist())


def move_to_second_tape(issue: Ints, shares: Ints, issues: list[Issue | None], repeats: Repeats) -> Ints:
    """The issues of all rows, with new ones (added to `issues`) for the smaller row of each pair: whichever comes first."""
    moved = np.where(shares[repeats.again] > shares[repeats.first], repeats.first, repeats.again)
    of_rows = issue.copy()
    for code in sorted(set(issue[moved].tolist())):
        original = issues[code]
        of_rows[moved[issue[moved] == code]] = len(issues)
        issues.append(original and original._replace(product_type=SECOND_TAPE))
    return of_rows
