"""Every view builds, keyed by its entity, and never looks past its moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from nba.features import VIEWS
from nba.features.product import UNTOLD_DAYS

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


def test_a_first_sale_as_the_records_begin_is_no_launch(
    make_tables: Callable[..., Any], to_duckdb: Callable[..., Any]
) -> None:
    tables = make_tables(1)
    products = pl.DataFrame(tables["products"])
    unknown = products.with_columns(launched_at=pl.lit(None, products.schema["launched_at"]))
    lines = pl.DataFrame(tables["transactions"])
    day, late = pl.col("ts").dt.date(), pl.col("product_id").str.ends_with("3")
    begin = lines.select(day.min()).item()
    lines = lines.filter(~late | (day >= begin + timedelta(days=UNTOLD_DAYS)))
    given = {**tables, "products": unknown.to_arrow(), "transactions": lines.to_arrow()}
    found = VIEWS["product"].build(to_duckdb(given), AS_OF).to_polars()
    sold = lines.filter((pl.col("quantity") > 0) & (day < AS_OF.date()))
    first = dict(sold.group_by("product_id").agg(day.min()).iter_rows())
    said = dict(found.select("product_id", "launched_days").iter_rows())
    assert said["p4"] is None
    assert {one: said[one] for one in ("p3", "p13")} == {
        one: (AS_OF.date() - first[one]).days for one in ("p3", "p13")
    }
