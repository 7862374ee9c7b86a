"""The prior table: hand-worked numbers, and sensible order of modes."""

from datetime import datetime

import numpy as np
import polars as pl
import pytest

from nba.errors import ConfigError
from nba.models.base import ModelInputs, parse_config
from nba.models.mode.prior import PriorConfig, PriorMode

AS_OF = datetime(2026, 3, 1)
MODES = ["shopping_assistant", "topic_expert", "private_partner"]


def shop() -> ModelInputs:
    behaviour = pl.DataFrame(
        {
            "customer_id": ["05", "a", "b", "c"],
            "margin_365d_amount": [360.0, 240.0, 1800.0, 0.0],
            "main_category_kind": ["short", "group", "premium", None],
            "price_tier": [3, 3, 5, None],
        }
    )
    contact = pl.DataFrame({"customer_id": ["a"], "fatigue": [2.0]})
    state = pl.DataFrame({"customer_id": ["c", "05", "z", "a", "b"]})
    return ModelInputs(
        {"customer_behaviour": behaviour, "customer_contact": contact, "customer_state": state}
    )


@pytest.fixture
def scores() -> pl.DataFrame:
    model = PriorMode(PriorConfig(margin_cap_quantile=1.0)).fit(shop(), as_of=AS_OF, seed=1)
    return model.score(shop(), as_of=AS_OF)


def test_every_customer_in_every_mode_in_order_of_ids(scores: pl.DataFrame) -> None:
    assert scores["customer_id"].to_list() == [i for i in ["05", "a", "b", "c", "z"] for _ in MODES]
    assert scores["mode"].to_list() == MODES * 5


def test_uplift_is_the_hand_worked_share_of_the_margin(scores: pl.DataFrame) -> None:
    uplift = scores["uplift_amount"].to_numpy().reshape(-1, 3)
    assert uplift[0, 0] == pytest.approx(0.1 * 0.9 / 36 * 1.0 * 1.0 * 360)  # short: assistant
    assert uplift[1, 1] == pytest.approx(0.1 * 1.375 / 24 * 240)  # group: expert
    assert uplift[2, 2] == pytest.approx(0.1 * 2.515 / 18 * 1.4 * 1800)  # premium, tier 5


def test_the_sector_of_a_mode_prefers_that_mode(scores: pl.DataFrame) -> None:
    uplift = scores["uplift_amount"].to_numpy().reshape(-1, 3)
    assert uplift[:3].argmax(axis=1).tolist() == [0, 1, 2]


def test_dormant_and_unknown_customers_count_as_a_share_of_the_mean(scores: pl.DataFrame) -> None:
    uplift = scores["uplift_amount"].to_numpy().reshape(-1, 3)
    assert uplift[3, 0] == pytest.approx(0.1 * 0.9 / 36 * 0.2 * 360)
    assert uplift[4].tolist() == uplift[3].tolist()


def test_the_lower_bound_is_below_and_risk_grows_with_fatigue(scores: pl.DataFrame) -> None:
    assert (scores["uplift_lower"] < scores["uplift_amount"]).all()
    risk = scores["risk"].to_numpy().reshape(-1, 3)
    assert risk[1] == pytest.approx(2 * risk[0])


def test_wholesalers_are_capped() -> None:
    frame = pl.DataFrame(
        {
            "customer_id": [str(i) for i in range(1000)],
            "margin_365d_amount": np.r_[np.full(999, 10.0), 1e6],
            "main_category_kind": ["short"] * 1000,
            "price_tier": [3] * 1000,
        }
    )
    inputs = ModelInputs({"customer_behaviour": frame})
    model = PriorMode().fit(inputs, as_of=AS_OF, seed=1)
    assert model.score(inputs, as_of=AS_OF)["uplift_amount"].max() < 1.0


def test_an_incomplete_table_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"base_risk\.topic_expert"):
        parse_config(PriorConfig, {"base_risk": {"shopping_assistant": 0.1}}, "models/mode.yaml")
