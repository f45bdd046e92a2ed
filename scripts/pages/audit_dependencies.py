"""Looks the installed packages up among known vulnerabilities, with pip-audit, where an index answers such questions.

python scripts audit_dependencies      exit 1 when one is known; 0 when none is, or nobody here can say (it tells which)

pip-audit is installed apart, so that it is not among what it looks at. One package is asked for first: an index without
vulnerability data is not asked for the rest.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

_SECONDS = 300
Package = dict[str, Any]


def installed() -> list[str]:
    """`name==version` of what this Python has, but for ourselves and what installs."""
    ours = {"market-spine", "pip", "setuptools", "wheel"}
    return sorted({f"{d.name}=={d.version}" for d in distributions() if d.name and d.name not in ours})


def look_up(auditor: Path, pins: list[str], home: Path) -> list[Package] | None:
    """What pip-audit says of each package; None when it cannot ask anybody."""
    (home / "pins.txt").write_text("\n".join(pins) + "\n", "utf-8")
    command: list[str | Path] = [
        auditor,
        "--requirement",
        home / "pins.txt",
        "--no-deps",
        "--disable-pip",
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    try:
        packages: list[Package] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return None
    return [package for package in packages if "skip_reason" not in package]


def main() -> int:
    pins = installed()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        venv.create(home / "venv", with_pip=True)
        install: list[str | Path] = [home / "venv" / "bin" / "pip", "install", "-q", "pip-audit"]
        if subprocess.run(install, capture_output=True, check=False).returncode:
            print("audit: not possible, pip-audit cannot be installed here")
            return 0
        auditor = home / "venv" / "bin" / "pip-audit"
        if not look_up(auditor, [pin for pin in pins if pin.startswith("click==")], home):
            print("audit: not possible, the index here knows no vulnerabilities")
            return 0
        known = look_up(auditor, pins, home) or []
    found = [package for package in known if package["vulns"]]
    for package in found:
        print(f"audit: {package['name']} {package['version']}: {', '.join(v['id'] for v in package['vulns'])}")
    print(f"audit: {len(known)} of {len(pins)} packages looked up, {len(found)} with known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
