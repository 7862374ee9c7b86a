"""Fresh rows of a few customers: what the night saw of them, and what was accepted since.

The base is a DuckDB file that bringing a snapshot online writes: every table that the customers'
views read as the snapshot saw it, sorted by customer. What was accepted since takes its place
over it by key, and the views run over that slice.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pyarrow as pa

from nba.data import sql
from nba.data.tables import visible
from nba.errors import NotFoundError
from nba.features.fresh import BY_CUSTOMER, WHOLE, SliceFeatures, compile_day, customer_views
from nba.features.view import Tables, View
from nba.files import write_text
from nba.schema.tables import TABLES, VALID_FROM
from nba.schema.words import CLOCK, CUSTOMER_ID, SERVICE_CATEGORY, UNKNOWN_CATEGORY

#: Whose slice a row of the base belongs to: also an interaction that another customer answered.
_OWNER: Final = "owner_id"
_META: Final = "base"
_STORES: Final = "store_zones"
_WANTED: Final = "wanted_customers"
#: Tables of which rows come in during the day.
BY_DAY: Final = tuple(name for name in BY_CUSTOMER if name not in ("customers", "memberships"))
#: Replaced rows leave memory behind: after so many the connection is made anew while nobody waits,
#: and after so many in any case.
_RENEW_IDLE_ROWS: Final = 200_000
_RENEW_ROWS: Final = 4_000_000


@dataclass(frozen=True)
class Base:
    """What the file says of itself.

    Parameters
    ----------
    as_of : datetime
        Naive local: the moment of the snapshot.
    made_at : datetime
        Aware: what reached the lake before then stands in the base.
    inode : int
        Of the file: a new one is a new base.
    """

    as_of: datetime
    made_at: datetime
    inode: int


def write_base(path: Path, tables: Tables, as_of: datetime, made_at: datetime) -> None:
    """Write the base of a snapshot; a reader has the old file or the new.

    Parameters
    ----------
    path : Path
    tables : mapping of str to ibis table
        As visible at `as_of`, on one DuckDB connection.
    as_of : datetime
        Naive local.
    made_at : datetime
        Aware: before the tables were read.
    """
    backend = tables["customers"].get_backend()
    connection = backend.con
    path.parent.mkdir(parents=True, exist_ok=True)
    for broken_off in path.parent.glob(f"{path.stem}.*.tmp*"):
        broken_off.unlink()
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    connection.execute(f"ATTACH {sql.text(str(scratch))} AS fresh_base")
    try:
        for name in (*BY_CUSTOMER, *WHOLE):
            query = _owned(name, {one: backend.compile(tables[one]) for one in _needed(name)})
            connection.execute(f"CREATE TABLE fresh_base.{name} AS {query}")
        stores = backend.compile(tables["stores"])
        connection.execute(
            f"CREATE TABLE fresh_base.{_STORES} AS SELECT store_id, timezone FROM ({stores})"
        )
        connection.execute(
            f"CREATE TABLE fresh_base.{_META} AS SELECT "
            f"TIMESTAMP {sql.text(as_of.isoformat(' '))} AS as_of, "
            f"{round(made_at.timestamp() * 1_000_000)} AS made_us"
        )
    finally:
        connection.execute("DETACH fresh_base")
    scratch.replace(path)


def _needed(name: str) -> tuple[str, ...]:
    return (name, "interactions", "responses") if name in ("interactions", "responses") else (name,)


def _owned(name: str, queries: Mapping[str, str]) -> str:
    """Return the SELECT of a table of the base, with its owner and in order of owners."""
    if name in WHOLE:
        return queries[name]
    if name == "responses":
        # a response counts by its own customer, and by the customer of the interaction
        query = f"""WITH r AS ({queries["responses"]}), i AS (
                SELECT interaction_id, any_value(customer_id) AS customer_id
                FROM ({queries["interactions"]}) GROUP BY ALL)
            SELECT *, customer_id AS {_OWNER} FROM r
            UNION ALL
            SELECT r.*, i.customer_id FROM r JOIN i USING (interaction_id)
            WHERE r.customer_id IS NULL OR r.customer_id <> i.customer_id"""
    elif name == "interactions":
        # what a customer answered belongs to the slice even where it was sent to another
        query = f"""SELECT *, customer_id AS {_OWNER} FROM ({queries["interactions"]})
            UNION ALL
            SELECT i.*, r.customer_id FROM ({queries["interactions"]}) AS i JOIN (
                SELECT DISTINCT interaction_id, customer_id FROM ({queries["responses"]})
                WHERE customer_id IS NOT NULL AND interaction_id IS NOT NULL) AS r
            ON i.interaction_id = r.interaction_id AND i.customer_id <> r.customer_id"""
    else:
        query = f"SELECT *, customer_id AS {_OWNER} FROM ({queries[name]})"
    return f"SELECT * FROM ({query}) WHERE {_OWNER} IS NOT NULL ORDER BY {_OWNER}"


def read_base(path: Path) -> Base | None:
    """Return what the base says of itself, or None where there is none."""
    try:
        inode = path.stat().st_ino
        with duckdb.connect(str(path), read_only=True) as connection:
            found = connection.execute(f"SELECT as_of, made_us FROM {_META}").fetchone()
    except (FileNotFoundError, duckdb.Error):
        return None
    assert found is not None
    return Base(found[0], datetime.fromtimestamp(found[1] / 1_000_000, UTC), inode)


def base_without(path: Path, customer_ids: Sequence[str]) -> dict[str, int]:
    """Write the base anew without some customers; return how many rows each of them had."""
    if not path.exists() or not customer_ids:
        return {}
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    scratch.unlink(missing_ok=True)
    ids = list(customer_ids)
    counts: dict[str, int] = {}
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH {sql.text(str(path))} AS old (READ_ONLY)")
        connection.execute(f"ATTACH {sql.text(str(scratch))} AS new")
        for name in (*BY_CUSTOMER, *WHOLE, _STORES, _META):
            kept = ""
            if name in BY_CUSTOMER:
                theirs = (
                    f"{_OWNER} IN (SELECT unnest($ids)) OR customer_id IN (SELECT unnest($ids))"
                )
                for one, rows in connection.execute(
                    f"SELECT coalesce({_OWNER}, customer_id), count(*) FROM old.{name} "
                    f"WHERE {theirs} GROUP BY ALL",
                    {"ids": ids},
                ).fetchall():
                    counts[one] = counts.get(one, 0) + rows
                kept = f" WHERE coalesce(NOT ({theirs}), true)"
            connection.execute(
                f"CREATE TABLE new.{name} AS SELECT * FROM old.{name}{kept}",
                {"ids": ids} if kept else None,
            )
        connection.execute("DETACH old; DETACH new")
    if counts:
        scratch.replace(path)
    else:
        scratch.unlink()
    return {one: rows for one, rows in counts.items() if one in set(ids)}


class FreshRows:
    """The customers' views over base and day, for a few customers at a time.

    Parameters
    ----------
    path : Path
        Of the base.
    views : callable
        Returns the views as they are built.
    time_zone : str
        The project's.
    window_days : callable
        Returns how far `purchases` go back.
    definitions : callable, optional
        Returns a digest of what the views are made of. With it the compiled queries of a day are
        kept beside the base, for workers that start later.

    Notes
    -----
    One call at a time; what a day's queries cost to compile, seconds, the first call of a day
    pays. Clerks, stores and products are those of the base: who serves a customer changes by
    night alone, and a customer whom the base does not know is none before.
    """

    def __init__(
        self,
        path: Path,
        views: Callable[[], Mapping[str, View]],
        *,
        time_zone: str,
        window_days: Callable[[], int],
        definitions: Callable[[], str] | None = None,
    ) -> None:
        self._path = path
        self._views = views
        self._definitions = definitions
        self._time_zone = time_zone
        self._window_days = window_days
        self._lock = threading.Lock()
        self._slice: _Slice | None = None
        self._base: Base | None = None
        self._compiled: tuple[object, dict[str, str]] | None = None

    def rows(
        self, customer_ids: Sequence[str], day: Mapping[str, pl.DataFrame], now: datetime
    ) -> dict[str, pl.DataFrame]:
        """Return the customers' rows in every view that is keyed by customers.

        Parameters
        ----------
        customer_ids : sequence of str
        day : mapping of str to polars.DataFrame
            Rows accepted since the base was made, by table, with the columns of the contract
            (times in UTC) and `owner_id`: whom each is about.
        now : datetime
            Naive local.

        Raises
        ------
        NotFoundError
            Where there is no base.
        """
        with self._lock:
            one = self._ready(now)
            one.fill(customer_ids, day, now)
            found = one.features.rows(now)
        views = customer_views(self._views())
        wanted = pl.col(CUSTOMER_ID).is_in(list(customer_ids))
        return {
            name: frame.filter(wanted).sort(views[name].entity_keys)
            for name, frame in found.items()
        }

    def tables(
        self, customer_ids: Sequence[str], day: Mapping[str, pl.DataFrame], now: datetime
    ) -> dict[str, pl.DataFrame]:
        """Return the slice by table, and `purchases` as `LakeTables.purchases` does: see `rows`."""
        with self._lock:
            one = self._ready(now)
            one.fill(customer_ids, day, now)
            bought = one.features.purchases(now)
            found = {name: one.read(name) for name in BY_CUSTOMER}
        days = bought.with_columns(ts=pl.from_epoch("day", time_unit="d").cast(pl.Datetime("us")))
        return {**found, "purchases": days.sort(CUSTOMER_ID, "product_id", "ts")}

    def base(self) -> Base | None:
        """Return what the base says of itself, or None where there is none."""
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            return None
        if self._base is None or self._base.inode != inode:
            self._base = read_base(self._path)
        return self._base

    def prepare(self, now: datetime) -> None:
        """Compile and plan the queries of a day, unless they are; while nobody waits.

        Raises
        ------
        NotFoundError
            Where there is no base.
        """
        with self._lock:
            self._ready(now, most_rows=_RENEW_IDLE_ROWS)

    def _ready(self, now: datetime, *, most_rows: int = _RENEW_ROWS) -> _Slice:
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError as error:
            raise NotFoundError(
                "there is no base to compute features from during the day",
                expected=str(self._path.name),
                next_step="publish a plan: `nba run` writes it",
            ) from error
        key = (inode, now.date())
        if self._slice is not None and (
            self._slice.key != key or self._slice.filled_rows >= most_rows
        ):
            self._slice.close()
            self._slice = None
        if self._slice is None:
            known = self._compiled
            one = _Slice(key, self._path, self._time_zone)
            if known is None or known[0] != key:
                known = self._compiled = (key, self._queries(one, now.date()))
            one.prepare(known[1])
            self._slice = one
        return self._slice

    def _queries(self, one: _Slice, day: date) -> dict[str, str]:
        """Return the queries of a day: those that are kept, or compiled anew and kept."""
        window_days = self._window_days()
        if self._definitions is None:
            return one.compile(self._views(), day, window_days)
        path = self._path.with_suffix(".queries.json")
        base = self.base()
        made = {
            "day": str(day),
            "base": None if base is None else [str(base.as_of), str(base.made_at)],
            "definitions": self._definitions(),
            "window_days": window_days,
            "versions": [version("duckdb"), version("ibis-framework")],
        }
        with path.with_suffix(".lock").open("w") as alone:  # others wait, and read
            fcntl.flock(alone, fcntl.LOCK_EX)
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))
            except (FileNotFoundError, ValueError):
                kept = {}
            if kept.get("made") == made:
                return dict(kept["queries"])
            queries = one.compile(self._views(), day, window_days)
            write_text(path, json.dumps({"made": made, "queries": queries}))
            return queries


class _Slice:
    """A DuckDB connection with the base attached, and tables that hold a few customers' rows."""

    features: SliceFeatures

    def __init__(self, key: object, path: Path, time_zone: str) -> None:
        import ibis

        self.key = key
        self.filled_rows = 0
        self._zone = time_zone
        self._backend = ibis.duckdb.connect(threads=1)
        self._connection: duckdb.DuckDBPyConnection = self._backend.con
        #: Types rows of the day: its tables come and go, which makes plans of this connection old.
        self._typing = duckdb.connect(config={"threads": 1})
        self._typing.execute("SET TimeZone = 'UTC'")
        run = self._connection.execute
        run("SET TimeZone = 'UTC'")
        run("SET enable_progress_bar = false")
        run("SET python_enable_replacements = true")  # ibis switches it off
        # memory that each small query gives back is asked for again by the next
        run("SET allocator_flush_threshold = '1GB'")
        # a plan outlives the rows that it was made over: nothing of it may rest on their ranges
        run("SET disabled_optimizers = 'statistics_propagation,compressed_materialization'")
        run(f"ATTACH {sql.text(str(path))} AS base (READ_ONLY)")
        run(f"CREATE TEMP TABLE {_WANTED} (customer_id VARCHAR)")
        for name in BY_CUSTOMER:
            run(f"CREATE TEMP TABLE {name} AS SELECT * EXCLUDE ({_OWNER}) FROM base.{name} LIMIT 0")
            # an interaction that another customer answered stands there once for each
            once = "DISTINCT " if name in ("interactions", "responses") else ""
            run(
                f"PREPARE fill_{name} AS INSERT INTO {name} SELECT {once}* EXCLUDE ({_OWNER}) "
                f"FROM base.{name} WHERE {_OWNER} IN (SELECT customer_id FROM {_WANTED})"
            )
        for name in BY_DAY:
            run(f"CREATE TEMP TABLE day_{name} AS SELECT * FROM {name} LIMIT 0")
        for name in WHOLE:
            run(f"CREATE TEMP TABLE {name} AS SELECT * FROM base.{name}")
        #: Tables of which the base has rows at all, and those that hold any now.
        self._kept_by_base = [
            name
            for name in BY_CUSTOMER
            if run(f"SELECT 1 FROM base.{name} LIMIT 1").fetchone() is not None
        ]
        self._holding: set[str] = set()
        self._known_columns = {name: self._columns(name) for name in BY_DAY}
        self._has_clock = CLOCK in self._known_columns["transactions"]

    def _columns(self, table: str) -> list[str]:
        return [str(row[0]) for row in self._connection.execute(f"DESCRIBE {table}").fetchall()]

    def compile(self, views: Mapping[str, View], day: date, window_days: int) -> dict[str, str]:
        """Return the queries of a day."""
        tables = {name: self._backend.table(name) for name in (*BY_CUSTOMER, *WHOLE)}
        return compile_day(views, self._backend, tables, day, window_days=window_days)

    def prepare(self, queries: Mapping[str, str]) -> None:
        """Plan the queries."""
        self.features = SliceFeatures(self._connection, queries)

    def close(self) -> None:
        self._typing.close()
        self._backend.disconnect()

    def read(self, table: str) -> pl.DataFrame:
        """Return the rows that a table holds."""
        return self._connection.execute(f"SELECT * FROM {table}").pl()

    def fill(
        self, customer_ids: Sequence[str], day: Mapping[str, pl.DataFrame], now: datetime
    ) -> None:
        """Replace what the tables hold by the rows of some customers."""
        run = self._connection.execute
        run(f"DELETE FROM {_WANTED}")
        run(f"INSERT INTO {_WANTED} SELECT unnest(?)", [list(customer_ids)])
        for name in self._holding:
            run(f"DELETE FROM {name}")
        self._holding = set(self._kept_by_base)
        for name in self._kept_by_base:
            self.filled_rows += run(f"EXECUTE fill_{name}").fetchall()[0][0]
        for name in BY_DAY:
            rows = day.get(name)
            if rows is not None and not rows.is_empty():
                self._holding.add(name)
                self._lay_over(name, rows, now)

    def _lay_over(self, name: str, rows: pl.DataFrame, now: datetime) -> None:
        """Put rows of the day over a table, by key."""
        run, table = self._connection.execute, TABLES[name]
        moment = now.replace(tzinfo=ZoneInfo(self._zone))
        self._typing.register("day_rows", rows.to_arrow())
        query = visible(self._typing, table, "SELECT * FROM day_rows", moment, self._zone)
        typed = self._typing.execute(query).to_arrow_table()
        self._typing.unregister("day_rows")
        columns = [one for one in typed.column_names if one in self._known_columns[name]]
        run(f"DELETE FROM day_{name}")
        self._put(f"day_{name}", typed.select(columns))
        key = sql.names(column for column in table.key if column != VALID_FROM)
        run(f"DELETE FROM {name} WHERE ({key}) IN (SELECT ({key}) FROM day_{name})")
        if name == "transactions":
            self._price()
        run(f"INSERT INTO {name} SELECT * FROM day_{name}")
        self.filled_rows += rows.height
        if name in ("transactions", "responses") and self._has_clock:
            self._set_clock(name)

    def _put(self, table: str, rows: pa.Table) -> None:
        """Add rows to a table without a view of them, whose making would make plans old."""
        self._connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM rows")

    def _price(self) -> None:
        """Give lines of the day the product's price where they have none; know their products.

        A line of postage or a fee is nobody's.
        """
        run = self._connection.execute
        run(
            "UPDATE day_transactions AS l SET unit_price = p.price FROM products AS p "
            "WHERE l.unit_price IS NULL AND l.product_id = p.product_id"
        )
        run(
            f"INSERT INTO products (product_id, category, price) "
            f"SELECT product_id, {sql.text(UNKNOWN_CATEGORY)}, max(unit_price) "
            "FROM day_transactions WHERE product_id NOT IN (SELECT product_id FROM products) "
            "GROUP BY ALL"
        )
        run(
            "DELETE FROM day_transactions WHERE product_id IN (SELECT product_id FROM products "
            f"WHERE category = {sql.text(SERVICE_CATEGORY)})"
        )

    def _set_clock(self, name: str) -> None:
        """Set the store's own clock of the day's rows, as `nba.data.store_clock` does."""
        store = "coalesce(t.store_id, c.store_id)" if name == "transactions" else "c.store_id"
        key = TABLES[name].key
        self._connection.execute(
            f"""UPDATE {name} SET {CLOCK} = w.clock FROM (
                SELECT {sql.names(key, "t.")},
                    CASE WHEN z.timezone IS NULL THEN t.ts ELSE timezone(z.timezone,
                        timezone({sql.text(self._zone)}, t.ts)) END AS clock
                FROM day_{name} AS t
                LEFT JOIN customers AS c ON c.customer_id = t.customer_id
                LEFT JOIN base.{_STORES} AS z ON z.store_id = {store}) AS w
            WHERE ({sql.names(key, f"{name}.")}) = ({sql.names(key, "w.")})"""
        )
