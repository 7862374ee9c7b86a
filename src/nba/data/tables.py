"""The tables as the layers above see them at a moment: visible, resolved, complete.

Above the lake, times are naive and local to the project's zone, money is a float, defaults
are filled in, dimensions are the version of the day, and tables that a retailer does not
have are derived from those that there are.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Collection
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from nba.data import clock, derive, sql, store_clock
from nba.data.lake import Lake, State, connect, duckdb_type, relation
from nba.data.staging import NOT_SAID
from nba.schema.tables import ATTRIBUTE_PREFIX, LOADED_AT, TABLES, VALID_FROM, Table

if TYPE_CHECKING:
    from ibis.expr.types import Table as IbisTable

_numbers = count()
#: Tables of events are read where they lie, in the lake's Parquet: they outgrow the memory.
IN_PLACE = frozenset({"transactions", "interactions", "responses", "behaviour"})
#: Facts with a time of their own, which is not yet known before that time.
LATER_FACTS = {
    "customers": ("blocked_at",),
    "friendships": ("ended_at", "ended_by"),
    "memberships": ("left_at",),
    "benefits": ("used_at",),
    "service_cases": ("closed_at",),
    "products": ("retired_at",),
}
_DATED_BY = {"ended_by": "ended_at"}


def load_tables(
    lake: Lake,
    *,
    as_of: datetime | None,
    time_zone: str,
    connection: Any,
) -> dict[str, IbisTable]:
    """Return every table of the contract as visible at `as_of`.

    Parameters
    ----------
    lake : Lake
    as_of : datetime or None
        Naive, local; rows with a time at or after it are left out. None: everything.
    time_zone : str
        The project's zone.
    connection : ibis backend
        DuckDB, where the tables are made, or another one that reads Parquet.

    Returns
    -------
    dict of str to ibis.Table
        Every table of the contract; empty where there is nothing. Timestamps are naive and
        local, decimals are float64, defaults are filled in. Sales and responses also have
        `store_ts` where a store has a clock of its own, see `nba.data.store_clock`.

    Notes
    -----
    One version of the lake serves all tables of a call, whatever is loaded meanwhile. On DuckDB
    the tables of events are views over the lake's files: what they hold is read where it is
    asked for, and spills where the connection says (`memory_limit`, `temp_directory`). For
    another engine the tables are written to a temporary folder that goes with the connection.
    """
    prefix = f"lake_{next(_numbers)}_"
    if connection.name == "duckdb":
        build(connection.con, lake, prefix, as_of=as_of, time_zone=time_zone)
        return {name: connection.table(prefix + name) for name in TABLES}
    folder = Path(tempfile.mkdtemp(prefix="nba-tables-"))
    weakref.finalize(connection, shutil.rmtree, folder, ignore_errors=True)
    with connect(scratch=folder / "spill") as own:
        build(own, lake, prefix, as_of=as_of, time_zone=time_zone)
        for name in TABLES:
            target = sql.text(str(folder / f"{name}.parquet"))
            own.execute(f"COPY (FROM {sql.name(prefix + name)}) TO {target} (FORMAT parquet)")
    return {
        name: connection.read_parquet(folder / f"{name}.parquet", table_name=prefix + name)
        for name in TABLES
    }


def build(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    prefix: str,
    *,
    as_of: datetime | None,
    time_zone: str,
) -> None:
    """Make the tables on a DuckDB connection, named `prefix` and the table's name.

    Those of events are views; whoever fills in a column of theirs replaces the view.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    lake : Lake
    prefix : str
        What the names of the tables begin with.
    as_of : datetime, optional
        Leaves out what is not visible then (`ts < as_of`); None for everything.
    time_zone : str
        IANA name; moments become naive times of it.
    """
    state = lake.state()
    moment = None if as_of is None else as_of.replace(tzinfo=ZoneInfo(time_zone))
    for table in TABLES.values():
        rows = relation(table, lake.files(table.name, state))
        query = visible(connection, table, rows, moment, time_zone)
        kind = "VIEW" if table.name in IN_PLACE else "TABLE"
        connection.execute(f"CREATE OR REPLACE {kind} {sql.name(prefix + table.name)} AS {query}")
    connection.execute(
        f"CREATE OR REPLACE TABLE {sql.name(prefix + derive.PRICES)} AS "
        f"{_prices(lake, state, time_zone)}"
    )
    if moment is not None:
        _forget_later_customers(connection, lake, state, prefix, moment)
    derive.fill(connection, prefix, derive.given(state), _limit(moment, time_zone))
    store_clock.add(connection, prefix, time_zone)


def _forget_later_customers(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    state: State,
    prefix: str,
    moment: datetime,
) -> None:
    """Leave out customers of whom nothing but later lines tells that they exist."""
    customers = sql.name(prefix + "customers")
    undated = f"joined_at IS NULL AND coalesce(friend_since, {derive.NEVER}) < {derive.ALWAYS}"
    if not connection.execute(f"SELECT 1 FROM {customers} WHERE {undated} LIMIT 1").fetchall():
        return
    lines = relation(TABLES["transactions"], lake.files("transactions", state))
    traces = " UNION ".join(
        f"SELECT customer_id FROM {sql.name(prefix + table)} WHERE customer_id IS NOT NULL"
        for table in ("transactions", "friendships", "interactions", "responses", "tags")
    )
    connection.execute(
        f"""DELETE FROM {customers} WHERE {undated}
        AND customer_id NOT IN ({traces}) AND customer_id IN (
            SELECT customer_id FROM ({lines})
            WHERE ts >= {sql.moment(moment)} AND customer_id IS NOT NULL)"""
    )


def _prices(lake: Lake, state: State, time_zone: str) -> str:
    """Return every price of a product with the local time since which it counts."""
    versions = relation(TABLES["products"], lake.files("products", state))
    return (
        f"SELECT product_id, CAST(price AS DOUBLE) AS price, CASE WHEN row_number() OVER "
        f"(PARTITION BY product_id ORDER BY {VALID_FROM}) = 1 THEN TIMESTAMP '0001-01-01' "
        f"ELSE timezone({sql.text(time_zone)}, {VALID_FROM}) END AS since FROM ({versions})"
    )


def _limit(moment: datetime | None, time_zone: str) -> str:
    """Return the local moment before which everything visible lies, as SQL."""
    if moment is None:
        return "TIMESTAMP '9999-12-31'"
    return f"timezone({sql.text(time_zone)}, {sql.moment(moment)})"


def visible(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    rows: str,
    moment: datetime | None,
    time_zone: str,
) -> str:
    """Return the SELECT of the rows of `table` that are visible at `moment`.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    table : Table
    rows : str
        The SELECT of every row that the lake holds.
    moment : datetime or None
        Aware; None: everything.
    time_zone : str
        The project's zone, in which times come out.
    """
    if moment is not None and table.time_column:
        rows = f"SELECT * FROM ({rows}) WHERE {table.time_column} < {sql.moment(moment)}"
    if table.history:
        rows = _resolved(table, rows, moment)
    present = _columns(connection, rows)
    columns = [column.name for column in table.columns]
    columns += sorted(name for name in present if name.startswith(ATTRIBUTE_PREFIX))
    parts = ", ".join(
        f"{_local(table, name, moment, time_zone)} AS {sql.name(name)}" for name in columns
    )
    return f"SELECT {parts} FROM ({_with_absent(table, rows, present)})"


def with_contract(connection: duckdb.DuckDBPyConnection, table: Table, rows: str) -> str:
    """Return the SELECT of `rows` with every column of the contract, absent ones empty."""
    return _with_absent(table, rows, _columns(connection, rows))


def _columns(connection: duckdb.DuckDBPyConnection, rows: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(f"DESCRIBE {rows}").fetchall()]


def _with_absent(table: Table, rows: str, present: Collection[str]) -> str:
    """Add the columns that the contract has learned since the files were written, empty."""
    absent = ", ".join(
        f"CAST(NULL AS {duckdb_type(column.arrow_type)}) AS {sql.name(column.name)}"
        for column in table.columns
        if column.name not in present
    )
    return f"SELECT *, {absent} FROM ({rows})" if absent else rows


def _local(table: Table, name: str, moment: datetime | None, time_zone: str) -> str:
    """SQL of one column: local, float, with its default, and without what comes later."""
    column = table.by_name.get(name)
    value = sql.name(name)
    if column is None:
        return value
    if moment is not None and name in LATER_FACTS.get(table.name, ()):
        dated = sql.name(_DATED_BY.get(name, name))
        value = f"CASE WHEN {dated} < {sql.moment(moment)} THEN {value} END"
    if pa.types.is_timestamp(column.arrow_type):
        # events are many; for the others the calendar's time is less than that of a longer query
        many = table.name in IN_PLACE
        general = f"timezone({sql.text(time_zone)}, {value})"
        value = clock.local(value, time_zone) if many else general
    elif pa.types.is_decimal(column.arrow_type):
        value = f"CAST({value} AS DOUBLE)"
    if column.default is not None:
        value = f"coalesce({value}, {sql.literal(column.default)})"
    return value


def _resolved(table: Table, rows: str, moment: datetime | None) -> str:
    """Return one row per key: the last version before `moment`, else the first."""
    key = sql.names(name for name in table.key if name != VALID_FROM)
    past = "true" if moment is None else f"{VALID_FROM} < {sql.moment(moment)}"
    # Among versions of the past the last counts, among those of the future the first.
    order = (
        f"{past} DESC, CASE WHEN {past} THEN {VALID_FROM} END DESC NULLS LAST, "
        f"{VALID_FROM}, {LOADED_AT}"
    )
    if table.name != "customers":
        return (
            f"SELECT * FROM ({rows}) "
            f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1"
        )
    return f"""
        WITH versions AS ({rows}),
        chosen AS (SELECT * FROM versions
            QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1),
        friends AS ({_said_friend(moment)}),
        consents AS ({_consent("consent_contact", moment)}
            UNION ALL BY NAME {_consent("consent_profiling", moment)}),
        agreed AS (SELECT customer_id, any_value(consent_contact) AS contact,
            any_value(consent_profiling) AS profiling FROM consents GROUP BY ALL)
        SELECT c.* REPLACE (
            CASE WHEN c.friend_since = {sql.moment(NOT_SAID)} AND f.customer_id IS NOT NULL
                THEN f.since ELSE c.friend_since END AS friend_since,
            coalesce(a.contact, true) AS consent_contact,
            coalesce(a.profiling, true) AS consent_profiling)
        FROM chosen AS c LEFT JOIN friends AS f USING (customer_id)
        LEFT JOIN agreed AS a USING (customer_id)"""


def _said_friend(moment: datetime | None) -> str:
    """The last visible version that says since when the customer is a friend."""
    past = "true" if moment is None else f"{VALID_FROM} < {sql.moment(moment)}"
    return (
        "SELECT customer_id, friend_since AS since FROM versions "
        f"WHERE friend_since IS DISTINCT FROM {sql.moment(NOT_SAID)} AND {past} "
        f"QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY {VALID_FROM} DESC) = 1"
    )


def _consent(column: str, moment: datetime | None) -> str:
    """The consent that stands at `moment`.

    A dated word counts from its date and the latest wins, whenever it was loaded; at the same
    time a "no" wins. An undated "no" counts from its version's date (the first version from
    the beginning) and beats every earlier "yes"; an undated "yes" grants only where there was
    never another word.
    """
    known = "true" if moment is None else f"said_at < {sql.moment(moment)}"
    return f"""
        SELECT customer_id, {column} FROM (
            SELECT customer_id, {column}, consent_at IS NULL AND {column} AS is_weak,
                coalesce(consent_at, {VALID_FROM}) AS said_at,
                consent_at IS NULL AND row_number() OVER (
                    PARTITION BY customer_id ORDER BY {VALID_FROM}) = 1 AS from_the_beginning
            FROM versions WHERE {column} IS NOT NULL)
        WHERE {known} OR from_the_beginning
        QUALIFY row_number() OVER (PARTITION BY customer_id
            ORDER BY is_weak, said_at DESC, {column}) = 1"""
