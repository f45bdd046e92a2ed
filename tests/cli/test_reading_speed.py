"""What only reads starts fast: it imports nothing that only a run needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from support.commands import RunCommand

READING = ("db init", "card", "status", "anomalies", "trend hhi", "doctor", "work list")
HEAVY = ("numpy", "requests", "urllib3", "pyarrow")


def test_commands_that_only_read_do_not_import_what_computes(run_command: RunCommand, tmp_path: Path) -> None:
    script = (
        "import json, sys\n"
        "from market_spine.cli.spine import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    try:\n        main([*words.split(), '--db', 'spine.db'])\n"
        "    except SystemExit:\n        pass\n"
        "print(json.dumps(sorted(set(json.loads(sys.argv[2])) & set(sys.modules))))\n"
    )
    ran = run_command(sys.executable, "-c", script, json.dumps(READING), json.dumps(HEAVY), cwd=tmp_path)
    assert json.loads(ran.stdout.splitlines()[-1]) == [], ran.stderr
