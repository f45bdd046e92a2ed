"""Authentication and authorization: bearer tokens from a file, with the scopes read and operate."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from market_spine.api.problem import Refusal
from market_spine.errors import ConfigurationError
from market_spine.small_files import read_small_text, why

READ, OPERATE = "read", "operate"
_SHORTEST = 16
_bearer = HTTPBearer(auto_error=False, description="A token from the server's token file.")


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `name` is recorded in core_operator_actions."""

    name: str
    scopes: frozenset[str]


LOCAL = Caller("api", frozenset({READ, OPERATE}))  # on loopback, without a token file


@dataclass(frozen=True, slots=True)
class Tokens:
    """The callers by the SHA-256 of their tokens; the tokens themselves are not kept."""

    callers: tuple[tuple[bytes, Caller], ...]

    def caller_of(self, token: str) -> Caller | None:
        """Compares with every token, each in constant time: response times must not reveal a token."""
        digest, match = hashlib.sha256(token.encode("utf-8", "replace")).digest(), None
        for stored, caller in self.callers:
            if hmac.compare_digest(stored, digest):
                match = caller
        return match


def read_tokens(path: str) -> Tokens:
    """A line `SCOPE NAME TOKEN` per caller: scope read or operate (which includes read), `#` begins a comment.

    Raises ConfigurationError.
    """
    try:
        lines = read_small_text(path).splitlines()
    except (OSError, ValueError) as error:
        hint = "give --token-file a file that this user may read"
        raise ConfigurationError(f"cannot read the token file {path}: {why(error)}", hint=hint) from error
    callers = [_caller(path, number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not callers:
        raise ConfigurationError(f"the token file {path} has no token", hint="write a line: operate NAME TOKEN")
    return Tokens(tuple(callers))


def _caller(path: str, number: int, line: str) -> tuple[bytes, Caller]:
    match line.split():
        case [scope, name, token] if scope in (READ, OPERATE):
            pass
        case _:
            raise ConfigurationError(f"line {number} of the token file {path} is malformed", hint="write: read NAME TOKEN")
    if len(token) < _SHORTEST:
        raise ConfigurationError(
            f"the token in line {number} of {path} is shorter than {_SHORTEST} characters", hint="make one: openssl rand -hex 32"
        )
    scopes = frozenset({READ} if scope == READ else {READ, OPERATE})
    return hashlib.sha256(token.encode()).digest(), Caller(name, scopes)


Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def may_read(request: Request, credentials: Credentials) -> Caller:
    """The caller, who may read. Raises Refusal."""
    return _permitted(request, credentials, READ)


def may_operate(request: Request, credentials: Credentials) -> Caller:
    """The caller, who may change the work queue. Raises Refusal."""
    return _permitted(request, credentials, OPERATE)


def _permitted(request: Request, credentials: HTTPAuthorizationCredentials | None, scope: str) -> Caller:
    return admit(request.app.state.tokens, credentials.credentials if credentials else None, scope)


def bearer(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The token in a request's headers, before its body has been read."""
    given = next((value for name, value in headers if name == b"authorization"), b"").decode("latin-1")
    scheme, _, token = given.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def admit(tokens: Tokens | None, token: str | None, scope: str, challenge: str = "Bearer") -> Caller:
    """The caller, who has that scope. `challenge` asks for the token where there is none. Raises Refusal."""
    caller = LOCAL if tokens is None else tokens.caller_of(token) if token else None
    if caller is None:
        hint = "send: Authorization: Bearer TOKEN" if challenge == "Bearer" else "give a token as the password"
        raise Refusal(401, "a valid token is required", hint=hint, headers={"WWW-Authenticate": challenge})
    if scope not in caller.scopes:
        raise Refusal(403, f"the token of {caller.name} may not {scope}", hint="use a token with the scope operate")
    return caller
