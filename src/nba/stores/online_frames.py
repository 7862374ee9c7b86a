"""Between polars and the packed online store: keys, packed values, tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from nba.errors import UsageError
from nba.features import View
from nba.stores.online_packed import Key

POLARS_TYPES: Final[Mapping[str, pl.DataType]] = {
    "float64": pl.Float64(),
    "int64": pl.Int64(),
    "bool": pl.Boolean(),
    "string": pl.String(),
    "timestamp": pl.Datetime("us"),
    "list<string>": pl.List(pl.String()),
}
#: One encoder for all rows: `json.dumps` with other settings than its own makes one for each.
_AS_JSON: Final = json.JSONEncoder(ensure_ascii=False).encode


def pack(view: View, rows: pl.DataFrame) -> list[str]:
    """Return the features of each row as the JSON array that the online store keeps."""
    columns = [_plain(feature.name, feature.dtype) for feature in view.features]
    return [_AS_JSON(row) for row in rows.select(columns).iter_rows()]


def _plain(name: str, dtype: str) -> pl.Expr:
    """Return a feature as JSON has it: moments as microseconds, null for what is not finite."""
    column = pl.col(name).cast(POLARS_TYPES[dtype])
    if dtype == "timestamp":
        return column.dt.epoch("us")
    return pl.when(column.is_finite()).then(column) if dtype == "float64" else column


def keys_of(frame: pl.DataFrame, view: View) -> list[Key]:
    """Return the entity keys of `frame`, which must be strings and not null."""
    missing = [key for key in view.entity_keys if key not in frame.columns]
    if missing:
        raise UsageError(
            f"a look-up in {view.name} lacks {', '.join(missing)}",
            expected=", ".join(view.entity_keys),
            found=", ".join(frame.columns),
        )
    for key in view.entity_keys:
        if frame[key].dtype != pl.String or frame[key].null_count():
            raise UsageError(
                f"{key} must be text and never empty",
                expected="String without nulls",
                found=f"{frame[key].dtype} with {frame[key].null_count()} nulls",
                next_step="ids are strings: read them as such",
            )
    return list(frame.select(view.entity_keys).iter_rows())


def frame_of(view: View, data: Mapping[str, list[Any]], names: Sequence[str]) -> pl.DataFrame:
    """Return features as they came from the online store as a table of their types."""
    columns = []
    for name in names:
        dtype = view.by_name[name].dtype
        if dtype == "timestamp":
            column = pl.Series(name, data[name], dtype=pl.Int64()).cast(pl.Datetime("us"))
        else:
            column = pl.Series(name, data[name], dtype=POLARS_TYPES[dtype], strict=False)
        columns.append(column)
    return pl.DataFrame(columns)
