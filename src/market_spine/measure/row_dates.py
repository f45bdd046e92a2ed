"""The dates of a capture's rows as the tables hold them: once for the rows that share them, a row of its own for any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from market_spine.parse.columns import Columns, RowDates

if TYPE_CHECKING:
    from market_spine.db.bulk_sql import Values
    from market_spine.measure.facts import Facts


class Dated(NamedTuple):
    """The dates most rows of a capture share, and the rows that have others, as the columns of their table."""

    shared: RowDates
    others: dict[str, Values]


def of_rows(columns: Columns, facts: Facts) -> Dated:
    """The dates of a file's rows; `facts` has the ids of its issues and venues. Of two pairs as frequent the first is shared."""
    pairs = list(dict.fromkeys(columns.dates)) or [RowDates(None, None)]
    number = {pair: at for at, pair in enumerate(pairs)}  # two texts may be the same dates
    dated = np.array([number[pair] for pair in columns.dates], dtype=np.int64)[columns.dated]
    shared = int(np.bincount(dated, minlength=1).argmax())
    rows = np.flatnonzero(dated != shared)
    published, revised = (np.array(texts, dtype=object)[dated[rows]].tolist() for texts in zip(*pairs, strict=True))
    others: dict[str, Values] = {
        "issue_id": facts.issue_id[columns.issue[rows]],
        "venue_id": facts.venue_id[columns.venue[rows]],
        "published_on": published,
        "revised_on": revised,
    }
    return Dated(pairs[shared], others)
