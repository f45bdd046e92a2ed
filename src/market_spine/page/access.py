"""Who may look at a page, and the headers of every response to a browser."""

from __future__ import annotations

import base64
import binascii

from fastapi import Request

from market_spine.api import auth
from market_spine.api.auth import READ, Caller, Tokens

# Only what lies on this server, no inline script or style, no frame around it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_CHALLENGE = 'Basic realm="Market Spine", charset="UTF-8"'


def may_look(request: Request) -> Caller:
    """The caller, by HTTP Basic with a token as the password; any user name will do. Only GET of pages asks this: a browser that
    keeps the password cannot be made to change anything, because the API takes bearer tokens alone. Raises Refusal."""
    tokens: Tokens | None = request.app.state.tokens
    return auth.admit(tokens, _password(request.headers.get("authorization", "")), READ, _CHALLENGE)


def _password(header: str) -> str | None:
    scheme, _, given = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        _, _, password = base64.b64decode(given.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return password
