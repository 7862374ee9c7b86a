"""Young data: estimates shrink to what is believed before, whoever came back on the next day."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from nba.models.base import ModelInputs, TimingModel
from nba.models.kinds import KINDS as ALL_KINDS
from nba.models.kinds import model_class
from nba.models.timing.curves import BELIEVED_GAP_DAYS, shrink_young
from nba.models.timing.recency_gap import RecencyGap

AS_OF = datetime(2026, 11, 20)
KINDS = [model_class(name, kind) for name, kind in ALL_KINDS if name == "timing"]
DEFAULT_GAP_DAYS = BELIEVED_GAP_DAYS


def new_shop(days: int, customers: int, returned: int) -> ModelInputs:
    """Return customers of a shop that opened `days` ago, of whom some came back the next day."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(customers):
        came_back = number < returned and days > 1
        first = int(rng.integers(2 if came_back else 1, days + 1))
        rows += [(f"c{number:03d}", AS_OF - timedelta(days=first))]
        rows += [(f"c{number:03d}", AS_OF - timedelta(days=first - 1))] if came_back else []
    purchases = pl.DataFrame(rows, ["customer_id", "ts"], orient="row").with_columns(
        amount=pl.lit(50.0), category=pl.lit("tea"), ts=pl.col("ts").cast(pl.Datetime("us"))
    )
    return ModelInputs({"purchases": purchases})


def fitted(kind: type[TimingModel], inputs: ModelInputs) -> TimingModel:
    return kind().fit(inputs, as_of=AS_OF, seed=1)


def at_most(days: float) -> float:
    """The chance of a purchase within `days` where gaps have the default length."""
    return float(1 - np.exp(-days / DEFAULT_GAP_DAYS))


@pytest.mark.parametrize("kind", KINDS)
def test_four_weeks_in_which_five_of_two_hundred_came_back(kind: type[TimingModel]) -> None:
    inputs = new_shop(28, customers=200, returned=5)
    model = fitted(kind, inputs)
    scores = model.score(inputs, as_of=AS_OF)
    assert scores["p_purchase_14d"].max() < 0.05
    assert 0.002 < scores["p_purchase_30d"].mean() < 0.05
    assert scores["expected_margin_365d"].max() < 50
    categories = model.score_categories(inputs, as_of=AS_OF)
    assert categories["p_purchase_14d"].max() < 0.05


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("days", "customers", "returned"),
    [(1, 200, 0), (1, 1, 0), (7, 200, 5), (7, 200, 0), (7, 1, 0), (21, 200, 5), (28, 200, 0)],
)
def test_weeks_of_history_promise_no_more_than_the_default_gap(
    kind: type[TimingModel], days: int, customers: int, returned: int
) -> None:
    inputs = new_shop(days, customers, returned)
    scores = fitted(kind, inputs).score(inputs, as_of=AS_OF)
    for horizon in (7, 14, 30):
        p = scores[f"p_purchase_{horizon}d"]
        assert 0 <= p.min() <= p.max() <= at_most(horizon)


@pytest.mark.parametrize("kind", KINDS)
def test_without_any_day_of_history(kind: type[TimingModel]) -> None:
    nothing = ModelInputs({"purchases": new_shop(7, 1, 0)["purchases"].clear()})
    later = new_shop(1, 3, 0)
    p = fitted(kind, nothing).score(later, as_of=AS_OF)["p_purchase_30d"]
    assert 0 < p.min() <= p.max() <= at_most(30)


@pytest.mark.parametrize("kind", KINDS)
def test_one_returning_customer_among_three_is_no_rhythm(kind: type[TimingModel]) -> None:
    inputs = new_shop(21, customers=3, returned=1)
    scores = fitted(kind, inputs).score(inputs, as_of=AS_OF)
    assert scores["p_purchase_14d"].max() < 0.25


def test_those_who_did_not_come_back_count() -> None:
    few, many = new_shop(28, customers=20, returned=5), new_shop(28, customers=400, returned=5)
    chances = [
        fitted(RecencyGap, inputs).score(inputs, as_of=AS_OF)["p_purchase_30d"].mean()
        for inputs in (few, many)
    ]
    assert chances[0] > 2 * chances[1]


def test_the_typical_gap_is_the_median_among_many_and_the_belief_among_none() -> None:
    rows = [
        (f"c{number:04d}", AS_OF - timedelta(days=1 + number % 7 + 7 * week))
        for number in range(4000)
        for week in range(12)
    ]
    purchases = pl.DataFrame(rows, ["customer_id", "ts"], orient="row").with_columns(
        amount=pl.lit(1.0), ts=pl.col("ts").cast(pl.Datetime("us"))
    )
    model = RecencyGap().fit(ModelInputs({"purchases": purchases}), as_of=AS_OF, seed=1)
    assert model._cells["customer"].gap == pytest.approx(7.0, rel=0.001)
    nobody = RecencyGap().fit(ModelInputs({"purchases": purchases.clear()}), as_of=AS_OF, seed=1)
    assert nobody._cells["customer"].gap == pytest.approx(DEFAULT_GAP_DAYS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("days", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_days_in_which_half_or_all_came_back_promise_little(
    kind: type[TimingModel], days: int, share: float
) -> None:
    inputs = new_shop(days, customers=200, returned=int(200 * share))
    model = fitted(kind, inputs)
    scores = model.score(inputs, as_of=AS_OF)
    assert scores["p_purchase_7d"].max() < 0.75
    assert scores["p_purchase_14d"].max() < 0.85
    assert scores["p_purchase_30d"].max() < 0.9
    assert scores["expected_margin_365d"].max() < 50 * 365 / 15
    assert model.score_categories(inputs, as_of=AS_OF)["p_purchase_30d"].max() < 0.9


def test_a_long_record_is_believed_as_it_was_learned() -> None:
    curve = np.exp(-np.arange(91) / 2.0)[None, :]
    assert shrink_young(curve, 270) is curve
    assert not np.array_equal(shrink_young(curve, 269), curve)
    seldom = np.exp(-np.arange(91) / 1000.0)[None, :]
    assert np.allclose(shrink_young(seldom, 0), seldom, atol=0.005)


def test_a_record_of_no_length_believes_in_the_default_gap() -> None:
    curve = np.exp(-np.arange(91) / 2.0)[None, :]
    believed = np.exp(-np.arange(91) / BELIEVED_GAP_DAYS)[None, :]
    assert (shrink_young(curve, 0) >= believed).all()
    assert np.allclose(shrink_young(curve, 0)[:, :31], believed[:, :31], atol=0.06)


@pytest.mark.parametrize("days", [0, 1, 7, 28, 90, 200])
@pytest.mark.parametrize("gap", [0.1, 1.0, 7.0, 60.0, 500.0])
def test_shrunken_curves_are_curves_and_never_sure(days: int, gap: float) -> None:
    curve = np.exp(-np.arange(91) / gap)[None, :]
    shrunken = shrink_young(curve, days)
    assert shrunken[0, 0] == 1.0
    assert (np.diff(shrunken) <= 1e-12).all()
    assert (shrunken >= curve - 1e-12).all()
    assert shrunken.min() > (0.0009 if days < 200 else 0.0)


def test_longer_records_are_believed_more() -> None:
    curve = np.exp(-np.arange(91) / 2.0)[None, :]
    ends = [float(shrink_young(curve, days)[0, 14]) for days in (0, 2, 7, 14, 28, 42)]
    assert ends == sorted(ends, reverse=True)
    assert ends[-1] < 0.03
