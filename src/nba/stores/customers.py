"""Customers as rows: features online, scores of a plan, the lake's purchases and contacts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from nba.data.lake import Lake, connect
from nba.data.tables import with_contract
from nba.schema.tables import TABLES
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


class _Relations(dict[str, str]):
    """The lake's tables by name, each as a SELECT with every column of the contract."""

    def __init__(self, lake: Lake, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__()
        self._lake, self._connection = lake, connection

    def __missing__(self, name: str) -> str:
        return with_contract(self._connection, TABLES[name], self._lake.relation(name))


_PERSONAL: Final = "customer_id, name, alias, external_id, avatar, phone_tail"
_IDENTITIES: Final = f"""
    SELECT {_PERSONAL} FROM ({{customers}}) WHERE customer_id IN (SELECT unnest(?))
    QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY valid_from DESC) = 1
"""
_BY_EXTERNAL_ID: Final = """
    SELECT customer_id FROM (
        SELECT customer_id, external_id FROM ({customers})
        QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY valid_from DESC) = 1)
    WHERE external_id = ? ORDER BY customer_id LIMIT 1
"""
_MATTERS: Final = """
    SELECT kind, opened_at, CAST(NULL AS TIMESTAMPTZ) AS expires_at, CAST(NULL AS DOUBLE) AS amount
    FROM ({service_cases})
    WHERE customer_id = $who AND opened_at < $now AND (closed_at IS NULL OR closed_at >= $now)
    UNION ALL
    SELECT kind, NULL, expires_at, CAST(amount AS DOUBLE) FROM ({benefits})
    WHERE customer_id = $who AND (used_at IS NULL OR used_at >= $now)
        AND (expires_at IS NULL OR expires_at >= $now)
    ORDER BY opened_at NULLS LAST, expires_at NULLS LAST LIMIT 20
"""
_OFFERS: Final = """
    SELECT content_id AS offer_id, title, link, CAST(NULL AS TIMESTAMPTZ) AS starts_at
    FROM ({content}) WHERE content_id IN (SELECT unnest($ids))
    UNION ALL
    SELECT event_id, topic, link, starts_at FROM ({events})
    WHERE event_id IN (SELECT unnest($ids))
"""
_PRODUCT_PAGES: Final = """
    SELECT product_id, link, image FROM ({products}) WHERE product_id IN (SELECT unnest(?))
    QUALIFY row_number() OVER (PARTITION BY product_id ORDER BY valid_from DESC) = 1
"""


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

    def matters(self, customer_id: str, *, now: datetime) -> list[Row]:
        """Return open cases and unused benefits: kind, opened_at, expires_at, amount."""
        return self.query(_MATTERS, {"who": customer_id, "now": now})

    def identities(self, customer_ids: Sequence[str]) -> dict[str, Row]:
        """Return what the lake knows of who some customers are, by id."""
        rows = self.query(_IDENTITIES, [list(customer_ids)])
        return {row["customer_id"]: row for row in rows}

    def by_external_id(self, external_id: str) -> str | None:
        """Return the customer whom the chat platform knows by an id."""
        rows = self.query(_BY_EXTERNAL_ID, [external_id])
        return str(rows[0]["customer_id"]) if rows else None

    def offers(self, offer_ids: Sequence[str]) -> dict[str, Row]:
        """Return title, link and beginning of content and events, by id."""
        rows = self.query(_OFFERS, {"ids": list(offer_ids)})
        return {row["offer_id"]: row for row in rows}

    def product_pages(self, product_ids: Sequence[str]) -> dict[str, Row]:
        """Return link and picture of products, by id."""
        rows = self.query(_PRODUCT_PAGES, [list(product_ids)])
        return {row["product_id"]: row for row in rows}

    def category_names(self) -> dict[str, str | None]:
        """Return `categories.name` by category."""
        rows = self.query("SELECT category, name FROM ({categories})", [])
        return {row["category"]: row["name"] for row in rows}

    def book(self, clerk_id: str, day: date) -> Sequence[Row]:
        """Return the customers of a clerk on a day: customer_id, is_friend, is_blocked, tags."""
        state = self._scan("customer_state", day)
        if state is None:
            return []
        mine = state.filter(pl.col("clerk_id") == clerk_id)
        people = mine.select("customer_id", "is_friend", "is_blocked").collect()
        tags = self._scan("customer_tags", day)
        if tags is not None:
            theirs = tags.join(people.lazy().select("customer_id"), on="customer_id", how="semi")
            names = theirs.group_by("customer_id").agg(pl.col("tag").sort().alias("tags")).collect()
            people = people.join(names, on="customer_id", how="left")
        return people.sort("customer_id").to_dicts()

    def _scan(self, view: str, day: date) -> pl.LazyFrame | None:
        moment = datetime(day.year, day.month, day.day)
        snapshots = self._features.snapshots
        if not snapshots.stands(view, moment):
            return None
        files = str(snapshots.folder(view, moment) / "*.parquet")
        return pl.scan_parquet(files, hive_partitioning=False)

    def query(self, sql: str, parameters: object) -> list[Row]:
        """Return the rows of a SELECT that names tables of the lake in braces; times in UTC."""
        with self._duckdb.cursor() as cursor:  # a session of its own: threads do not meet
            cursor.execute("SET TimeZone = 'UTC'")
            text = sql.format_map(_Relations(self._lake, cursor))
            found = cursor.execute(text, parameters).to_arrow_table()
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
