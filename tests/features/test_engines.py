"""Every view is the same on DuckDB and on Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nba.features import VIEWS
from nba.features.engine import DuckDBEngine, SparkEngine, write_views
from nba.features.tags import load_tags, with_tags

AS_OF = datetime(2025, 9, 1)
#: Small data: one partition and no generated code, or planning takes minutes.
SMALL = {
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.autoBroadcastJoinThreshold": "-1",
}


def read(folder: Path, view: Any) -> pl.DataFrame:
    return pl.read_parquet(folder / "*.parquet", hive_partitioning=False).sort(view.entity_keys)


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from nba.stores.spark import session

    opened = session(memory_limit="2GB", threads=2, settings=SMALL)
    yield opened
    opened.stop()


@pytest.mark.requires("java")
def test_duckdb_equals_spark(
    spark: Any,
    tmp_path: Path,
    make_tables: Callable[..., Any],
    to_duckdb: Callable[..., Any],
    repository: Path,
) -> None:
    import ibis

    arrow = make_tables(11, customers=80, lines=2000)
    views = with_tags(VIEWS, load_tags(repository / "features" / "tags.yaml", VIEWS))
    duckdb_tables = to_duckdb(arrow)
    connection = ibis.pyspark.connect(spark)
    spark_tables = {}
    for name, table in arrow.items():
        path = tmp_path / f"{name}.parquet"
        pl.DataFrame(pl.from_arrow(table)).write_parquet(path)
        spark_tables[name] = connection.read_parquet(path, table_name=f"nba_{name}")
    runs = {
        "duckdb": (DuckDBEngine(duckdb_tables["customers"].get_backend()), duckdb_tables),
        "spark": (SparkEngine(connection), spark_tables),
    }
    for label, (engine, tables) in runs.items():
        folders = {name: tmp_path / label / name for name in views}
        write_views(
            engine, views, tables, AS_OF, folders,
            event_timestamp=AS_OF, created_timestamp=AS_OF,
        )  # fmt: skip
    largest = 0.0
    for name, view in views.items():
        one, other = (read(tmp_path / label / name, view) for label in runs)
        assert one.schema == other.schema, name
        assert one.height > 0
        for column in one.columns:
            left, right = one[column], other[column]
            assert (left.is_null() == right.is_null()).all(), (name, column)
            if left.dtype == pl.Float64:
                scale = pl.max_horizontal(left.abs(), right.abs(), pl.lit(1e-12))
                gap = float(pl.select(((left - right).abs() / scale).max()).item() or 0.0)
                largest = max(largest, gap)
                assert gap <= 1e-9, (name, column, gap)
            else:
                assert left.equals(right), (name, column)
    print(f"largest relative difference of a float: {largest:.3g}")
