"""Every view is the same on DuckDB and on Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from experiments.common.agreement import agreement
from experiments.features_engines.run import bench_engines
from nba.features import VIEWS
from nba.features.engine import DuckDBEngine, SparkEngine, write_views
from nba.features.tags import load_tags, with_tags
from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.models.some_customers import drawn_customers
from nba.settings import Project
from nba.wiring import Wiring

AS_OF = datetime(2025, 9, 1)


def read(folder: Path, view: Any) -> pl.DataFrame:
    return pl.read_parquet(folder / "*.parquet", hive_partitioning=False).sort(view.entity_keys)


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from nba.stores.spark import session

    opened = session(memory_limit="2GB", threads=2)
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
    for name, view in views.items():
        one, other = (read(tmp_path / label / name, view) for label in runs)
        assert one.height > 0
        found = agreement(view, one, other)
        assert not found.unequal, found
        assert found.largest_difference <= 1e-9, found


@pytest.mark.requires("java")
def test_the_same_customers_are_drawn(spark: Any, tmp_path: Path) -> None:
    import ibis

    ids = pl.DataFrame({"customer_id": [f"客户-{number}" for number in range(500)]})
    ids.write_parquet(tmp_path / "ids.parquet")
    found = [
        drawn_customers(connection.read_parquet(tmp_path / "ids.parquet"), 40, seed=seed)
        .to_pyarrow()["customer_id"]
        .to_pylist()
        for seed in (3, 4)
        for connection in (ibis.duckdb.connect(), ibis.pyspark.connect(spark))
    ]
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert len(set(found[0])) == 40
    assert set(found[0]) != set(found[2])


@pytest.mark.requires("java")
def test_the_setting_chooses_the_engine(spark: Any, tmp_path: Path) -> None:
    lines = "order_id,customer_id,product_id,ts,quantity,unit_price\no1,c1,p1,2026-03-01,2,5\n"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "transactions.csv").write_text(lines)
    init_project(tmp_path / "project", {"feature_engine": "spark"})
    wiring = Wiring(Project.open(tmp_path / "project"))
    ingest_folder(wiring, tmp_path / "in")
    engine = wiring.feature_engine()
    assert engine.name == "spark"
    assert engine.connection._session.conf.get("spark.sql.session.timeZone") == "UTC"
    found = wiring.tables.at(datetime(2026, 4, 1), engine.connection)["transactions"].execute()
    assert found["unit_price"].to_list() == [5.0]
    assert found["ts"].to_list() == [datetime(2026, 3, 1)]


@pytest.mark.requires("java")
def test_feast_joins_snapshots_on_spark(spark: Any, tmp_path: Path) -> None:
    """`offline_store.type: spark` makes Spark sources, and Feast joins on Spark."""
    lines = (
        "order_id,customer_id,product_id,ts,quantity,unit_price\n"
        "o1,c1,p1,2026-03-01,2,5\no2,c1,p1,2026-03-05,1,5\n"
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "transactions.csv").write_text(lines)
    init_project(tmp_path / "project", {})
    path = tmp_path / "project" / "features" / "feature_store.yaml"
    path.write_text(path.read_text().replace("type: duckdb", "type: spark"))
    wiring = Wiring(Project.open(tmp_path / "project"))
    ingest_folder(wiring, tmp_path / "in")
    store = wiring.feature_store
    days = [datetime(2026, 3, 4), datetime(2026, 3, 6)]
    store.ensure(days)
    sources = {type(view.batch_source).__name__ for view in store.repository.objects()
               if type(view).__name__ == "FeatureView"}  # fmt: skip
    assert sources == {"SparkSource"}
    asked = pl.DataFrame(
        {"customer_id": ["c1", "c1", "c1"], "event_timestamp": [*days, datetime(2026, 3, 1)]}
    )
    found = store.historical("customer_behaviour", asked)
    assert found["spend_amount"].to_list() == [10.0, 15.0, None]


@pytest.mark.proof
@pytest.mark.requires("java")
def test_a_whole_shop_is_the_same_on_both_engines() -> None:
    found = bench_engines()
    assert found["unequal"] == 0
    assert found["largest_difference"] <= 1e-9


def test_the_base_of_the_day_keeps_to_the_memory_and_threads_of_the_project(tmp_path: Path) -> None:
    project = init_project(
        tmp_path / "shop", {"memory_limit": "1GB", "threads": 1, "feature_engine": "spark"}
    )
    engine = Wiring(project).feature_store._base_engine()
    try:
        asked = "SELECT current_setting('memory_limit'), current_setting('threads')"
        assert engine.connection.con.execute(asked).fetchone() == ("953.6 MiB", 1)
    finally:
        engine.close()
