"""Any table's columns as one numeric matrix: numbers as they are, frequent levels as flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from nba.arrays import Floats

#: Levels of a text column that get a flag of their own, and how many rows they must have.
MAX_LEVELS: Final = 30
MIN_LEVEL_ROWS: Final = 20
#: A text column with more distinct values than this share of the rows is an id.
ID_SHARE: Final = 0.3


@dataclass(frozen=True)
class Encoder:
    """How the columns of a table become a matrix.

    Parameters
    ----------
    numbers : tuple of str
        Columns taken as numbers (empty values become NaN).
    levels : tuple of (column, levels)
        Text columns with the levels that have a flag.
    dropped : tuple of (column, reason)
    """

    numbers: tuple[str, ...]
    levels: tuple[tuple[str, tuple[str, ...]], ...]
    dropped: tuple[tuple[str, str], ...] = ()

    @classmethod
    def fit(cls, table: pl.DataFrame, columns: Sequence[str]) -> Encoder:
        """Decide for each of `columns`: number, levels, or nothing to learn from."""
        numbers: list[str] = []
        levels: list[tuple[str, tuple[str, ...]]] = []
        dropped: list[tuple[str, str]] = []
        for name in columns:
            column = table[name]
            reason = _useless(column)
            if reason:
                dropped.append((name, reason))
            elif is_number(column.dtype):
                numbers.append(name)
            else:
                frequent = _frequent(column)
                if frequent:
                    levels.append((name, frequent))
                else:
                    dropped.append((name, "no frequent value"))
        return cls(tuple(numbers), tuple(levels), tuple(dropped))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the matrix columns."""
        flags = tuple(f"{name}={level}" for name, levels in self.levels for level in levels)
        return self.numbers + flags

    def transform(self, table: pl.DataFrame) -> Floats:
        """Return the matrix, shape (rows, columns); unknown levels have no flag."""
        parts = [_number(table[name]).alias(name) for name in self.numbers]
        for name, levels in self.levels:
            text = table[name].cast(pl.String)
            parts += [
                (text == level).fill_null(False).cast(pl.Float64).alias(f"{name}={level}")
                for level in levels
            ]
        if not parts:
            return np.zeros((table.height, 0))
        matrix = pl.DataFrame(parts).to_numpy()
        return np.ascontiguousarray(matrix, dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Return the encoder as plain JSON values."""
        return {
            "numbers": list(self.numbers),
            "levels": [[name, list(levels)] for name, levels in self.levels],
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Encoder:
        """Read back `to_dict`."""
        levels = tuple((name, tuple(values)) for name, values in state["levels"])
        return cls(tuple(state["numbers"]), levels)


def is_number(dtype: pl.DataType) -> bool:
    """Whether a column is read as a number."""
    return bool(dtype.is_numeric() or dtype.is_temporal() or dtype == pl.Boolean)


def _number(column: pl.Series) -> pl.Series:
    if column.dtype.is_temporal():
        column = column.to_physical()
    values = column.cast(pl.Float64).fill_null(float("nan"))
    return pl.select(pl.when(values.is_finite()).then(values).otherwise(float("nan"))).to_series()


def _useless(column: pl.Series) -> str:
    distinct, rows = column.n_unique(), len(column)
    if distinct <= 1:
        return "constant"
    if column.dtype.is_nested():
        return "a nested value"
    if column.dtype.is_integer() and distinct == rows and rows >= 50:
        return "an id: every value once"
    if not is_number(column.dtype) and distinct > max(MAX_LEVELS, ID_SHARE * rows):
        return "an id: too many distinct values"
    return ""


def _frequent(column: pl.Series) -> tuple[str, ...]:
    counts = column.cast(pl.String).drop_nulls().value_counts().rename({column.name: "level"})
    need = min(MIN_LEVEL_ROWS, max(2, len(column) // 20))
    frequent = counts.filter(pl.col("count") >= need).sort(
        ["count", "level"], descending=[True, False]
    )
    return tuple(frequent["level"].head(MAX_LEVELS).to_list())
