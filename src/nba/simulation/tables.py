"""From arrays to the canonical tables of `nba.schema.tables`, in memory and as Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from nba.schema.tables import TABLES, VALID_FROM, Kind, Table

DAY_MICROSECONDS: Final = 86_400_000_000
_POLARS: Final[Mapping[Kind, pl.DataType]] = {
    Kind.ID: pl.String(),
    Kind.TEXT: pl.String(),
    Kind.BIRTHDAY: pl.String(),
    Kind.TIMESTAMP: pl.Datetime("us", "UTC"),
    Kind.DATE: pl.Date(),
    Kind.MONEY: pl.Decimal(18, 4),
    Kind.QUANTITY: pl.Decimal(18, 4),
    Kind.NUMBER: pl.Float64(),
    Kind.INTEGER: pl.Int64(),
    Kind.BOOLEAN: pl.Boolean(),
    Kind.ID_LIST: pl.List(pl.String()),
}


def schema_of(table: Table) -> dict[str, pl.DataType]:
    """Return the Polars schema of a canonical table as a retailer would deliver it."""
    schema = {column.name: _POLARS[column.kind] for column in table.columns}
    if table.history:
        schema[VALID_FROM] = _POLARS[Kind.TIMESTAMP]
    return schema


def canonical(name: str, parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return one canonical table: the contract's columns in order, cast, absent ones empty."""
    schema = schema_of(TABLES[name])
    if not parts:
        return pl.DataFrame(schema=schema)
    frame = pl.concat(parts, how="diagonal_relaxed")
    present = set(frame.columns)
    return frame.select(
        (pl.col(column) if column in present else pl.lit(None)).cast(dtype).alias(column)
        for column, dtype in schema.items()
    )


class Recorder:
    """Collects rows by table until they are taken."""

    def __init__(self) -> None:
        self._parts: dict[str, list[pl.DataFrame]] = {}

    def add(self, name: str, frame: pl.DataFrame) -> None:
        """Keep the rows of one table."""
        if frame.height:
            self._parts.setdefault(name, []).append(frame)

    def take(self) -> dict[str, pl.DataFrame]:
        """Return all rows kept since the last call, in canonical form, and forget them."""
        tables = {name: canonical(name, parts) for name, parts in self._parts.items()}
        self._parts = {}
        return tables


def timestamps(days: object, start_us: int, time_zone: str) -> pl.Series:
    """Return UTC timestamps of local days since the start (fractions are the time of day)."""
    values = np.asarray(days, dtype=np.float64)
    missing = ~np.isfinite(values)
    whole = np.floor(np.where(missing, 0, values))
    within = np.round((np.where(missing, 0, values) - whole) * 86_400).astype(np.int64)
    micros = start_us + whole.astype(np.int64) * DAY_MICROSECONDS + within * 1_000_000
    series = pl.Series(micros).cast(pl.Datetime("us"))
    frame = pl.DataFrame({"ts": series, "missing": missing})
    local = pl.col("ts").dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
    utc = local.dt.convert_time_zone("UTC")
    return frame.select(pl.when("missing").then(None).otherwise(utc).alias("ts"))["ts"]


class TableWriter:
    """Writes canonical tables to `folder/NAME.parquet`, one row group per call.

    The same rows in the same calls give the same bytes: one thread writes, and nothing of
    the clock enters the file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, pq.ParquetWriter] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, tables: Mapping[str, pl.DataFrame]) -> None:
        """Append rows to their tables."""
        for name in sorted(tables):
            schema = _arrow_schema(TABLES[name])
            table = tables[name].to_arrow().cast(schema)
            if name not in self._writers:
                path = self._folder / f"{name}.parquet"
                self._writers[name] = pq.ParquetWriter(path, schema, compression="zstd")
            self._writers[name].write_table(table)

    def close(self) -> None:
        """Finish all files; tables never written get an empty file."""
        absent = [name for name in TABLES if name not in self._writers and name != "feedback"]
        self.write({name: canonical(name, []) for name in absent})
        for writer in self._writers.values():
            writer.close()


def _arrow_schema(table: Table) -> pa.Schema:
    names = [*schema_of(table)]
    return pa.schema([table.arrow_schema.field(name) for name in names])
