"""The effect of sending, derived from the effect of listing."""

import numpy as np
import polars as pl
import pytest

from nba.models.mode.sending import sending_effect, sent_probability


def test_the_effect_of_sending_is_that_of_listing_over_the_share_sent() -> None:
    effect = sending_effect(np.array([1.0, 2.0, 1.0]), np.array([0.5, 1.0, 0.01]))
    assert effect[:2].tolist() == [2.0, 2.0]
    assert np.isnan(effect[2])


def test_clerks_who_choose_what_they_send_are_modelled() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(6000, 2))
    chance = 1 / (1 + np.exp(-1.5 * x[:, 0]))
    listed = rng.uniform(size=6000) < 0.7
    rows = pl.DataFrame(
        {
            "mode": np.where(listed, "topic_expert", "none"),
            "sent": listed & (rng.uniform(size=6000) < chance),
            "customer_id": [f"c{i}" for i in range(6000)],
        }
    )
    found = sent_probability(rows, x, folds=5, seed=1)
    assert np.isnan(found[~listed]).all()
    assert np.abs(found[listed] - chance[listed]).mean() < 0.05
    truth, seen = 4.0, 4.0 * rows["sent"].to_numpy()[listed]
    assert sending_effect(np.full(1, seen.mean()), np.full(1, found[listed].mean())) == (
        pytest.approx(truth, rel=0.05)
    )


def test_nobody_listed_is_fine() -> None:
    rows = pl.DataFrame({"mode": ["none"], "sent": [False], "customer_id": ["a"]})
    assert np.isnan(sent_probability(rows, np.zeros((1, 1)), folds=2, seed=0)).all()
