"""The states of a database from which pages and SQL start, each made once per session by the shipped command on the shipped files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from support import transcripts
from support.transcripts import Said, Setting

REVISED_FILE = "data/fixtures/finra_otc_revised/nms_tier_1_week_2025-12-26.psv"


class Desk(NamedTuple):
    """The run date a page is read on, the desk it goes on from, and what was typed there."""

    run_date: str
    after: str | None
    commands: tuple[str, ...]


# The folder as it is on that Friday: of each tier the weeks that FINRA has published by then. The other files wait in data/coming.
_KEEP_WHAT_IS_PUBLISHED = (
    "mkdir data/coming && mv data/fixtures/finra_otc/*.psv data/coming/ && cp data/coming/*_week_2025-12-05.psv "
    "data/coming/nms_tier_1_week_2025-12-{12,19}.psv data/fixtures/finra_otc/"
)
DESKS = {
    "empty": Desk("2026-01-09", None, ()),
    "published": Desk("2026-01-09", "empty", (_KEEP_WHAT_IS_PUBLISHED,)),
    "first Friday": Desk("2026-01-09", "published", ("run_finra_weekly_schedule",)),
    "six weeks": Desk("2026-01-09", "empty", ("run_finra_weekly_schedule",)),
    "revised": Desk(
        "2026-01-30",
        "six weeks",
        (
            f"cp {REVISED_FILE} data/fixtures/finra_otc/",
            "run_finra_weekly_schedule --weeks 2025-12-26,2025-11-28 || test $? -eq 1",
        ),
    ),
}
SQL_DESK = "revised"  # where every block of SQL is run
DATABASE = "data/market_spine.db"


class Desks:
    """Makes each desk when it is first asked for, and hands out copies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Path] = {}

    def database(self, name: str) -> Path:
        return self._desk(name) / DATABASE

    def copy(self, name: str, folder: Path, **setting: dict[str, str]) -> Setting:
        """A desk of one's own in `folder`, to run a page in."""
        made = self._desk(name)
        shutil.copytree(made, folder, symlinks=True)
        return Setting(folder, DESKS[name].run_date, **setting)

    def _desk(self, name: str) -> Path:
        if name not in self._made:
            self._made[name] = self._make(name, self._folder / name.replace(" ", "_") / "desk")
        return self._made[name]

    def _make(self, name: str, folder: Path) -> Path:
        desk = DESKS[name]
        if desk.after is None:
            transcripts.furnish(folder)
        else:
            shutil.copytree(self._desk(desk.after), folder, symlinks=True)
        setting = Setting(folder, desk.run_date)
        done = transcripts.run([Said(0, command, "") for command in desk.commands], setting)
        bad = [output for output, code in done if code] if len(done) == len(desk.commands) else ["it broke off"]
        if bad:
            raise RuntimeError(f"the desk {name!r} could not be made: {bad[0]}")
        return folder
