"""The training set of the learned mode model: assignments, and their features at the time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import polars as pl

from nba.models.mode.assignments.records import AssignmentSource
from nba.models.mode.scores import BEHAVIOUR, CONTACT

#: Anchors are counted from here, so that two trainings share their snapshots.
EPOCH: Final = datetime(2001, 1, 1)

Snapshot = Callable[[str, datetime], pl.DataFrame]


#: Features of plain history are older: it is long, and teaches less per row.
HISTORY_WEEKS: Final = 4


def anchors_of(assignments: pl.DataFrame, every_days: int) -> pl.Series:
    """Return per assignment the last feature moment at or before its day.

    Rows of plain history (`source`) share one moment in `HISTORY_WEEKS` times as many days.
    """
    day = (pl.col("ts").dt.truncate("1d") - pl.lit(EPOCH)).dt.total_days()
    length = pl.lit(every_days)
    if "source" in assignments.columns:
        habit = pl.col("source") == str(AssignmentSource.HISTORY)
        length = pl.when(habit).then(every_days * HISTORY_WEEKS).otherwise(every_days)
    anchor = pl.lit(EPOCH) + pl.duration(days=day - day % length)
    return assignments.select(anchor.cast(pl.Datetime("us")).alias("anchor")).to_series()


def assignment_features(
    assignments: pl.DataFrame, snapshot: Snapshot, *, every_days: int = 7
) -> pl.DataFrame:
    """Return each assignment's customer features as they stood before it.

    Parameters
    ----------
    assignments : DataFrame
        `assignment_id, customer_id, ts`.
    snapshot : callable of (view, as_of)
        Returns a feature view as built at `as_of`; asked for `customer_behaviour` and
        `customer_contact` once per anchor.
    every_days : int
        Distance of the anchors: features are at most this old, and never from the future.
    """
    keyed = assignments.select("assignment_id", "customer_id").with_columns(
        anchors_of(assignments, every_days)
    )
    parts = []
    for anchor in keyed["anchor"].unique().sort().to_list():
        rows = keyed.filter(pl.col("anchor") == anchor)
        for view in (BEHAVIOUR, CONTACT):
            table = snapshot(view, anchor)
            known = [c for c in table.columns if c == "customer_id" or c not in rows.columns]
            rows = rows.join(table.select(known), on="customer_id", how="left")
        parts.append(rows.drop("customer_id", "anchor"))
    if not parts:
        return pl.DataFrame(schema={"assignment_id": pl.String})
    return pl.concat(parts, how="vertical_relaxed").sort("assignment_id")
