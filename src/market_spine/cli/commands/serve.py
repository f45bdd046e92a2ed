"""`spine serve`: the pages and the HTTP API."""

from __future__ import annotations

import contextlib
import logging
import shlex
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from market_spine.cli.commands import calendar_of, calendar_options, db_option, pasteable
from market_spine.cli.options import Number, Whole, expected_by_option
from market_spine.cli.progress import greet, writes_json
from market_spine.errors import ConfigurationError, Interrupted, UsageError
from market_spine.target import redact

if TYPE_CHECKING:
    from market_spine.page.routes import Display


@click.command(
    "serve",
    epilog="""\b
Examples:
  spine serve --demo --open                                         the shipped files, to look at
  spine serve                                                       on 127.0.0.1:8000, for this machine
  spine serve --host 10.0.0.5 --token-file /etc/spine/tokens        for others; lines: operate NAME TOKEN
  spine serve --allow-host spine.example.com                        behind a proxy that keeps the Host header""",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to bind to; any but loopback requires --token-file."
)
@click.option("--port", type=Whole(1, 65535), default=8000, show_default=True)
@click.option("--open", "opens", is_flag=True, help="Open the front page in the browser.")
@click.option("--demo", is_flag=True, help="Serve the shipped files from a temporary database.")
@click.option("--token-file", type=click.Path(), help="Lines `SCOPE NAME TOKEN`; scopes: read, operate.")
@click.option(
    "--allow-host", "allowed_hosts", multiple=True, metavar="NAME[:PORT]", help="Another Host header to accept. May be repeated."
)
@click.option("--rate", type=Number(1), default=200, show_default=True, help="Requests per second and address.")
@click.option("--max-body-kb", type=Whole(1), default=1024, show_default=True, help="Largest request body.")
@click.option(
    "--max-connections", type=Whole(1, 100_000), default=512, show_default=True,
    help="Most open connections; one more closes the one idle longest.",
)
@click.option(
    "--request-seconds", type=Number(1, 3600), default=30, show_default=True,
    help="Time for a request body; the head has a third of it.",
)
@click.option("--log-format", type=click.Choice(["json", "text"]), help="Log format; default: text on a terminal, else json.")
@expected_by_option
@calendar_options
@db_option
def command(
    host: str, port: int, opens: bool, demo: bool, token_file: str | None, allowed_hosts: tuple[str, ...], rate: float,
    max_body_kb: int, max_connections: int, request_seconds: float, log_format: str | None, expected_by: str,
    calendar_file: str | None, grace_days: int, db: str,
) -> None:
    """Serve pages to look at, and the HTTP API: work queue, data, health. The API's description is at /openapi.json."""
    from market_spine import log
    from market_spine.core.store import open_store

    try:
        import uvicorn

        from market_spine.api import log_lines
        from market_spine.api.app import Serving
        from market_spine.api.guard import Guard, most_connections
        from market_spine.page import routes
    except ImportError as error:
        needed = "the pages and the API need FastAPI, uvicorn and Jinja2"
        raise ConfigurationError(needed, hint="pip install 'market-spine[server]'") from error

    limits = (rate, max_body_kb << 10, request_seconds, expected_by, calendar_of(calendar_file), grace_days)
    serving = Serving(db, host, port, token_file, allowed_hosts, *limits)
    with _displayed(db, demo) as (target, display):
        app = routes.build(replace(serving, target=target), display)
        log_lines.set_up(log.set_up(quiet=False, verbose=False, json_lines=writes_json(log_format)))
        with open_store(target):
            pass  # checked before anything is served
        _warn_of_readers(token_file, target)
        url = f"http://{host}:{port}"
        greet(f"Serving {redact(target)} on {url}, described at {url}/openapi.json. Stop with Ctrl-C.", log_format)
        guard = Guard(most_connections(max_connections), request_seconds / 3)
        server = uvicorn.Server(_config(app, host, port, guard.protocol()))
        if opens:
            _open_when_started(server, url)
        with contextlib.suppress(Interrupted):  # uvicorn ends what is under way, then raises the signal again
            server.run()


def _config(app: Any, host: str, port: int, protocol: Any) -> Any:
    import uvicorn

    return uvicorn.Config(
        app, host=host, port=port, log_config=None, access_log=False, server_header=False, timeout_keep_alive=15,
        h11_max_incomplete_event_size=16 << 10, http=protocol, ws="none", timeout_graceful_shutdown=20,
    )


@contextlib.contextmanager
def _displayed(db: str, demo: bool) -> Iterator[tuple[str, Display]]:
    """The database and how its pages are shown; a demonstration's is made here, and removed at the end."""
    from market_spine.page import demo as demonstration
    from market_spine.page.routes import Display

    context = click.get_current_context()
    if not demo:
        yield db, Display(_typing(context))
        return
    if context.get_parameter_source("db") is ParameterSource.COMMANDLINE:
        raise UsageError("a demonstration has a database of its own", hint="spine serve --demo")
    with tempfile.TemporaryDirectory(prefix="spine-demo-") as folder:
        target, day = demonstration.make(Path(folder)), demonstration.DAY
        sentence = f"A demonstration with invented figures: the shipped files, on Friday {day}."
        yield target, Display(lambda line: f"{line} --db {shlex.quote(target)}", day, sentence)


def _typing(context: click.Context) -> Callable[[str], str]:
    """Writes a command for this database, as this command line names it; pages are made in other threads."""

    def typed(line: str) -> str:
        with context.scope(cleanup=False):
            return pasteable(line)

    return typed


def _open_when_started(server: Any, url: str) -> None:
    """Opens the browser once the server accepts connections."""
    import webbrowser

    startup = server.startup

    async def started(sockets: Any = None) -> None:
        await startup(sockets=sockets)
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    server.startup = started


def _warn_of_readers(*paths: str | None) -> None:
    """Warns of files that users other than their owner may read."""
    from market_spine.db import location

    for path in filter(None, paths):
        if fault := location.readable_by_others(path):
            facts = {"event": "file_mode", "path": path}
            logging.getLogger("market_spine.api").warning("%s. Try: chmod 600 %s", fault, path, extra=facts)
