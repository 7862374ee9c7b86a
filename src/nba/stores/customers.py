"""Customers as rows: features online, scores of a plan, the lake's purchases and contacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from nba.data.lake import Lake, connect
from nba.stores.feature_store import FeastFeatureStore

Row = Mapping[str, Any]

_PURCHASES: Final = """
    SELECT ts, product_id, CAST(quantity AS DOUBLE) AS quantity,
           CAST(quantity * unit_price - sign(quantity) * abs(coalesce(discount, 0)) AS DOUBLE)
               AS amount
    FROM ({transactions}) WHERE customer_id = ? AND ts < ? ORDER BY ts DESC, product_id LIMIT ?
"""
_CONTACTS: Final = """
    SELECT i.ts, i.mode, i.channel, i.action_type, i.clerk_id,
           list(r.kind ORDER BY r.ts) FILTER (r.kind IS NOT NULL) AS responses
    FROM (SELECT * FROM ({interactions}) WHERE customer_id = ? AND ts < ?) AS i
    LEFT JOIN ({responses}) AS r ON r.interaction_id = i.interaction_id
    GROUP BY ALL ORDER BY i.ts DESC LIMIT ?
"""


class CustomerRows:
    """Reads what a project knows of single customers.

    Parameters
    ----------
    lake : Lake
    features : FeastFeatureStore
    runs : Path
        The folder of the nightly runs.
    """

    def __init__(self, lake: Lake, features: FeastFeatureStore, runs: Path) -> None:
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
        keys = pl.DataFrame({"customer_id": [customer_id]})
        return self._features.online(view, keys).drop("customer_id").row(0, named=True)

    def tags(self, customer_id: str) -> Sequence[Row]:
        """Return the tags that stand online; moments are naive local."""
        return self._features.online_rows("customer_tags", [customer_id]).to_dicts()

    def purchases(self, customer_id: str, *, before: datetime, limit: int) -> list[Row]:
        """Return the newest lines of the purchase record; moments are aware."""
        return self._query(_PURCHASES, [customer_id, before, limit])

    def contacts(self, customer_id: str, *, before: datetime, limit: int) -> list[Row]:
        """Return the newest contacts with their responses; moments are aware."""
        return self._query(_CONTACTS, [customer_id, before, limit])

    def _query(self, sql: str, parameters: list[object]) -> list[Row]:
        tables = {
            name: self._lake.relation(name)
            for name in ("transactions", "interactions", "responses")
        }
        with self._duckdb.cursor() as cursor:  # a session of its own: threads do not meet
            cursor.execute("SET TimeZone = 'UTC'")
            found = cursor.execute(sql.format(**tables), parameters).to_arrow_table()
        rows: list[Row] = found.to_pylist()
        return rows

    def scores(self, name: str, customer_id: str, day: date) -> Sequence[Row]:
        """Return a customer's rows of one score table of a day's run."""
        path = self._runs / day.isoformat() / "scores" / f"{name}.parquet"
        if not path.is_file():
            return []
        mine = pl.col("customer_id") == customer_id
        return pl.scan_parquet(path).filter(mine).collect().to_dicts()
