"""Made-up tests with known truth: whether the learned choice loses, or wins where it can.

Two to five arms; binary, continuous, long-tailed and rare outcomes; costs, missing values, text
columns, groups, unequal logged propensities, and propensities that must be estimated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nba.arrays import Floats
from nba.evaluation.mode_experiment import run_mode_experiment
from nba.evaluation.mode_summary import OURS

ROWS = 6000
LOG_MEAN = float(np.exp(4.0))  # of a lognormal with 3.5 and 1


@dataclass
class Case:
    """Expected outcomes of every arm, and how arms and outcomes are drawn."""

    mean: Floats
    outcome: str = "noise"
    noise: float = 5.0
    chance: Floats | None = None
    cost: dict[str, float] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    group: npt.NDArray[np.int64] | None = None
    missing: tuple[str, ...] = ()


Make = Callable[[dict[str, Any], np.random.Generator, bool], Case]


def two_arms(x: dict[str, Any], rng: np.random.Generator, differ: bool) -> Case:
    """Two arms, a binary outcome."""
    base = 0.12 + 0.05 * np.tanh(x["x0"]) + 0.03 * x["is_new"]
    return Case(np.c_[base, base + (0.06 * np.sign(x["x2"]) if differ else 0.02)], "binary")


def unequal_shares(x: dict[str, Any], rng: np.random.Generator, differ: bool) -> Case:
    """Three arms of unequal shares."""
    base = 10 + 2 * x["x0"] + x["visits"]
    gain = np.c_[2 * x["x1"], np.where(x["city"] == "bj", 3.0, -1.0)] if differ else [1.0, 1.5]
    return Case(np.c_[base, base[:, None] + gain], chance=np.tile([0.5, 0.3, 0.2], (ROWS, 1)))


def long_tail(x: dict[str, Any], rng: np.random.Generator, differ: bool) -> Case:
    """An outcome with a long tail."""
    buy = 0.1 + 0.05 * np.tanh(x["x0"])
    old = np.where(x["age"] > 50, 0.06, -0.03)
    lift = np.c_[old, 0.03 - old] if differ else np.tile([0.02, 0.01], (ROWS, 1))
    return Case(np.clip(np.c_[buy, buy[:, None] + lift], 0.005, 0.9) * LOG_MEAN, "long tail")


def rare(x: dict[str, Any], rng: np.random.Generator, differ: bool) -> Case:
    """A rare binary outcome."""
    base = 0.02 * np.exp(0.5 * x["x0"])
    up = np.where(x["x1"] > 0, 2.6, 0.4)
    ratio = np.c_[np.ones(ROWS), up, 3 - up] if differ else np.tile([1, 1.3, 1.2], (ROWS, 1))
    return Case(base[:, None] * ratio, "binary")


def five_arms(x: dict[str, Any], rng: np.random.Generator, differ: bool) -> Case:
    """Five arms, one of which is right for each row."""
    gain = np.ones((ROWS, 5)) * (np.arange(5) > 0)
    if differ:
        gain = 1.5 * (np.arange(5) == 1 + np.digitize(x["x1"], [-0.7, 0, 0.7])[:, None])
    return Case((5 + x["x0"])[:, None] + gain, noise=4.0)


def costs(x: dict[str, Any], rng: np.random.Generator, differ: bool) -> Case:
    """Arms with costs."""
    base = 0.15 + 0.04 * np.tanh(x["x0"])
    gain = np.clip(0.06 + 0.1 * x["x1"], -0.1, 0.3) if differ else 0.06
    cost = {"a1": 0.05, "a2": 0.06}
    return Case(np.c_[base, base + gain, base + 0.7 * gain], "binary", cost=cost)


def logged(x: dict[str, Any], rng: np.random.Generator, differ: bool) -> Case:
    """Propensities that depend on a column, as logged."""
    base = 20 + 5 * x["x0"] + 3 * x["x3"]
    gain = 4 * np.sign(x["x2"]) if differ else 1.0
    odds = np.exp(np.c_[np.zeros(ROWS), 0.8 * x["x3"], -0.5 * x["x3"]])
    chance = 0.1 + 0.7 * odds / odds.sum(axis=1, keepdims=True)
    chance /= chance.sum(axis=1, keepdims=True)
    options = {"propensity": "chance"}
    return Case(np.c_[base, base + gain, base + 0.5], noise=8.0, chance=chance, options=options)


def confounded(x: dict[str, Any], rng: np.random.Generator, differ: bool) -> Case:
    """Propensities that depend on a column, to be estimated."""
    base = 20 + 5 * x["x0"] + 3 * x["x3"]
    odds = np.exp(np.c_[np.zeros(ROWS), 0.8 * x["x3"]])
    gain = 4 * np.sign(x["x2"]) if differ else 1.0
    return Case(np.c_[base, base + gain], noise=8.0, chance=odds / odds.sum(axis=1, keepdims=True))


def grouped(x: dict[str, Any], rng: np.random.Generator, differ: bool) -> Case:
    """Rows that belong together."""
    house = rng.integers(0, ROWS // 5, ROWS)
    base = 10 + 2 * rng.normal(size=ROWS // 5)[house]
    gain = 1.5 * np.where(x["visits"] > 3, 1, -1) if differ else 0.5
    return Case(np.c_[base, base + gain], group=house, options={"group": "house"})


def missing(x: dict[str, Any], rng: np.random.Generator, differ: bool) -> Case:
    """Missing values where effects differ."""
    base = 10 + 2 * x["x0"]
    gain = np.where(x["spend"] > 20, 2.0, -1.5) if differ else 0.5
    return Case(np.c_[base, base + gain, base + 0.3], missing=("spend", "x1"))


CASES: dict[str, Make] = {
    make.__name__: make
    for make in (
        two_arms,
        unequal_shares,
        long_tail,
        rare,
        five_arms,
        costs,
        logged,
        confounded,
        grouped,
        missing,
    )
}


def planted_table(name: str, differ: bool, seed: int) -> tuple[pl.DataFrame, Case]:
    """Return a made-up test of a case, and what it was drawn from."""
    rng = np.random.default_rng(seed)
    x: dict[str, Any] = {f"x{i}": rng.normal(size=ROWS) for i in range(5)}
    x |= {
        "age": rng.integers(18, 80, ROWS).astype(float),
        "spend": rng.lognormal(3, 1.2, ROWS),
        "visits": rng.poisson(3, ROWS).astype(float),
        "is_new": rng.integers(0, 2, ROWS).astype(float),
        "city": np.array(["bj", "sh", "gz", "sz"])[rng.choice(4, ROWS, p=[0.4, 0.3, 0.2, 0.1])],
    }
    case = CASES[name](x, rng, differ)
    arms = case.mean.shape[1]
    chance = np.full((ROWS, arms), 1 / arms) if case.chance is None else case.chance
    unit = np.arange(ROWS) if case.group is None else case.group
    draw = rng.uniform(size=ROWS)[unit][:, None]
    arm = (draw > chance.cumsum(axis=1)[:, :-1]).sum(axis=1)
    mean = case.mean[np.arange(ROWS), arm]
    if case.outcome == "binary":
        y = (rng.uniform(size=ROWS) < mean).astype(float)
    elif case.outcome == "long tail":
        y = (rng.uniform(size=ROWS) < mean / LOG_MEAN) * rng.lognormal(3.5, 1, ROWS)
    else:
        y = mean + rng.normal(0, case.noise, ROWS)
    for column in case.missing:
        x[column] = np.where(rng.uniform(size=ROWS) < 0.3, np.nan, x[column])
    more = {"chance": chance[np.arange(ROWS), arm]} if "propensity" in case.options else {}
    if case.group is not None:
        more["house"] = case.group
    table = pl.DataFrame({**x, **more, "arm": [f"a{i}" for i in arm], "y": y}).fill_nan(None)
    return table, case


def judged(name: str, *, differ: bool, seed: int) -> dict[str, Any]:
    """Return what the learned choice gained on a table over the best single arm, by the truth.

    Returns
    -------
    dict
        `z` of the paired difference as estimated; true `gain` per row, the best `possible`, the
        largest `effect` of an arm.
    """
    table, case = planted_table(name, differ, seed)
    experiment = run_mode_experiment(
        table, "arm", "a0", "y", compare=(), folds=5, cost=case.cost, **case.options
    )
    row = next(policy for policy in experiment.result["policies"] if policy["policy"] == OURS)
    cost = np.array([case.cost.get(f"a{i}", 0.0) for i in range(case.mean.shape[1])])
    true = (case.mean - cost)[experiment.assignments["row"].to_numpy()]
    rows = np.arange(len(true))
    chosen, single = (
        experiment.assignments[column].str.slice(1).cast(pl.Int64).to_numpy()
        for column in ("chosen_arm", "best_single_arm")
    )
    return {
        "table": name,
        "effects_differ": differ,
        "z": float(row["z"]),
        "gain": float((true[rows, chosen] - true[rows, single]).mean()),
        "possible": float((true.max(axis=1) - true[rows, single]).mean()),
        "effect": float(np.abs(true.mean(axis=0) - true[:, 0].mean()).max()),
    }


def is_met(row: dict[str, Any]) -> bool:
    """Return whether a table never lost, and won where effects differ."""
    if row["effects_differ"]:
        return bool(row["z"] >= 2 and row["gain"] >= 0.5 * row["possible"])
    return bool(row["z"] > -1.7 and row["gain"] >= -0.03 * row["effect"])


def mode_tables(*, seed: int = 7) -> dict[str, Any]:
    """Judge the learned choice on every table, with and without differing effects."""
    rows = [judged(name, differ=differ, seed=seed) for name in CASES for differ in (False, True)]
    return {"seed": seed, "tables": [{**row, "met": is_met(row)} for row in rows]}
