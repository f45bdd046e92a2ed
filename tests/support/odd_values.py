"""Values nobody should give, given to every option and argument of every command; and what became of it."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from market_spine.cli.exit import guarded
from market_spine.cli.spine import command as spine
from market_spine.cli.weekly import command as weekly_run

HERE = "HERE"  # stands for the test's own folder, where devices are links: root must find nothing of the machine's to write over
DEVICES = ("null", "full", "zero")
EXIT_CODES = {0, 1, 2, 75}
LONGEST_LINE = 1500
SECONDS = 120

ODD: Mapping[str, str] = {
    "empty": "", "a space": " ", "spaces and a tab": " \t ", "a newline": "a\nb", "a carriage return": "a\r\nError: forged",
    "very long": "a" * 5000, "a long path": "/".join(["a" * 200] * 30), "NUL": "a\0b", "an escape": "\x1b[31mred\x1b[0m", "a bell": "\x07",
    "bytes that are no UTF-8": "\udcff\udcfe", "half a character": "\ud800", "an emoji": "😀", "right to left": "\u202eabc",
    "nan": "nan", "minus nan": "-nan", "inf": "inf", "minus infinity": "-Infinity", "minus zero": "-0", "1e308": "1e308", "1e309": "1e309",
    "5e-324": "5e-324", "zero": "0", "minus one": "-1", "a half": "0.5", "2^31": "2147483648", "2^63": str(2**63), "-2^63-1": str(-(2**63) - 1),
    "10^30": str(10**30), "5,000 figures": "9" * 5000, "with underscores": "1_000", "hexadecimal": "0x10", "Arabic figures": "١٢٣",
    "a superscript": "²", "full width figures": "２０２５-１２-２６", "year 0": "0000-00-00", "the first Friday": "0001-01-05", "the first day": "0001-01-01",
    "the last day": "9999-12-31", "the last Friday": "9999-12-24", "a Monday": "2025-12-22", "February 30": "2025-02-30", "a week date": "2025-W52-5",
    "a basic date": "20251226", "commas": ",,,", "a list with a hole": "2025-12-26,,x", "a folder": "HERE", "here": ".", "above": "..", "a device": "HERE/null", "a full device": "HERE/full",
    "a zero device": "HERE/zero", "a path below a file": "spine.db/x", "not there": "HERE/nowhere/at/all", "a folder nobody writes to": "/proc/x", "home": "~",
    "file:": "file:///etc/passwd", "ftp:": "ftp://127.0.0.1:1/x", "http:": "http://127.0.0.1:1/x", "https: without a host": "https://",
    "a bad port": "http://127.0.0.1:99999/", "a bad bracket": "http://[::1", "javascript:": "javascript:alert(1)", "sqlite:": "sqlite:///x.db",
    "postgresql: on nobody's port": "postgresql://127.0.0.1:1/x", "postgresql: malformed": "postgresql://[::1", "postgresql: a bad setting": "postgresql:///?port=x&nan=1",
    "a memory database": ":memory:", "a quote": "'", "two quotes": '"', "SQL": "'; DROP TABLE core_manifest; --", "percent": "%", "percent s": "%s%n%(x)s",
    "LIKE": "%_\\", "a regex": "(a+)+$[", "braces": "{0.__class__}", "a dollar": "$(id)", "a dash": "-", "two dashes": "--", "an option": "--help-me", "an equals": "=", "@": "@/etc/passwd",
}

# What a command needs besides the odd value. Long-running commands end by themselves.
GIVEN: Mapping[str, tuple[str, ...]] = {
    "retry": ("no-such-run",), "run": ("ingest_week", "--week", "2025-12-26"), "rollback": ("2025-12-26", "--reason", "x"),
    "backfill": ("--from", "2025-12-26", "--to", "2025-12-26"), "resolve": ("1", "--note", "x"),
    "ack": ("1", "--until", "2026-01-16", "--reason", "x"), "diff": ("2025-12-26", "OTC"), "query": ("normalized",),
    "export": ("--format", "csv", "--to", "out"), "prune": ("--older-than", "10", "--dry-run"), "pin": ("x", "--remove"),
    "completion": ("bash",), "work enqueue": ("ingest_week", "--week", "2025-12-26", "--tier", "OTC"), "work show": ("1",),
    "work retry": ("1", "--reason", "x"), "work cancel": ("1", "--reason", "x"), "db copy": ("spine.db", "copy.db"),
    "raise": ("2025-12-26", "--severity", "WARN", "--reason", "x"), "rejects": ("2025-12-26", "OTC"), "anomalies show": ("1",),
    "import": ("spine.db", "--yes"), "db backup": ("out",), "config init": ("out",), "man": ("status",),
    "worker": ("--drain",), "notify test": ("--notify", "json://127.0.0.1:1"), "notify send": ("--notify", "json://127.0.0.1:1"),
}
WEEKLY = ("--weeks", "2025-12-26", "--run-date", "2026-01-30")


@dataclass(frozen=True, slots=True)
class Command:
    """A command and the words that call it."""

    words: tuple[str, ...]
    click: click.Command

    @property
    def name(self) -> str:
        return " ".join(self.words)

    @property
    def given(self) -> tuple[str, ...]:
        if not self.words:
            return WEEKLY
        return GIVEN.get(self.name, ())

    def run(self, arguments: list[str]) -> int:
        return guarded(spine if self.words else weekly_run, [*self.words, *arguments])


@dataclass(frozen=True, slots=True)
class Case:
    """One odd value in one place of one command."""

    command: Command
    param: click.Parameter
    kind: str

    def arguments(self, value: str) -> list[str]:
        """The command's usual arguments with the odd one in its place."""
        base = list(self.command.given)
        names = {name for param in self.command.click.params for name in param.opts}
        if isinstance(self.param, click.Option):
            if self.param.opts[0] in base:
                at = base.index(self.param.opts[0])
                base[at : at + 2] = []
            return [*_database(base, names, self.param.opts), f"{self.param.opts[-1]}={value}", *base]
        place = [param for param in self.command.click.params if isinstance(param, click.Argument)].index(self.param)
        words = [word for at, word in enumerate(base) if not word.startswith("-") and not (at and base[at - 1].startswith("--"))]
        flags = [word for at, word in enumerate(base) if word.startswith("-") or (at and base[at - 1].startswith("--"))]
        return [*_database(base, names, ()), *flags, "--", *words[:place], value, *words[place + 1 :]]


