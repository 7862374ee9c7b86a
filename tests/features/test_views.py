"""Every view builds, keyed by its entity, and never looks past its moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from nba.features import VIEWS

AS_OF = datetime(2025, 9, 1)


@pytest.fixture(scope="module")
def loaded(make_tables: Callable[..., Any], to_duckdb: Callable[..., Any]) -> dict[str, Any]:
    return to_duckdb(make_tables(1))


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_has_its_columns_once_per_key(name: str, loaded: dict[str, Any]) -> None:
    view = VIEWS[name]
    frame = view.build(loaded, AS_OF).to_polars()
    assert tuple(frame.columns) == view.columns
    assert frame.height > 0
    assert not frame.select(view.entity_keys).is_duplicated().any()
    assert frame.select(pl.col(view.entity_keys).is_null().any()).sum_horizontal().sum() == 0


@pytest.mark.parametrize("name", VIEWS)
def test_what_may_not_be_null_is_not(name: str, loaded: dict[str, Any]) -> None:
    view = VIEWS[name]
    frame = view.build(loaded, AS_OF).to_polars()
    for feature in view.features:
        if feature.null_rule == "never":
            assert frame[feature.name].null_count() == 0, feature.name
