"""Rates of answers: shrunk by how much customers differ."""

import numpy as np
import polars as pl
import pytest

from nba.models.contact_value.responsiveness import (
    Responsiveness,
    counts_of_view,
)
from nba.models.mode.scores import MODES


def counts(made: np.ndarray, answered: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame(
        {
            **{f"contacts_{mode}": made[:, place] for place, mode in enumerate(MODES)},
            **{f"answered_{mode}": answered[:, place] for place, mode in enumerate(MODES)},
            "contacts_90d": made.sum(axis=1),
            "reads_90d": np.zeros(len(made)),
        }
    )


def test_customers_who_do_not_differ_are_shrunk_to_what_is_usual() -> None:
    rng = np.random.default_rng(1)
    made = np.full((3000, 3), 5.0)
    alike = Responsiveness.of(counts(made, rng.poisson(made * 0.2).astype(float)))
    spread = np.exp(rng.normal(0, 0.8, (3000, 1)))
    differ = Responsiveness.of(counts(made, rng.poisson(made * 0.2 * spread).astype(float)))
    assert alike.weight > 10 * differ.weight
    assert differ.weight == pytest.approx(1.1, rel=0.8)  # 1 / variance of the spread


def test_nobody_contacted_is_usual() -> None:
    table = counts(np.zeros((4, 3)), np.zeros((4, 3)))
    assert np.allclose(Responsiveness().logs(table), 0.0)


def test_the_view_gives_back_the_counts() -> None:
    view = pl.DataFrame(
        {
            "contacts_shopping_assistant_365d": [10],
            "response_rate_shopping_assistant": [(4 + 1) / (10 + 5)],
            "contacts_90d": [6],
            "reads_90d": [3],
        }
    )
    found = counts_of_view(view)
    assert found["answered_shopping_assistant"][0] == pytest.approx(4.0)
    assert found["contacts_topic_expert"][0] == 0.0
    assert found["reads_90d"][0] == 3.0
