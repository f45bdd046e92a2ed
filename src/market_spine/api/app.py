"""Builds the API from its routes and its gate."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from fastapi import APIRouter, FastAPI
from fastapi.middleware.gzip import GZipMiddleware

from market_spine import __version__
from market_spine.api import data, health, monitoring, problem, work
from market_spine.api.auth import Tokens, read_tokens
from market_spine.api.connections import Connections
from market_spine.api.gate import App, Gate, Limits
from market_spine.calendar.publication import EXCHANGE, GRACE_DAYS, Calendar
from market_spine.errors import ConfigurationError
from market_spine.monitor.deadline import parse_deadline
from market_spine.monitor.observers import DEFAULT_EXPECTED_BY

# A new group of routes is one more of these.
ROUTERS: tuple[APIRouter, ...] = (health.router, monitoring.router, work.router, data.router)

_ABOUT = """Enqueue and monitor work items; query what is stored. Errors are problem+json with a `hint`.
On any address but loopback a bearer token is required: scope *read* for GET, *operate* for POST."""


@dataclass(frozen=True, slots=True)
class Serving:
    """How the API is served. Checks itself when made: beyond loopback only with tokens. Raises ConfigurationError."""

    target: str
    host: str = "127.0.0.1"
    port: int = 8000
    token_file: str | None = None
    allowed_hosts: Sequence[str] = ()
    rate: float = 200.0
    body_bytes: int = 1 << 20
    body_seconds: float = 30.0
    expected_by: str = DEFAULT_EXPECTED_BY
    calendar: Calendar = EXCHANGE
    grace_days: int = GRACE_DAYS

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and self.token_file is None:
            raise ConfigurationError(
                f"{self.host} can be reached from other machines, but there is no token file",
                hint="give --token-file, or bind to 127.0.0.1",
            )

    @property
    def limits(self) -> Limits:
        """The Host header may be the bound address or an allowed name, with or without the port."""
        names = {"127.0.0.1", "localhost", "[::1]"} if is_loopback(self.host) else {self.host}
        named = {name.lower() for name in self.allowed_hosts}
        hosts = {f"{name}:{self.port}" for name in names} | named | (names if self.port == 80 else set())
        return Limits(frozenset(hosts), self.body_bytes, self.rate, 2 * self.rate, self.body_seconds)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def build(serving: Serving, extend: Callable[[FastAPI], None] | None = None) -> App:
    """The application; `extend` adds what is served beside the API. Raises ConfigurationError for an unusable token file."""
    connections = Connections(serving.target)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        connections.close()

    app = FastAPI(
        title="Market Spine", version=__version__, description=_ABOUT, lifespan=lifespan, docs_url=None, redoc_url=None,
        responses=problem.RESPONSES,
    )
    tokens: Tokens | None = read_tokens(serving.token_file) if serving.token_file else None
    app.state.connections, app.state.tokens = connections, tokens
    app.state.deadline = parse_deadline(serving.expected_by)
    app.state.calendar, app.state.grace_days = serving.calendar, serving.grace_days
    problem.install(app)
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    for router in ROUTERS:
        app.include_router(router)
    if extend is not None:
        extend(app)
    return Gate(app, serving.limits, tokens)
