"""Requests made up from the OpenAPI document, sensible and senseless ones: none is answered with a 5xx."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest
from support.api_server import serving

PROGRAM = Path(sysconfig.get_path("scripts")) / "schemathesis"
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM.exists(), reason="no schemathesis here: pip install 'market-spine[test]'")
@pytest.mark.parametrize(
    ("engine", "phase"),
    [
        pytest.param("sqlite", ("coverage",), id="every border of every parameter, SQLite"),
        pytest.param("postgresql", ("fuzzing", "--max-examples", "3"), id="by chance, PostgreSQL"),
    ],
    indirect=["engine"],
)
def test_no_request_made_up_from_the_document_brings_the_server_down(target: str, tmp_path: Path, phase: tuple[str, ...]) -> None:
    command = [PROGRAM, "run", "--checks", "not_a_server_error", "--seed", "1", "--phases", *phase]
    with serving(target, tmp_path, "--rate", "100000") as api:
        paths = api.client.get("/openapi.json").json()["paths"]
        done = subprocess.run(
            [*command, f"{api.url}/openapi.json"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
        )
        assert done.returncode == 0, done.stdout[-4000:]
        assert f"Tested: {sum(len(METHODS & set(operations)) for operations in paths.values())}\n" in done.stdout
        assert api.client.get("/readyz").status_code == 200
    assert "http_crash" not in api.log.read_text("utf-8")
