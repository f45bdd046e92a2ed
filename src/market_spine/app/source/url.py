"""A download file by http(s): one URL per partition, from a template, on hosts that the operator allows."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterable
from datetime import date
from urllib.parse import urljoin, urlsplit

from market_spine.app.source import Absent, Glance, Offer, SourceSettings, asks_totals, totals_within
from market_spine.app.source.web import TRY_LATER, Client, Reply, host
from market_spine.calendar.tiers import CODE_OF_TIER
from market_spine.categories import Category
from market_spine.errors import ConfigurationError, SourceError
from market_spine.partition import Partition

_CHUNK = 1 << 20
_REDIRECTS = 5
_GZIP = b"\x1f\x8b"
_PLACEHOLDERS = ("{week_ending}", "{week_start}", "{yyyymmdd}", "{tier}", "{TIER}", "{code}")


class UrlSource:
    """Download files at `template`; no request goes to a host that is not in `hosts`, redirects included."""

    name = "file_url"
    sweeps = False

    def __init__(
        self, template: str, hosts: frozenset[str], *, max_bytes: int, client: Client | None = None, totals: bool = True
    ) -> None:
        self._template, self._hosts, self._max_bytes = template, hosts, max_bytes
        self._check(template, ConfigurationError)
        self._client = client or Client()
        self._totals = totals

    @classmethod
    def of(cls, settings: SourceSettings) -> UrlSource:
        """Reads MARKET_SPINE_FILE_URL and MARKET_SPINE_FILE_URL_HOSTS; raises ConfigurationError."""
        environ = settings.environ
        template = environ.get("MARKET_SPINE_FILE_URL", "").strip()
        if not any(name in template for name in _PLACEHOLDERS):
            raise ConfigurationError(
                "--source file_url needs MARKET_SPINE_FILE_URL, an address with placeholders for the partition",
                hint="for example https://files.example.com/{tier}_week_{week_ending}.psv.gz",
            )
        return cls.at(template, settings)

    @classmethod
    def at(cls, url: str, settings: SourceSettings) -> UrlSource:
        """The files at that address, with or without placeholders, on the hosts of MARKET_SPINE_FILE_URL_HOSTS. Raises
        ConfigurationError."""
        hosts = settings.environ.get("MARKET_SPINE_FILE_URL_HOSTS", "").split(",")
        allowed = frozenset(name.strip().lower() for name in hosts if name.strip())
        return cls(url, allowed, max_bytes=settings.max_bytes, totals=asks_totals(settings.environ))

    def glance(self, partition: Partition) -> Glance | Absent | None:
        """None: only the content of a file shows whether it changed."""
        return None

    def fetch(self, partition: Partition) -> Offer | Absent:
        """The file's bytes, unpacked. Raises SourceError."""
        url = address(self._template, partition)
        reply = self._get(url)
        shown = url.partition("?")[0]  # a query may hold a signature, which must not be logged or stored
        if reply.status in (204, 404, 410):
            return Absent(shown)
        if reply.status != 200:
            later = reply.status in TRY_LATER
            raise SourceError(
                Category.SOURCE_UNAVAILABLE if later else Category.SOURCE_REFUSED,
                f"{host(url)} returned {reply.status} for {partition}",
            )
        if reply.kind == "text/html":
            raise SourceError(
                Category.SOURCE_NOT_DATA, f"{host(url)} returned a web page, not a file", hint=f"open {shown} in a browser"
            )
        content = self._unpacked(reply)
        if not content:
            hint = "fetch it again; an empty file is never a publication"
            raise SourceError(Category.EMPTY_FILE, f"{shown} is empty", hint=hint)
        return Offer(content, uri=shown)

    def totals(self, partition: Partition, content: bytes) -> Offer | None:
        """The content, where it holds firm totals."""
        return totals_within(content) if self._totals else None

    def revised_since(self, day: date, first_week: date, last_week: date) -> Iterable[Partition]:
        """Nothing: files do not list revisions."""
        return ()

    def listing(self) -> None:
        """None: a URL is known only by its partition."""

    def stop(self) -> None:
        self._client.stop()

    def close(self) -> None:
        self._client.close()

    def _get(self, url: str) -> Reply:
        for _ in range(_REDIRECTS):
            reply = self._client.send("GET", url, max_bytes=self._max_bytes, redirects=False)
            if reply.status not in (301, 302, 303, 307, 308):
                return reply
            with contextlib.suppress(ValueError):  # otherwise the same URL again, until there are too many
                url = urljoin(url, reply.headers.get("Location", ""))
            self._check(url, SourceError)
        raise SourceError(Category.SOURCE_REFUSED, f"{host(url)} redirects more than {_REDIRECTS} times")

    def _check(self, url: str, error: type[ConfigurationError] | type[SourceError]) -> None:
        try:
            parts = urlsplit(url)
        except ValueError:  # for example an unclosed bracket: not a host of the list
            parts = urlsplit("")
        if parts.scheme in ("http", "https") and parts.hostname in self._hosts and not parts.username:
            return
        fault = "holds a login" if parts.username else "is not on the list of hosts"
        message = f"{parts.scheme or 'no scheme'}://{parts.hostname or ''} {fault}"
        hint = f"add it to MARKET_SPINE_FILE_URL_HOSTS; it has {', '.join(sorted(self._hosts)) or 'none'}"
        if error is ConfigurationError:
            raise ConfigurationError(message, hint=hint)
        raise SourceError(Category.SOURCE_REFUSED, message, hint=hint)

    def _unpacked(self, reply: Reply) -> bytes:
        if not reply.content.startswith(_GZIP):
            return reply.content
        content = bytearray()
        try:
            with gzip.open(io.BytesIO(reply.content)) as packed:
                while chunk := packed.read(_CHUNK):
                    content += chunk
                    if len(content) > self._max_bytes:
                        limit = self._max_bytes >> 20
                        raise SourceError(
                            Category.SOURCE_TOO_LARGE,
                            f"{host(reply.url)} sent more than {limit} MB",
                            hint="raise --max-file-mb",
                        )
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(Category.SOURCE_UNREADABLE, f"the file from {host(reply.url)} is truncated: {error}") from error
        return bytes(content)


def address(template: str, partition: Partition) -> str:
    """The template with its placeholders filled in for a partition; other braces are left alone."""
    values = (
        partition.week,
        partition.monday.isoformat(),
        f"{partition.week_ending:%Y%m%d}",
        partition.tier.lower(),
        partition.tier,
        CODE_OF_TIER[partition.tier],
    )
    for name, value in zip(_PLACEHOLDERS, values, strict=True):
        template = template.replace(name, value)
    return template
