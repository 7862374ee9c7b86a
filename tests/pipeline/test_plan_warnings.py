"""What a plan warns of."""

from __future__ import annotations

import polars as pl
import pytest

from nba.pipeline.plan import old_sales


@pytest.mark.parametrize(
    ("days", "warned"),
    [([430.0, 431.2], True), ([8.0, None], True), ([300.0, 0.4], False), ([None], False)],
)
def test_tables_that_have_stopped_are_told(days: list[float | None], warned: bool) -> None:
    products = pl.DataFrame({"days_since_sale": days}, schema={"days_since_sale": pl.Float64})
    assert bool(old_sales(products)) is warned


def test_how_old_they_are_is_said() -> None:
    lines = old_sales(pl.DataFrame({"days_since_sale": [430.0, 431.2]}))
    assert "the newest sale is 430 days before the plan's day" in lines[0]
