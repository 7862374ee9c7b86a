"""The formulas of live tests against tea-tasting, an independent library of experiments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tea_tasting as tt

from nba.evaluation.arm_effects import Effect, difference, relative, sample_ratio
from nba.evaluation.sequential import detectable

ROWS = 2000


@pytest.fixture(scope="module", params=[1, 2, 3])
def shop(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """Customers of two arms: margin with its past, and spending over orders."""
    rng = np.random.default_rng(request.param)
    before, treated = rng.gamma(2.0, 50.0, ROWS), rng.random(ROWS) < 0.6
    orders = rng.poisson(3, ROWS) + 1.0
    return {
        "treated": treated,
        "before": before,
        "margin": before + rng.normal(0, 20, ROWS) + 5.0 * treated,
        "orders": orders,
        "spent": orders * rng.gamma(2.0, 20.0, ROWS) * (1 + 0.1 * treated),
    }


@pytest.fixture(scope="module")
def theirs(shop: dict[str, np.ndarray]) -> Any:
    columns = {name: pa.array(values) for name, values in shop.items() if name != "treated"}
    table = pa.table({"variant": pa.array(shop["treated"].astype(np.int64)), **columns})
    return tt.Experiment(
        mean=tt.Mean("margin"),
        cuped=tt.Mean("margin", covariate="before"),
        ratio=tt.RatioOfMeans("spent", "orders"),
        sizes=tt.SampleRatio(1.5, method="norm", correction=False),
    ).analyze(table)


def interval(effect: Effect) -> list[float]:
    return [effect.estimate, effect.lower, effect.upper]


def test_a_difference_in_means_agrees(shop: dict[str, np.ndarray], theirs: Any) -> None:
    found, mean = difference(shop["margin"], shop["treated"]), theirs["mean"]
    expected = [mean.effect_size, mean.effect_size_ci_lower, mean.effect_size_ci_upper]
    assert interval(found) == pytest.approx(expected, rel=1e-6)


def test_what_was_known_before_is_taken_off_alike(shop: dict[str, np.ndarray], theirs: Any) -> None:
    """Their slope is of both arms pooled, ours within the arms: equal but for the chance gap."""
    covariates = shop["before"][:, None]
    found, cuped = (
        difference(shop["margin"], shop["treated"], covariates=covariates),
        theirs["cuped"],
    )
    expected = [cuped.effect_size, cuped.effect_size_ci_lower, cuped.effect_size_ci_upper]
    assert interval(found) == pytest.approx(expected, rel=0.02)


def test_a_ratio_of_two_means_agrees(shop: dict[str, np.ndarray], theirs: Any) -> None:
    treated, ratio = shop["treated"].astype(np.float64), theirs["ratio"]
    found = relative(shop["spent"], shop["orders"], treated, 1 - treated)
    expected = [
        ratio.rel_effect_size,
        ratio.rel_effect_size_ci_lower,
        ratio.rel_effect_size_ci_upper,
    ]
    assert interval(found) == pytest.approx(expected, rel=1e-3)


def test_the_check_of_the_arms_sizes_agrees(shop: dict[str, np.ndarray], theirs: Any) -> None:
    treated = int(shop["treated"].sum())
    counts = {"engine": treated, "holdout": ROWS - treated}
    chance = sample_ratio(counts, {"engine": 0.6, "holdout": 0.4})
    assert chance == pytest.approx(theirs["sizes"].pvalue, rel=1e-6)


def test_what_a_test_can_find_agrees(shop: dict[str, np.ndarray]) -> None:
    margin = shop["margin"]
    table = pa.table({"margin": pa.array(margin)})
    (power,) = tt.Mean("margin", alpha=0.05, power=0.8).solve_power(table, "effect_size")
    found = detectable(float(margin.std(ddof=1)), ROWS / 2, ROWS / 2)
    assert found == pytest.approx(power.effect_size, rel=2e-3)
