"""No view looks past its moment, and none depends on the order of rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.common.agreement import agreement
from nba.features import VIEWS
from nba.features.engine import DuckDBEngine
from nba.features.prepare import PREPARED
from nba.features.tags import load_tags, with_tags
from nba.features.view import Feature, View
from nba.schema.tables import TABLES

#: Facts with a time of their own: from this time on they are known.
LATER_FACTS = {
    "customers": {"blocked_at": (), "friend_since": ()},
    "friendships": {"ended_at": ("ended_by",)},
    "memberships": {"left_at": ()},
    "benefits": {"used_at": ()},
    "service_cases": {"closed_at": ()},
    "products": {"retired_at": ()},
    "clerks": {"left_at": ()},
}
START = datetime(2025, 1, 1)


def without_future(name: str, table: pa.Table, as_of: datetime) -> pa.Table:
    """Delete what became known at or after `as_of`."""
    moment = pa.scalar(as_of, pa.timestamp("us"))
    column = TABLES[name].time_column
    if name == "customers":
        column = "joined_at"
    if column:
        past = pc.less(table[column], moment)
        table = table.filter(pc.fill_null(past, True))
    for fact, others in LATER_FACTS.get(name, {}).items():
        later = pc.fill_null(pc.greater_equal(table[fact], moment), False)
        for field in (fact, *others):
            i = table.schema.get_field_index(field)
            nothing = pa.scalar(None, table.schema.field(field).type)
            table = table.set_column(i, field, pc.if_else(later, nothing, table[field]))
    return table


def with_other_future(
    name: str, table: pa.Table, as_of: datetime, rng: np.random.Generator
) -> pa.Table:
    """Shuffle the columns of the rows that lie at or after `as_of`, each by itself."""
    column = "joined_at" if name == "customers" else TABLES[name].time_column
    if not column:
        return table
    future = pc.fill_null(pc.greater_equal(table[column], pa.scalar(as_of)), False)
    past, later = table.filter(pc.invert(future)), table.filter(future)
    if name == "customers":
        return pa.concat_tables([past, later.take(rng.permutation(len(later)))])
    keep = set(TABLES[name].key)
    shuffled = {
        field: later[field] if field in keep else later[field].take(rng.permutation(len(later)))
        for field in table.column_names
    }
    mixed = pa.concat_tables([past, pa.table(shuffled, schema=table.schema)])
    return mixed.take(rng.permutation(len(mixed)))


class Recorder(DuckDBEngine):
    """Keeps what it computes, and the statements with which it did."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.statements: list[str] = []

    def keep(self, name: str, table: Any) -> Any:
        kept = f'CREATE OR REPLACE TEMP TABLE "kept_{name}" AS {self.query(table)}'
        self.statements.append(kept)
        self.connection.con.execute(kept)
        return self.connection.table(f"kept_{name}")


class Check:
    """Builds every view over tables and over the same tables with another future.

    Turning the views into SQL takes far longer than running it on small tables: it is done once
    per moment.
    """

    def __init__(
        self, make_tables: Callable[..., Any], to_duckdb: Callable[..., Any], views: Any
    ) -> None:
        self.make_tables, self.to_duckdb, self.views = make_tables, to_duckdb, views
        self.statements: dict[datetime, list[str]] = {}

    def compiled(self, as_of: datetime) -> list[str]:
        if as_of not in self.statements:
            tables = dict(self.to_duckdb(self.make_tables(0, customers=3, lines=9)))
            engine = Recorder(tables["customers"].get_backend())
            for name, builder in PREPARED.items():
                tables[name] = engine.keep(name, builder(tables, as_of))
            for name, view in self.views.items():
                kept = engine.keep(f"view_{name}", view.build(tables, as_of))
                tables[f"view:{name}"] = kept
            self.statements[as_of] = engine.statements
        return self.statements[as_of]

    def built(self, tables: dict[str, pa.Table], as_of: datetime) -> dict[str, pl.DataFrame]:
        connection = self.to_duckdb(tables)["customers"].get_backend().con
        for statement in self.compiled(as_of):
            connection.execute(statement)
        found = {}
        for name, view in self.views.items():
            keys = ", ".join(view.entity_keys)
            query = f'SELECT * FROM "kept_view_{name}" ORDER BY {keys}'
            found[name] = connection.execute(query).pl()
        connection.close()
        return found

    def __call__(self, seed: int, as_of: datetime) -> None:
        tables = self.make_tables(seed, customers=25, lines=400)
        rng = np.random.default_rng(seed)
        truth = self.built(tables, as_of)
        variants = {
            "deleted": {n: without_future(n, t, as_of) for n, t in tables.items()},
            "shuffled": {n: with_other_future(n, t, as_of, rng) for n, t in tables.items()},
        }
        for label, variant in variants.items():
            for name, frame in self.built(variant, as_of).items():
                found = agreement(self.views[name], truth[name], frame)
                assert not found.unequal, (label, found)
                assert found.largest_difference <= 1e-9, (label, found)


@pytest.fixture(scope="module")
def check(make_tables: Callable[..., Any], to_duckdb: Callable[..., Any], repository: Any) -> Check:
    views = with_tags(VIEWS, load_tags(repository / "features" / "tags.yaml", VIEWS))
    return Check(make_tables, to_duckdb, views)


def moments(count: int) -> st.SearchStrategy[datetime]:
    """Draw from `count` moments over the year, at any time of the day, and midnights."""
    rng = np.random.default_rng(count)
    seconds = rng.integers(30 * 86_400, 420 * 86_400, count)
    seconds[::3] -= seconds[::3] % 86_400
    return st.sampled_from([START + timedelta(seconds=int(s)) for s in seconds])


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10_000), moments(2))
def test_the_future_changes_no_view(check: Check, seed: int, as_of: datetime) -> None:
    check(seed, as_of)


def test_a_view_that_looks_ahead_is_found(
    make_tables: Callable[..., Any], to_duckdb: Callable[..., Any]
) -> None:
    def build(tables: Any, as_of: datetime) -> Any:
        rows = tables["transactions"]
        return rows.group_by("product_id").agg(sales=rows.count())

    view = View("ahead", ("product_id",), build, (Feature("sales", "int64", "all sales"),), "-")
    with pytest.raises(AssertionError, match="deleted"):
        Check(make_tables, to_duckdb, {"ahead": view})(3, START + timedelta(days=200))


@pytest.mark.proof
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1_000_000), moments(30))
def test_no_future_changes_any_view(check: Check, seed: int, as_of: datetime) -> None:
    check(seed, as_of)
