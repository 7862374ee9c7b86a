"""The views against the same definitions written by hand in SQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from experiments.features_bench.reference import queries, shared_statements
from experiments.features_bench.run import bench_features
from nba.features import VIEWS

MOMENTS = (datetime(2025, 9, 1), datetime(2025, 3, 1, 15, 30))


@pytest.fixture(scope="module", params=MOMENTS, ids=str)
def both(
    request: pytest.FixtureRequest,
    make_tables: Callable[..., Any],
    to_duckdb: Callable[..., Any],
) -> tuple[datetime, dict[str, Any], Any]:
    loaded = to_duckdb(make_tables(21, customers=80, lines=2500))
    connection = loaded["customers"].get_backend().con
    for statement in shared_statements(request.param):
        connection.execute(statement)
    return request.param, loaded, connection


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_what_the_sql_says(name: str, both: tuple[datetime, dict[str, Any], Any]) -> None:
    as_of, loaded, connection = both
    view = VIEWS[name]
    found = view.build(loaded, as_of).to_polars().sort(view.entity_keys)
    written = connection.execute(queries(as_of)[name]).pl()
    assert list(written.columns) == list(view.columns)
    expected = written.cast(dict(found.schema)).sort(view.entity_keys)
    assert_frame_equal(found, expected, rel_tol=1e-9)


def test_the_benchmark_compares_every_value(tmp_path: Any) -> None:
    (found,) = bench_features(
        ((300, 6_000),), threads=2, memory_limit="1GB", repeats=(1,), folder=tmp_path
    )
    assert found.different == {}
    assert found.views_seconds > 0
