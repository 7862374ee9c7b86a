"""Always-valid intervals: against their formula, wider than fixed, and honest under peeking."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from statsmodels.stats.power import TTestIndPower

from experiments.live_coverage.run import coverage
from nba.evaluation.arm_effects import Effect
from nba.evaluation.sequential import always_valid, detectable


def effect(error: float) -> Effect:
    reach = NormalDist().inv_cdf(0.975) * error
    return Effect(1.0, error, 1.0 - reach, 1.0 + reach, 2.0, 1.0, 100, 100)


def test_the_interval_is_that_of_the_normal_mixture() -> None:
    """Waudby-Smith et al. (2021), equation 9, at n = 1 and their rho squared, by hand."""
    rho = -2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)
    reach = math.sqrt(2 * (rho + 1) / rho * math.log(math.sqrt(rho + 1) / 0.05))
    found = always_valid(effect(0.5), 0.5)
    assert found.upper - found.estimate == pytest.approx(0.5 * reach)


def test_it_is_wider_than_a_fixed_one_and_narrowest_about_where_planned() -> None:
    ratio = {
        error: (always_valid(effect(error), 0.5).upper - 1.0) / (1.96 * error)
        for error in (0.05, 0.5, 5.0)
    }
    assert 1.3 < ratio[0.5] < 1.7
    assert ratio[0.5] < min(ratio[0.05], ratio[5.0])


def test_what_can_be_found_agrees_with_statsmodels() -> None:
    size = TTestIndPower().solve_power(nobs1=900, ratio=1 / 9, alpha=0.05, power=0.8)
    assert detectable(7.0, 900, 100) == pytest.approx(7.0 * size, rel=0.01)


def test_coverage_and_wrong_stops_in_made_up_tests() -> None:
    found = coverage(runs=150, seed=2)
    for name in ("difference", "cuped", "clusters"):
        assert 0.90 <= found[name] <= 0.99
    assert found["every_look"] >= 0.94
    assert found["stopped_null"] <= 0.05 < found["stopped_peeking"]
    assert found["mismatch_found"] > 0.9
    assert found["harm_days"] < 20
