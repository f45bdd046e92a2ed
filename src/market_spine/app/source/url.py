"""A download file by http(s): one address a partition, from a template, on hosts the operator has named."""

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
_PLACES = ("{week_ending}", "{week_start}", "{yyyymmdd}", "{tier}", "{TIER}", "{code}")


class UrlSource:
    """Download files at `template`; no request leaves for a host that is not in `hosts`, redirects included."""

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
        if not any(place in template for place in _PLACES):
            raise ConfigurationError(
                "--source file_url needs MARKET_SPINE_FILE_URL, an address with places for the partition",
                hint="for example https://files.example.com/{tier}_week_{week_ending}.psv.gz",
            )
        hosts = environ.get("MARKET_SPINE_FILE_URL_HOSTS", "").split(",")
        allowed = frozenset(name.strip().lower() for name in hosts if name.strip())
        return cls(template, allowed, max_bytes=settings.max_bytes, totals=asks_totals(environ))

    def glance(self, partition: Partition) -> Glance | Absent | None:
        """None: a file tells only by its content."""
        return None

    def fetch(self, partition: Partition) -> Offer | Absent:
        """The file's bytes, unpacked. Raises SourceError."""
        url = address(self._template, partition)
        reply = self._get(url)
        place = url.partition("?")[0]  # a query may hold a signature: it is told to nobody
        if reply.status in (204, 404, 410):
            return Absent(place)
        if reply.status != 200:
            later = reply.status in TRY_LATER
            raise SourceError(
                Category.SOURCE_UNAVAILABLE if later else Category.SOURCE_REFUSED,
                f"{host(url)} answers {reply.status} for {partition}",
            )
        if reply.kind == "text/html":
            raise SourceError(
                Category.SOURCE_NOT_DATA, f"{host(url)} answered with a web page, not a file", hint=f"open {place} and look"
            )
        content = self._unpacked(reply)
        if not content:
            hint = "fetch it again; an empty file is never a publication"
            raise SourceError(Category.EMPTY_FILE, f"{place} is empty", hint=hint)
        return Offer(content, uri=place)

    def totals(self, partition: Partition, content: bytes) -> bytes | None:
        """The content, where it holds firm totals."""
        return totals_within(content) if self._totals else None

    def revised_since(self, day: date, first_week: date, last_week: date) -> Iterable[Partition]:
        """Nothing: files cannot tell."""
        return ()

    def listing(self) -> None:
        """None: an address is asked for by its partition."""

    def close(self) -> None:
        self._client.close()

    def _get(self, url: str) -> Reply:
        for _ in range(_REDIRECTS):
            reply = self._client.send("GET", url, max_bytes=self._max_bytes, redirects=False)
            if reply.status not in (301, 302, 303, 307, 308):
                return reply
            with contextlib.suppress(ValueError):  # else it is asked again, until there are too many
                url = urljoin(url, reply.headers.get("Location", ""))
            self._check(url, SourceError)
        raise SourceError(Category.SOURCE_REFUSED, f"{host(url)} redirects without end")

    def _check(self, url: str, error: type[ConfigurationError] | type[SourceError]) -> None:
        try:
            parts = urlsplit(url)
        except ValueError:  # a bracket without its other half: no host of the list
            parts = urlsplit("")
        if parts.scheme in ("http", "https") and parts.hostname in self._hosts and not parts.username:
            return
        fault = "holds a login" if parts.username else "is not on the list of hosts"
        message = f"{parts.scheme or 'no scheme'}://{parts.hostname or ''} {fault}"
        hint = f"name it in MARKET_SPINE_FILE_URL_HOSTS; it has {', '.join(sorted(self._hosts)) or 'none'}"
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
            raise SourceError(Category.SOURCE_UNREADABLE, f"the file from {host(reply.url)} breaks off: {error}") from error
        return bytes(content)


def address(template: str, partition: Partition) -> str:
    """The template with a partition in its places; nothing else in braces means anything."""
    values = (
        partition.week,
        partition.monday.isoformat(),
        f"{partition.week_ending:%Y%m%d}",
        partition.tier.lower(),
        partition.tier,
        CODE_OF_TIER[partition.tier],
    )
    for place, value in zip(_PLACES, values, strict=True):
        template = template.replace(place, value)
    return template