def _database(base: list[str], names: set[str], odd: list[str] | tuple[str, ...]) -> list[str]:
    more = []
    for option, value in (("--db", "spine.db"), ("--data-dir", "files")):
        if option in names and option not in odd:
            more += [option, value]
    return more


def commands(group: click.Command = spine, words: tuple[str, ...] = ()) -> Iterator[Command]:
    """Every command there is, by click's own account of them; the weekly run has no words."""
    if not words:
        yield Command((), weekly_run)
    if not isinstance(group, click.Group):
        yield Command(words, group)
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield from commands(found, (*words, name))


def places(command: Command) -> list[click.Parameter]:
    """The options and arguments that take a value."""
    return [
        param for param in command.click.params if not getattr(param, "is_flag", False) and not getattr(param, "count", False)
    ]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, what it said, and which files are there that were not."""

    code: int
    stdout: bytes
    stderr: str
    made: tuple[str, ...]

    @property
    def said(self) -> str:
        return self.stdout.decode("utf-8") + self.stderr


def renew(root: Path, template: str) -> None:
    """Makes `root` anew: links to devices, and the folder `work` where a command runs, with an empty store."""
    shutil.rmtree(root, ignore_errors=True)
    work = root / "work"
    (work / "files").mkdir(parents=True)
    shutil.copyfile(template, work / "spine.db")
    for device in DEVICES:
        (root / device).symlink_to(f"/dev/{device}")


def carry_out(call: Callable[[], int], root: Path) -> Ended:
    """Runs it in `root`/work with streams as strict as a terminal's."""
    stdout, stderr = io.BytesIO(), io.BytesIO()
    out = io.TextIOWrapper(stdout, "utf-8", write_through=True)
    err = io.TextIOWrapper(stderr, "utf-8", "backslashreplace", write_through=True)
    before = tree(root)
    with (
        _in_folder(root / "work"),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _within(SECONDS),
    ):
        warnings.simplefilter("ignore", DeprecationWarning)  # of what others' packages import
        code = call()
    return Ended(code, stdout.getvalue(), stderr.getvalue().decode("utf-8"), tuple(sorted(tree(root) ^ before)))


@contextlib.contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _within(seconds: int) -> Iterator[None]:
    def late(_number: int, _frame: Any) -> None:
        raise TimeoutError(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    thresholds, logger = gc.get_threshold(), logging.getLogger("market_spine")
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        gc.set_threshold(*thresholds)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


def tree(folder: str | os.PathLike[str]) -> set[str]:
    """Every file, folder and link below, each with what it is."""
    found = set()
    for entry in os.scandir(folder):
        found.add(f"{'link' if entry.is_symlink() else 'folder' if entry.is_dir() else 'file'} {entry.path}")
        if entry.is_dir(follow_symlinks=False):
            found |= tree(entry.path)
    return found


def _asked_for(made: str, value: str, root: Path) -> bool:
    """Whether a command that took `value` may have made that: what it names, a folder above it, or what it makes anyway."""
    path, work = made.partition(" ")[2], root / "work"
    named = os.path.normpath(work / value)
    beside = f"{os.path.splitext(named)[0]}.metadata.json"  # noqa: PTH122 - of spine publish; no value is a path in general
    usual = (f"{work}/out", f"{work}/copy.db", f"{work}/spine.db")
    return path.startswith((named, beside, *usual)) or named.startswith(path)


def faults(ended: Ended, value: str, root: Path) -> list[str]:
    """What is wrong with how a command took an odd value."""
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("Error: ") or '"event": "error"' in line]
    whole_run_failed = ended.code == 2 and not errors and ended.said.count("✗") + ended.said.count("FAILED") > 0
    checks = {
        f"exit code {ended.code}": ended.code not in EXIT_CODES,
        "called unexpected": "report the traceback" in ended.stderr or "Traceback" in ended.stderr,
        f"{len(errors)} error lines": ended.code == 2 and len(errors) != 1 and not whole_run_failed,
        "a line without end": any(len(line) > LONGEST_LINE for line in errors),
        "control characters": any(not c.isprintable() and c not in "\n\t" for c in ended.stderr),
        f"made {ended.made[:3]}": any(errors or not _asked_for(made, value, root) for made in ended.made),
    }
    return [what for what, wrong in checks.items() if wrong]
