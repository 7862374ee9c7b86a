"""Customers as rows: features online, scores of a plan, the lake's purchases and contacts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from nba.data.lake import Lake, connect
from nba.stores.feature_store import FeastFeatureStore
from nba.stores.records import SCORES, newest_of

Row = Mapping[str, Any]

#: From a customer and a plan's day to the packed record of that day, or None.
RecordOf = Callable[[str, date], Mapping[str, list[dict[str, Any]]] | None]


def remembered(read: RecordOf) -> RecordOf:
    """Return a reader that does not unpack a record again within moments: a card asks often."""

    @lru_cache(maxsize=256)
    def within(
        customer_id: str, day: date, moment: int
    ) -> Mapping[str, list[dict[str, Any]]] | None:
        return read(customer_id, day)

    return lambda customer_id, day: within(customer_id, day, int(time.monotonic()))


class CustomerRows:
    """Reads what a project knows of single customers.

    Parameters
    ----------
    lake : Lake
    features : FeastFeatureStore
    runs : Path
        The folder of the nightly runs.
    record_of : callable
        Reads what the night packed; what it did not pack is read from the lake and the run.
    """

    def __init__(
        self,
        lake: Lake,
        features: FeastFeatureStore,
        runs: Path,
        record_of: RecordOf = lambda customer_id, day: None,
    ) -> None:
        self._record_of = record_of
        self._lake = lake
        self._features = features
        self._runs = runs
        self._duckdb = connect(threads=2)

    def dimension(self, view: str, day: date) -> dict[str, Row]:
        """Return the rows of a view with one key (`clerk`, `product`) of a day, by id."""
        table = self._features.snapshot(view, datetime(day.year, day.month, day.day))
        return {row[f"{view}_id"]: row for row in table.iter_rows(named=True)}

    def online(self, view: str, customer_id: str) -> Row:
        """Return a customer's features online; all are None for an unknown id."""
        return self._features.online_one(view, customer_id=customer_id)

    def tags(self, customer_id: str) -> Sequence[Row]:
        """Return the tags that stand online; moments are naive local."""
        return self._features.online_rows("customer_tags", [customer_id]).to_dicts()

    def purchases(
        self, customer_id: str, *, before: datetime, limit: int, day: date | None = None
    ) -> Sequence[Row]:
        """Return the newest lines of the purchase record; moments are aware.

        Parameters
        ----------
        customer_id : str
        before : datetime
            Aware.
        limit : int
            At most `nba.stores.records.NEWEST`.
        day : date, optional
            The plan's, whose packed record is read.
        """
        return self._newest("purchases", customer_id, before, limit, day)

    def contacts(
        self, customer_id: str, *, before: datetime, limit: int, day: date | None = None
    ) -> Sequence[Row]:
        """Return the newest contacts with their responses; moments are aware.

        Parameters
        ----------
        customer_id, before, limit, day
            As for `purchases`.
        """
        return self._newest("contacts", customer_id, before, limit, day)

    def _newest(
        self, name: str, customer_id: str, before: datetime, limit: int, day: date | None
    ) -> Sequence[Row]:
        record = None if day is None else self._record_of(customer_id, day)
        if record is not None:
            return [row for row in record.get(name, ()) if row["ts"] < before][:limit]
        with self._duckdb.cursor() as cursor:  # a session of its own: threads do not meet
            cursor.execute("SET TimeZone = 'UTC'")
            query = newest_of(name, self._lake)
            found = cursor.execute(query, [customer_id, before, limit]).to_arrow_table()
        rows: list[Row] = found.to_pylist()
        return rows

    def scores(self, name: str, customer_id: str, day: date) -> Sequence[Row]:
        """Return a customer's rows of one score table of a day's run."""
        record = self._record_of(customer_id, day) if name in SCORES else None
        if record is not None:
            return record.get(name, [])
        path = self._runs / day.isoformat() / "scores" / f"{name}.parquet"
        if not path.is_file():
            return []
        mine = pl.col("customer_id") == customer_id
        return pl.scan_parquet(path).filter(mine).collect().to_dicts()
