"""How far two results of one view are apart, value by value; floats relative to their size."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nba.features.view import View

#: Below this a float counts as this much when differences are related to it.
SMALLEST = 1e-12


@dataclass(frozen=True)
class Agreement:
    """Two results of one view: compared rows and values, and how far they are apart.

    `largest_difference` is the largest of a float, relative to the larger of the two, and stands in
    the column `largest_in`; `unequal`
    counts, by column, what must be equal and is not: rows (as `rows`), nulls, whole numbers,
    timestamps, text, flags.
    """

    view: str
    rows: int
    values: int
    largest_difference: float
    largest_in: str
    unequal: dict[str, int]


def agreement(view: View, left_rows: pl.DataFrame, right_rows: pl.DataFrame) -> Agreement:
    """Compare two results of `view`, both in the same order of rows."""
    if left_rows.height != right_rows.height:
        rows = {"rows": abs(left_rows.height - right_rows.height)}
        return Agreement(view.name, left_rows.height, 0, 0.0, "", rows)
    unequal: dict[str, int] = {}
    largest, where = 0.0, ""
    for name in view.columns:
        left, right = left_rows[name], right_rows[name]
        if left.dtype == pl.Float64 and right.dtype == pl.Float64:
            wrong = int((left.is_null() != right.is_null()).sum())
            scale = pl.max_horizontal(left.abs(), right.abs(), pl.lit(SMALLEST))
            gap = float(pl.select(((left - right).abs() / scale).max()).item() or 0.0)
            if gap > largest:
                largest, where = gap, name
        else:
            wrong = (
                int(left.ne_missing(right).sum()) if left.dtype == right.dtype else left_rows.height
            )
        if wrong:
            unequal[name] = wrong
    values = left_rows.height * len(view.columns)
    return Agreement(view.name, left_rows.height, values, largest, where, unequal)
