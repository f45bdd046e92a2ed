"""The folder source: nothing outside it is read, nothing is waited for, nothing is larger than allowed."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from market_spine import clock
from market_spine.app.source import Absent, Offer, SourceSettings
from market_spine.app.source.files import FileSource
from market_spine.errors import SourceError
from market_spine.partition import Partition

PARTITION = Partition(date(2025, 12, 26), "OTC")
NAME = "otc_week_2025-12-26.psv"
MEGABYTE = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.psv").write_bytes(b"not yours")
    return tmp_path / "data"


def fetch(folder: Path, *, allow_links: bool = False, max_bytes: int = MEGABYTE) -> Offer | Absent:
    return FileSource(str(folder), max_bytes=max_bytes, allow_links=allow_links).fetch(PARTITION)


def link_out(folder: Path) -> None:
    (folder / NAME).symlink_to("../secret.psv")


def link_by_absolute_path(folder: Path) -> None:
    (folder / NAME).symlink_to(folder.parent / "secret.psv")


def link_through_a_folder(folder: Path) -> None:
    (folder / "aside").symlink_to("..")
    (folder / NAME).symlink_to("aside/secret.psv")


def link_to_itself(folder: Path) -> None:
    (folder / NAME).symlink_to(NAME)


def link_to_nowhere_inside(folder: Path) -> None:
    (folder / NAME).symlink_to("gone.psv")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / NAME)


def folder_of_that_name(folder: Path) -> None:
    (folder / NAME).mkdir()


def bomb(folder: Path) -> None:
    (folder / f"{NAME}.gz").write_bytes(gzip.compress(bytes(64 * MEGABYTE)))


def large(folder: Path) -> None:
    with (folder / NAME).open("wb") as file:
        file.truncate(1 << 40)


def cut(folder: Path) -> None:
    (folder / f"{NAME}.gz").write_bytes(gzip.compress(b"x" * 99999)[:-4])


def both(folder: Path) -> None:
    (folder / NAME).write_bytes(b"one")
    (folder / f"{NAME}.gz").write_bytes(gzip.compress(b"two"))


@pytest.mark.parametrize(
    ("make", "category"),
    [
        (link_out, "SOURCE_OUTSIDE"),
        (link_by_absolute_path, "SOURCE_OUTSIDE"),
        (link_through_a_folder, "SOURCE_OUTSIDE"),
        (link_to_itself, "SOURCE_OUTSIDE"),
        (link_to_nowhere_inside, "SOURCE_UNREADABLE"),
        (pipe, "SOURCE_UNREADABLE"),
        (folder_of_that_name, "SOURCE_UNREADABLE"),
        (bomb, "SOURCE_TOO_LARGE"),
        (large, "SOURCE_TOO_LARGE"),
        (cut, "SOURCE_UNREADABLE"),
        (both, "AMBIGUOUS_SOURCE"),
    ],
)
def test_what_is_refused(folder: Path, make: Callable[[Path], None], category: str) -> None:
    make(folder)
    with pytest.raises(SourceError) as refused:
        fetch(folder)
    assert refused.value.category == category


@pytest.mark.parametrize("make", [link_out, link_by_absolute_path, link_through_a_folder])
def test_links_are_followed_when_allowed(folder: Path, make: Callable[[Path], None]) -> None:
    make(folder)
    offer = fetch(folder, allow_links=True)
    assert isinstance(offer, Offer) and offer.content == b"not yours"


def test_a_link_that_stays_inside_needs_no_permission(folder: Path) -> None:
    (folder / "kept.psv").write_bytes(b"ours")
    (folder / NAME).symlink_to("kept.psv")
    offer = fetch(folder)
    assert isinstance(offer, Offer) and offer.content == b"ours"


def test_a_device_behind_a_link_is_no_file(folder: Path) -> None:
    (folder / NAME).symlink_to("/dev/zero")
    with pytest.raises(SourceError, match="not a regular file"):
        fetch(folder, allow_links=True)


def test_the_limit_itself_is_allowed(folder: Path) -> None:
    (folder / NAME).write_bytes(b"x" * 1000)
    assert isinstance(fetch(folder, max_bytes=1000), Offer)
    with pytest.raises(SourceError, match="holds more than"):
        fetch(folder, max_bytes=999)


class Growing(FileSource):
    """A file to which somebody writes while it is read."""

    def _unpack(self, file: object, path: Path, size: int) -> bytes:
        content = super()._unpack(file, path, size)  # type: ignore[arg-type]
        with path.open("ab") as writer:
            writer.write(b"more")
        return content


def test_a_file_that_is_just_being_written_is_not_taken(folder: Path) -> None:
    (folder / NAME).write_bytes(b"half")
    with pytest.raises(SourceError, match="is still being written"):
        Growing(str(folder), max_bytes=MEGABYTE).fetch(PARTITION)


def test_a_writer_that_pauses_in_a_fresh_file_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / NAME).write_bytes(b"half")
    monkeypatch.setattr(clock, "pause", lambda seconds: (folder / NAME).write_bytes(b"half and the rest"))
    with pytest.raises(SourceError, match="is still being written") as caught:
        FileSource(str(folder), max_bytes=MEGABYTE, settle=5).fetch(PARTITION)
    assert caught.value.category == "SOURCE_CHANGING"


def test_a_file_put_in_the_place_of_a_fresh_one_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / NAME).write_bytes(b"one")
    (folder / "new").write_bytes(b"two")
    os.utime(folder / "new", ns=((folder / NAME).stat().st_mtime_ns,) * 2)
    monkeypatch.setattr(clock, "pause", lambda seconds: (folder / "new").replace(folder / NAME))
    with pytest.raises(SourceError, match="is still being written"):
        FileSource(str(folder), max_bytes=MEGABYTE, settle=5).fetch(PARTITION)


@pytest.mark.parametrize(
    ("age", "waits"),
    [(0, [5.0]), (2, [3.0]), (4.5, [0.5]), (5, []), (3600, []), (-3600, [5.0])],
    ids=["new", "two seconds old", "nearly old enough", "old enough", "an hour old", "from the future"],
)
def test_a_file_is_waited_for_until_it_has_been_left_alone_for_long_enough(
    age: float, waits: list[float], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / NAME).write_bytes(b"whole")
    os.utime(folder / NAME, (1_000_000, 1_000_000))
    waited: list[float] = []
    monkeypatch.setattr(clock, "epoch", lambda: 1_000_000 + age)
    monkeypatch.setattr(clock, "pause", waited.append)
    offer = FileSource(str(folder), max_bytes=MEGABYTE, settle=5).fetch(PARTITION)
    assert isinstance(offer, Offer)
    assert (offer.content, waited) == (b"whole", waits)


@pytest.mark.parametrize("environ", [{}, {"MARKET_SPINE_SETTLE_SECONDS": "2.5"}, {"MARKET_SPINE_SETTLE_SECONDS": "0"}], ids=str)
def test_how_long_that_is_can_be_set(environ: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / NAME).write_bytes(b"whole")
    waited: list[float] = []
    monkeypatch.setattr(clock, "epoch", lambda: (folder / NAME).stat().st_mtime)
    monkeypatch.setattr(clock, "pause", waited.append)
    FileSource.of(SourceSettings(str(folder), MEGABYTE, environ=environ)).fetch(PARTITION)
    assert sum(waited) == pytest.approx(float(environ.get("MARKET_SPINE_SETTLE_SECONDS", 5)), abs=0.001)


@pytest.mark.parametrize(
    "name", [f"{NAME}.part", f".{NAME}", f"{NAME}.tmp", f"{NAME}~", f"{NAME}.crdownload", f".~{NAME}", f"#{NAME}#"]
)
def test_a_temporary_name_is_never_taken(name: str, folder: Path) -> None:
    (folder / name).write_bytes(b"half")
    assert isinstance(fetch(folder), Absent)
