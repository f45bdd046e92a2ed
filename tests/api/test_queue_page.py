"""The page on the queue: its curl examples and the scripts it names run as written, against a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from enqueue_weekly_finra import due_fridays
from support import pages
from support.api_server import Api, serving
from support.gates import DEADLINE

from market_spine import clock
from market_spine.partition import weeks_back

ROOT = pages.ROOT
PAGE = pages.page("docs/ops/queue.md")
BLOCKS = [block.text for block in PAGE.of("sh") if "$API" in block.text]
WEEK = "2025-12-26"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("page")
    with serving(str(folder / "spine.db"), folder) as api:
        yield api


def shell(text: str, api: Api, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"API": api.url, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["sh", "-eu", "-c", text, "sh", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=DEADLINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
def test_the_examples_of_the_page_run_as_written(api: Api) -> None:
    assert len(BLOCKS) >= 6
    for block in BLOCKS:
        done = shell(block, api)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    document = api.client.get("/api/v1/work/1").json()["item"]
    assert (document["state"], document["priority"]) == ("CANCELLED", 5)


def listed(api: Api) -> list[dict[str, object]]:
    results = api.client.get("/api/v1/work/pending", params={"limit": 500}).json()["pending"]
    return [one for one in results if one["partition_key"]["week_ending"] == "2025-11-28"]


@pytest.mark.parametrize("script", ["enqueue_weekly_finra.py", "weekly_finra.sh"])
def test_a_week_is_enqueued_in_stages_and_twice_is_as_once(api: Api, script: str) -> None:
    week = "2025-11-28"
    call = {
        "enqueue_weekly_finra.py": f'python scripts/enqueue_weekly_finra.py --week-ending {week} --api-base "$API" --json',
        "weekly_finra.sh": f'scripts/weekly_finra.sh {week} "$API"',
    }[script]
    first, second = shell(call, api), shell(call, api)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    outcomes = {results["outcome"] for results in json.loads(second.stdout)["items"]}
    assert outcomes == {"existing"}
    items = sorted(listed(api), key=lambda one: str(one["desired_at"]))
    assert len(items) == 17
    stages = [str(one["pipeline"]) for one in items]
    assert stages[:3] == ["ingest_week"] * 3
    assert stages[3:6] == ["normalize_week"] * 3
    assert set(stages[-2:]) == {"compute_tier_split", "compute_weekly_totals"}
    assert len({one["desired_at"] for one in items}) == 4


def test_both_scripts_take_the_weeks_that_are_due(api: Api) -> None:
    done = [shell(call, api) for call in (
        'python scripts/enqueue_weekly_finra.py --api-base "$API" --json', 'scripts/weekly_finra.sh "$API"', 'scripts/weekly_finra.sh "" "$API"',
    )]
    assert [one.returncode for one in done] == [0, 0, 0], [one.stderr for one in done]
    weeks = [{item["item"]["partition_key"]["week_ending"] for item in json.loads(one.stdout)["items"]} for one in done]
    today = clock.market_date()
    friday = weeks_back(1, today)[0]
    assert weeks == [{str(friday - timedelta(days=21)), str(friday - timedelta(days=35))}] * 3
    assert due_fridays(date(2026, 10, 2)) == due_fridays(date(2026, 10, 8)) == ["2026-09-11", "2026-08-28"]


def test_a_range_of_any_days_is_enqueued_week_by_week(api: Api) -> None:
    done = shell('python scripts/backfill_range.py --from 2025-09-30 --to 2025-10-12 --enqueue --api-base "$API"', api)
    assert done.returncode == 0, done.stderr
    pending = api.client.get("/api/v1/work/pending", params={"limit": 500, "pipeline": "ingest_week"}).json()["pending"]
    own = {(one["partition_key"]["week_ending"], one["priority"]) for one in pending if one["partition_key"]["week_ending"] < "2025-11"}
    assert own == {("2025-10-03", 25), ("2025-10-10", 25)}


REFUSED = [
    ("a Monday", "python scripts/enqueue_weekly_finra.py --week-ending 2025-12-22", 2, "2025-12-26 is meant"),
    ("no date", "python scripts/enqueue_weekly_finra.py --week-ending soon", 2, "YYYY-MM-DD"),
    ("nobody there", f"python scripts/enqueue_weekly_finra.py --week-ending {WEEK} --api-base http://127.0.0.1:1", 2, "cannot reach"),
    ("a file for an address", f"python scripts/enqueue_weekly_finra.py --week-ending {WEEK} --api-base file:///etc", 2, "http://HOST"),
    ("the shell script with a word", "scripts/weekly_finra.sh soon", 2, "usage:"),
    ("no Friday in the range", "python scripts/backfill_range.py --from 2025-12-20 --to 2025-12-25 --enqueue", 2, "no Friday lies"),
    ("the shell script with an injection", "scripts/weekly_finra.sh '2025-12-26\"; id'", 2, "usage:"),
    ("the shell script with a Monday", 'scripts/weekly_finra.sh 2025-12-22 "$API"', 1, "HTTP 422"),
]


@pytest.mark.parametrize(("call", "code", "says"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_the_scripts_say_what_is_wrong(api: Api, call: str, code: int, says: str) -> None:
    done = shell(call, api)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not here")
def test_the_shell_script_passes_shellcheck() -> None:
    done = subprocess.run(["shellcheck", ROOT / "scripts" / "weekly_finra.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
