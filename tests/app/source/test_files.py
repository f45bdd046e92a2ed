"""The folder source: nothing outside it is read, nothing is waited for, nothing is larger than allowed."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from market_spine.app.source import Absent, Offer
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
    with pytest.raises(SourceError, match="no regular file"):
        fetch(folder, allow_links=True)


def test_the_limit_itself_is_allowed(folder: Path) -> None:
    (folder / NAME).write_bytes(b"x" * 1000)
    assert isinstance(fetch(folder, max_bytes=1000), Offer)
    with pytest.raises(SourceError, match="holds more than"):
        fetch(folder, max_bytes=999)


class Growing(FileSource):
    """A file to which somebody writes while it is read."""

    def _take(self, file: object, path: Path, size: int) -> bytes:
        content = super()._take(file, path, size)  # type: ignore[arg-type]
        with path.open("ab") as writer:
            writer.write(b"more")
        return content


def test_a_file_that_is_just_being_written_is_not_taken(folder: Path) -> None:
    (folder / NAME).write_bytes(b"half")
    with pytest.raises(SourceError, match="is just being written"):
        Growing(str(folder), max_bytes=MEGABYTE).fetch(PARTITION)
