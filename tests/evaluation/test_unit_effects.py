"""Effects that few clerks drew: against statsmodels, by hand, and their coverage."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

from nba.arrays import Floats, Ints
from nba.decisions.settings import UnitDraw
from nba.evaluation.arm_effects import difference
from nba.evaluation.impact.arms import own_arms_table, ratio_check
from nba.evaluation.impact.cohort import Cohort
from nba.evaluation.sequential import always_valid
from nba.evaluation.unit_effects import (
    design_effect,
    detectable_by_units,
    intra_cluster_correlation,
    unit_difference,
)
from nba.schema.words import DrawUnit


def made_up(
    rng: np.random.Generator, units: int, treated: int, apart: float = 15.0
) -> tuple[Floats, Ints, Floats]:
    """Margins of customers of clerks with books of 10 to 120; an effect of 8."""
    unit: Ints = np.repeat(np.arange(units), rng.integers(10, 120, units))
    arm = np.isin(np.arange(units), rng.permutation(units)[:treated]).astype(np.float64)
    y = rng.lognormal(3.0, 0.8, len(unit)) + rng.normal(0, apart, units)[unit] + 8.0 * arm[unit]
    return y, unit, arm[unit]


def test_equal_units_give_the_t_test_of_their_means() -> None:
    """By hand: with units of one size this is Welch's t over the units' means."""
    from scipy import stats

    rng = np.random.default_rng(1)
    unit = np.repeat(np.arange(10), 30)
    arm = unit < 5
    y = rng.normal(0, 1, 300) + rng.normal(0, 1, 10)[unit] + 0.5 * arm
    found = unit_difference(y, arm, unit)
    means = y.reshape(10, 30).mean(axis=1)
    test = stats.ttest_ind(means[:5], means[5:], equal_var=False)
    interval = test.confidence_interval(0.95)
    assert found.estimate == pytest.approx(means[:5].mean() - means[5:].mean())
    assert (found.lower, found.upper) == pytest.approx((interval.low, interval.high))


def test_the_usual_error_is_that_of_statsmodels_and_this_one_is_wider() -> None:
    """Cluster-robust errors of a regression on the arm (statsmodels) lack the correction."""
    y, unit, arm = made_up(np.random.default_rng(2), 12, 4)
    fit = sm.OLS(y, sm.add_constant(arm)).fit(
        cov_type="cluster", cov_kwds={"groups": unit, "use_correction": False}
    )
    ours = unit_difference(y, arm > 0, unit)
    assert ours.estimate == pytest.approx(fit.params[1])
    assert ours.standard_error > fit.bse[1]
    assert ours.upper - ours.lower > fit.conf_int()[1, 1] - fit.conf_int()[1, 0]


def test_intervals_of_few_unequal_units_hold_where_the_usual_ones_do_not() -> None:
    rng, hits = np.random.default_rng(3), np.zeros(3)
    for _ in range(400):
        y, unit, arm = made_up(rng, 12, 4)
        ours = unit_difference(y, arm > 0, unit)
        usual = difference(y, arm > 0, cluster=unit)
        valid = always_valid(ours, ours.standard_error)
        hits += [one.lower <= 8.0 <= one.upper for one in (ours, usual, valid)]
    ours_held, usual_held, valid_held = hits / 400
    assert 0.92 <= ours_held <= 0.98
    assert usual_held < ours_held < valid_held


def test_three_units_in_an_arm_have_no_interval() -> None:
    y, unit, arm = made_up(np.random.default_rng(4), 9, 3)
    found = unit_difference(y, arm > 0, unit)
    assert np.isnan(found.lower)
    assert np.isnan(found.standard_error)
    assert found.treated_mean > 0


def test_what_never_happened_differs_by_nothing() -> None:
    _, unit, arm = made_up(np.random.default_rng(4), 9, 4)
    found = unit_difference(np.zeros(len(unit)), arm > 0, unit)
    assert (found.estimate, found.lower, found.upper) == (0.0, 0.0, 0.0)
    assert always_valid(found, 0.0) == found


def test_the_correlation_is_found_again_and_costs_what_the_formula_says() -> None:
    rng = np.random.default_rng(5)
    unit = np.repeat(np.arange(300), 40)
    y = rng.normal(0, 1, 12000) + rng.normal(0, 0.5, 300)[unit]
    found = intra_cluster_correlation(y, unit)
    assert found == pytest.approx(0.25 / 1.25, abs=0.03)
    assert intra_cluster_correlation(rng.normal(0, 1, 12000), unit) < 0.01
    assert design_effect(np.full(5, 40.0), 0.2) == pytest.approx(1 + 39 * 0.2)
    assert np.isnan(detectable_by_units(1.0, np.full(7, 40.0), 0.1, (3, 4)))


def test_what_a_test_of_clerks_can_find_is_found_four_times_out_of_five() -> None:
    rng, found = np.random.default_rng(6), 0
    sizes, between = np.full(20, 40.0), 0.3
    spread = float(np.sqrt(1 + between**2))
    effect = detectable_by_units(spread, sizes, between**2 / spread**2, (10, 10))
    unit = np.repeat(np.arange(20), 40)
    arm = unit < 10
    for _ in range(300):
        y = rng.normal(0, 1, 800) + rng.normal(0, between, 20)[unit] + effect * arm
        found += unit_difference(y, arm, unit).lower > 0
    assert found / 300 == pytest.approx(0.8, abs=0.08)


def cohort(clerks: int, per_clerk: int = 40) -> tuple[Cohort, UnitDraw]:
    """Half of the clerks in the arm `short`; a tenth of the customers of each held out."""
    rows = clerks * per_clerk
    number = np.arange(rows)
    clerk = number // per_clerk
    own = np.where(clerk % 2 == 0, "short", "engine")
    arm = np.where(number % 10 == 0, "holdout", own)
    margin = 50.0 + (number * 7919 % 101) / 10 + 5.0 * (arm == "short") + 3.0 * (arm == "engine")
    table = pl.DataFrame(
        {
            "customer_id": [f"c{one}" for one in number],
            "unit": [f"c{one}" for one in number],
            "period": 0,
            "start": date(2025, 1, 1),
            "arm": arm,
            "drawn_by": [f"clerk-{one}" for one in clerk],
            "unit_arm": own,
            "margin": margin,
        }
    )
    names = ("margin_before", "margin_quarter_before", "orders_before", "days_counted")
    known = table.with_columns(pl.lit(0.0).alias(name) for name in names)
    return Cohort(known), UnitDraw(unit=DrawUnit.CLERK, salt="x", shares={"short": 0.5})


def test_arms_of_clerks_are_compared_over_clerks_and_each_with_its_own_held_out() -> None:
    people, draw = cohort(20)
    (row,) = own_arms_table(people, ["short"]).to_dicts()
    assert (row["units"], row["units_held"]) == (10, 10)
    assert row["lower"] < 2.0 < row["upper"]
    held = people.against("short")
    assert not held.by_units
    assert set(held.table["unit_arm"]) == {"short"}
    assert set(held.table["arm"]) == {"short", "holdout"}
    effect = held.effect("margin")
    assert effect.lower < 5.0 < effect.upper
    shares = {"holdout": 0.1, "short": 0.45, "engine": 0.45}
    assert ratio_check(people, shares, draw) > 0.5
    off = replace(people, table=people.table.filter(pl.col("arm") != "holdout"))
    assert ratio_check(off, shares, draw) < 0.001
    few = draw.model_copy(update={"shares": {"short": 0.05}})
    assert ratio_check(people, shares, few) < 0.001
