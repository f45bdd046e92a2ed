"""Reads a lake with Spark in local mode: `python spark_lake.py ROOT DAY VIEW` prints a view as of that day, as JSON lines.

A program of its own: Spark is a Java process, and prints what it likes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LESS_COMPILING = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"


def main(root: Path, day: str, view: str) -> None:
    os.environ |= {"PYSPARK_SUBMIT_ARGS": f"--driver-java-options '{LESS_COMPILING}' pyspark-shell", "SPARK_LOCAL_IP": "127.0.0.1"}
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.ui.showConsoleProgress", "false").config("spark.sql.shuffle.partitions", "1")
    spark = builder.config("spark.sql.sources.parallelPartitionDiscovery.threshold", "100000").getOrCreate()
    tables = json.loads((root / "_manifest.json").read_text())["tables"]
    for name in ("files", "validity"):
        spark.read.parquet(f"{root}/{tables[name]['path']}").createOrReplaceTempView(name)
    for line in rows(spark, root, day, view):
        print(json.dumps(line))
    spark.stop()


def rows(spark: Any, root: Path, day: str, view: str) -> Iterator[list[object]]:
    """The view's name and its columns, then its rows, unordered."""
    paths = [f"{root}/{row.path}" for row in spark.sql(f"SELECT path FROM files WHERE view = '{view}'").collect()]
    spark.read.option("basePath", f"{root}/{view}").parquet(*paths).createOrReplaceTempView(view)
    found = spark.sql(
        f"""
        SELECT r.* FROM {view} r JOIN validity v ON v.capture_id = r.capture_id
        WHERE v.valid_from <= DATE '{day}' AND (v.valid_to IS NULL OR DATE '{day}' < v.valid_to)
        """
    )
    yield [view, *found.columns]
    yield from ([value if isinstance(value, (int, float)) else str(value or "") for value in row] for row in found.collect())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:4])
