"""Faults done to the bytes of a file, through ingest and normalize, after a history of fourteen weeks."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from gate_trials import history as market
from gate_trials.faults import FAULTS
from gate_trials.trials import Store, is_held

from market_spine.app import judging
from market_spine.calendar.exchange import sessions
from market_spine.core import captures, checks, manifest
from market_spine.db import Database, connect
from market_spine.db.migrations import prepare
from market_spine.gates import figures
from market_spine.gates.figures import contained, likeness
from market_spine.gates.judge import judge
from market_spine.gates.past import Limits, Other, Past
from market_spine.gates.verdict import Verdict
from market_spine.measure.firm_totals import Checked
from market_spine.operate import gates
from market_spine.parse import weekly_file
from market_spine.partition import NMS_TIER_1, OTC, TIERS, Partition

SAMPLES = Path("/work/shared/samples")
SEED, WEEKS = 5, 15


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("trial")
    db = connect(str(folder / "trial.db"))
    prepare(db)
    return Store(folder, db, SEED, WEEKS)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "cut at 95 %"])
def test_a_fault_is_held(store: Store, fault: str, tier: str) -> None:
    held, message = store.trial(Partition(max(store.lines), tier), fault)
    assert held, message


@pytest.mark.parametrize("tier", TIERS)
def test_the_sound_week_passes(store: Store, tier: str) -> None:
    week = max(store.lines)
    assert store.held == 0, "nor was anything of the history held"
    assert not is_held(store.offer(Partition(week, tier), market.content(store.lines[week][tier])))


def test_the_history_grows_by_accepted_weeks_only(store: Store) -> None:
    past = checks.accepted_before(store.db, Partition(max(store.lines), NMS_TIER_1))
    assert [row.week for row in past] == [str(week) for week in sorted(store.lines)[:-1]]


def test_every_verdict_of_the_history_is_computed_again_alike(store: Store) -> None:
    for week in sorted(store.lines)[6:-1]:
        for tier in TIERS:
            partition = Partition(week, tier)
            current = captures.current(store.db, partition)
            assert current is not None
            content = captures.version(store.db, current.capture_id, 1).content_hash
            stored = checks.checks_of(store.db, current.capture_id, 1)
            assert len(stored) > 20 and judging.again(store.db, partition, current.capture_id, content) == stored


def test_the_backtest_of_a_store_counts_its_weeks(store: Store) -> None:
    tested = {one.tier: one for one in gates.backtest(store.db, faults=True)}
    assert {tier: (one.weeks.held, one.weeks.weeks >= 8) for tier, one in tested.items()} == dict.fromkeys(TIERS, (0, True))
    found = {name: (hits, trials) for name, hits, trials in tested[NMS_TIER_1].faults}
    assert found["shares × 10"][0] == found["shares × 10"][1] > 0


def test_a_learnt_hold_is_the_same_on_both_engines(db: Database, tmp_path: Path) -> None:
    store = Store(tmp_path, db, SEED, 9)
    week = Partition(max(store.lines), NMS_TIER_1)
    faulty = [line.split("|") for line in store.lines[week.week_ending][week.tier]]
    content = market.content(["|".join([*row[:6], str(10 * int(row[6])), *row[7:]]) for row in faulty])
    assert is_held(store.offer(week, content))
    (held,) = captures.of_partition(db, week, manifest.CALC)
    verdicts = checks.checks_of(db, held.capture_id, 1)
    assert {check.gate for check in verdicts if check.verdict == Verdict.HOLD} == {"shares", "trade_size", "price"}
    assert judging.again(db, week, held.capture_id, held.content_hash) == verdicts


@pytest.mark.parametrize(
    ("week", "expected"),
    [
        (date(2025, 11, 28), 3.5),
        (date(2025, 12, 26), 3.5),
        (date(2025, 1, 10), 4),
        (date(2025, 10, 10), 5),
        (date(2026, 1, 2), 4),
    ],
    ids=["Thanksgiving and the half day after", "Christmas and its eve", "a day of mourning", "a full week", "New Year"],
)
def test_the_sessions_of_a_week(week: date, expected: float) -> None:
    assert sessions(week) == expected


@pytest.mark.skipif(not SAMPLES.exists(), reason="the samples of real files are not on this machine")
def test_two_real_weeks_are_not_alike_and_the_thanksgiving_week_passes() -> None:
    weeks = {date(2025, 11, 14): "otc_20251215.csv", date(2025, 11, 28): "otc_20251229.csv"}
    seen = {}
    for week, name in weeks.items():
        partition = Partition(week, OTC)
        seen[partition] = figures.of_file(weekly_file.read([(SAMPLES / name).read_bytes()], partition), Checked())
    (first, early), (second, thanksgiving) = seen.items()
    assert likeness(early.shape.rows, thanksgiving.shape.rows) < 0.1
    assert contained(early.shape.symbols, thanksgiving.shape.symbols) > 0.6
    assert second.week_ending - first.week_ending == timedelta(weeks=2)
    judgement = judge(thanksgiving, second, Past(others=[Other(first, early)]), Limits()).judgement
    assert judgement.of(Verdict.HOLD) == [] and judgement.of(Verdict.WARN) == []
