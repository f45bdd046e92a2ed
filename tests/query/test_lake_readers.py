"""The lake on object storage, and read by others than DuckDB."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from lakes import histories
from lakes.histories import live, open_lake, plain
from support.commands import RunCommand
from support.desk import FRIDAYS, PLAIN, WEEK, restated

from market_spine.db import Database
from market_spine.partition import OTC
from market_spine.query.answer import Question, answer
from market_spine.query.lake.publish import export_history
from market_spine.query.views import VIEWS

NOW = "2026-02-06T12:00:00+00:00"
ONLY_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # a file is a file, whatever it was made from
SPARK = Path(__file__).parents[1] / "support" / "spark_lake.py"


def expected(db: Database, view: str, day: date) -> list[list[str]]:
    return sorted([_text(value) for value in row] for row in answer(db, Question(VIEWS[view], as_of=day)))


def _text(value: Any) -> str:
    return "" if value is None else str(plain(value))


# --- Object storage -----------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket() -> Iterator[dict[str, str]]:
    """A server that speaks S3, with an empty bucket `otc`; the environment in which a command reaches it."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    import boto3

    environ = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=environ["AWS_ENDPOINT_URL"], **keys).create_bucket(Bucket="otc")
    yield environ
    server.stop()


@ONLY_SQLITE
def test_a_lake_in_a_bucket_is_the_lake_of_a_folder(
    db: Database, target: str, tmp_path: Path, run_command: RunCommand, bucket: dict[str, str]
) -> None:
    desk = restated(tmp_path / "files", db)
    asked = ("spine", "export", "--history", "--to", "s3://otc/lake", "--db", target, "--json")
    assert len(json.loads(run_command(*asked, env=bucket).stdout)["written"]) == 38
    desk.publish(WEEK, OTC, PLAIN[:3])
    desk.run(FRIDAYS[2])
    done = json.loads(run_command(*asked, env=bucket).stdout)
    assert sum(path.startswith("normalized/") for path in done["written"]) == 1
    export_history(db, str(tmp_path / "lake"), seen_at=done["seen_at"])
    copied = _download(bucket, tmp_path / "copy")
    local = {str(p.relative_to(tmp_path / "lake")): p.read_bytes() for p in (tmp_path / "lake").rglob("*") if p.is_file()}
    differing = {path for path in local | copied if local.get(path) != copied.get(path)}
    assert differing - {"_manifest.json", "lake.sql"} == set(done["retired"])
    lake = open_lake(tmp_path / "copy", tmp_path / "copy")
    for day in FRIDAYS[:3]:
        rows = sorted([_text(value) for value in row] for row in lake.sql(f"FROM hhi_as_of('{day}')").fetchall())
        assert rows == expected(db, "hhi", day) != []
    missing = run_command("spine", "export", "--history", "--to", "s3://nowhere/lake", "--db", target, env=bucket)
    assert (missing.exit_code, missing.stderr.startswith("Error: cannot use s3://nowhere/lake: ")) == (2, True), missing.stderr


def _download(bucket: dict[str, str], folder: Path) -> dict[str, bytes]:
    """The files of the lake in the bucket, which are also put into a folder."""
    import boto3

    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=bucket["AWS_ENDPOINT_URL"], **keys)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="otc", Prefix="lake/")
    files = {entry["Key"].removeprefix("lake/"): entry["Key"] for page in pages for entry in page["Contents"]}
    contents = {path: client.get_object(Bucket="otc", Key=key)["Body"].read() for path, key in files.items()}
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return contents


@ONLY_SQLITE
def test_duckdb_reads_a_lake_from_object_storage(db: Database, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    import duckdb

    restated(tmp_path / "files", db)
    export_history(db, "memory://otc/lake", seen_at=NOW)
    memory = fsspec.filesystem("memory")
    with duckdb.connect(config={"threads": 1}) as lake:
        lake.register_filesystem(memory)
        lake.execute(memory.cat_file("otc/lake/lake.sql").decode())
        rows = lake.sql(f"FROM venue_share_as_of('{FRIDAYS[0]}')").fetchall()
    assert sorted([_text(value) for value in row] for row in rows) == expected(db, "venue_share", FRIDAYS[0]) != []


# --- Other readers ------------------------------------------------------------------------------------------------------


@pytest.fixture
def history(db: Database, tmp_path: Path) -> tuple[Path, date]:
    """A lake of a history, and a day within it."""
    fridays = live(histories.Desk(tmp_path / "files", db), Random(7), 4)
    export_history(db, str(tmp_path / "lake"), seen_at=NOW)
    return tmp_path / "lake", fridays[2] + timedelta(days=1)


def _paths(root: Path, view: str) -> tuple[list[Path], Path]:
    """The files of a view, and the table of validity."""
    import pyarrow.parquet as parquet

    tables = {name: root / table["path"] for name, table in json.loads((root / "_manifest.json").read_text())["tables"].items()}
    return [root / f["path"] for f in parquet.read_table(tables["files"]).to_pylist() if f["view"] == view], tables["validity"]


@ONLY_SQLITE
def test_polars_joins_the_rows_of_the_captures_that_were_valid(db: Database, history: tuple[Path, date]) -> None:
    polars = pytest.importorskip("polars")
    root, day = history
    for view in ("normalized", "venue_share"):
        paths, validity = _paths(root, view)
        is_valid = (polars.col("valid_from") <= day) & (polars.col("valid_to").is_null() | (polars.col("valid_to") > day))
        valid = polars.scan_parquet(validity).filter(is_valid).select("capture_id")
        rows = polars.scan_parquet(paths, hive_partitioning=True).join(valid, on="capture_id").select(VIEWS[view].columns).collect()
        assert sorted([_text(value) for value in row] for row in rows.iter_rows()) == expected(db, view, day) != []


@ONLY_SQLITE
@pytest.mark.slow
def test_spark_joins_the_rows_of_the_captures_that_were_valid(db: Database, history: tuple[Path, date]) -> None:
    pytest.importorskip("pyspark")
    if not shutil.which("java") and not os.environ.get("CI"):
        pytest.skip("Spark needs java")
    root, day = history
    done = subprocess.run(
        [sys.executable, "-W", "ignore", SPARK, root, str(day), "normalized"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    (_, *columns), *rows = printed
    assert sorted(_in_order("normalized", columns, row) for row in rows) == expected(db, "normalized", day) != []


def _in_order(view: str, columns: list[str], row: Iterable[Any]) -> list[str]:
    """A row under the columns of the view, as the store would print it."""
    from decimal import Decimal

    values = dict(zip(columns, row, strict=True))
    return [_text(Decimal(values[c]) if c == "total_shares" else values[c]) for c in VIEWS[view].columns]
