"""No week is forgotten: what a Friday missed, a later Friday takes or completes, however far it has left the window."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.desk import REVISED, Desk
from support.schedules import ingested, schedule

from market_spine.app import calc, normalize, report
from market_spine.app.scheduler import Result
from market_spine.db import Database
from market_spine.outcome import Phase, Status
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, TIERS, Partition

FRIDAY = date(2026, 3, 6)
DELAY = {NMS_TIER_1: 3, NMS_TIER_2: 5, OTC: 5}  # weeks from a week's Friday to the Friday after its publication
OLDEST = FRIDAY - timedelta(weeks=5)  # of the first window; the one week of it that is out in all tiers


class Season:
    """A folder into which files come at FINRA's delays, and the runs of the Fridays."""

    def __init__(self, folder: Path, db: Database) -> None:
        self.desk, self.db = Desk(folder, db), db

    def publish(self, friday: date, tiers: tuple[str, ...] = TIERS) -> None:
        """What comes out in the week before a Friday."""
        for tier in tiers:
            self.desk.publish(friday - timedelta(weeks=DELAY[tier]), tier)

    def publish_first(self) -> None:
        """All of the first window that is out on the first Friday."""
        for week in (OLDEST, OLDEST + timedelta(weeks=1), OLDEST + timedelta(weeks=2)):
            self.desk.publish(week, NMS_TIER_1)
        self.publish(FRIDAY, (NMS_TIER_2, OTC))

    def run(self, weeks_later: int = 0, *, dry: bool = False, only: str = "all", open_weeks: int = 26) -> Result:
        day = FRIDAY + timedelta(weeks=weeks_later)
        return schedule(self.db, self.desk.source(), day, dry=dry, only=only, open_weeks=open_weeks)

    def revise_late(self) -> None:
        """The oldest week was taken in time and has left the window; then its OTC file is replaced."""
        self.publish_first()
        assert self.run().exit_code == 0
        self.publish(FRIDAY + timedelta(weeks=1))
        assert self.run(1).exit_code == 0
        self.publish(FRIDAY + timedelta(weeks=2))
        self.desk.publish(OLDEST, OTC, REVISED)


@pytest.fixture
def season(tmp_path: Path, db: Database) -> Season:
    return Season(tmp_path / "data", db)


def readiness(db: Database, week: date) -> list[int]:
    """Whether the week is ready, as stored."""
    key = f'{{"week_ending": "{week}"}}'
    return [row[0] for row in db.execute("SELECT is_ready FROM core_data_readiness WHERE partition_key = ?", (key,))]


def week_shares(db: Database, week: date) -> list[float]:
    sql = "SELECT total_shares FROM finra_otc_transparency_weekly_totals_latest WHERE week_ending = ?"
    return [float(row[0]) for row in db.execute(sql, (week.isoformat(),))]


def test_a_tier_2_file_one_friday_late_is_taken_the_friday_it_is_there(season: Season, db: Database) -> None:
    season.publish_first()
    (season.desk.folder / f"nms_tier_2_week_{OLDEST}.psv").unlink()
    assert season.run().exit_code == 1
    season.publish(FRIDAY + timedelta(weeks=1))
    season.desk.publish(OLDEST, NMS_TIER_2)
    result = season.run(1)
    assert result.exit_code == 0
    assert result.plan.open == (Partition(OLDEST, NMS_TIER_2),)
    assert ingested(result)[f"{OLDEST} / {NMS_TIER_2}"] == (Status.DONE, "NEW")
    assert readiness(db, OLDEST) == [1]
    assert season.run(1).plan.open_count == 0


def test_a_skipped_friday_costs_nothing(season: Season, db: Database) -> None:
    season.publish_first()
    assert season.run().exit_code == 0
    season.publish(FRIDAY + timedelta(weeks=1))
    season.publish(FRIDAY + timedelta(weeks=2))
    result = season.run(2)
    assert result.exit_code == 0
    missed = OLDEST + timedelta(weeks=1)
    assert set(result.plan.open) == {Partition(missed, NMS_TIER_2), Partition(missed, OTC)}
    assert [readiness(db, OLDEST + timedelta(weeks=n)) for n in range(3)] == [[1], [1], [1]]


def test_an_outage_on_the_very_first_friday_is_made_up_for(season: Season, db: Database) -> None:
    assert season.run().exit_code == 2
    season.publish_first()
    season.publish(FRIDAY + timedelta(weeks=1))
    result = season.run(1)
    assert result.exit_code == 0
    assert {partition.week_ending for partition in result.plan.open} == {OLDEST}
    assert readiness(db, OLDEST) == [1]


