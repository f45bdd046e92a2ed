"""Runs the console blocks of a page in one bash on a terminal, at a frozen run date, and compares what comes out with what the
page says.

`$ ` begins a command, `> ` goes on with it; what follows is its output, stderr included. `…` stands for the rest of a
word or line, a line of its own for any lines. A command that fails must be followed by `$ echo $?`.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sysconfig
import threading
import tty
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.pages import ROOT, Page

SECONDS = 120
POSTGRES_URL = "postgresql://spine@db.example/spine"  # as the pages write it; the run puts the test's server there
_MARK = re.compile(r"\x1e(\d+)\x1e\n")
_PROLOGUE = "exec 2>&1\n__end() { local code=$?; printf '\\036%s\\036\\n' $code; return $code; }\n"
_EPILOGUE = "kill $(jobs -p) 2>/dev/null; wait\n"  # what the page left running
_PASSING = re.compile(r"run \d{8}T\d{6}-[0-9a-f]{8} on \S+, database")
_KEPT = ("TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Said:
    """A command of a page, the line it stands on, and the output the page promises."""

    line: int
    command: str
    output: str


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a page is run: its folder, the run date, and what its addresses stand for."""

    folder: Path
    run_date: str
    environment: Mapping[str, str] = field(default_factory=dict)
    standins: Mapping[str, str] = field(default_factory=dict)  # what the page writes → what is there


def read(page: Page) -> list[Said]:
    """The commands of a page. Raises ValueError for output that belongs to no command."""
    found: list[Said] = []
    for block in page.of("console"):
        if not block.text.startswith("$ "):
            raise ValueError(f"{page.name}:{block.line}: a console block begins with a command, `$ …`")
        taking = False
        for number, line in enumerate(block.text.split("\n"), block.line):
            if line.startswith("$ "):
                found.append(Said(number, line[2:], ""))
                taking = True
            elif taking and line.startswith("> "):
                found[-1] = Said(found[-1].line, found[-1].command + "\n" + line[2:], "")
            else:
                taking = False
                found[-1] = Said(found[-1].line, found[-1].command, found[-1].output + line + "\n")
    return found


def faults(page: Page, setting: Setting) -> list[str]:
    """Runs the page; one text for each command whose output or exit code is another than the page says."""
    said = read(page)
    outputs = run(said, setting)
    found = []
    for at, promised in enumerate(said):
        where = f"{page.name}:{promised.line}: $ {promised.command}"
        if at >= len(outputs):
            return [*found, f"{where}\ndid not come to its end"]
        output, code = outputs[at]
        asked = at + 1 < len(said) and said[at + 1].command == "echo $?"
        if not matches(promised.output, output):
            found.append(f"{where}\n--- the page says\n{promised.output}--- the program said\n{output}")
        elif code and not asked:
            found.append(f"{where}\nended with {code}, and the page does not ask `echo $?`")
    return found


def matches(promised: str, output: str) -> bool:
    """Whether an output is what a page promises; blanks at the end of lines do not count."""
    wanted = [line.rstrip() for line in promised.splitlines()]
    parts = [r"(?:.*\n)*?" if line.strip() == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n" for line in wanted]
    got = "".join(line.rstrip() + "\n" for line in output.splitlines())
    return re.fullmatch("".join(parts), got) is not None


def run(said: list[Said], setting: Setting) -> list[tuple[str, int]]:
    """Output and exit code of each command, run one after the other in one bash; fewer when it ended early."""
    script = _PROLOGUE + "".join(f"{_with(one.command, setting.standins)}\n__end\n" for one in said) + _EPILOGUE
    home = setting.folder.parent
    (home / "script").write_text(script, "utf-8")
    text = _on_a_terminal(["bash", str(home / "script")], setting)
    for written, there in setting.standins.items():
        text = text.replace(there, written)
    pieces = _MARK.split(text)
    return [(pieces[n], int(pieces[n + 1])) for n in range(0, len(pieces) - 1, 2)]


def _on_a_terminal(command: list[str], setting: Setting) -> str:
    """What a command says to a person. The terminal is a dumb one: no colours, no progress bar."""
    ours, theirs = pty.openpty()
    alive, held = os.pipe()  # whatever the page starts inherits `held`
    tty.setraw(theirs)
    pieces: list[bytes] = []
    reader = threading.Thread(target=_drain, args=(ours, pieces), daemon=True)
    process = subprocess.Popen(
        command, cwd=setting.folder, env=_environment(setting), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        start_new_session=True, pass_fds=(held,),
    )
    os.close(theirs)
    os.close(held)
    reader.start()
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        pieces.append(f"\n(still running after {SECONDS} s)\n".encode())
    finally:
        _end(process, alive)
        reader.join(SECONDS)
        os.close(ours)
        os.close(alive)
    return b"".join(pieces).decode("utf-8", "replace")


def _drain(terminal: int, pieces: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # a terminal nobody writes to any more ends with an error
        while piece := os.read(terminal, 1 << 16):
            pieces.append(piece)


def furnish(folder: Path) -> None:
    """A folder as a clone of the repository has it: the shipped files to use up, the rest to look at."""
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "data" / "fixtures", folder / "data" / "fixtures")
    for name in ("scripts", "docs", "workflows"):
        (folder / name).symlink_to(ROOT / name)


def rewrite(page: Page, setting: Setting) -> None:
    """Writes what the commands said into the page where it promises something else; to be read before it is committed."""
    said = read(page)
    lines = page.path.read_text("utf-8").split("\n")
    for promised, (output, _code) in reversed(list(zip(said, run(said, setting), strict=False))):
        if matches(promised.output, output):
            continue
        start = promised.line + promised.command.count("\n")
        scrubbed = _PASSING.sub("run … on …, database", output)
        lines[start : start + promised.output.count("\n")] = [line.rstrip() for line in scrubbed.splitlines()]
    page.path.write_text("\n".join(lines), "utf-8")


def _with(command: str, standins: Mapping[str, str]) -> str:
    for written, there in standins.items():
        command = command.replace(written, there)
    return command


def _environment(setting: Setting) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    programs = sysconfig.get_path("scripts")
    return kept | {
        "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(setting.folder.parent), "LANG": "C.UTF-8", "TZ": "UTC",
        "USER": "olivia", "LOGNAME": "olivia", "COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1", "MARKET_SPINE_RUN_DATE": setting.run_date,
        "MARKET_SPINE_SETTLE_SECONDS": "0",  # the files of a desk are whole
        **setting.environment,
    }


def _end(process: subprocess.Popen[bytes], alive: int) -> None:
    """Ends what the page left running, and waits until it is gone: until nobody holds the other end of `alive` any more."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        if select.select([alive], [], [], 5)[0]:
            break
    process.wait()
