"""Writes docs/CLI.md from the program itself: every command, option, environment variable and exit code.

python scripts make_cli_reference            writes the page; a test fails while it is not up to date
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click
from clone import ROOT

from market_spine import errors
from market_spine.cli import spine, weekly

PAGE = ROOT / "docs" / "CLI.md"

INTRODUCTION = """\
# Commands, options, environment variables, exit codes

Made by `python scripts make_cli_reference` from the program; a test fails while this page is not up to date.

Where an option has an environment variable, the flag on the command line wins. Dates are `YYYY-MM-DD`, weeks are named by
the Friday that ends them or `latest` (the newest that is stored), tiers are `NMS_TIER_1`, `NMS_TIER_2` and `OTC` in any case,
or FINRA's `T1`, `T2` and `OTCE`. A list has commas, a range of weeks is `2025-10-03..2025-12-26`. Results go to stdout, what
happens meanwhile to stderr; with `--json` stdout holds one JSON document with a `schema_version`, also when the command fails.
"""

# What is read from the environment and is not an option of a command.
SETTINGS = {
    "MARKET_SPINE_STATE_DIR": "Folder for the state kept while there is no database; otherwise the user's state folder.",
    "MARKET_SPINE_ACTOR": "Who is recorded as having run or changed something; otherwise the login name.",
    "MARKET_SPINE_FINRA_BASE_URL": "Address of FINRA's Query API; `https://api.finra.org`.",
    "MARKET_SPINE_FINRA_TOKEN_URL": "Address of FINRA's token endpoint.",
    "MARKET_SPINE_FINRA_CLIENT_ID": "Client id of an API credential; without one requests are anonymous.",
    "MARKET_SPINE_FINRA_CLIENT_SECRET": "Its secret; a file is safer.",
    "MARKET_SPINE_FINRA_CLIENT_SECRET_FILE": "File that holds the secret and nothing else.",
    "MARKET_SPINE_FILE_URL": "Address for `--source file_url`, with `{tier}`, `{TIER}`, `{code}`, `{week_ending}`, "
    "`{week_start}` or `{yyyymmdd}` in it.",
    "MARKET_SPINE_FILE_URL_HOSTS": "Hosts that address may name, comma-separated; no other is requested.",
    "MARKET_SPINE_FIRM_TOTALS": "`warn` (the default): firm totals are requested, stored and compared; `off`: they are not.",
    "MARKET_SPINE_SETTLE_SECONDS": "A file that changed fewer seconds ago is checked again before it is read; 5.",
    "MARKET_SPINE_HTTP_TIMEOUT": "Seconds to wait for a byte of a response; 60.",
    "MARKET_SPINE_HTTP_RETRIES": "How often a request is repeated after 429, 502, 503, 504 or a lost connection; 5.",
    "MARKET_SPINE_HTTP_BACKOFF": "Seconds before the second repetition; each further one waits twice as long; 0.5.",
}
FOR_TESTS = {
    "MARKET_SPINE_REQUIRE_POSTGRES": "`1`: without a PostgreSQL the tests fail; else they skip it, but where `CI` is `true`.",
    "MARKET_SPINE_TEST_POSTGRES": "URL of a PostgreSQL server on which the tests may create databases; otherwise they start one.",
    "MARKET_SPINE_WRITE_DOCS": "`1`: the tests write the output of commands into the pages; review them before you commit.",
}
DETAILS = {
    0: "All well. Nothing to do and not yet published are well, too.",
    1: "Some partitions failed, the others went on; or a check found something.",
    2: "Critical: usage, configuration, database, a crash, or every partition failed.",
    75: "Another run holds the lock, or took it over.",
    130: "Interrupted by Ctrl-C (SIGINT); the open partition was rolled back, the next run completes it.",
    141: "Whoever read stdout went away (`… | head`); to leave the pager early is 0.",
    143: "Ended by SIGTERM; likewise.",
}


def render() -> str:
    """The page."""
    parts = [INTRODUCTION, _contents(), *(section(path, command) for path, command in commands()), _environment(), _exit_codes()]
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, groups before their members."""
    yield "run_finra_weekly_schedule", weekly.command
    yield from _walk("spine", spine.command)


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            member = command.get_command(click.Context(command), name)
            if member is not None and not member.hidden:
                yield from _walk(f"{path} {name}", member)


