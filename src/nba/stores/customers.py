"""Customers as rows: features online, scores of a plan, the lake's purchases and contacts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import polars as pl

from nba.data.lake import Lake, connect
from nba.errors import UnavailableError
from nba.logs import log
from nba.stores.feature_store import FeastFeatureStore
from nba.stores.records import NEWEST, RELATIONS, SCORES, Relations, newest_of

Row = Mapping[str, Any]

#: From a customer and a plan's day to the packed record of that day, or None.
RecordOf = Callable[[str, date], Mapping[str, list[dict[str, Any]]] | None]
PersonOf = Callable[[str, date], list[dict[str, Any]] | None]


def remembered(read: RecordOf) -> RecordOf:
    """Return a reader that does not unpack a record again within moments: a card asks often."""

    @lru_cache(maxsize=256)
    def within(
        customer_id: str, day: date, moment: int
    ) -> Mapping[str, list[dict[str, Any]]] | None:
        return read(customer_id, day)

    return lambda customer_id, day: within(customer_id, day, int(time.monotonic()))


_IDENTITIES: Final = f"""
    SELECT * EXCLUDE (valid_from) FROM ({RELATIONS["person"]})
    WHERE customer_id IN (SELECT unnest(?))
    QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY valid_from DESC) = 1
"""
_BY_EXTERNAL_ID: Final = """
    SELECT customer_id FROM (
        SELECT customer_id, external_id FROM ({customers})
        QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY valid_from DESC) = 1)
    WHERE external_id = ? ORDER BY customer_id LIMIT 1
"""
_OFFERS: Final = """
    SELECT content_id AS offer_id, title, link, CAST(NULL AS TIMESTAMPTZ) AS starts_at
    FROM ({content})
    UNION ALL
    SELECT event_id, topic, link, starts_at FROM ({events})
"""
_PRODUCT_PAGES: Final = """
    SELECT product_id, link, image FROM ({products})
    QUALIFY row_number() OVER (PARTITION BY product_id ORDER BY valid_from DESC) = 1
