"""What an operator asks of the gates: the verdicts on a week, how they would have judged the past, and new limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from market_spine import clock
from market_spine.app import judging
from market_spine.app.context import Run
from market_spine.core import captures, checks, executions, holds, manifest
from market_spine.core.checks import StoredCheck, StoredFigures, StoredProfile
from market_spine.core.holds import Hold
from market_spine.db import Database
from market_spine.errors import NotFound
from market_spine.gates import fit as fitting
from market_spine.gates import inputs
from market_spine.gates.faults import FAULTS
from market_spine.gates.figures import Seen, read_figures, read_shape
from market_spine.gates.fit import Count
from market_spine.gates.past import Other, Week
from market_spine.gates.profile import BUILT_IN, MIN_WEEKS, Profile
from market_spine.operate.operation import record_action
from market_spine.partition import TIERS, Partition


@dataclass(frozen=True, slots=True)
class Explained:
    """The verdicts on a content of a partition, and the hold that stands on it."""

    partition: Partition
    capture_id: str
    ingest_no: int
    profile_id: str
    judged_at: str
    history: int
    is_same: bool  # when it is computed again from what is stored
    checks: tuple[StoredCheck, ...]
    hold: Hold | None

    def entry(self) -> dict[str, object]:
        """The verdicts, for machines."""
        return {
            "week_ending": self.partition.week, "tier": self.partition.tier, "capture_id": self.capture_id,
            "ingest_no": self.ingest_no, "profile": self.profile_id, "judged_at": self.judged_at, "history": self.history,
            "recomputed_alike": self.is_same,
            "held": self.hold.reason if self.hold else None, "checks": [check._asdict() for check in self.checks],
        }


def explain(run: Run, partition: Partition) -> Explained:
    """The verdicts on what is held of a partition, else on its current capture. Raises NotFound."""
    hold = holds.standing(run.db, partition)
    current = captures.current(run.db, partition)
    if hold is not None:
        name, number = hold.capture_id, hold.ingest_no
    elif current is not None:
        name = current.capture_id
        made = captures.of_partition(run.db, partition, manifest.CALC)
        number = next((capture.ingest_no for capture in made if capture.capture_id == name), 0)
    else:
        raise NotFound(f"{partition} has no capture that was judged", hint=f"spine captures {partition.week}")
    verdicts = checks.checks_of(run.db, name, number)
    content = captures.version(run.db, name, number).content_hash
    judged = checks.judgement_of(run.db, name, content)
    if judged is None or not verdicts:
        raise NotFound(
            f"{name} was stored by a release without gates", hint="spine rebuild"
        )
    is_same = judging.again(run.db, partition, name, content) == verdicts
    weeks = len(inputs.read(judged.past_json).weeks)
    return Explained(
        partition, name, number, judged.profile_id, judged.judged_at, weeks, is_same, tuple(verdicts), hold
    )


@dataclass(frozen=True, slots=True)
class Tested:
    """A tier's backtest: its sound weeks, and by fault how many of how many were held."""

    tier: str
    weeks: Count
    faults: tuple[tuple[str, int, int], ...] = ()

    def entry(self) -> dict[str, object]:
        """The backtest, for machines."""
        warned, held = self.weeks.upper
        return {
            "tier": self.tier, **self.weeks._asdict(), "warned_at_most": warned, "held_at_most": held,
            "faults": [{"fault": name, "held": hits, "of": trials} for name, hits, trials in self.faults],
        }


def backtest(
    db: Database, *, faults: bool = False, profile: Profile | None = None, newest: int | None = None
) -> list[Tested]:
    """Judges every accepted week of the store by those before it, with the limits in force or `profile`; with `newest`, only
    that many of a tier, as though it had begun with them."""
    used = profile or judging.profile_of(db)
    history = _history(db, newest)
    others = [Other(w.partition, Seen(w.figures, w.shape)) for weeks in history.values() for w in weeks if w.shape is not None]
    return [_backtest(db, tier, history[tier], others, used, faults=faults) for tier in TIERS if history[tier]]


def _backtest(
    db: Database, tier: str, weeks: Sequence[Week], others: Sequence[Other], profile: Profile, *, faults: bool
) -> Tested:
    levels = checks.levels(db, tier)
    sound = fitting.count(fitting.backtest(weeks, profile, levels, others))
    detected = []
    for name, fault in FAULTS.items() if faults else ():
        judged = fitting.backtest(weeks, profile, levels, others, fault)
        detected.append((name, sum(j.judgement.is_held for j in judged), len(judged)))
    return Tested(tier, sound, tuple(detected))


def fit(db: Database, source: str) -> Profile:
    """The limits that the store's own history gives; a tier with too little of it keeps the built-in ones."""
    thresholds = dict(BUILT_IN.thresholds)
    for tier, weeks in _history(db).items():
        if len(weeks) >= MIN_WEEKS:
            thresholds |= fitting.fit(weeks, tier, checks.levels(db, tier))
    return Profile(thresholds, source)


def put_in_force(run: Run, profile: Profile, reason: str) -> None:
    """Stores a profile as the one in force."""
    with run.db.transaction():
        stored = StoredProfile(profile.profile_id, run.stamp, profile.source, profile.text())
        checks.add_profile(run.db, stored)
        record_action(run.db, "gates fit", profile.profile_id, reason, run.now)


def accept(run: Run, partition: Partition, reason: str) -> None:
    """Lets the history of a tier begin anew with a week, as a new level. Raises NotFound without a current capture."""
    if captures.current(run.db, partition) is None:
        hint = f"spine captures {partition.week} {partition.tier}"
        raise NotFound(f"{partition} has no current capture; release it first if it is held", hint=hint)
    with run.db.transaction():
        checks.add_level(run.db, partition, by=executions.actor(), reason=reason, now=run.now)
        record_action(run.db, "gates accept", f"{partition.week}/{partition.tier}", reason, run.now)


def _history(db: Database, newest: int | None = None) -> dict[str, list[Week]]:
    """The accepted weeks of each tier, oldest first, with their spread."""
    accepted: dict[str, list[StoredFigures]] = {tier: [] for tier in TIERS}
    for stored in checks.accepted_around(db, "", *[(date.min, date.max)] * 2):
        accepted[stored.tier].append(stored)
    return {tier: [_week(stored) for stored in weeks[-newest if newest else None :]] for tier, weeks in accepted.items()}


def _week(stored: StoredFigures) -> Week:
    partition = Partition(date.fromisoformat(stored.week), stored.tier)
    figures, shape = read_figures(stored.figures_json), read_shape(str(stored.shape_json))
    return Week(partition, stored.capture_id, stored.content_hash, figures, shape)


def since(run: Run) -> str:
    """The day of the run in words, for the source of a profile."""
    return f"the history of this store up to {clock.market_date(run.now)}"
