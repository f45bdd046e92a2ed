"""A finding as a table for the terminal, as JSON, and as the page docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from clone import ROOT

from bench.goals import Finding

SCHEMA_VERSION = 1
_PACKAGES = ("market-spine", "numpy", "backports.zstd", "sqlite-utils", "pandas", "dlt", "duckdb", "pyarrow", "psycopg")


def keep(path: Path, finding: Finding) -> dict[str, Any]:
    """Adds the finding to the results in `path`, replacing an older one of the case, and answers them all."""
    results: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "cases": {}}
    if path.exists():
        results = json.loads(path.read_text("utf-8"))
    results["cases"][finding.case] = finding.as_json() | {"machine": machine()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return results


def text(case: str, found: Mapping[str, Any]) -> str:
    """A case's table and goals for the terminal."""
    lines = [f"{case}: {found['about']} ({found['rounds']} rounds, medians)", *found["remarks"], "", *_columns(found["rows"]), ""]
    lines += [f"{'met   ' if goal['met'] else 'NOT MET'} {_goal(goal)}" for goal in found["goals"]]
    return "\n".join(lines) + "\n"


def page(results: Mapping[str, Any], preface: str) -> str:
    """docs/performance.md."""
    cases: Mapping[str, Any] = results["cases"]
    lines = [preface.rstrip(), "", "## The goals", "", "| case | what | found | goal | |", "|---|---|---:|---:|---|"]
    for name, found in cases.items():
        for goal in found["goals"]:
            limit, verdict = f"{'≥' if goal['at_least'] else '≤'} {goal['limit']:g}", "met" if goal["met"] else "**not met**"
            lines.append(f"| {name} | {goal['text']} | {goal['found']:.2f} | {limit} | {verdict} |")
    for name, found in cases.items():
        said = " ".join([found["about"], f"Medians of {found['rounds']} rounds.", *found["remarks"]])
        lines += ["", f"## {name}", "", said, "", *_markdown(found["rows"]), "", f"On {_machine_words(found['machine'])}."]
    return "\n".join(lines) + "\n"


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    versions = {name: _version(name) for name in _PACKAGES}
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "sqlite3 shell": _said("sqlite3", "--version").split(" ")[0],
        "commit": _said("git", "describe", "--always", "--dirty"),
        "packages": {name: version for name, version in versions.items() if version},
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _said(*command: str) -> str:
    if not shutil.which(command[0]):
        return ""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def _goal(goal: Mapping[str, Any]) -> str:
    return f"{goal['text']}: {goal['found']:.3f} (goal {'≥' if goal['at_least'] else '≤'} {goal['limit']:g})"


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = _names(rows)
    cells = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(names))]
    return ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in cells]


def _markdown(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = _names(rows)
    head = ["| " + " | ".join(names) + " |", "|---|" + "---:|" * (len(names) - 1)]
    return head + ["| " + " | ".join(_cell(row.get(name)) for name in names) + " |" for row in rows]


def _machine_words(found: Mapping[str, Any]) -> str:
    versions = f"Python {found['python']}, SQLite {found['sqlite']} (its shell {found['sqlite3 shell']})"
    return f"{found['cores']} × {found['cpu']}, {versions}, commit {found['commit']}"
