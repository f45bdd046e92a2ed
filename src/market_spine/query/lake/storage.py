"""Where a lake is: a folder, or an fsspec URL (`s3://bucket/otc`). A file is replaced in one step or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from market_spine.errors import ConfigurationError


class Storage(Protocol):
    """Files by their path below the root, with `/`. Every method raises ConfigurationError where the storage refuses."""

    root: str

    def read(self, path: str) -> bytes | None: ...
    def put(self, path: str, content: bytes) -> None: ...
    def remove(self, path: str) -> None: ...
    def publish(self, path: str, content: bytes) -> None: ...
    def sizes(self) -> dict[str, int]: ...


def open_storage(target: str) -> Storage:
    """The storage of a path or URL. Raises ConfigurationError."""
    path = target.removeprefix("file://")
    return Bucket(target.rstrip("/")) if "://" in path else Folder(Path(path))


class Folder:
    """A folder of this machine; it is made with the first file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.root = str(path.absolute())
        self._unsettled: list[Path] = []

    def read(self, path: str) -> bytes | None:
        with self._refused():
            return (self._path / path).read_bytes() if (self._path / path).is_file() else None

    def put(self, path: str, content: bytes) -> None:
        with self.replacing(path) as beside, beside.open("wb") as written:
            written.write(content)

    @contextlib.contextmanager
    def replacing(self, path: str) -> Iterator[Path]:
        """Where to write a new file, which takes the place of the one at `path` at the end."""
        file = self._path / path
        beside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        with self._refused():
            file.parent.mkdir(parents=True, exist_ok=True)
            beside.unlink(missing_ok=True)
            yield beside
            beside.replace(file)
            self._unsettled.append(file)

    def publish(self, path: str, content: bytes) -> None:
        """Puts a file once all that was put before is on the disk; waiting for all together takes a fraction of the time."""
        with self._refused():
            for file in self._unsettled:
                with file.open("rb") as written:
                    os.fsync(written.fileno())
            self._unsettled.clear()
            with self.replacing(path) as beside, beside.open("wb") as written:
                written.write(content)
                written.flush()
                os.fsync(written.fileno())

    def remove(self, path: str) -> None:
        with self._refused():
            (self._path / path).unlink(missing_ok=True)
            folder = (self._path / path).parent
            while folder != self._path and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
                folder = folder.parent

    def sizes(self) -> dict[str, int]:
        with self._refused():
            files = (Path(folder) / name for folder, _, names in os.walk(self._path) for name in names)
            return {file.relative_to(self._path).as_posix(): file.stat().st_size for file in files}

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(f"cannot write to {self._path}: {error.strerror}", hint="choose a writable --to") from error


class Bucket:
    """Object storage by fsspec; there, a file becomes visible when all of it has arrived."""

    def __init__(self, url: str) -> None:
        self.root = url
        with self._refused():
            self._files, self._root = _fsspec().core.url_to_fs(url)

    def read(self, path: str) -> bytes | None:
        with self._refused():
            try:
                return bytes(self._files.cat_file(f"{self._root}/{path}"))
            except FileNotFoundError:
                return None

    def put(self, path: str, content: bytes) -> None:
        with self._refused():
            self._files.pipe_file(f"{self._root}/{path}", content)

    def publish(self, path: str, content: bytes) -> None:
        """What was put before is stored already."""
        self.put(path, content)

    def remove(self, path: str) -> None:
        with self._refused(), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{path}")

    def sizes(self) -> dict[str, int]:
        """One listing for all files: a thousand to a request."""
        with self._refused():
            self._files.invalidate_cache()
            listed: dict[str, dict[str, Any]] = self._files.find(self._root, detail=True)
            return {path.removeprefix(f"{self._root}/"): int(entry["size"]) for path, entry in listed.items()}

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            needed = error.name or str(error)
            raise ConfigurationError(f"{self.root} needs {needed}", hint="pip install 'market-spine[lake]'") from error
        except ConfigurationError:
            raise
        except Exception as error:  # each kind of storage has its own tree of errors
            reason = str(error) or type(error).__name__
            raise ConfigurationError(f"cannot use {self.root}: {reason}", hint="check the URL and its credentials") from error


def _fsspec() -> Any:
    import fsspec

    return fsspec
