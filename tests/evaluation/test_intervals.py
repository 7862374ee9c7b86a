"""Bootstrap intervals: coverage, seeds, and draws by customer."""

from __future__ import annotations

import numpy as np
import pytest

from nba.evaluation.intervals import bootstrap, groups_as_rows


def test_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(1).normal(10, 2, 400)
    found = bootstrap(lambda rows: {"mean": float(values[rows].mean())}, 400, draws=800, seed=2)
    half = 1.96 * values.std() / 20
    assert found["mean"].estimate == pytest.approx(values.mean())
    assert found["mean"].lower == pytest.approx(values.mean() - half, abs=0.03)
    assert found["mean"].upper == pytest.approx(values.mean() + half, abs=0.03)


def test_the_seed_decides() -> None:
    values = np.arange(50.0)

    def run(seed: int) -> dict[str, float]:
        return bootstrap(lambda r: {"m": float(values[r].mean())}, 50, seed=seed)["m"].as_dict()

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_rows_of_a_customer_stay_together() -> None:
    groups = np.array(["b", "a", "b", "c"])
    assert [rows.tolist() for rows in groups_as_rows(groups)] == [[1], [0, 2], [3]]
    # two rows per customer that always cancel out: by customer the mean never varies
    values = np.tile([1.0, -1.0], 20)
    customers = np.repeat(np.arange(20), 2)
    found = bootstrap(
        lambda rows: {"mean": float(values[rows].mean())}, 40, seed=3, groups=customers
    )
    assert (found["mean"].lower, found["mean"].upper) == (0.0, 0.0)