@pytest.mark.parametrize("killed_after", ["ingest", "normalize", "calc of the tiers"])
def test_a_run_killed_is_completed_though_its_week_has_left_the_window(
    season: Season, db: Database, killed_after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    season.publish_first()
    _killed(season, killed_after, monkeypatch)
    season.publish(FRIDAY + timedelta(weeks=1))
    result = season.run(1)
    assert result.exit_code == 0
    assert result.plan.open_count >= 1
    assert readiness(db, OLDEST) == [1]
    assert len(week_shares(db, OLDEST)) == 1
    assert season.run(1).plan.open_count == 0


@pytest.mark.parametrize("killed_after", ["ingest", "normalize", "calc of the tiers"])
def test_a_revision_outside_the_window_is_completed_after_a_kill(
    season: Season, db: Database, killed_after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    season.revise_late()
    before = week_shares(db, OLDEST)
    _killed(season, killed_after, monkeypatch, 2)
    season.publish(FRIDAY + timedelta(weeks=3))
    dry = season.run(3, dry=True)
    assert OLDEST in dry.plan.all_weeks
    assert any((outcome.status, outcome.week_ending) == (Status.DONE, OLDEST) for outcome in dry.of(Phase.CALC))
    result = season.run(3)
    assert (result.plan.open, result.plan.open_weeks_results) == (dry.plan.open, dry.plan.open_weeks_results)
    assert result.exit_code == 0
    assert before != week_shares(db, OLDEST) and len(week_shares(db, OLDEST)) == 1
    assert readiness(db, OLDEST) == [1]


def test_a_stage_far_behind_is_completed_even_when_nothing_missing_is_asked_for(season: Season, db: Database) -> None:
    season.publish_first()
    season.run(only="ingest")
    result = season.run(40, open_weeks=0)
    assert set(result.plan.open) == {Partition(OLDEST, tier) for tier in TIERS} | {
        Partition(OLDEST + timedelta(weeks=n), NMS_TIER_1) for n in (1, 2)
    }
    assert readiness(db, OLDEST) == [1]


def test_a_process_killed_between_its_phases_is_completed_by_the_next(season: Season, target: str) -> None:
    """A real process, held by a hook after its ingests, and killed."""
    season.publish_first()
    held = (
        "import sys\n"
        "from market_spine.app import normalize\n"
        "from market_spine.cli.weekly import main\n"
        "def hold(*_):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
        "normalize.normalize = hold\n"
        "main(sys.argv[1:])\n"
    )
    arguments = ["--db", target, "--data-dir", str(season.desk.folder), "--run-date", FRIDAY.isoformat(), "--quiet"]
    with subprocess.Popen(
        [sys.executable, "-c", held, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        process.kill()
    season.publish(FRIDAY + timedelta(weeks=1))
    result = season.run(1)
    assert result.exit_code == 0
    assert {partition.week_ending for partition in result.plan.open} == {OLDEST}
    assert readiness(season.db, OLDEST) == [1]


def test_many_fridays_with_everything_that_goes_wrong_end_complete(season: Season, db: Database) -> None:
    """Twenty Fridays: one is skipped, one is killed after its ingests, each third Tier 2 file comes a Friday late."""
    season.publish_first()
    late: list[date] = []
    for n in range(20):
        friday = FRIDAY + timedelta(weeks=n)
        for week in late:
            season.desk.publish(week, NMS_TIER_2)
        late.clear()
        if n:
            season.publish(friday, (NMS_TIER_1, OTC))
            if n % 3 == 0:
                late.append(friday - timedelta(weeks=5))
            else:
                season.publish(friday, (NMS_TIER_2,))
        if n != 7:
            result = season.run(n, only="ingest" if n == 11 else "all")
            assert result.exit_code == (1 if late else 0), friday
    last = season.run(20)
    weeks = [OLDEST + timedelta(weeks=n) for n in range(20)]
    assert [readiness(db, week) for week in weeks] == [[1]] * 20
    assert last.plan.open_count == 0


def test_what_never_comes_fails_as_long_as_it_is_asked_for(season: Season) -> None:
    season.publish_first()
    (season.desk.folder / f"otc_week_{OLDEST}.psv").unlink()
    season.run()
    for n, open_weeks, expected in ((3, 3, True), (4, 3, False), (3, 0, False)):
        result = season.run(n, open_weeks=open_weeks, dry=True)
        assert (f"{OLDEST} / {OTC}" in ingested(result)) is expected, (n, open_weeks)


def test_what_is_awaited_is_not_open(season: Season) -> None:
    season.publish_first()
    season.run()
    assert season.run(1, dry=True).plan.open == ()


def test_tiers_that_are_not_asked_for_are_not_open(season: Season, db: Database) -> None:
    season.publish_first()
    source = season.desk.source()
    schedule(db, source, FRIDAY, tiers=(NMS_TIER_1,))
    assert schedule(db, source, FRIDAY + timedelta(weeks=3), tiers=(NMS_TIER_1,), dry=True).plan.open == ()
    later = schedule(db, source, FRIDAY + timedelta(weeks=3), tiers=(NMS_TIER_1, OTC), dry=True)
    assert later.plan.open == ()  # the first window that asks for OTC begins three weeks later


def test_a_refused_content_is_open_within_reach_only(season: Season) -> None:
    season.publish_first()
    season.desk.publish(OLDEST, OTC, [])
    assert season.run().exit_code == 1
    refused = Partition(OLDEST, OTC)
    assert season.run(2, dry=True).plan.open.count(refused) == 1
    assert refused not in season.run(2, dry=True, open_weeks=1).plan.open


def test_weeks_given_by_name_are_all_that_is_looked_at(season: Season, db: Database) -> None:
    season.publish_first()
    season.run(only="ingest")
    result = schedule(db, season.desk.source(), FRIDAY, weeks=[OLDEST + timedelta(weeks=3)], sweeps=False)
    assert result.plan.partitions == result.plan.window


def test_a_dry_run_walks_the_same_and_keeps_nothing(season: Season, db: Database) -> None:
    season.publish_first()
    season.run(dry=True)
    for table in ("core_coverage", "core_source_checks"):
        assert db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] == 0
    season.run()
    season.publish(FRIDAY + timedelta(weeks=1))
    season.publish(FRIDAY + timedelta(weeks=2))
    season.desk.publish(OLDEST, NMS_TIER_1, REVISED)
    dry, run = season.run(2, dry=True), season.run(2)
    assert (dry.plan.open, dry.plan.revised) == (run.plan.open, run.plan.revised)
    assert ingested(dry) == ingested(run)
    assert dry.plan.open and dry.plan.revised == (Partition(OLDEST, NMS_TIER_1),)


def test_the_run_says_what_is_open(season: Season, caplog: pytest.LogCaptureFixture) -> None:
    season.publish_first()
    season.run()
    for n in (1, 2):
        season.publish(FRIDAY + timedelta(weeks=n))
    caplog.set_level("INFO")
    result = season.run(2)
    missed = OLDEST + timedelta(weeks=1)
    words = "+2 open from earlier weeks"
    assert f"{words}: {missed} / OTC, {missed} / NMS_TIER_2" in caplog.messages
    assert report.partitions_line(result).endswith(words)
    assert f"Open:                 {words}" in report.summary(result).splitlines()
    assert words in report.dry_summary(result)
    document = report.document(result, season.desk.context(), "run")
    assert document["open"] == [{"week_ending": str(missed), "tier": tier} for tier in (OTC, NMS_TIER_2)]


def test_the_first_week_is_stored_once_and_an_earlier_one_beside_it(season: Season, db: Database) -> None:
    def kept() -> list[tuple[str, str]]:
        return [tuple(row) for row in db.execute("SELECT first_week, updated_at FROM core_coverage ORDER BY tier, updated_at").fetchall()]

    season.run()
    first = kept()
    assert {week for week, _ in first} == {str(OLDEST)}
    season.run(2)
    assert kept() == first  # nothing was written
    older = OLDEST - timedelta(weeks=10)
    season.desk.publish(older, OTC)
    season.desk.run(FRIDAY + timedelta(weeks=2), [older], [OTC])  # a backfill
    season.run(3)
    assert [week for week, _ in kept()] == [str(OLDEST), str(OLDEST), str(OLDEST), str(older)]


class _Killed(BaseException):
    """Stands for the end of the process."""


def _killed(season: Season, after: str, monkeypatch: pytest.MonkeyPatch, weeks_later: int = 0) -> None:
    """A run that goes no further than that."""

    def end(*_: object) -> None:
        raise _Killed

    module, name = {"ingest": (normalize, "normalize"), "normalize": (calc, "measure")}.get(after, (calc, "measure_week"))
    with monkeypatch.context() as patch:
        patch.setattr(module, name, end)
        with pytest.raises(_Killed):
            season.run(weeks_later)
