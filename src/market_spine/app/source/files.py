"""A folder of FINRA's weekly files, `{tier in lower case}_week_{week_ending}.psv` (.csv, .txt; each also .gz)."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import IO, NamedTuple

from market_spine import clock
from market_spine.app.source import Absent, Glance, Listing, Offer, SourceSettings, asks_totals, seconds, totals_within
from market_spine.categories import Category
from market_spine.errors import ConfigurationError, InvalidWeek, SourceError
from market_spine.partition import TIERS, Partition, parse_week

ENDINGS = tuple(ending + packed for ending in (".psv", ".csv", ".txt") for packed in ("", ".gz"))
_NAME = re.compile(rf"({'|'.join(tier.lower() for tier in TIERS)})_week_([0-9-]{{10}})(\.psv|\.csv|\.txt)(\.gz)?")
# What other programs leave beside a file while they write it, or for themselves.
_TEMPORARY = re.compile(r"\..*|.*(\.part|\.tmp|\.crdownload|~)|#.*#", re.DOTALL)
_CHUNK = 1 << 20
_SETTLE = "MARKET_SPINE_SETTLE_SECONDS"
_SETTLE_SECONDS = 5.0  # a writer that pauses for longer counts as finished


class FileSource:
    """Files in one folder. Nothing outside it is read: a link to the outside is refused unless `allow_links`."""

    name = "file"
    sweeps = False

    def __init__(
        self, data_dir: str, *, max_bytes: int, allow_links: bool = False, settle: float = 0, totals: bool = True
    ) -> None:
        self._folder = Path(data_dir)
        if not os.path.isdir(self._folder):  # noqa: PTH112 - a name too long is not there
            raise ConfigurationError(
                f"there is no data folder {data_dir}", hint="name the folder of the weekly files with --data-dir"
            )
        self._home = self._folder.resolve()
        self._max_bytes = max_bytes
        self._allow_links = allow_links
        self._settle = settle
        self._totals = totals

    @classmethod
    def of(cls, settings: SourceSettings) -> FileSource:
        """The folder of `--data-dir`. Raises ConfigurationError when it does not exist."""
        settle = seconds(settings.environ, _SETTLE, _SETTLE_SECONDS)
        wanted = asks_totals(settings.environ)
        limits, links = settings.max_bytes, settings.allow_links
        return cls(settings.data_dir, max_bytes=limits, allow_links=links, settle=settle, totals=wanted)

    def glance(self, partition: Partition) -> Glance | Absent | None:
        """None: only the content of a file shows whether it changed."""
        return None

    def fetch(self, partition: Partition) -> Offer | Absent:
        """The file's bytes, unpacked. Raises SourceError: two candidates, empty, unreadable, truncated or too large."""
        path = self._find(partition)
        if path is None:
            return Absent(str(self._folder / f"{stem(partition)}{ENDINGS[0]}"))
        fingerprint = _fingerprint(path)  # before it is read: the next run detects what is written meanwhile
        content = self.read(path)
        if not content:
            hint = "fetch it again; an empty file is never a publication"
            raise SourceError(Category.EMPTY_FILE, f"{path} is empty", hint=hint)
        return Offer(content, uri=f"file:{path.name}", fingerprint=fingerprint)

    def totals(self, partition: Partition, content: bytes) -> Offer | None:
        """The content, where it holds firm totals."""
        return totals_within(content) if self._totals else None

    def revised_since(self, day: date, first_week: date, last_week: date) -> Iterable[Partition]:
        """Nothing: a folder does not list revisions."""
        return ()

    def listing(self) -> Listing:
        """Every weekly file by its partition; a partition with two files has the fingerprints of both."""
        files: dict[Partition, str] = {}
        unknown: list[str] = []
        with os.scandir(self._folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                partition = _partition(entry.name)
                if partition:
                    fingerprint = _fingerprint(Path(entry.path))
                    files[partition] = f"{files[partition]} {fingerprint}" if partition in files else fingerprint
                elif not _TEMPORARY.fullmatch(entry.name) and not entry.is_dir():
                    unknown.append(entry.name)
        return Listing(files, tuple(unknown))

    def stop(self) -> None:
        """Nothing: a file is read at once."""

    def close(self) -> None:
        """Nothing is held open."""

    def _find(self, partition: Partition) -> Path | None:
        paths = [self._folder / (stem(partition) + ending) for ending in ENDINGS]
        candidates = [path for path in paths if path.exists() or path.is_symlink()]
        if len(candidates) > 1:
            names = " and ".join(path.name for path in candidates)
            raise SourceError(Category.AMBIGUOUS_SOURCE, f"{names} both exist", hint="keep the one that is right")
        path = next(iter(candidates), None)
        if path and not self._allow_links and not _leads_into(path, self._home):
            raise SourceError(
                Category.SOURCE_OUTSIDE, f"{path} leads out of the data folder", hint="copy the file in, or --allow-links"
            )
        return path

    def read(self, path: Path) -> bytes:
        """The whole content, unpacked, with never more than the limit in memory. Raises SourceError."""
        try:
            if not path.is_file():  # opening a pipe would wait for ever, reading a device never end
                raise SourceError(Category.SOURCE_UNREADABLE, f"{path} is not a regular file", hint="put a plain file there")
            with path.open("rb") as file:
                before = _state(os.fstat(file.fileno()))
                if path.suffix != ".gz" and before.size > self._max_bytes:
                    raise self._too_large(path)
                content = self._unpack(file, path, before.size)
            self._check_rest(path, before)
            return content
        except (OSError, EOFError, zlib.error) as error:
            words = getattr(error, "strerror", None) or str(error)
            raise SourceError(Category.SOURCE_UNREADABLE, f"cannot read {path}: {words}", hint="fetch the file again") from error

    def _check_rest(self, path: Path, before: _State) -> None:
        """Raises SourceError when the file has changed since it was read; a recently modified one is checked again once the
        settle time has passed. A modification time in the future shows no age: then we wait as for a new file."""
        age = clock.epoch() - before.modified_ns / 1e9
        _check_unchanged(path, before)
        if age < self._settle:
            clock.pause(self._settle - max(age, 0.0))
            _check_unchanged(path, before)

    def _unpack(self, file: IO[bytes], path: Path, size: int) -> bytes:
        """All of it: a plain file at once, a compressed one in chunks, because its full size is not known before."""
        if path.suffix != ".gz":
            return file.read(size + 1)
        import gzip

        content = bytearray()
        with gzip.open(file) as plain:
            while chunk := plain.read(_CHUNK):
                content += chunk
                if len(content) > self._max_bytes:
                    raise self._too_large(path)
        return bytes(content)

    def _too_large(self, path: Path) -> SourceError:
        limit = self._max_bytes >> 20
        hint = "raise --max-file-mb if this is right"
        return SourceError(Category.SOURCE_TOO_LARGE, f"{path} holds more than {limit} MB", hint=hint)


def _leads_into(path: Path, home: Path) -> bool:
    """Whether the file behind all links is inside `home`; a link to itself is not."""
    try:
        return path.resolve().is_relative_to(home)
    except (OSError, RuntimeError):
        return False


class _State(NamedTuple):
    """What changes when somebody writes to a file or replaces it."""

    size: int
    modified_ns: int
    inode: int


def _check_unchanged(path: Path, before: _State) -> None:
    if _state(path.stat()) != before:
        raise SourceError(Category.SOURCE_CHANGING, f"{path} is still being written", hint="run again when it is complete")


def _state(stat: os.stat_result) -> _State:
    return _State(stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _partition(name: str) -> Partition | None:
    """The partition that a file's name belongs to, if any."""
    parts = _NAME.fullmatch(name)
    try:
        return Partition(parse_week(parts[2]), parts[1].upper()) if parts else None
    except InvalidWeek:
        return None


def _fingerprint(path: Path) -> str:
    """Its name, size and modification time; only the name where it cannot be read."""
    try:
        stat = path.stat()
    except OSError:
        return path.name
    return f"{path.name}|{stat.st_size}|{stat.st_mtime_ns}"


def stem(partition: Partition) -> str:
    """`nms_tier_1_week_2025-12-26`, the file's name before its ending."""
    return f"{partition.tier.lower()}_week_{partition.week}"
