"""Features of a few customers now: the same views over these customers' own slice.

No feature of a customer depends on another customer, so that a slice gives what the whole
gives; a test holds every view to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import ibis
import polars as pl
from ibis.expr import types as ir

from nba.features.view import Tables, View

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
)


def customer_slice(tables: Tables, customer_ids: Sequence[str]) -> dict[str, ir.Table]:
    """Return the tables with the rows of `customer_ids` only; dimensions stay whole.

    A response that names its interaction alone counts by the interaction's customer.
    """
    wanted = list(customer_ids)
    sliced = dict(tables)
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


def fresh_rows(
    views: Mapping[str, View], tables: Tables, as_of: datetime, customer_ids: Sequence[str]
) -> dict[str, pl.DataFrame]:
    """Return the rows of `customer_ids` in every view that is keyed by customers.

    Parameters
    ----------
    views : mapping of str to View
    tables : mapping of str to ibis table
        On DuckDB; the lake's slice and what was accepted since.
    as_of : datetime
        Naive local: now.
    customer_ids : sequence of str

    Returns
    -------
    dict of str to polars.DataFrame
        By view, sorted by key; to be pushed online one by one.
    """
    sliced = customer_slice(tables, customer_ids)
    rows: dict[str, pl.DataFrame] = {}
    for view in views.values():
        if "customer_id" not in view.entity_keys:
            continue
        frame: pl.DataFrame = view.build(sliced, as_of).to_polars()
        rows[view.name] = frame.sort(view.entity_keys)
        sliced[f"view:{view.name}"] = ibis.memtable(rows[view.name].to_arrow())
    return rows
