"""Run the views on an engine and write them as Parquet: DuckDB or Spark, the same expressions.

`Engine` holds what the two do differently; nothing else in the package knows which one runs.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import ibis
from ibis.expr import types as ir

from nba.features.prepare import PREPARED
from nba.features.view import Tables, View

EVENT_TIMESTAMP: Final = "event_timestamp"
CREATED_TIMESTAMP: Final = "created_timestamp"
#: Floats are rounded to this many digits before they are hashed.
DIGEST_DIGITS: Final = 9


_DUCKDB_TYPES: Final[Mapping[str, str]] = {
    "float64": "DOUBLE",
    "int64": "BIGINT",
    "boolean": "BOOLEAN",
    "string": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "timestamp(6)": "TIMESTAMP",
    "timestamp('UTC')": "TIMESTAMPTZ",
    "timestamp('UTC', 6)": "TIMESTAMPTZ",
    "array<string>": "VARCHAR[]",
    "array<!string>": "VARCHAR[]",
}


class Engine(Protocol):
    """What the builder needs from a backend."""

    name: str
    connection: Any

    def keep(self, name: str, table: ir.Table) -> ir.Table:
        """Compute `table` once and return it for use by several views."""

    def release(self, name: str) -> None:
        """Forget what was kept under `name`."""

    def write(self, table: ir.Table, folder: Path, *, order_by: tuple[str, ...]) -> None:
        """Write `table` as Parquet files into the new `folder`."""

    def close(self) -> None:
        """Give back what this engine alone holds."""


class DuckDBEngine:
    """Views on DuckDB.

    Parameters
    ----------
    connection : ibis DuckDB backend
        Its threads, memory limit and temporary folder are the caller's choice.
    """

    name = "duckdb"

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def keep(self, name: str, table: ir.Table) -> ir.Table:
        """Compute `table` into a temporary table."""
        view_name = f"kept_{name}"
        self.connection.con.execute(
            f'CREATE OR REPLACE TEMP TABLE "{view_name}" AS {self.query(table)}'
        )
        return self.connection.table(view_name)

    def query(self, table: ir.Table) -> str:
        """Return the SQL of `table` with each type said aloud.

        Sums of whole numbers are wider in DuckDB than Ibis believes.
        """
        columns = ", ".join(
            f'CAST("{name}" AS {_DUCKDB_TYPES[str(dtype).removeprefix("!")]}) AS "{name}"'
            for name, dtype in table.schema().items()
        )
        return f"SELECT {columns} FROM ({self.connection.compile(table)})"

    def release(self, name: str) -> None:
        """Drop the temporary table."""
        self.connection.con.execute(f'DROP TABLE IF EXISTS "kept_{name}"')

    def write(self, table: ir.Table, folder: Path, *, order_by: tuple[str, ...]) -> None:
        """Write one sorted Parquet file."""
        folder.mkdir(parents=True)
        keys = ", ".join(f'"{key}"' for key in order_by)
        query = f"{self.query(table)} ORDER BY {keys}"
        target = str(folder / "part-0.parquet").replace("'", "''")
        self.connection.con.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet)")

    def close(self) -> None:
        """Close the connection with all that is in its memory."""
        self.connection.disconnect()


class SparkEngine:
    """Views on Spark.

    Parameters
    ----------
    connection : ibis PySpark backend
        On a session in the time zone UTC: our timestamps are naive.
    """

    name = "spark"

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def keep(self, name: str, table: ir.Table) -> ir.Table:
        """Compute `table` where the executors keep it.

        A checkpoint, not Spark's cache: what reads it then is planned without what made it.
        """
        frame = self.connection._session.sql(self.connection.compile(table)).localCheckpoint()
        frame.createOrReplaceTempView(f"kept_{name}")
        return self.connection.table(f"kept_{name}")

    def release(self, name: str) -> None:
        """Forget the checkpoint, which goes with what referred to it."""
        self.connection._session.catalog.dropTempView(f"kept_{name}")

    def write(self, table: ir.Table, folder: Path, *, order_by: tuple[str, ...]) -> None:
        """Write one Parquet file per partition, sorted within."""
        from pyspark.sql.types import TimestampType

        frame = self.connection._session.sql(self.connection.compile(table))
        for name in (EVENT_TIMESTAMP, CREATED_TIMESTAMP):
            # The session is in UTC: the naive moment becomes the same instant.
            frame = frame.withColumn(name, frame[name].cast(TimestampType()))
        frame.sortWithinPartitions(*order_by).write.option("compression", "zstd").parquet(
            str(folder)
        )

    def close(self) -> None:
        """Do nothing: other connections share the session."""


@dataclass(frozen=True)
class Written:
    """One view as written: where and in how many seconds."""

    view: str
    folder: Path
    seconds: float


@contextmanager
def prepared(engine: Engine, tables: Tables, as_of: datetime) -> Iterator[dict[str, ir.Table]]:
    """Give the tables with what several views share computed once; drop it afterwards."""
    extended = dict(tables)
    try:
        for name, builder in PREPARED.items():
            extended[name] = engine.keep(name, builder(extended, as_of))
        yield extended
    finally:
        for name in PREPARED:
            if name in extended:
                engine.release(name)


def write_views(
    engine: Engine,
    views: Mapping[str, View],
    tables: Tables,
    as_of: datetime,
    folders: Mapping[str, Path],
    *,
    event_timestamp: datetime,
    created_timestamp: datetime,
) -> list[Written]:
    """Build `views` at `as_of` and write each into its folder.

    Parameters
    ----------
    engine : Engine
    views : mapping of str to View
        Those that read another's result stand after it.
    tables : mapping of str to ibis table
    as_of : datetime
        Naive local.
    folders : mapping of str to Path
        One new folder per view.
    event_timestamp, created_timestamp : datetime
        Naive UTC; stand on every row.
    """
    stamps = {
        EVENT_TIMESTAMP: ibis.timestamp(event_timestamp).cast("timestamp('UTC', 6)"),
        CREATED_TIMESTAMP: ibis.timestamp(created_timestamp).cast("timestamp('UTC', 6)"),
    }
    written: list[Written] = []
    needed = {name for view in views.values() for name in view.needs}
    with prepared(engine, tables, as_of) as extended:
        kept: list[str] = []
        for view in views.values():
            started = time.perf_counter()
            table = view.build(extended, as_of)
            if view.name in needed:
                table = engine.keep(f"view_{view.name}", table)
                extended[f"view:{view.name}"] = table
                kept.append(f"view_{view.name}")
            shutil.rmtree(folders[view.name], ignore_errors=True)
            engine.write(
                table.mutate(**stamps), folders[view.name], order_by=tuple(view.entity_keys)
            )
            written.append(Written(view.name, folders[view.name], time.perf_counter() - started))
        for name in kept:
            engine.release(name)
    return written


def packed_sql(view: View) -> str:
    """Return the DuckDB expression of a row's features as one JSON array.

    A timestamp becomes its microseconds since 1970-01-01 on the local clock, a float that is
    not finite becomes null.
    """
    parts = []
    for feature in view.features:
        name = f'"{feature.name}"'
        if feature.dtype == "timestamp":
            parts.append(f"epoch_us({name})")
        elif feature.dtype == "float64":
            parts.append(f"CASE WHEN isfinite({name}) THEN {name} END")
        else:
            parts.append(name)
    return f"json_array({', '.join(parts)})"


def digest_sql(view: View, files: str) -> str:
    """Return the DuckDB query for rows and digest of a snapshot, whatever its order of rows.

    Floats are rounded to 1e-9; the digest is the sum of the rows' MD5 sums modulo 2**64.
    """
    parts = []
    for name in view.columns:
        feature = view.by_name.get(name)
        rounded = feature is not None and feature.dtype == "float64"
        # Adding zero turns -0.0 into 0.0.
        parts.append(f'round("{name}", {DIGEST_DIGITS}) + 0.0' if rounded else f'"{name}"')
    text = f"CAST(json_array({', '.join(parts)}) AS VARCHAR)"
    return (
        f"SELECT count(*), printf('%016x', CAST(coalesce(sum(CAST(md5_number_lower({text}) "
        f"AS HUGEINT)), 0) % 18446744073709551616 AS UBIGINT)) FROM read_parquet('{files}')"
    )
