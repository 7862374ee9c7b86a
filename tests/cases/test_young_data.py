"""Young data: nobody is as good as sure to come back of whom so little is known."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest

from nba.models.base import ModelInputs, TimingModel
from nba.models.kinds import KINDS, model_class

OPENED = datetime(2026, 11, 1)
TIMING = [model_class(name, kind) for name, kind in KINDS if name == "timing"]
pytestmark = pytest.mark.parametrize("kind", TIMING)


def chances(
    kind: type[TimingModel], days: dict[str, list[int]], on_record: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the scores of customers who bought on these days since the shop opened."""
    rows = [(who, OPENED + timedelta(days=day)) for who, when in days.items() for day in when]
    purchases = pl.DataFrame(rows, ["customer_id", "ts"], orient="row").with_columns(
        amount=pl.lit(20.0), category=pl.lit("coffee"), ts=pl.col("ts").cast(pl.Datetime("us"))
    )
    inputs, as_of = ModelInputs({"purchases": purchases}), OPENED + timedelta(days=on_record)
    model = kind().fit(inputs, as_of=as_of, seed=1)
    return model.score(inputs, as_of=as_of), model.score_categories(inputs, as_of=as_of)


def test_half_came_back_on_the_second_day(kind: type[TimingModel]) -> None:
    days = {f"c{number:03}": [0, 1] if number % 2 else [0] for number in range(200)}
    scores, categories = chances(kind, days, 2)
    assert scores["p_purchase_30d"].max() < 0.7
    assert categories["p_purchase_30d"].max() < 0.7


def test_everybody_comes_every_day_of_the_first_week(kind: type[TimingModel]) -> None:
    days = {f"c{number:03}": list(range(7)) for number in range(100)}
    scores, _ = chances(kind, days, 7)
    assert scores["p_purchase_30d"].max() < 0.995
    assert scores["expected_purchases_365d"].max() < 365 / 2


def test_one_regular_among_two_hundred(kind: type[TimingModel]) -> None:
    days = {f"c{number:03}": [number % 10] for number in range(200)} | {"regular": [0, 3, 6, 9]}
    scores, _ = chances(kind, days, 10)
    others = scores.filter(pl.col("customer_id") != "regular")
    assert others["p_purchase_14d"].max() < 0.3
    assert scores["p_purchase_14d"].max() < 0.9


def test_a_day_that_nobody_has_seen_the_end_of(kind: type[TimingModel]) -> None:
    scores, _ = chances(kind, {f"c{number}": [0] for number in range(50)}, 1)
    assert 0.0 < scores["p_purchase_30d"].min() <= scores["p_purchase_30d"].max() < 0.4
