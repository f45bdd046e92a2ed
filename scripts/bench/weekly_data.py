"""The files that are loaded, generated once in a process of their own and kept beside the results."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from clone import tool

ENDING = date(2026, 1, 9)
TIERS = ("NMS_TIER_1", "NMS_TIER_2", "OTC")
WEEK_ROWS = 155_000  # of the three tiers, at FINRA's proportions


@dataclass(frozen=True, slots=True)
class Files:
    """A folder of `weeks` weeks ending on `ending`: one tier with `rows` rows each, or all three at FINRA's proportions."""

    folder: Path
    weeks: int
    ending: date
    rows: int | None

    @property
    def paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.psv"))

    @property
    def total_rows(self) -> int:
        return self.weeks * (self.rows or WEEK_ROWS)

    @property
    def total_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.paths)

    def run_arguments(self, db: Path | str) -> list[str]:
        """What our command needs to take exactly these files."""
        tiers = "NMS_TIER_1" if self.rows else ",".join(TIERS)
        return [
            "--data-dir",
            str(self.folder),
            "--db",
            str(db),
            "--run-date",
            str(self.ending),
            "--lookback-weeks",
            str(self.weeks),
            "--tiers",
            tiers,
        ]


def one_tier(cache: Path, weeks: int, rows: int) -> Files:
    """NMS Tier 1, ATS rows only, as FINRA's download has them: (week, symbol, MPID) is a key the baselines can use."""
    return generate(cache / f"files-{weeks}x{rows}", weeks, ENDING, rows)


def generate(folder: Path, weeks: int, ending: date, rows: int | None = None) -> Files:
    """Makes the files unless they are there."""
    files = Files(folder, weeks, ending, rows)
    if len(files.paths) != weeks * (1 if rows else len(TIERS)):
        arguments = ["--out", str(folder), "--weeks", str(weeks), "--ending", str(ending)]
        if rows:
            arguments += ["--rows", str(rows), "--tiers", "NMS_TIER_1", "--ats-only"]
        subprocess.run(tool("make_fixtures", *arguments), check=True, stdout=subprocess.DEVNULL)
    return files
