"""Stories: steps at random, by seed. Each step brings its own luck, so that taking one away leaves the others as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from random import Random
from typing import NamedTuple

FRIDAYS = 52
QUIET = 6  # Fridays at the end on which nothing goes wrong any more


class Step(NamedTuple):
    """Something happens `day` days after the story began; `luck` decides what it happens to."""

    day: int
    action: str
    luck: int

    def __str__(self) -> str:
        return f"{self.day}:{self.action}:{self.luck}"

    @classmethod
    def read(cls, text: str) -> Step:
        day, action, luck = text.split(":")
        return cls(int(day), action, int(luck))


# How likely between two Fridays, and after the run of a Friday.
_WEEKDAYS = {
    "revise": 0.6,
    "revise_more": 0.3,
    "change_silently": 0.4,
    "take_back": 0.25,
    "move": 0.25,
    "move_silently": 0.15,
    "spoil": 0.12,
    "unspoil": 0.5,
    "delay": 0.15,
    "break_source": 0.08,
    "repair_source": 0.6,
}
_AFTER_RUN = {
    "revise": 0.08,
    "again": 0.1,
    "rollback": 0.1,
    "undo": 0.1,
    "retry": 0.08,
    "prune": 0.06,
    "pin": 0.03,
    "rebuild": 0.06,
    "force": 0.04,
    "ingest_only": 0.05,
    "normalize_only": 0.04,
    "calc_only": 0.04,
    "backfill": 0.05,
    "past": 0.05,
    "future": 0.05,
    "dry_run": 0.06,
    "verify": 0.05,
    "query": 0.3,
}
_QUIET_WEEKDAYS = {"revise": 0.3, "change_silently": 0.2}
_HEALING = ("repair_source", "unspoil", "unspoil", "unspoil", "undo", "undo", "undo")
COMMANDS = (
    "run",
    "run",
    "run",
    "killed",
    "ingest_only",
    "normalize_only",
    "calc_only",
    "force",
    "rollback",
    "rollback",
    "undo",
    "prune",
    "pin",
    "unpin",
    "rebuild",
    "retry",
    "backfill",
    "past",
    "future",
    "dry_run",
    "run_weeks",
    "verify",
)
CHANGES = (
    "revise",
    "change_silently",
    "take_back",
    "move",
    "move_silently",
    "spoil",
    "unspoil",
    "break_source",
    "repair_source",
)


def season(seed: int, fridays: int = FRIDAYS, source: str = "file") -> list[Step]:
    """A year of Fridays; day 0 is the first of them."""
    draw = Random(f"season {seed} {source}")
    steps: list[Step] = []
    for number in range(fridays):
        friday, quiet = number * 7, number >= fridays - QUIET
        if number == fridays - QUIET:
            steps += [Step(friday - 1, action, draw.randrange(1 << 30)) for action in _HEALING]
        for action, chance in (_QUIET_WEEKDAYS if quiet else _WEEKDAYS).items():
            if draw.random() < chance and number and not (quiet and number >= fridays - 4):
                steps.append(Step(friday - draw.randint(1, 4), action, draw.randrange(1 << 30)))
        steps += [Step(friday, action, draw.randrange(1 << 30)) for action in _friday(draw, quiet)]
    return sorted(steps, key=lambda step: step.day)


def _friday(draw: Random, quiet: bool) -> list[str]:
    if quiet:
        return ["run"]
    kind = draw.random()
    if kind < 0.08:
        return []
    first = ["killed"] if kind < 0.18 else ["killed", "run"] if kind < 0.24 else ["run"]
    extra = [action for action, chance in _AFTER_RUN.items() if draw.random() < chance]
    draw.shuffle(extra)
    return first + extra


def sequence(seed: int, source: str = "file") -> list[Step]:
    """A few commands at random, on the same day or a few days apart, with changes between them."""
    draw = Random(f"sequence {seed} {source}")
    day, steps = 0, [Step(0, draw.choice(("run", "run", "run", "killed", "ingest_only")), draw.randrange(1 << 30))]
    for _ in range(draw.randint(3, 10)):
        day += draw.choice((0, 0, 0, 1, 3, 7, 7))
        for _ in range(draw.choice((0, 1, 1, 2))):
            steps.append(Step(day, draw.choice(CHANGES), draw.randrange(1 << 30)))
        steps.append(Step(day, draw.choice(COMMANDS), draw.randrange(1 << 30)))
    return steps


def first_friday(seed: int) -> date:
    """Where a story lies: in the years whose holidays are known."""
    return date(2022, 3, 4) + timedelta(weeks=Random(f"start {seed}").randrange(110))


def shrink(steps: Sequence[Step], fails: Callable[[list[Step]], bool]) -> list[Step]:
    """The smallest story found that still fails: parts are taken away, large ones first."""
    steps, size = list(steps), max(1, len(steps) // 2)
    while size:
        at, smaller = 0, False
        while at < len(steps):
            without = steps[:at] + steps[at + size :]
            if without and fails(without):
                steps, smaller = without, True
            else:
                at += size
        size = size if smaller and size == 1 else size // 2
    return steps
