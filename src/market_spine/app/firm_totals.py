"""Firm totals beside a partition: asked for once its rows are to be stored. Without them the capture stands all the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from market_spine.app.context import Run
from market_spine.app.source import Absent, Source
from market_spine.categories import Category
from market_spine.core import anomalies
from market_spine.core.responses import Received
from market_spine.errors import SourceError
from market_spine.partition import Partition


class SourceTotals(NamedTuple):
    """What a source gives beside a content: the document with its firm totals and that one's hash, or what is wrong with it."""

    content: bytes | None = None
    content_hash: str | None = None
    problem: Category | None = None
    message: str = ""
    responses: tuple[Received, ...] = ()


def ask(source: Source, partition: Partition, content: bytes, content_hash: str) -> SourceTotals:
    """The firm totals of a content; nothing where the source gives none beside its rows, or is not to be asked."""
    try:
        given = source.totals(partition, content)
    except SourceError as error:
        foreign = error.category is Category.SOURCE_FOREIGN_ROWS
        problem = Category.FIRM_TOTALS_UNUSABLE if foreign else Category.FIRM_TOTALS_MISSING
        return SourceTotals(problem=problem, message=f"firm totals are not used: {error.message}")
    if isinstance(given, Absent):
        return SourceTotals(problem=Category.FIRM_TOTALS_MISSING, message=f"{given.where}; measures rest on the symbol rows")
    if given is None or given.content is content:
        return SourceTotals(content, content_hash) if given else SourceTotals()
    return SourceTotals(given.content, hashlib.sha256(given.content).hexdigest(), responses=given.responses)


def observe(
    run: Run, problem: Category, partition: Partition, message: str, details: Mapping[str, object] | None = None
) -> None:
    """One WARN of a partition's newest content, in the place of those of earlier ones."""
    note = "another content came"
    anomalies.resolve_stage(run.db, partition.key, problem.stage, note, run.now, but=(problem, ""))
    anomalies.observe(run, problem, partition, message, details=details)


def resolve(run: Run, partition: Partition, note: str) -> None:
    """Closes what stood open: the newest totals fit."""
    anomalies.resolve_stage(run.db, partition.key, Category.FIRM_TOTALS_DIFFER.stage, note, run.now)
