"""How a command ends: with the documented exit code and at most one line of explanation."""

from __future__ import annotations

import gc
import itertools
import json
import logging
import os
import shlex
import sys

import click

from market_spine import exit_rule, log
from market_spine.cli.options import blame
from market_spine.errors import Interrupted, MarketSpineError, UsageError
from market_spine.log import UNPRINTABLE, printable

_SLIP = 0.7  # how alike a name is to the one that is meant: lats and last are 0.75, keep and help 0.5

# A group without a command prints its help; before click 8.2 that was no error.
_NO_COMMAND: tuple[type[click.UsageError], ...] = tuple(filter(None, [getattr(click.exceptions, "NoArgsIsHelpError", None)]))


def guarded(group: click.Command, arguments: list[str]) -> int:
    """Runs a click command and returns its exit code; an error is printed in one line, and as JSON with --json."""
    from market_spine.cli import signals

    _tune_interpreter()
    try:
        with signals.interruptible():
            return _invoke(group, arguments)
    except SystemExit:
        raise
    except BaseException as error:
        return _recorded(_report(error, arguments))


def _recorded(exit_code: int) -> int:
    """Returns the exit code, after correcting it in core_executions if a run was already recorded."""
    if executions := sys.modules.get("market_spine.core.executions"):
        executions.correct(exit_code)
    return exit_code


def _tune_interpreter() -> None:
    """One thread for NumPy's linear algebra, which is not used here (it would start one busy thread per core); and a less
    frequent garbage collection, since the many objects created here have no cycles."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


def _invoke(group: click.Command, arguments: list[str]) -> int:
    stdout = sys.stdout
    try:
        _check_text(arguments)
        # Where FORCE_COLOR is set, colour goes into pipes too; otherwise click decides by the stream.
        result = group.main(arguments, standalone_mode=False, color=True if os.environ.get("FORCE_COLOR") else None)
        return result if isinstance(result, int) else 0
    except _NO_COMMAND as error:
        click.echo(error.ctx.get_help() if error.ctx else error.format_message())
        return 0
    except SystemExit:
        if sys.stdout is not stdout:  # click replaces stdout after a broken pipe, and exits with 1
            raise BrokenPipeError from None
        raise


def _report(error: BaseException, arguments: list[str]) -> int:
    """Prints the error that ended the command, unless stdout's reader is gone; returns the exit code."""
    if isinstance(error, click.Abort):  # click makes one of every KeyboardInterrupt
        error = error.__cause__ if isinstance(error.__cause__, KeyboardInterrupt) else KeyboardInterrupt()
    code = exit_rule.of_error(error)
    try:
        if isinstance(error, BrokenPipeError):
            return _discard_output(code)
        message, hint = _message_and_hint(error, arguments)
        return _print_error(message, hint, code, arguments)
    except BrokenPipeError as broken:
        return _discard_output(exit_rule.of_error(broken))


def _discard_output(code: int) -> int:
    """Redirects stdout to the null device, so that flushing it at exit raises nothing; returns `code`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return code


def _message_and_hint(error: BaseException, arguments: list[str]) -> tuple[str, str | None]:
    """The message and the hint for an error of a command line."""
    if isinstance(error, (MarketSpineError, Interrupted)):
        return error.message, error.hint and _on_this_database(error.hint, arguments)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", None
    if isinstance(error, click.UsageError):
        return blame(error), _corrected(error, arguments)
    if isinstance(error, click.ClickException):
        return error.format_message(), None
    logging.getLogger("market_spine").debug("crash", exc_info=error)
    return f"unexpected {type(error).__name__}: {error}", "run again with -v and report the traceback"


def _on_this_database(hint: str, arguments: list[str]) -> str:
    """A hint that is a command, with the --db of the command line that failed."""
    from market_spine.cli.commands import carrying

    given = [word.removeprefix("--db=") for word in arguments if word.startswith("--db=")]
    given += [value for option, value in itertools.pairwise(arguments) if option == "--db"]
    return carrying(hint, {"--db": given[-1]} if given else {})


def _corrected(error: click.UsageError, arguments: list[str]) -> str:
    """The command line with the name it must mean, where only one is like it and is not given yet; else the command's help."""
    from market_spine.target import redact_words

    wrong = getattr(error, "option_name", None) or getattr(error, "command_name", None) or ""
    meant = [name for name in getattr(error, "possibilities", None) or [] if _alike(name, wrong) and name not in arguments]
    if error.ctx is None or not meant:
        return f"{error.ctx.command_path if error.ctx else 'run_finra_weekly_schedule'} --help"
    words = [meant[0] + word.removeprefix(wrong) if word.split("=")[0] == wrong else word for word in redact_words(arguments)]
    return shlex.join([str(error.ctx.find_root().info_name), *words])


def _alike(name: str, wrong: str) -> bool:
    """Whether one is the other with a slip or two; the dashes, which all options share, do not count."""
    from difflib import SequenceMatcher

    return SequenceMatcher(None, name.lstrip("-"), wrong.lstrip("-")).ratio() >= _SLIP


def _check_text(arguments: list[str]) -> None:
    """No option takes control characters or bytes that are not UTF-8: no database stores them, and they could forge log lines.
    Raises UsageError."""
    settings = (f"{name}={value}" for name, value in os.environ.items() if name.startswith("MARKET_SPINE_"))
    if bad := next((text for text in (*arguments, *settings) if UNPRINTABLE.search(text)), None):
        raise UsageError(f"'{printable(bad, 100)}' has control characters or is not UTF-8", hint="write it as plain text")


def _print_error(message: str, hint: str | None, exit_code: int, arguments: list[str]) -> int:
    one_line, hint = printable(" ".join(message.split()), 600), hint and printable(hint, 600)
    if log.speaks_json():
        facts = {"event": "error", "hint": hint, "exit_code": exit_code, "aloud": True}
        logging.getLogger("market_spine").error(one_line, extra=facts)
    else:
        click.echo(f"Error: {one_line}" + (f". Try: {hint}" if hint else ""), err=True)
    if "--json" in arguments:
        from market_spine.app import report

        click.echo(json.dumps(report.failure(one_line, hint, exit_code), indent=2))
    return exit_code
