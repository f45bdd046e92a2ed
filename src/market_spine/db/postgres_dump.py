"""PostgreSQL's own programs: pg_dump writes a backup, pg_restore reads it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from market_spine.db.location import make_private
from market_spine.errors import ConfigurationError, DatabaseError


def dump(conninfo: Mapping[str, Any], path: Path, label: str) -> None:
    """Writes a database into `path`, in the custom format, and reads it back. Raises ConfigurationError, DatabaseError."""
    make_private(path)
    given = {name: str(value) for name, value in conninfo.items() if name != "password"}
    # The password goes by the environment: other users can read a command line.
    secret = {"PGPASSWORD": str(conninfo["password"])} if conninfo.get("password") else {}
    arguments = " ".join(f"{name}={_quoted(value)}" for name, value in given.items())
    _run(["pg_dump", "--format=custom", f"--file={path}", f"--dbname={arguments}"], secret, label)
    _run(["pg_restore", f"--file={os.devnull}", str(path)], {}, label)


def _quoted(value: str) -> str:
    """A value of a connection string."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _run(command: list[str], secret: Mapping[str, str], label: str) -> None:
    try:
        subprocess.run(command, env={**os.environ, **secret}, check=True, capture_output=True, text=True, errors="replace")
    except FileNotFoundError as error:
        hint = "install PostgreSQL's client programs, of the server's version or a newer one"
        raise ConfigurationError(f"{command[0]} is not installed", hint=hint) from error
    except subprocess.CalledProcessError as error:
        message = " ".join(error.stderr.split()) or f"exit code {error.returncode}"
        hint = "pg_dump must be of the server's version or a newer one"
        raise DatabaseError(f"{command[0]} of {label} failed: {message}", hint=hint) from error
