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
from polars.testing import assert_frame_equal

from nba.features import VIEWS
from nba.features.tags import load_tags, with_tags
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


def built(loaded: dict[str, Any], views: Any, as_of: datetime) -> dict[str, pl.DataFrame]:
    return {
        name: view.build(loaded, as_of).to_polars().sort(view.entity_keys)
        for name, view in views.items()
    }


@pytest.fixture(scope="module")
def check(
    make_tables: Callable[..., Any], to_duckdb: Callable[..., Any], repository: Any
) -> Callable[[int, int], None]:
    views = with_tags(VIEWS, load_tags(repository / "features" / "tags.yaml", VIEWS))

    def compare(seed: int, seconds: int) -> None:
        as_of = START + timedelta(seconds=seconds)
        tables = make_tables(seed, customers=25, lines=400)
        rng = np.random.default_rng(seed)
        truth = built(to_duckdb(tables), views, as_of)
        variants = {
            "deleted": {n: without_future(n, t, as_of) for n, t in tables.items()},
            "shuffled": {n: with_other_future(n, t, as_of, rng) for n, t in tables.items()},
        }
        for label, variant in variants.items():
            found = built(to_duckdb(variant), views, as_of)
            for name, frame in found.items():
                assert_frame_equal(frame, truth[name], rel_tol=1e-9), (label, name)

    return compare


def test_the_future_changes_no_view(check: Callable[[int, int], None]) -> None:
    check(5, 200 * 86_400 + 4_000)


@pytest.mark.proof
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10_000), st.integers(0, 420 * 86_400))
def test_no_future_changes_any_view(
    check: Callable[[int, int], None], seed: int, seconds: int
) -> None:
    check(seed, seconds)
