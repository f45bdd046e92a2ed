"""Where a page lies: at an address of the server, or in a file of a report."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from importlib.resources import files
from typing import Protocol
from urllib.parse import quote, urlencode

from market_spine.page.parts import Address, to

ASSETS = ("page.css", "page.js", "icon.svg")
NAV = (
    ("Overview", to()), ("Weeks", to("weeks")), ("Venues", to("venues")), ("Concentration", to("concentration")),
    ("Symbols", to("symbols")), ("Anomalies", to("anomalies")), ("Gates", to("gates")), ("Runs", to("runs")),
    ("Queue", to("queue")), ("Calendar", to("calendar")),
)
_PLAIN = re.compile(r"[A-Z0-9._-]{1,60}|[a-z]{1,20}")


@lru_cache(maxsize=4096)
def _quoted(segment: str) -> str:
    """A heat map has the same weeks and tiers some thousand times."""
    return quote(segment, safe="")


class Site(Protocol):
    """Where pages and their files lie, as seen from the page that is being drawn."""

    @property
    def is_served(self) -> bool: ...
    def href(self, address: Address, **more: str) -> str | None: ...
    def asset(self, name: str) -> str: ...


@cache
def content_of(asset: str) -> bytes:
    """An asset's content."""
    return (files("market_spine.page") / "static" / asset).read_bytes()


@cache
def hashed(asset: str) -> str:
    """Its file name: of another content it has another name, so it may be kept forever."""
    stem, _, ending = asset.partition(".")
    return f"{stem}.{hashlib.sha256(content_of(asset)).hexdigest()[:12]}.{ending}"


@dataclass(frozen=True, slots=True)
class Served:
    """On a server. Every link keeps the day that the page is seen as of."""

    as_of: date | None = None
    is_served: bool = True

    def href(self, address: Address, **more: str) -> str | None:
        path = "/" + "/".join(map(_quoted, address.segments))
        query = dict(address.query) | more | ({"as_of": str(self.as_of)} if self.as_of else {})
        return f"{path}?{urlencode(query)}" if query else path

    def asset(self, name: str) -> str:
        return f"/static/{hashed(name)}"


@dataclass(frozen=True, slots=True)
class Filed:
    """In a folder: relative links, and none to a page that the report leaves out."""

    page: Address
    holds: Callable[[Address], bool]
    is_served: bool = False

    def href(self, address: Address, **more: str) -> str | None:
        if not self.holds(address):
            return None
        return self._up + file_of(address, more.get("table", "") if more else "", more.get("format", "html"))

    def asset(self, name: str) -> str:
        return f"{self._up}static/{hashed(name)}"

    @property
    def _up(self) -> str:
        return "../" * file_of(self.page).count("/")


def file_of(address: Address, table: str = "", ending: str = "html") -> str:
    """The file of a page, or of one of its tables. A name that a file system might take for another one gets a digest."""
    asked = "".join(f"-{name}-{_file_name(value)}" for name, value in address.query)
    path = "/".join(map(_file_name, address.segments)) or "index"
    return f"{path}{asked}{f'.{table}' if table else ''}.{ending}"


def _file_name(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.strip("."):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9-]', '_', text)[:40]}-{digest}"
