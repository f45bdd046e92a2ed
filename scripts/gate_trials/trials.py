"""What is measured: false alarms over sound histories, and faults found, each through ingest and normalize of the program."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from gate_trials import history as market
from gate_trials.faults import FAULTS, Setting
from market_spine import clock
from market_spine.app.context import Run
from market_spine.app.plan import Plan
from market_spine.app.scheduler import Result, run_schedule
from market_spine.app.source.files import FileSource, stem
from market_spine.db import Database, connect
from market_spine.db.migrations import prepare
from market_spine.gates import figures, fit
from market_spine.gates.figures import Seen
from market_spine.gates.past import Other, Week
from market_spine.gates.verdict import Verdict
from market_spine.measure.firm_totals import Checked
from market_spine.outcome import Phase, Status
from market_spine.parse import weekly_file
from market_spine.partition import TIERS, Partition

PHASES = (Phase.INGEST, Phase.NORMALIZE)
Lines = dict[date, dict[str, list[str]]]


def false_alarms(seeds: range) -> dict[str, object]:
    """Judges every week of sound histories, parsed from their bytes; learnt gates from the seventh week on."""
    weeks, warned, held, by_gate = 0, 0, 0, Counter[str]()
    for seed in seeds:
        for judged in _judged(seed):
            counted = fit.count(judged)
            weeks, warned, held = weeks + counted.weeks, warned + counted.warned, held + counted.held
            results = [r for j in judged for v in (Verdict.WARN, Verdict.HOLD) for r in j.judgement.of(v)]
            by_gate.update(f"{result.gate} {result.verdict}" for result in results)
    return {
        "tier_weeks": weeks,
        "held": held,
        "held_at_most": round(fit.upper_bound(held, weeks), 5),
        "warned": warned,
        "warned_share": round(warned / weeks, 4),
        "warned_at_most": round(fit.upper_bound(warned, weeks), 4),
        "by_gate": dict(by_gate.most_common()),
    }


def _judged(seed: int) -> Iterator[list[fit.Judged]]:
    weeks: dict[str, list[Week]] = {tier: [] for tier in TIERS}
    for week, files in market.history(seed):
        for tier, lines in files.items():
            partition = Partition(week, tier)
            seen = figures.of_file(weekly_file.read([market.content(lines)], partition), Checked())
            weeks[tier].append(Week(partition, str(partition), str(partition), seen.figures, seen.shape))
    others = [Other(w.partition, Seen(w.figures, w.shape)) for of_tier in weeks.values() for w in of_tier if w.shape]
    for tier in TIERS:
        yield fit.backtest(weeks[tier], others=others)


class Store:
    """A database that holds a history, loaded week by week by the program itself."""

    def __init__(self, folder: Path, db: Database, seed: int, weeks: int, poison: int = 0) -> None:
        self.folder, self.db, self.lines = folder, db, Lines()
        self.rng, self.accepted, self.held = np.random.default_rng(seed), 0, 0
        for number, (week, files) in enumerate(market.history(seed, weeks)):
            self.lines[week] = files
            if number < weeks - 1:
                self._load(week, files, spoil=bool(poison) and number % poison == poison - 1)

    def _load(self, week: date, files: dict[str, list[str]], *, spoil: bool) -> None:
        for tier, lines in files.items():
            name = "shares × 10" if self.rng.random() < 0.5 else "one venue lost"
            setting = Setting(tier, lines, [], [], self.rng)
            result = self.offer(Partition(week, tier), FAULTS[name](setting) if spoil else market.content(lines))
            held = is_held(result)
            self.held += held
            if held:
                self._release(Partition(week, tier))

    def _release(self, partition: Partition) -> None:
        from market_spine.operate import hold

        hold.release(self._run(partition), partition.week_ending, partition.tier, "accepted by mistake")
        self.accepted += 1

    def _run(self, partition: Partition) -> Run:
        day = partition.week_ending + timedelta(weeks=6)
        return Run(self.db, day, clock.moment_of(day), "trial")

    def offer(self, partition: Partition, content: bytes) -> Result:
        """Puts a file in the folder and runs ingest and normalize on it."""
        path = self.folder / f"{stem(partition)}.psv"
        path.write_bytes(content)
        source, plan = FileSource(str(self.folder), max_bytes=1 << 26), Plan((partition.week_ending,), (partition.tier,), PHASES)
        return run_schedule(self._run(partition), source, plan, lambda _: None)

    def trial(self, partition: Partition, fault: str) -> tuple[bool, str]:
        """Whether a faulty file is kept from becoming current, and by what; everything is undone afterwards."""
        week, tier = partition.week_ending, partition.tier
        other = TIERS[(TIERS.index(tier) + 1 + int(self.rng.integers(2))) % len(TIERS)]
        setting = Setting(
            tier, self.lines[week][tier], self.lines[week - timedelta(weeks=1)][tier], self.lines[week][other], self.rng
        )
        try:
            with self.db.transaction():
                result = self.offer(partition, FAULTS[fault](setting))
                raise _Undone
        except _Undone:
            pass
        outcome = result.of(Phase.NORMALIZE)[-1]
        return outcome.status in (Status.HELD, Status.FAILED), outcome.message


class _Undone(Exception):
    """Ends a trial: nothing of it is stored."""


def is_held(result: Result) -> bool:
    """Whether something of a run is held."""
    return any(outcome.status is Status.HELD for outcome in result.outcomes)


def found(fault_names: list[str], trials: int, seeds: range, poison: int = 0) -> dict[str, object]:
    """How many of `trials` faulty files of each kind are held or refused. Each goes into the week after a history of 29 to 69."""
    hits, done, missed = Counter[str](), Counter[str](), dict[str, list[str]]()
    accepted = 0
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="gates_") as home:
            db = connect(str(Path(home) / "trial.db"))
            prepare(db)
            store = Store(Path(home), db, seed, 30 + 7 * seed % 41, poison)
            accepted += store.accepted
            week = max(store.lines)
            for name in fault_names:
                for _ in range(-(-trials // len(seeds))):
                    tier = TIERS[int(store.rng.integers(len(TIERS)))]
                    held, message = store.trial(Partition(week, tier), name)
                    hits[name] += held
                    done[name] += 1
                    if not held and len(missed.setdefault(name, [])) < 3:
                        missed[name].append(f"seed {seed} {week} {tier}: {message[:160]}")
            db.close()
    rates = {name: f"{hits[name]} of {done[name]} ({hits[name] / done[name]:.2%})" for name in fault_names}
    return {"found": rates, "missed": missed, "faulty_weeks_accepted": accepted}
