"""A season of Fridays as an operator sees it: the card, the runs, a restatement, a late file and a failure."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.commands import Finished, run_here
from support.desk import PLAIN, REVISED, Desk, Line

from market_spine.calendar import publication
from market_spine.db import Database, redact
from market_spine.monitor import alerts
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, TIERS, Partition, weeks_back

FIRST = date(2026, 1, 9)
LATE = Partition(date(2025, 12, 19), NMS_TIER_2)
RESTATED = Partition(date(2025, 12, 12), NMS_TIER_1)


def own_line(partition: Partition) -> Line:
    """No two files are alike: the same content for two weeks would be refused."""
    return (f"W{partition.tier}", "UBSA", "UBS ATS", partition.week_ending.toordinal(), 1)


class Season:
    """A folder that grows as FINRA publishes, and what is typed on its Fridays."""

    def __init__(self, desk: Desk, target: str, home: Path) -> None:
        self.desk, self.target, self._home = desk, target, home
        self.friday = FIRST

    def type(self, *words: str) -> Finished:
        return run_here([*words, "--db", self.target], self._home, {"MARKET_SPINE_RUN_DATE": str(self.friday)})

    def publish(self, but: Partition | None = None) -> None:
        """What is due by this Friday and is not in the folder yet."""
        for partition in (Partition(week, tier) for week in weeks_back(7, self.friday) for tier in TIERS):
            path = self.desk.folder / f"{partition.tier.lower()}_week_{partition.week}.psv"
            is_due = date(2025, 12, 5) <= partition.week_ending and publication.due_date(partition) <= self.friday
            if is_due and partition != but and not path.exists():
                self.desk.publish(partition.week_ending, partition.tier, (*PLAIN, own_line(partition)))

    def weekly(self, *more: str) -> Finished:
        return self.type("run_finra_weekly_schedule", "--data-dir", str(self.desk.folder), *more)

    def card(self) -> dict[str, object]:
        document = json.loads(self.type("spine", "card", "--json").stdout)
        assert isinstance(document, dict)
        return document


@pytest.fixture
def season(db: Database, target: str, tmp_path: Path) -> Season:
    return Season(Desk(tmp_path / "files", db), target, tmp_path)


def test_a_normal_friday_has_nothing_open(season: Season) -> None:
    season.publish()
    ran = season.weekly()
    assert ran.exit_code == 0
    assert "→ 13 partitions not yet published; next Mon 2026-01-12: 2025-12-12 / NMS_TIER_2" in ran.stderr
    assert "⚠" not in ran.stderr.replace("new database", "")
    assert "  Weeks:              1 ready, 5 awaiting, 0 blocked" in ran.stdout.splitlines()
    card = season.type("spine")
    assert (card.exit_code, len(card.stdout.splitlines()) <= 12) == (0, True)
    assert "Open          nothing" in card.stdout.splitlines()


@pytest.mark.one_engine
def test_twelve_fridays_as_the_card_shows_them(season: Season) -> None:
    """On the third a file is late, on the fifth a week is restated; on all others nothing is open."""
    opened, restated = [], []
    for n in range(12):
        season.friday = FIRST + timedelta(weeks=n)
        season.publish(but=LATE if n == 2 else None)
        if n == 4:
            season.desk.publish(RESTATED.week_ending, RESTATED.tier, (*REVISED, own_line(RESTATED)))
        season.weekly("--cron")
        card = season.card()
        opened.append((card["exit_code"], len(card["open"])))  # type: ignore[arg-type]
        restated.append([each["text"] for each in card["restatements"]])  # type: ignore[attr-defined]
        news = [e for e in alerts.unresolved_events(season.desk.db, "NOTICE").values() if e.kind == alerts.RESTATED]
        assert [event.message for event in news] == restated[-1]
        assert len(season.type("spine").stdout.splitlines()) <= 12
    assert opened == [(0, 0), (0, 0), (1, 1), *[(0, 0)] * 9]
    assert restated == [[]] * 4 + [["2025-12-12 / NMS_TIER_1 restated: +369.5 shares"]] + [[]] * 7


def test_a_failure_is_open_until_it_is_retried(season: Season) -> None:
    season.publish()
    season.desk.publish(date(2025, 12, 5), OTC, ())
    assert season.weekly().exit_code == 1
    before = season.type("spine")
    assert (before.exit_code, "2025-12-05 / OTC: NO_ROWS" in before.stdout) == (1, True)
    season.desk.publish(date(2025, 12, 5), OTC)
    retried = season.type("spine", "retry")
    assert retried.exit_code == 0, retried
    after = season.type("spine")
    assert (after.exit_code, "; then retry, exit 0" in after.stdout) == (0, True)
    assert season.type("spine", "retry").exit_code == 2


def test_the_runs_are_listed_and_shown(season: Season) -> None:
    season.publish()
    season.weekly()
    listed = json.loads(season.type("spine", "runs", "--json").stdout)["runs"]
    assert [(run["pipeline"], run["exit_code"], run["result"]) for run in listed] == [
        ("weekly_schedule", 0, "5 ingested, 0 unchanged, 13 awaiting publication")
    ]
    shown = season.type("spine", "runs", "show", "last").stdout
    assert listed[0]["run_id"] in shown and "2025-12-05 / OTC: Ingested 5 rows" in shown
    assert season.type("spine", "runs", "show", listed[0]["run_id"][:20]).stdout == shown
    missing = season.type("spine", "runs", "show", "1999")
    assert (missing.exit_code, missing.stderr) == (2, f"Error: there is no run '1999'. Try: spine runs --db {redact(season.target)}\n")


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("volume", "--tier", "OTC"), 741955.5), (("trades", "--tier", "OTC"), 21), (("rows", "--tier", "OTC"), 5),
        (("volume", "--tier", "OTC", "--symbol", "BRK.B"), 200.5), (("venue_share", "--tier", "OTC", "--venue", "JPMX"), 0.00067),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.one_engine
def test_a_trend_has_the_figures_of_the_current_captures(season: Season, words: tuple[str, ...], value: float) -> None:
    season.publish()
    season.weekly()
    (of_tier,) = json.loads(season.type("spine", "trend", *words, "--weeks", "6", "--json").stdout)["tiers"]
    values = [point["value"] for point in of_tier["points"]]
    assert (values[0], values[1:]) == (pytest.approx(value, rel=0.02), [None] * 5)


@pytest.mark.one_engine
def test_a_symbol_in_the_wrong_case_suggests_the_right_one(season: Season) -> None:
    season.publish()
    season.weekly()
    for command in (("trend", "volume"), ("query", "normalized")):
        asked = season.type("spine", *command, "--symbol", "brk.b")
        assert "Case matters in a symbol. Try: --symbol BRK.B" in asked.stdout + asked.stderr


@pytest.mark.parametrize("group", ["db", "work", "config", "notify"])
def test_a_group_alone_prints_its_help(group: str, tmp_path: Path) -> None:
    ran = run_here(["spine", group], tmp_path, {})
    assert (ran.exit_code, ran.stdout.startswith(f"Usage: spine {group} ")) == (0, True)


@pytest.mark.parametrize("topic", ["friday", "weekly", "revision", "backfill", "missing", "quality", "recovery", "queue", "RESOLVE_QUALITY_GATE"])
def test_every_runbook_is_part_of_the_installation(topic: str, tmp_path: Path) -> None:
    ran = run_here(["spine", "help", topic], tmp_path, {})
    assert (ran.exit_code, ran.stdout.startswith("# "), "](" in ran.stdout) == (0, True, False)


def test_help_of_a_command_and_of_nothing_known(tmp_path: Path) -> None:
    assert run_here(["spine", "help", "status"], tmp_path, {}).stdout.startswith("Usage: spine status")
    assert "recovery" in run_here(["spine", "help"], tmp_path, {}).stdout
    assert run_here(["spine", "help", "nonsense"], tmp_path, {}).exit_code == 2


@pytest.mark.one_engine
def test_a_verbose_run_says_where_each_content_is_from_and_how_long_a_phase_took(season: Season) -> None:
    season.publish()
    ran = season.weekly("--verbose")
    path = season.desk.folder / "otc_week_2025-12-05.psv"
    assert f"{path.name}, {path.stat().st_size:,} bytes, sha256 " in ran.stderr
    assert "2026-01-09 / OTC: → Awaiting publication (due 2026-02-09)" in ran.stderr
    assert [line for line in ran.stdout.splitlines() if line.startswith("  normalize ")]
