"""Features of a few customers now: the same views over these customers' own slice.

No feature of a customer depends on another customer, so that a slice gives what the whole
gives; a test holds every view to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import polars as pl
from ibis.expr import types as ir

from nba.features.engine import DuckDBEngine
from nba.features.view import Tables, View
from nba.schema.words import CUSTOMER_ID

#: Tables of which a slice holds the rows of its customers.
BY_CUSTOMER: Final = (
    "customers",
    "friendships",
    "transactions",
    "interactions",
    "tags",
    "memberships",
    "benefits",
    "service_cases",
    "behaviour",
)
#: Tables that the customers' views read whole.
WHOLE: Final = ("products", "categories")


def customer_slice(tables: Tables, customer_ids: Sequence[str]) -> dict[str, ir.Table]:
    """Return what the customers' views read, with the rows of `customer_ids` only.

    A response that names its interaction alone counts by the interaction's customer.
    """
    wanted = list(customer_ids)
    sliced = {name: tables[name] for name in WHOLE}
    for name in BY_CUSTOMER:
        sliced[name] = tables[name].filter(tables[name].customer_id.isin(wanted))
    responses, sent = tables["responses"], tables["interactions"]
    own = sliced["interactions"].select(own_id="interaction_id").distinct()
    joined = responses.left_join(own, responses.interaction_id == own.own_id)
    mine = joined.customer_id.isin(wanted) | (joined.customer_id.isnull() & joined.own_id.notnull())
    sliced["responses"] = joined.filter(mine.fill_null(False)).drop("own_id")
    # What a customer answered belongs to the slice even where it was sent to another.
    answered = sliced["responses"].select("interaction_id").distinct()
    sliced["interactions"] = sent.semi_join(answered, "interaction_id").union(
        sliced["interactions"], distinct=True
    )
    return sliced


class FreshFeatures:
    """The views of a few customers now, compiled once a day.

    Parameters
    ----------
    views : mapping of str to View

    Notes
    -----
    Turning expressions into SQL takes far longer than running it on a slice. Within a day the
    SQL of a view differs only in the moment itself, so it is compiled at an odd time of that
    day and the time is put in its place.
    """

    #: Hour, minute, second and microsecond that no rule or feature names by chance.
    _ODD = (13, 37, 42, 424_242)

    def __init__(self, views: Mapping[str, View]) -> None:
        self.views = {n: v for n, v in views.items() if CUSTOMER_ID in v.entity_keys}
        self._compiled: dict[tuple[object, ...], dict[str, str]] = {}

    def rows(
        self, tables: Tables, as_of: datetime, customer_ids: Sequence[str]
    ) -> dict[str, pl.DataFrame]:
        """Return the rows of `customer_ids` in every view that is keyed by customers.

        Parameters
        ----------
        tables : mapping of str to ibis table
            On one DuckDB connection, which no other thread uses meanwhile: the lake's slice
            and what was accepted since.
        as_of : datetime
            Naive local: now.
        customer_ids : sequence of str

        Returns
        -------
        dict of str to polars.DataFrame
            By view, sorted by key; to be pushed online one by one.
        """
        connection = tables["customers"].get_backend()
        engine = DuckDBEngine(connection)
        own: dict[str, ir.Table] = {}
        for name, table in customer_slice(tables, customer_ids).items():
            connection.con.execute(
                f'CREATE OR REPLACE TEMP TABLE "fresh_{name}" AS {connection.compile(table)}'
            )
            own[name] = connection.table(f"fresh_{name}")
        rows: dict[str, pl.DataFrame] = {}
        for name, query in self._queries(engine, own, as_of).items():
            connection.con.execute(f'CREATE OR REPLACE TEMP TABLE "kept_view_{name}" AS {query}')
            keys = ", ".join(self.views[name].entity_keys)
            rows[name] = connection.con.execute(
                f'SELECT * FROM "kept_view_{name}" ORDER BY {keys}'
            ).pl()
        return rows

    def _queries(
        self, engine: DuckDBEngine, tables: Mapping[str, ir.Table], as_of: datetime
    ) -> dict[str, str]:
        schemas = tuple((name, table.schema()) for name, table in sorted(tables.items()))
        key = (as_of.date(), schemas)
        if key not in self._compiled:
            self._compiled = {key: self._compile(engine, tables, as_of)}
        hour, minute, second, micro = self._ODD
        odd = f", {hour}, {minute}, {second}.{micro})"
        seconds = as_of.second + as_of.microsecond / 1_000_000
        now = f", {as_of.hour}, {as_of.minute}, {seconds!r})"
        return {name: query.replace(odd, now) for name, query in self._compiled[key].items()}

    def _compile(
        self, engine: DuckDBEngine, tables: Mapping[str, ir.Table], as_of: datetime
    ) -> dict[str, str]:
        hour, minute, second, micro = self._ODD
        odd = as_of.replace(hour=hour, minute=minute, second=second, microsecond=micro)
        extended, queries = dict(tables), {}
        for name, view in self.views.items():
            table = view.build(extended, odd)
            queries[name] = engine.query(table)
            # A table of the view's columns stands where later views expect its result.
            extended[f"view:{name}"] = engine.keep(f"view_{name}", table)
        return queries