"""


_CATEGORIES: Final = "SELECT category, name FROM ({categories})"
#: So many customers are read from their records; more of them from the lake, at once.
FEW: Final = 64
#: How many open cases and benefits are shown of a customer.
MATTERS: Final = 20


def _is_over(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment < now


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
    person_of : callable
        Reads of that who a customer is alone.
    """

    def __init__(
        self,
        lake: Lake,
        features: FeastFeatureStore,
        runs: Path,
        record_of: RecordOf = lambda customer_id, day: None,
        person_of: PersonOf = lambda customer_id, day: None,
    ) -> None:
        self._record_of = record_of
        self._person_of = person_of
        self._lake = lake
        self._features = features
        self._runs = runs
        self._duckdb = connect(threads=2)
        self._small: dict[str, tuple[str, Mapping[str, Row]]] = {}

    def dimension(self, view: str, day: date) -> dict[str, Row]:
        """Return the rows of a view with one key (`clerk`, `product`) of a day, by id.

        Raises
        ------
        UnavailableError
            Where its files are gone or cannot be read.
        """
        table = self._features.served(view, datetime(day.year, day.month, day.day))
        return {row[f"{view}_id"]: row for row in table.iter_rows(named=True)}

    def online(self, view: str, customer_id: str) -> Row:
        """Return a customer's features online; all are None for an unknown id."""
        return self._features.online_one(view, customer_id=customer_id)

    def tags(self, customer_id: str) -> Sequence[Row]:
        """Return the tags that stand online; moments are naive local."""
        return self._features.online_plain("customer_tags", customer_id)

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
            rows = record.get(name, ())
            return [row for row in rows if row.get("ts") is None or row["ts"] < before][:limit]
        with self._duckdb.cursor() as cursor:  # a session of its own: threads do not meet
            cursor.execute("SET TimeZone = 'UTC'")
            query = newest_of(name, Relations(self._lake, cursor))
            found = cursor.execute(query, [customer_id, before, limit]).to_arrow_table()
        return found.to_pylist()  # type: ignore[no-any-return]

    def changes_at(self, customer_id: str, *, now: datetime, day: date) -> datetime | None:
        """Return when rows of the customer come, or end, without anything being heard; None: never.

        `now` where nothing was packed of them: the lake may change at any time.
        """
        record = self._record_of(customer_id, day)
        if record is None:
            return now
        moments = (
            moment
            for name in RELATIONS
            for row in record.get(name, ())
            for moment in row.values()
            if isinstance(moment, datetime) and moment >= now
        )
        return min(moments, default=None)

    def matters(self, customer_id: str, *, now: datetime, day: date | None = None) -> Sequence[Row]:
        """Return open cases and unused benefits: kind, opened_at, expires_at, amount."""
        rows = self._newest("matters", customer_id, now, NEWEST, day)
        is_open = [
            {name: value for name, value in row.items() if name != "settled_at"}
            for row in rows
            if not _is_over(row["settled_at"], now)
            and not _is_over(row["expires_at"], now)
            and (row["opened_at"] is None or row["opened_at"] < now)
        ]
        return is_open[:MATTERS]

    def identities(self, customer_ids: Sequence[str], day: date | None = None) -> Mapping[str, Row]:
        """Return what is known of who some customers are, by id: from packed records for a few."""
        if day is not None and len(customer_ids) <= FEW:
            people = {one: self._person_of(one, day) for one in customer_ids}
            if all(rows is not None for rows in people.values()):
                return {
                    one: {"customer_id": one, **row}
                    for one, rows in people.items()
                    for row in rows or ()
                }
        rows = self.query(_IDENTITIES, [list(customer_ids)])
        return {row["customer_id"]: row for row in rows}

    def by_external_id(self, external_id: str) -> str | None:
        """Return the customer whom the chat platform knows by an id."""
        rows = self.query(_BY_EXTERNAL_ID, [external_id])
        return str(rows[0]["customer_id"]) if rows else None

    def offers(self, offer_ids: Sequence[str]) -> dict[str, Row]:
        """Return title, link and beginning of content and events, by id."""
        known = self._whole("offer_id", _OFFERS)
        return {one: known[one] for one in offer_ids if one in known}

    def product_pages(self, product_ids: Sequence[str]) -> dict[str, Row]:
        """Return link and picture of products, by id."""
        known = self._whole("product_id", _PRODUCT_PAGES)
        return {one: known[one] for one in product_ids if one in known}

    def category_names(self) -> dict[str, str | None]:
        """Return `categories.name` by category."""
        return {one: row["name"] for one, row in self._whole("category", _CATEGORIES).items()}

    def _whole(self, key: str, query: str) -> Mapping[str, Row]:
        """Return all rows of a small table by key, read once for each state of the lake."""
        version = self._lake.version
        known = self._small.get(key)
        if known is None or known[0] != version:
            rows = {row[key]: row for row in self.query(query, [])}
            known = self._small[key] = (version, rows)
        return known[1]

    def book(self, clerk_id: str, day: date) -> Sequence[Row]:
        """Return the customers of a clerk on a day: customer_id, is_friend, is_blocked, tags."""
        state = self._scan("customer_state", day)
        if state is None:
            return []
        mine = state.filter(pl.col("clerk_id") == clerk_id)
        try:
            people = mine.select("customer_id", "is_friend", "is_blocked").collect()
            tags = self._scan("customer_tags", day)
            if tags is not None:
                theirs = tags.join(
                    people.lazy().select("customer_id"), on="customer_id", how="semi"
                )
                names = theirs.group_by("customer_id").agg(pl.col("tag").sort().alias("tags"))
                people = people.join(names.collect(), on="customer_id", how="left")
        except (OSError, pl.exceptions.PolarsError) as error:
            raise UnavailableError(
                "the customers of a clerk cannot be read",
                expected=f"whole files of customer_state and customer_tags of {day}",
                found=type(error).__name__,
                next_step=f"make the features anew: `nba run --as-of {day} --force`",
            ) from None
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
            text = sql.format_map(Relations(self._lake, cursor))
            found = cursor.execute(text, parameters).to_arrow_table()
        rows: list[Row] = found.to_pylist()
        return rows

    def scores(self, name: str, customer_id: str, day: date) -> Sequence[Row]:
        """Return a customer's rows of one score table of a day's run.

        None where its file is gone or cannot be read: a card goes without.
        """
        record = self._record_of(customer_id, day) if name in SCORES else None
        if record is not None:
            return record.get(name, [])
        path = self._runs / day.isoformat() / "scores" / f"{name}.parquet"
        if not path.is_file():
            return []
        mine = pl.col("customer_id") == customer_id
        try:
            return pl.scan_parquet(path).filter(mine).collect().to_dicts()
        except (OSError, pl.exceptions.PolarsError) as error:
            log().error("scores cannot be read", table=name, error=type(error).__name__)
            return []
