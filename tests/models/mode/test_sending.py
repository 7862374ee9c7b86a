"""Whether what is listed is sent."""

import numpy as np
import polars as pl

from nba.models.mode.propensities.sending import sent_probability


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
    assert np.abs(found[listed] - chance[listed]).mean() < 0.05
    assert np.abs(found[~listed] - chance[~listed]).mean() < 0.05


def test_nobody_listed_is_fine() -> None:
    rows = pl.DataFrame({"mode": ["none"], "sent": [False], "customer_id": ["a"]})
    assert np.isnan(sent_probability(rows, np.zeros((1, 1)), folds=2, seed=0)).all()