def section(path: str, command: click.Command) -> str:
    """A command's part of the page."""
    usage = " ".join(command.collect_usage_pieces(click.Context(command, info_name=path)))
    lines = [f"## `{path}`\n", f"    {path} {usage}\n", f"{_paragraphs(command.help or '')}\n"]
    options = list(options_of(path, command))
    if options:
        lines += ["| option | environment | default | meaning |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(cells)} |" for cells in options] + [""]
    if command.epilog:
        lines += ["```text", inspect.cleandoc(command.epilog).replace("\b\n", "\n").strip(), "```", ""]
    return "\n".join(lines)


def options_of(path: str, command: click.Command) -> Iterator[tuple[str, str, str, str]]:
    """Option, environment variable, default and meaning of each, as cells."""
    for param in command.params:
        if not isinstance(param, click.Option) or param.hidden:
            continue
        names = ", ".join(f"`{name}`" for name in (*getattr(param, "shown", param.opts), *param.secondary_opts))
        takes = "" if param.is_flag or param.count else f" {_takes(param)}"
        variable = environment_of(path, param)
        yield names + takes, f"`{variable}`" if variable else "", _default(param), _cell(param.help or "")


def environment_of(path: str, param: click.Option) -> str | None:
    """The environment variable that gives an option its value; the first where there are several."""
    if param.envvar:
        return param.envvar if isinstance(param.envvar, str) else next(iter(param.envvar))
    if param.is_eager or not param.allow_from_autoenv:
        return None
    words = path.split()[1:] if path.startswith("spine") else []
    return "_".join(["MARKET_SPINE", *words, str(param.name)]).upper().replace("-", "_")


def exit_codes() -> dict[int, list[type[errors.MarketSpineError]]]:
    """The codes of the error tree, with the errors that lead to them."""
    found: dict[int, list[type[errors.MarketSpineError]]] = {}
    todo: list[type[errors.MarketSpineError]] = [errors.MarketSpineError]
    while todo:
        kind = todo.pop(0)
        todo += kind.__subclasses__()
        if kind.__module__ == errors.__name__ and kind not in (errors.MarketSpineError, errors.Interrupted):
            found.setdefault(kind.exit_code, []).append(kind)
    return found


def _contents() -> str:
    lines = []
    for path, _command in commands():
        anchor = path.lower().replace(" ", "-")
        lines.append(f"{'  ' * path.count(' ')}- [`{path}`](#{anchor})")
    return "\n".join([*lines, "- [Environment variables](#environment-variables)", "- [Exit codes](#exit-codes)", ""])


def _environment() -> str:
    lines = ["## Environment variables\n", "Beside those of the options above:\n", "| variable | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in SETTINGS.items()]
    lines += ["", "For the tests:\n", "| variable | meaning |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {meaning} |" for name, meaning in FOR_TESTS.items()), ""])


def _exit_codes() -> str:
    lines = ["## Exit codes\n", "| code | meaning | errors |", "|---|---|---|"]
    kinds = exit_codes()
    for code in sorted({*DETAILS, *kinds}):
        named = sorted(kinds.get(code, []), key=lambda kind: kind.__name__)
        lone = inspect.getdoc(named[0]) if named else ""
        meaning = _cell(DETAILS.get(code) or (lone or "").split("\n")[0])
        lines.append(f"| `{code}` | {meaning} | {', '.join(kind.__name__ for kind in named)} |")
    return "\n".join([*lines, ""])


def _takes(param: click.Option) -> str:
    if isinstance(param.type, click.Choice):
        return "`" + r" \| ".join(map(str, param.type.choices)) + "`"
    if param.metavar:
        return _code(param.metavar)
    number = isinstance(param.type, (click.types.IntParamType, click.types.FloatParamType))
    return _code(_range(param.type) or ("N" if number else str(param.name).removesuffix("_text").upper()))


def _range(kind: object) -> str | None:
    if not isinstance(kind, (click.IntRange, click.FloatRange)):
        return None
    low = "" if kind.min is None else f"{kind.min}"
    return f"{low}…{'' if kind.max is None else kind.max}"


def _default(param: click.Option) -> str:
    if param.required:
        return "required"
    plain = param.default if isinstance(param.default, (str, int, float)) and not isinstance(param.default, bool) else None
    return "" if plain is None or param.is_flag else _code(str(plain))


def _paragraphs(text: str) -> str:
    return _cell(inspect.cleandoc(text), keep_lines=True)


def _cell(text: str, *, keep_lines: bool = False) -> str:
    escaped = text.replace("|", r"\|").replace("<", "&lt;")
    return escaped if keep_lines else " ".join(escaped.split())


def _code(text: str) -> str:
    return f"`{text}`".replace("|", r"\|")


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(), "utf-8")
    print(f"{PAGE.relative_to(ROOT)} written")
