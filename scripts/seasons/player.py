"""Carries out a story on a store, and compares everything after each step."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import zip_longest
from random import Random

from market_spine.operate import audit
from seasons.answers import Answers, readiness
from seasons.changes import World
from seasons.duties import Duties, at_the_end, window
from seasons.engine import Engine, Finished, Observed
from seasons.finra import Finra, Partition
from seasons.ledger import Ledger, Moment
from seasons.provenance import Provenance
from seasons.stories import Step

_WEEKS_BEFORE = 6
_FEW_DAYS = 8
_STATEMENTS = 900  # of a run that has something to do


class Player:
    """One story. `faults` says what was wrong, step by step; a story ends at its first fault."""

    def __init__(self, engine: Engine, first: date, seed: int) -> None:
        files = engine.source.name == "file"
        self.engine, self._first = engine, first
        self.world = World(Finra(first - timedelta(weeks=_WEEKS_BEFORE), seed, first), files=files)
        self.ledger, self.duties = Ledger(engine.source.stored, engine.source.firms), Duties(dated=not files)
        self.answers, self.counts = Answers(), Counter[str]()
        self._provenance = Provenance()
        self._seen = Observed({}, {}, {})
        self._number = 0
        self._printed: dict[date, str] = {}  # by day: `spine status` at its end
        self._interrupted = False  # since the last whole run

    @property
    def today(self) -> date:
        return self.world.finra.today

    def play(self, steps: Sequence[Step], *, to_the_end: bool = False) -> list[str]:
        """Returns the faults of the first step that has any; with `to_the_end`, also what was never put right."""
        self.world.finra.move_to(self._first)
        for step, following in zip_longest(steps, steps[1:]):
            if faults := self.step(step, ends_day=following is None or following.day > step.day):
                return [f"{step} ({self.today}): {fault}" for fault in faults]
        if to_the_end:
            faults = [*at_the_end(self.world.finra, self.ledger, self.duties), *self._compare(None, all_days=True)]
            faults += [*self._raw(), *self._kept(), *self._verify(Random(0))]
            return [f"at the end: {fault}" for fault in faults]
        return []

    def step(self, step: Step, *, ends_day: bool) -> list[str]:
        """Carries out a step. All past days are compared when a day ends, a few of them after each command."""
        day = self._first + timedelta(days=step.day)
        if day > self.today:
            self.ledger.history[self.today] = self.ledger.picture()
            self.answers.day_ends(self.today, interrupted=self._interrupted)
            if self.engine.exists():
                with self.engine.database() as db:
                    self._provenance.day_ends(db, self.today)
                self._printed[self.today] = self._status(self.today, "--run-date")
            self.world.finra.move_to(day)
        self.counts[step.action] += 1
        if self.world.is_known(step.action):
            self.world.happen(step.action, step.luck)
            return []
        self._number += 1
        self.engine.on(self.today, self._number)
        self.engine.source.show(self.world.finra, self.world.out_of_order)
        faults: list[str] = getattr(self, f"_{step.action}")(Random(step.luck))
        return faults or self._compare(None if ends_day else step.luck)

    # Weekly runs.

    def _run(self, draw: Random, *extra: str) -> list[str]:
        done = self.engine.run(*extra)
        self._interrupted = False
        faults = self._learn(forced="--force" in extra)
        if faults or "Traceback" in done.stderr or not done.stdout:
            return faults or [f"exit {done.exit_code}: {done.stderr[-2000:]}"]
        return self.duties.after_run(self.world.finra, self.ledger, self.world.out_of_order, done.exit_code)

    _again = _run

    def _force(self, draw: Random) -> list[str]:
        return self._run(draw, "--force")

    def _run_weeks(self, draw: Random) -> list[str]:
        """Named weeks only."""
        weeks = draw.sample(window(self.today), 2)
        return self._partly("--weeks", ",".join(map(str, weeks)))

    def _ingest_only(self, draw: Random) -> list[str]:
        return self._partly("--only-stage", "ingest")

    def _normalize_only(self, draw: Random) -> list[str]:
        return self._partly("--only-stage", "normalize")

    def _calc_only(self, draw: Random) -> list[str]:
        return self._partly("--only-stage", "calc")

    def _partly(self, *arguments: str) -> list[str]:
        done = self.engine.run(*arguments)
        return self._learn() + _crashed(done)

    def _killed(self, draw: Random) -> list[str]:
        self._interrupted = True
        self.engine.killed(1 + int(_STATEMENTS * draw.random() ** 1.5))
        return self._learn()

    def _dry_run(self, draw: Random) -> list[str]:
        """Its list equals what the run then does."""
        dry = self.engine.run("--mode", "dry-run")
        if changed := self._unchanged("a dry run"):
            return changed
        self._number += 1
        self.engine.on(self.today, self._number)
        run = self.engine.run()
        self._interrupted = False
        faults = self._learn()
        planned, done = _ingested(dry), _ingested(run)
        if planned != done:
            faults.append(f"the dry run lists {sorted(planned - done)[:3]}, the run did {sorted(done - planned)[:3]}")
        return faults or self.duties.after_run(self.world.finra, self.ledger, self.world.out_of_order, run.exit_code)

    def _past(self, draw: Random) -> list[str]:
        """A run of a day before the newest recorded one is refused."""
        days = [c.day for c in self.ledger.captures.values()]
        if not days:
            return []
        day = max(days) - timedelta(days=draw.choice((1, 7, 30)))
        return self._refused(str(day), "--force" if draw.random() < 0.5 else "--cron")

    def _future(self, draw: Random) -> list[str]:
        return self._refused(str(self.today + timedelta(days=draw.choice((1, 7, 365)))), "--cron")

    def _refused(self, day: str, *extra: str) -> list[str]:
        done = self.engine.run("--run-date", day, *extra)
        faults = [] if done.exit_code == 2 else [f"a run of {day} on {self.today} exits {done.exit_code}"]
        return faults + self._unchanged(f"a run of {day}")

    # Operators' commands.

    def _rollback(self, draw: Random) -> list[str]:
        partition = self._some([p for p in self.ledger.partitions() if self.ledger.current(p)], draw)
        if partition is None:
            return []
        capture = self.ledger.current(partition)
        assert capture
        done = self.engine.spine("rollback", str(partition.week), partition.tier, "--reason", "season")
        if done.exit_code:
            return [f"rollback exits {done.exit_code}: {done.stderr[-300:]}"]
        self.ledger.withdraw(capture)
        return self._learn()

    def _undo(self, draw: Random) -> list[str]:
        withdrawn = [name for name in self.ledger.withdrawn if not self.ledger.captures[name].pruned]
        partition = self._some(sorted({self.ledger.captures[name].partition for name in withdrawn}), draw)
        if partition is None:
            return []
        done = self.engine.spine("rollback", str(partition.week), partition.tier, "--undo")
        if done.exit_code:
            return [f"rollback --undo exits {done.exit_code}: {done.stderr[-300:]}"]
        last = [name for name in withdrawn if self.ledger.captures[name].partition == partition][-1]
        self.ledger.undo(last)
        return self._learn()

    def _prune(self, draw: Random) -> list[str]:
        if not self.engine.exists():
            return []
        days = draw.choice((0, 7, 30, 120))
        done = self.engine.spine("prune", "--older-than", str(days), "--reason", "season", "--json")
        if done.exit_code:
            return [f"prune exits {done.exit_code}: {done.stderr[-300:]}"]
        faults = []
        for entry in done.document["captures"]:
            capture = self.ledger.captures[entry["capture_id"]]
            newest = self.ledger.newest(capture.partition)
            if capture is self.ledger.current(capture.partition) or capture.pinned or (newest and newest[0] is capture):
                faults.append(f"{capture.capture_id} is current, newest or pinned, and was pruned")
        for entry in done.document["captures"]:
            self.ledger.captures[entry["capture_id"]].pruned = True  # a withdrawal outlives it: its content stays taken back
        return faults + self._learn()

    def _pin(self, draw: Random) -> list[str]:
        names = [name for name, c in sorted(self.ledger.captures.items()) if not c.pruned and not c.pinned]
        return self._operate("pin", draw.choice(names), f"season-{self._number}") if names else []

    def _unpin(self, draw: Random) -> list[str]:
        names = [name for name, c in sorted(self.ledger.captures.items()) if c.pinned and not c.pruned]
        return self._operate("pin", draw.choice(names), "--remove") if names else []

    def _rebuild(self, draw: Random) -> list[str]:
        partition = self._some(self.ledger.partitions(), draw)
        return self._operate("rebuild", *([str(partition.week)] if partition and draw.random() < 0.7 else []))

    def _operate(self, *arguments: str) -> list[str]:
        if not self.ledger.captures:
            return []
        done = self.engine.spine(*arguments)
        faults = [f"{' '.join(arguments)} exits {done.exit_code}: {done.stderr[-300:]}"] if done.exit_code else []
        return faults + self._learn()

    def _retry(self, draw: Random) -> list[str]:
        """The last weekly run that failed or was killed, again, and with --force if that had it."""
        failed = self._failed_run()
        if failed is None:
            return []
        run_id, forced = failed
        done = self.engine.spine("retry", run_id, "--json")
        return self._learn(forced=forced) + _crashed(done)

    def _backfill(self, draw: Random) -> list[str]:
        last = draw.choice(window(self.today)[2:])
        first = last - timedelta(weeks=draw.randrange(4))
        extra = ["--missing-only"] if draw.random() < 0.5 else []
        source = self.engine.source.arguments
        done = self.engine.spine("backfill", "--from", str(first), "--to", str(last), *extra, *source, "--json")
        return self._learn() + _crashed(done)

    def _verify(self, draw: Random) -> list[str]:
        if not self.engine.exists():
            return []
        done = self.engine.spine("verify", "--deep")
        return [f"verify --deep exits {done.exit_code}: {done.stdout[-600:]}{done.stderr[-300:]}"] if done.exit_code else []

    def _query(self, draw: Random) -> list[str]:
        """The command itself: what it prints for a day is what it printed when the day ended."""
        days = sorted(self.ledger.history)
        if not days or not self.ledger.captures or any(c.pruned for c in self.ledger.captures.values()):
            return []
        day = draw.choice(days)
        done = self.engine.spine("query", "normalized", "--as-of", str(day), "--nl")
        expected = sum(len(s.shown.lines) for s in self.ledger.history[day].captures.values())
        rows = len(done.stdout.splitlines())
        return [] if (done.exit_code, rows) == (0, expected) else [f"query --as-of {day}: exit {done.exit_code}, {rows} rows"]

    # What is checked.

    def _learn(self, *, forced: bool = False) -> list[str]:
        """Takes over what the command stored."""
        self._seen = seen = self.engine.observe()
        moment = Moment(self.today, self.world.finra.partitions, self.world.out_of_order, forced, self._is_content)
        faults = self.ledger.learn(seen, moment)
        self.duties.captured(self.ledger)
        return faults

    def _is_content(self, content_hash: str, partition: Partition, served: object) -> bool:
        finra = self.world.finra
        return self.engine.source.is_content(content_hash, self.engine.raw, partition, finra.partitions[partition])

    def _unchanged(self, what: str) -> list[str]:
        return [] if self.engine.observe() == self._seen else [f"{what} changed the store"]

    def _compare(self, luck: int | None, *, all_days: bool = False) -> list[str]:
        """Everything now; of the past the days of _days."""
        if not self.engine.exists():
            return []
        faults = readiness(self._seen.ready, self.ledger, interrupted=self._interrupted)
        days = self._days(luck, all_days=all_days)
        with self.engine.database() as db:
            faults += [f"audit: {fault}" for fault in audit.verify(db).faults]
        faults += self._status_of_the_past(days)
        with self.engine.database() as db:
            return faults + self.answers.differences(db, self.ledger, self.today, days, interrupted=self._interrupted)

    def _status(self, day: date, option: str) -> str:
        """The state of twelve weeks as it is printed, without what is typed next."""
        done = self.engine.spine("status", "--weeks", "12", option, str(day), "--json")
        text = json.dumps(done.document.get("weeks", done.stderr[-500:]))
        return text.replace(self.engine.source.arguments[-1], "…").replace(" --data-dir …", "")  # a killed run is not logged

    def _status_of_the_past(self, days: Sequence[date]) -> list[str]:
        """`spine status --as-of` of one of these days is what was printed when it ended."""
        printed = [day for day in days if day in self._printed]
        if not printed:
            return []
        day = Random(self._number).choice(printed)
        shown = self._status(day, "--as-of")
        self.counts["status --as-of"] += 1
        return [] if shown == self._printed[day] else [f"status --as-of {day}: {_apart(shown, self._printed[day])}"]

    def _days(self, luck: int | None, *, all_days: bool) -> list[date]:
        """Past days to compare: after a command a few by luck; when a day ends the latest and some earlier ones, and all of
        them on every fourth. A past day that was changed once stays changed, so nothing is missed, only found later."""
        days = sorted(self.ledger.history)
        if luck is not None:
            return Random(luck).sample(days, min(len(days), 3))
        if all_days or len(days) <= _FEW_DAYS or len(days) % 4 == 0:
            return days
        return sorted({*days[-3:], *Random(len(days)).sample(days, _FEW_DAYS)})

    def _raw(self) -> list[str]:
        """Every content ever stored can be had again, unless it was pruned."""
        faults = []
        for capture in self.ledger.captures.values():
            for number, content_hash in capture.hashes.items() if not capture.pruned else ():
                try:
                    self.engine.raw(content_hash)
                except Exception as error:
                    faults.append(f"{capture.capture_id}@{number}: {error}")
        return faults

    def _kept(self) -> list[str]:
        """Of the API: the responses and daily lists."""
        if self.engine.source.name != "api":
            return []
        with self.engine.database() as db:
            return self._provenance.faults(db, self.engine.raw)

    def _failed_run(self) -> tuple[str, bool] | None:
        """Its id, and whether it was forced."""
        if not self.engine.exists():
            return None
        with self.engine.database() as db:
            row = db.execute(
                """
                SELECT execution_id, arguments_json FROM core_executions
                WHERE pipeline = 'weekly_schedule' AND COALESCE(exit_code, 1) <> 0
                ORDER BY run_date DESC, execution_id DESC LIMIT 1
                """
            ).fetchone()
        return None if row is None else (str(row[0]), bool(json.loads(row[1]).get("force")))

    def _some(self, partitions: Sequence[Partition], draw: Random) -> Partition | None:
        """Mostly a young one."""
        young = [p for p in partitions if p.week > self.today - timedelta(weeks=9)]
        chosen = young if young and draw.random() < 0.8 else list(partitions)
        return draw.choice(chosen) if chosen else None


def _apart(shown: str, printed: str) -> str:
    """Where two documents first differ."""
    at = next((n for n, (a, b) in enumerate(zip(shown, printed, strict=False)) if a != b), min(len(shown), len(printed)))
    return f"shown …{shown[max(0, at - 150) : at + 150]}… printed …{printed[max(0, at - 150) : at + 150]}…"


def _crashed(done: Finished) -> list[str]:
    if "Traceback" in done.stderr or "unexpected" in done.stderr or done.exit_code not in (0, 1, 2):
        return [f"exit {done.exit_code}: {done.stderr[-2000:]}"]
    return []


def _ingested(done: Finished) -> set[tuple[str, str, str]]:
    """What a run or its dry run reports of ingest, by partition."""
    return {
        (entry["week_ending"], entry["tier"] or "", entry["outcome"])
        for entry in done.document.get("partitions", [])
        if entry["phase"] == "ingest"
    }
