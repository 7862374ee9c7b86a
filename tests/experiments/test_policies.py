"""Policies under the same rules, and the order in which they end."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.common.compare import compare_policies, summary
from experiments.common.policies import BASELINES, ByEffect, allocate, effect_sample, usual_products
from nba.simulation import WorldConfig
from nba.simulation.observed import Rules


@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"no_contact"}))
def test_every_policy_keeps_minutes_and_contact_rules(played, name):
    world, observed = played.world.copy(), played.observed()
    policy, rules = BASELINES[name](world, Rules()), Rules()
    listed = []
    for _ in range(12):
        plan = policy.plan(world.date, observed)
        assert plan is not None
        allowed = observed.eligible(world.date, rules)
        assert plan["customer_id"].is_unique().all()
        assert set(plan["customer_id"]) <= set(allowed["customer_id"])
        used = plan.group_by("clerk_id").agg(pl.col("minutes").sum())
        budget = used.join(allowed.select("clerk_id", "budget").unique(), on="clerk_id")
        assert (budget["minutes"] <= budget["budget"] + 1e-9).all()
        listed.append(plan)
        observed.add(world.step(world.day, plan).tables)
    made = observed.table("interactions").filter(pl.col("action_id").is_not_null())
    days = made.sort("customer_id", "ts").with_columns(
        pl.col("ts").dt.date().diff().over("customer_id").dt.total_days().alias("gap")
    )
    assert days["gap"].drop_nulls().min() > rules.rest_days


def test_recency_list_ranks_recent_spenders_first(played):
    plan = BASELINES["recency_spend"](played.world, Rules()).plan(
        played.world.date, played.observed()
    )
    rest = played.observed().eligible(played.world.date, Rules())
    last = played.observed().purchases().group_by("customer_id").agg(pl.col("date").max())
    ages = rest.join(last, on="customer_id", how="left").with_columns(
        pl.col("customer_id").is_in(plan["customer_id"].to_list()).alias("listed")
    )
    by = ages.group_by("listed").agg(pl.col("date").mean()).sort("listed")
    assert by["date"][1] > by["date"][0]


def test_usual_products_are_those_bought_on_most_days(played):
    usual = usual_products(played.observed()).explode("product_ids")
    counts = (
        played.observed()
        .purchases()
        .group_by("customer_id", "product_id")
        .agg(pl.col("date").n_unique().alias("times"))
    )
    best = counts.group_by("customer_id").agg(pl.col("times").max().alias("most"))
    first = usual.group_by("customer_id", maintain_order=True).first()
    found = first.join(
        counts, left_on=["customer_id", "product_ids"], right_on=["customer_id", "product_id"]
    ).join(best, on="customer_id")
    assert (found["times"] == found["most"]).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from([4.0, 11.0, 16.0]))
def test_allocation_is_near_the_exhaustive_optimum(seed, customers, budget):
    """Never over the minutes, and short of the best by at most one customer's value."""
    draws = np.random.default_rng(seed).normal(0, 10, (customers, 3))
    minutes = np.array([2.0, 4.0, 10.0])
    clerk = np.zeros(customers, dtype=np.int64)
    choice = allocate(draws, minutes, clerk, np.array([budget]))
    assert minutes[choice[choice >= 0]].sum() <= budget
    got = sum(draws[i, c] for i, c in enumerate(choice) if c >= 0)
    best = 0.0
    for option in itertools.product((-1, 0, 1, 2), repeat=customers):
        taken = [(i, c) for i, c in enumerate(option) if c >= 0]
        if sum(minutes[c] for _, c in taken) <= budget:
            best = max(best, sum(draws[i, c] for i, c in taken))
    assert best - max(draws.max(), 0) - 1e-9 <= got <= best + 1e-9


def test_an_observable_oracle_plans_with_the_callers_expectations(played):
    world, observed = played.world.copy(), played.observed()
    sample = effect_sample(world, observed, Rules())
    assert sample["mode"].n_unique() == 3
    policy = ByEffect(
        Rules(), lambda day, seen, who: sample.select("customer_id", "mode", "effect_amount")
    )
    plan = policy.plan(world.date, observed)
    chosen = plan.join(sample, on=["customer_id", "mode"])
    assert chosen.height == plan.height > 0
    assert (chosen["effect_amount"] > 0).all()


def test_oracle_beats_random_and_no_contact_in_a_small_world():
    config = WorldConfig(customers=800, days=90, pilot=False, preset="published")
    chosen = {name: BASELINES[name] for name in ("random", "oracle")}
    results = compare_policies(config, chosen, seeds=(1, 2), weeks=4, tail_days=14)
    table = {row["policy"]: row for row in summary(results).iter_rows(named=True)}
    assert table["no_contact"]["incremental_amount"] == 0
    assert table["oracle"]["incremental_amount"] > table["random"]["incremental_amount"]
    assert table["oracle"]["low"] > 0
    assert table["random"]["share_of_oracle"] < 0.6


@pytest.mark.proof
@pytest.mark.parametrize("preset", ["published", "conservative"])
def test_oracle_beats_every_policy_over_ten_seeds(preset):
    config = WorldConfig(customers=2000, preset=preset)
    results = compare_policies(config, seeds=range(1, 11))
    mean = {r["policy"]: r["incremental_amount"] for r in summary(results).iter_rows(named=True)}
    assert all(mean["oracle"] > mean[name] for name in mean if name != "oracle")
    assert mean["random"] > 0
