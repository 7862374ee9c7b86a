"""The programme against an independent solver, rounding against its probabilities."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.allocation.run import (
    bench_programme,
    frequency_chi_square,
    reference_objective,
)
from experiments.common.integer_plan import integer_plan
from nba.decisions.allocation import Programme, affordable_floor, solve
from nba.decisions.assignment import Day, assign
from nba.decisions.rounding import draw
from nba.decisions.settings import DecisionSettings
from nba.schema.words import LISTED_ARMS, Arm
from nba.settings import ArmShares, PolicyShares


def random_programme(seed: int, clerks: int = 200, per_clerk: int = 25) -> Programme:
    rng = np.random.default_rng(seed)
    n = clerks * per_clerk
    return Programme(
        clerk=np.sort(rng.integers(0, clerks, n)),
        value=rng.normal(2, 3, (n, 3)),
        minutes=rng.choice([0.5, 1.0, 2.0, 4.0, 10.0], (n, 3)),
        open=rng.random((n, 3)) < 0.8,
        budget=rng.choice([0.0, 5.0, 20.0, 60.0, 1000.0], clerks),
    )


def day_of(programme: Programme, seed: str = "0", random: float = 0.0, simple: float = 0.0) -> Day:
    rng = np.random.default_rng(1)
    n, clerks = len(programme.clerk), len(programme.budget)
    u = rng.random(n)
    arms = np.where(u < random, Arm.RANDOM, Arm.ENGINE)
    arms = np.where((u >= random) & (u < random + simple), Arm.DUE_WORTH, arms)
    return Day(
        programme,
        np.array([LISTED_ARMS.index(Arm(arm)) for arm in arms]),
        pl.Series([f"c{i}" for i in range(n)], dtype=pl.String),
        pl.Series([f"k{i}" for i in range(clerks)], dtype=pl.String),
        seed,
    )


def spent(programme: Programme, drawn: np.ndarray) -> np.ndarray:
    at = np.maximum(drawn, 0)[:, None]
    minutes = np.where(drawn >= 0, np.take_along_axis(programme.minutes, at, 1)[:, 0], 0.0)
    return np.bincount(programme.clerk, weights=minutes, minlength=len(programme.budget))


@pytest.mark.parametrize("seed", [0, 1])
def test_optimum_equals_highs_on_200_clerks(seed: int) -> None:
    programme = random_programme(seed)
    solution = solve(programme)
    reference = [reference_objective(programme, clerk) for clerk in range(200)]
    assert solution.objective == pytest.approx(reference, rel=1e-9, abs=1e-9)
    assert (solution.x >= 0).all()
    assert (solution.x.sum(axis=1) <= 1 + 1e-12).all()
    assert (solution.x[~programme.open] == 0).all()
    used = np.bincount(
        programme.clerk, weights=(solution.x * programme.minutes).sum(axis=1), minlength=200
    )
    assert (used <= programme.budget + 1e-9).all()


def test_floor_is_met_exactly_and_equals_highs() -> None:
    programme = random_programme(3, clerks=20, per_clerk=20)
    roomy = Programme(
        programme.clerk, programme.value, programme.minutes, programme.open, np.full(20, 60.0)
    )
    solution = solve(roomy, 0.01)
    assert (solution.x[roomy.open] >= 0.01 - 1e-12).all()
    assert (1 - solution.x.sum(axis=1) >= 0.01 - 1e-9).all()
    reference = [reference_objective(roomy, clerk, floor=0.01) for clerk in range(20)]
    assert solution.objective == pytest.approx(reference, rel=1e-9)


def test_a_floor_that_would_eat_the_day_is_scaled_down() -> None:
    programme = bench_programme(2000, 2, minutes=60, seed=0)
    floor = affordable_floor(programme, 0.05, np.ones(2000, dtype=bool))
    assert (floor < 0.05).all()
    need = np.bincount(programme.clerk, weights=floor * programme.minutes.sum(axis=1))
    assert (need <= 30 + 1e-9).all()


def test_hand_worked_example() -> None:
    """Two customers, 6 minutes: (2 min, 4), (4 min, 6) for the first, (4 min, 5) for the other.

    Densities 2, 1.25, 1: two minutes of the first, then the second in full.
    """
    programme = Programme(
        clerk=np.array([0, 0]),
        value=np.array([[4.0, 6.0], [5.0, 0.0]]),
        minutes=np.array([[2.0, 4.0], [4.0, 1.0]]),
        open=np.array([[True, True], [True, False]]),
        budget=np.array([6.0]),
    )
    solution = solve(programme)
    assert solution.x.tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert solution.objective.tolist() == [9.0]
    assert solution.price.tolist() == [1.0]


def test_integer_plan_is_near_the_bound_and_never_over() -> None:
    programme = bench_programme(50_000, 50, minutes=60, seed=2)
    relaxed = solve(programme)
    plan = integer_plan(programme, relaxed)
    at = np.maximum(plan, 0)[:, None]
    value = np.where(plan >= 0, np.take_along_axis(programme.value, at, 1)[:, 0], 0.0)
    gained = np.bincount(programme.clerk, weights=value, minlength=50)
    assert gained.sum() / relaxed.objective.sum() >= 0.997
    assert (gained / relaxed.objective).min() >= 0.9
    assert (gained <= relaxed.objective + 1e-9).all()
    assert (spent(programme, plan) <= programme.budget + 1e-9).all()


def fractional(seed: int) -> tuple[Programme, np.ndarray]:
    programme = bench_programme(480, 12, minutes=60, seed=seed)
    return programme, solve(programme, 0.01).x


def test_rounding_keeps_every_probability_and_the_minutes() -> None:
    programme, x = fractional(5)
    expected = np.bincount(
        programme.clerk, weights=(x * programme.minutes).sum(axis=1), minlength=12
    )
    rng = np.random.default_rng(0)
    counts = np.zeros((len(x), 4))
    draws, worst = 2000, 0.0
    for _ in range(draws):
        drawn = draw(programme.clerk, x, programme.minutes, rng=rng, clerks=12)
        counts[np.arange(len(x)), drawn] += 1
        worst = max(worst, float(np.abs(spent(programme, drawn) - expected).max()))
    assert worst <= 10.0
    ratio, cells = frequency_chi_square(counts[:, :-1], x, draws)
    assert abs(ratio - 1) < 4 * np.sqrt(2 / cells)
    assert stats.chi2.sf(ratio * cells, cells) > 0.01
    biased = x.copy()
    biased[:, 0] = np.clip(biased[:, 0] * 1.1, 0.0, 1.0)
    ratio, _ = frequency_chi_square(counts[:, :-1], biased, draws)
    assert stats.chi2.sf(ratio * cells, cells) < 0.01


@pytest.mark.parametrize("rounding", ["strict", "expected"])
@pytest.mark.parametrize(("random", "simple"), [(0.0, 0.0), (0.15, 0.0), (0.1, 0.3)])
@pytest.mark.parametrize("draws", [150, pytest.param(2000, marks=pytest.mark.proof)])
def test_frequencies_over_days_agree_with_logged_propensities(
    rounding: str, random: float, simple: float, draws: int
) -> None:
    """Over many draws of everything: shortlist, random arm and plan."""
    programme = bench_programme(200, 4, minutes=60, seed=7)
    chosen = DecisionSettings(
        rounding=rounding,
        arms=ArmShares(holdout=0.1, random=random),
        policies=PolicyShares(due_worth=0.9 * simple),
        shortlist_size=24,
    )
    counts = np.zeros((200, 4))
    first = assign(day_of(programme, "d0", random, simple), chosen)
    over = 0.0
    for number in range(draws):
        done = assign(day_of(programme, f"d{number}", random, simple), chosen)
        assert np.array_equal(done.marginal, first.marginal)
        counts[np.arange(200), done.drawn] += 1
        over = max(over, float((spent(programme, done.drawn) - programme.budget).max()))
    # with `expected` each arm that plans by value may overshoot by one action
    assert over <= (1e-9 if rounding == "strict" else 10.0 * (1 + (simple > 0)))
    ratio, cells = frequency_chi_square(counts[:, :-1], first.marginal, draws)
    # Cells of one clerk depend on each other, so the bound is wider than chi-square's own.
    assert abs(ratio - 1) < 6 * np.sqrt(2 / cells)
    shifted = np.clip(first.marginal * 1.25, 0, 1) if draws > 1000 else first.marginal[::-1]
    ratio, _ = frequency_chi_square(counts[:, :-1], shifted, draws)
    assert abs(ratio - 1) > 6 * np.sqrt(2 / cells)


def test_strict_plans_hold_every_floor() -> None:
    programme = bench_programme(3000, 10, minutes=60, seed=8)
    done = assign(day_of(programme), DecisionSettings())
    sure = done.p_shortlist == 1
    assert sure.sum() >= 10 * 30
    assert (done.marginal[sure] >= 0.01 - 1e-12).all()
    assert (1 - done.marginal[sure].sum(axis=1) >= 0.01 - 1e-12).all()
    few = (done.p_shortlist > 0) & ~sure
    assert done.marginal[few] == pytest.approx(done.p_shortlist[few][:, None] * 0.01 * np.ones(3))


def test_without_exploration_the_plan_is_certain() -> None:
    programme = bench_programme(3000, 10, minutes=60, seed=8)
    done = assign(day_of(programme), DecisionSettings(exploration_floor=0))
    assert set(np.unique(done.marginal)) == {0.0, 1.0}
    assert (spent(programme, done.drawn) <= programme.budget).all()


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    clerks=st.integers(1, 6),
    per_clerk=st.integers(0, 30),
    floor=st.sampled_from([0.0, 0.01, 0.03, 0.1]),
    random=st.sampled_from([0.0, 0.2, 0.9]),
    size=st.integers(1, 60),
    few=st.integers(0, 10),
)
def test_no_strict_draw_ever_runs_over(
    seed: int, clerks: int, per_clerk: int, floor: float, random: float, size: int, few: int
) -> None:
    programme = random_programme(seed, clerks, per_clerk)
    chosen = DecisionSettings(
        exploration_floor=floor,
        arms=ArmShares(holdout=0.05, random=random),
        shortlist_size=size,
        shortlist_random=few,
    )
    done = assign(day_of(programme, str(seed), random), chosen)
    assert (spent(programme, done.drawn) <= programme.budget + 1e-9).all()
    assert (done.marginal >= 0).all()
    assert (done.marginal.sum(axis=1) <= 1 + 1e-9).all()
    assert (done.marginal[~programme.open] == 0).all()
    rows = np.flatnonzero(done.drawn >= 0)
    assert (done.marginal[rows, done.drawn[rows]] > 0).all()
