"""From arrays to the canonical tables of `nba.schema.tables`, in memory and as Parquet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from nba.arrays import Ints
from nba.schema.tables import TABLES, VALID_FROM, Kind, Table

DAY_MICROSECONDS: Final = 86_400_000_000
OFFSET_DAYS: Final = 3100
#: Tables that the world does not make: it has no app to look around in, and knows everybody.
NOT_MADE: Final = frozenset({"feedback", "behaviour", "identities"})
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
    Kind.ZONE: pl.String(),
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

    def copy(self) -> Recorder:
        """Return a recorder with the same rows that can be continued independently."""
        twin = Recorder()
        twin._parts = {name: list(parts) for name, parts in self._parts.items()}
        return twin

    def take(self) -> dict[str, pl.DataFrame]:
        """Return all rows kept since the last call, in canonical form, and forget them."""
        tables = {name: canonical(name, parts) for name, parts in self._parts.items()}
        self._parts = {}
        return tables


def timestamps(days: object, start_us: int, offsets: Ints) -> pl.Series:
    """Return UTC timestamps of local days since the start; what is not finite is empty.

    Parameters
    ----------
    days : array of float
        Fractions are the time of day.
    start_us : int
        Midnight of the first day, in microseconds.
    offsets : array of int
        Microseconds from UTC to local time by day, the first entry `OFFSET_DAYS` days before
        the start. Clocks change at night, when shops are closed: one offset holds for a day.
    """
    values = np.asarray(days, dtype=np.float64)
    known = np.isfinite(values)
    values = np.where(known, values, 0.0)
    whole = np.floor(values).astype(np.int64)
    within = np.round((values - whole) * 86_400).astype(np.int64)
    place = np.clip(whole + OFFSET_DAYS, 0, len(offsets) - 1)
    micros = start_us + whole * DAY_MICROSECONDS + within * 1_000_000 - offsets[place]
    stamps = np.where(known, micros, np.iinfo(np.int64).min).view("datetime64[us]")
    return pl.Series(stamps).cast(_POLARS[Kind.TIMESTAMP])


def zone_offsets(start: dt.date, days: int, time_zone: str) -> Ints:
    """Return the offset of local time at noon of each day, from `OFFSET_DAYS` before the start."""
    zone = ZoneInfo(time_zone)
    noon = dt.datetime.combine(start, dt.time(12), tzinfo=zone)
    spans = [
        (noon + dt.timedelta(days=day)).utcoffset() or dt.timedelta()
        for day in range(-OFFSET_DAYS, days)
    ]
    return np.array([round(span.total_seconds()) * 1_000_000 for span in spans], dtype=np.int64)


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
        absent = set(TABLES) - set(self._writers) - NOT_MADE
        self.write({name: canonical(name, []) for name in sorted(absent)})
        for writer in self._writers.values():
            writer.close()


def _arrow_schema(table: Table) -> pa.Schema:
    names = [*schema_of(table)]
    return pa.schema([table.arrow_schema.field(name) for name in names])
