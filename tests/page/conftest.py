"""The demonstration on each engine, made once for a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pages.demonstration import looking_at, made_demo
from stand_ins.postgres_server import Databases


@pytest.fixture(scope="module")
def sqlite_demo(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def postgres_demo(tmp_path_factory: pytest.TempPathFactory, _databases: Databases) -> Iterator[str]:
    url = _databases.create()
    yield made_demo(tmp_path_factory.mktemp("demo"), url)
    _databases.drop(url)


@pytest.fixture(scope="module")
def client(sqlite_demo: str) -> Iterator[httpx.Client]:
    with looking_at(sqlite_demo) as opened:
        yield opened


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return tmp_path / "files"
