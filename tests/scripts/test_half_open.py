"""The script that docs/reliability.md names runs against the installed program: it makes its own database, and ends by itself."""

from __future__ import annotations

import json
import subprocess

import pytest
from clone import tool
from support.api_server import free_port
from support.gates import DEADLINE

pytest.importorskip("uvicorn")


def test_half_open_connections_are_held_and_everybody_else_is_measured() -> None:
    asked = ("--connections", "40", "--max-connections", "16", "--seconds", "1", "--port", str(free_port()))
    done = subprocess.run(tool("half_open", *asked), capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["half_open"]["opened"] >= 40
    assert found["attacked"]["failed"] < found["attacked"]["requests"] / 2  # one that stalls for half a second may be closed
