"""Features of a few customers now: the same views, prepared over a slice of the tables.

No feature of a customer depends on another customer, so that a slice gives what the whole
gives; a test holds every view to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Final

from nba.features.engine import DuckDBEngine
from nba.features.prepare import purchases
from nba.features.view import Tables, View
from nba.schema.words import CUSTOMER_ID

if TYPE_CHECKING:
    import duckdb
    import polars as pl
    from ibis.expr import types as ir

#: Tables of which a slice holds the rows of its customers.
BY_CUSTOMER: Final = (
    "customers",
    "friendships",
    "transactions",
    "interactions",
    "responses",
    "tags",
    "memberships",
    "benefits",
    "service_cases",
    "behaviour",
)
#: Tables that the customers' views read whole.
WHOLE: Final = ("products", "categories")
#: Hour, minute, second and microsecond that no rule or feature names by chance.
_ODD: Final = (13, 37, 42, 424_242)
#: The table of one row that says what time it is.
MOMENT: Final = "fresh_moment"
#: How that time of day stands in compiled SQL, and what takes its place. A parameter would have
#: the query planned anew at every call, which costs more than to run it.
_ODD_SQL: Final = f", {_ODD[0]}, {_ODD[1]}, {_ODD[2]}.{_ODD[3]})"
_READ: Final = ", ".join(f"(SELECT {part} FROM {MOMENT})" for part in ("hour", "minute", "second"))
_NOW_SQL: Final = f", {_READ})"
_PURCHASES: Final = "purchases"


def customer_views(views: Mapping[str, View]) -> dict[str, View]:
    """Return the views that are keyed by customers."""
    return {name: view for name, view in views.items() if CUSTOMER_ID in view.entity_keys}


def compile_day(
    views: Mapping[str, View], connection: object, tables: Tables, day: date, *, window_days: int
) -> dict[str, str]:
    """Return the SQL of the customers' views on a day, which reads the time of day from a table.

    Within a day the SQL of a view differs in nothing but the time. Turning expressions into SQL
    takes seconds; what is prepared once runs in some hundredths of one.

    Parameters
    ----------
    views : mapping of str to View
        Those that read another's result stand after it.
    connection : ibis DuckDB backend
        That holds `tables`; the table of each view, `kept_view_NAME`, is left there, empty.
    tables : mapping of str to ibis table
        `BY_CUSTOMER` and `WHOLE`.
    day : date
    window_days : int
        How far `purchases` go back.
    """
    engine = DuckDBEngine(connection)
    hour, minute, second, micro = _ODD
    odd = datetime.combine(day, time(hour, minute, second, micro))
    extended, queries = dict(tables), {}
    for name, view in customer_views(views).items():
        queries[name] = _with_moment(engine, extended, f"view_{name}", view.build(extended, odd))
    bought = purchases(tables, odd, window_days=window_days)
    queries[_PURCHASES] = _with_moment(engine, {}, f"view_{_PURCHASES}", bought)
    return queries


def _with_moment(
    engine: DuckDBEngine, extended: dict[str, ir.Table], name: str, table: ir.Table
) -> str:
    query = engine.query(table).replace(_ODD_SQL, _NOW_SQL)
    if f"{_ODD[3]}" in query:
        raise ValueError(f"{name} writes the moment in a way that is not known yet")
    # a table of the view's columns stands where later views expect its result
    extended[name.replace("view_", "view:", 1)] = engine.keep(name, table)
    return query


class SliceFeatures:
    """The customers' views over whatever rows stand in the tables of a connection.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        With the tables of `compile_day`.
    queries : mapping of str to str
        As `compile_day` returns them.

    Notes
    -----
    The tables' rows may be replaced between calls, the tables may not: their queries are
    prepared, and would be planned anew as soon as any table is made.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, queries: Mapping[str, str]) -> None:
        self._connection = connection
        connection.execute(
            f"CREATE TEMP TABLE {MOMENT} AS SELECT 0::BIGINT AS hour, 0::BIGINT AS minute, "
            "0::DOUBLE AS second"
        )
        self._names = [name for name in queries if name != _PURCHASES]
        #: Views that a later view reads.
        self._kept = {
            name
            for name in self._names
            if any(f"kept_view_{name}" in query for query in queries.values())
        }
        for name, query in queries.items():
            if name in self._kept:
                connection.execute(
                    f'CREATE TEMP TABLE IF NOT EXISTS "kept_view_{name}" AS {query} LIMIT 0'
                )
        for name, query in queries.items():
            put = f'INSERT INTO "kept_view_{name}" ' if name in self._kept else ""
            connection.execute(f'PREPARE "fresh_{name}" AS {put}{query}')

    def rows(self, as_of: datetime) -> dict[str, pl.DataFrame]:
        """Return every view of the customers whose rows stand in the tables.

        Parameters
        ----------
        as_of : datetime
            Naive local, of the day for which the queries were compiled.

        Returns
        -------
        dict of str to polars.DataFrame
            By view, in no order.
        """
        self._set(as_of)
        return {name: self._run(name) for name in self._names}

    def purchases(self, as_of: datetime) -> pl.DataFrame:
        """Return what these customers bought: see `nba.features.prepare.purchases`."""
        self._set(as_of)
        return self._run(_PURCHASES)

    def _set(self, as_of: datetime) -> None:
        seconds = as_of.second + as_of.microsecond / 1_000_000
        self._connection.execute(
            f"UPDATE {MOMENT} SET hour = {as_of.hour}, minute = {as_of.minute}, "
            f"second = {seconds!r}::DOUBLE"
        )

    def _run(self, name: str) -> pl.DataFrame:
        connection = self._connection
        if name not in self._kept:
            return connection.execute(f'EXECUTE "fresh_{name}"').pl()
        connection.execute(f'DELETE FROM "kept_view_{name}"')
        connection.execute(f'EXECUTE "fresh_{name}"')
        return connection.execute(f'SELECT * FROM "kept_view_{name}"').pl()
