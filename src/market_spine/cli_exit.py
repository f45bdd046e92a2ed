"""Every way out of a command: its stated exit code and at most one line of explanation."""

from __future__ import annotations

import gc
import json
import logging
import os

import click

from market_spine import log
from market_spine.cli_options import blame
from market_spine.errors import Interrupted, MarketSpineError, UsageError
from market_spine.log import UNPRINTABLE, printable


def guarded(group: click.Command, arguments: list[str]) -> int:
    """Runs a click command and answers its exit code; what goes wrong is said in one line, and as JSON where asked."""
    from market_spine import signals

    _settle()
    try:
        with signals.interruptible():
            return _carry_out(group, arguments)
    except (click.Abort, KeyboardInterrupt) as error:  # click makes an Abort of every KeyboardInterrupt
        cause = error if isinstance(error, Interrupted) else error.__cause__
        if isinstance(cause, Interrupted):
            return _say(cause.message, cause.hint, cause.exit_code, arguments)
        return _say("interrupted", None, 130, arguments)


def _settle() -> None:
    """One thread for NumPy's linear algebra, of which nothing here has any (it would start one a core and let them spin);
    and the collector looks less often, for what is made here in great numbers has no cycles."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


def _carry_out(group: click.Command, arguments: list[str]) -> int:
    try:
        _check_text(arguments)
        answer = group.main(arguments, standalone_mode=False)
        return answer if isinstance(answer, int) else 0
    except MarketSpineError as error:
        return _say(error.message, error.hint, error.exit_code, arguments)
    except click.Abort:
        raise
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "run_finra_weekly_schedule"
        return _say(blame(error), f"{where} --help", 2, arguments)
    except click.ClickException as error:
        return _say(error.format_message(), None, 2, arguments)
    except BrokenPipeError:
        return 141
    except Exception as error:
        logging.getLogger("market_spine").debug("crash", exc_info=True)
        return _say(f"unexpected {type(error).__name__}: {error}", "run again with -v and report the traceback", 2, arguments)


def _check_text(arguments: list[str]) -> None:
    """No option takes control characters or bytes that are not UTF-8: no database keeps them, and a log would be forged.
    Raises UsageError."""
    settings = (f"{name}={value}" for name, value in os.environ.items() if name.startswith("MARKET_SPINE_"))
    if bad := next((text for text in (*arguments, *settings) if UNPRINTABLE.search(text)), None):
        raise UsageError(f"'{printable(bad, 100)}' has control characters or is not UTF-8", hint="write it as plain text")


def _say(message: str, hint: str | None, exit_code: int, arguments: list[str]) -> int:
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
