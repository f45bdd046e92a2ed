"""Import: finds out which partition a file is of, puts it into the data folder under the name that runs look for."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from market_spine.app.source.files import ENDINGS, FileSource, stem
from market_spine.calendar.publication import Calendar, due_date
from market_spine.core import contents
from market_spine.db import Database
from market_spine.errors import ConfigurationError, SourceError, UnusableContent, UsageError
from market_spine.parse.identity import Identity, identify
from market_spine.partition import Partition

_LONGEST_DELAY = timedelta(days=60)
_MOST_BYTES = 512 << 20  # as a run takes by default


class Proposal(NamedTuple):
    """A file, the partition it is of, and why."""

    path: Path
    partition: Partition
    rows: int
    because: str

    def entry(self) -> dict[str, object]:
        """The proposal, for machines."""
        where = {"week_ending": self.partition.week, "tier": self.partition.tier}
        return {"file": str(self.path), **where, "rows": self.rows, "because": self.because}


def propose(path: Path, week: date | None, tier: str | None, calendar: Calendar) -> Proposal:
    """The partition that a file is of: as named, else as its rows say. Raises UsageError where they do not say it."""
    try:
        seen = identify(_content(path))
    except UnusableContent as error:
        raise UsageError(f"{path}: {error.message}", hint=error.hint) from error
    known_tier = tier or _tier_of(path, seen)
    if week is not None:
        return Proposal(path, Partition(week, known_tier), seen.rows, "you named the week")
    own_week, because = week_of(seen, known_tier, calendar)
    if own_week is None:
        raise UsageError(f"{path}: {because}", hint=f"spine import {shlex.quote(str(path))} --week FRIDAY")
    return Proposal(path, Partition(own_week, known_tier), seen.rows, because)


def week_of(seen: Identity, tier: str, calendar: Calendar) -> tuple[date | None, str]:
    """The week by the rows, or None; and why.

    Rows that name their week are believed. Else a row's last update is the day of publication unless it was revised later, so
    the earliest day must be the one on which a week of that tier is published.
    """
    if len(seen.weeks) == 1:
        (week,) = seen.weeks
        return (week, "its rows name the week") if week.weekday() == 4 else (None, f"its rows name a week that ends on {week}")
    if seen.weeks:
        return None, f"its rows name {len(seen.weeks)} weeks"
    if not seen.days:
        return None, "its rows have no date"
    day = min(seen.days)
    published = [week for week in _fridays_before(day) if due_date(Partition(week, tier), calendar) == day]
    if len(published) != 1:
        return None, f"its earliest row is of {day}, on which no week of {tier} is published"
    later = seen.rows - seen.days[day]
    revised = f"; {later:,} have a later day" if later else ""
    return published[0], f"{seen.days[day]:,} rows are of {day}, when it is published{revised}"


def place(db: Database, proposal: Proposal, folder: Path) -> Path:
    """Copies the file into the folder under its partition's name. What has that name is replaced if it is empty or stored.

    Raises UsageError where the older content was never stored, ConfigurationError where the file cannot be written.
    """
    name = stem(proposal.partition)
    ending = next((ending for ending in sorted(ENDINGS, key=len, reverse=True) if proposal.path.name.endswith(ending)), ".csv")
    target = folder / f"{name}{ending}"
    others = [path for path in (folder / f"{name}{other}" for other in ENDINGS) if path.exists()]
    if any(path.samefile(proposal.path) for path in others):
        return proposal.path
    for path in others:
        _check_stored(db, path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = shutil.copy2(proposal.path, folder / f".{target.name}.part")
        for path in others:
            path.unlink()
        os.replace(part, target)  # noqa: PTH105
    except OSError as error:
        message = f"cannot copy {proposal.path} into {folder}: {error.strerror}"
        raise ConfigurationError(message, hint="check --data-dir") from error
    return target


def check_distinct(proposals: Sequence[Proposal]) -> None:
    """Raises UsageError for two files of one partition."""
    seen: dict[Partition, Path] = {}
    for proposal in proposals:
        if (other := seen.setdefault(proposal.partition, proposal.path)) is not proposal.path:
            raise UsageError(f"{other} and {proposal.path} are both of {proposal.partition}", hint="import the right one")


def _tier_of(path: Path, seen: Identity) -> str:
    if len(seen.tiers) == 1:
        return next(iter(seen.tiers))
    what = f"its rows name {' and '.join(sorted(seen.tiers))}" if seen.tiers else "its rows name no tier"
    raise UsageError(f"{path}: {what}", hint=f"spine import {shlex.quote(str(path))} --tier OTC")


def _fridays_before(day: date) -> list[date]:
    first = day - timedelta(days=(day.weekday() - 4) % 7)
    return [first - timedelta(weeks=n) for n in range(_LONGEST_DELAY.days // 7)]


def _check_stored(db: Database, path: Path) -> None:
    """That nothing is lost with the file: no run stores an empty one, and one that was refused is only there."""
    if path.stat().st_size == 0:
        return
    content_hash = hashlib.sha256(_content(path)).hexdigest()
    if not contents.is_intact(db, content_hash):
        hint = f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}~')}"
        raise UsageError(f"{path} has another content that was never stored", hint=hint)


def _content(path: Path) -> bytes:
    """The bytes of a file, unpacked. Raises UsageError."""
    try:
        return FileSource(str(path.parent), max_bytes=_MOST_BYTES).read(path)
    except SourceError as error:
        raise UsageError(error.message, hint=error.hint) from error
