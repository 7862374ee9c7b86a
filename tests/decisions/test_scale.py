"""How long a plan takes and how much memory it holds. Run with `-m proof -s` for the figures."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from nba.decisions import DecisionFiles, DecisionSettings, Plan, decide

Inputs = dict[str, pl.DataFrame]
PART = 10_000
SHARED = ("product", "content", "events", "groups")


def large_inputs(make_inputs: Callable[..., Inputs], customers: int, clerks: int) -> Inputs:
    """Repeat a shop of 10,000 customers under other ids."""
    parts = customers // PART
    shop = make_inputs(PART, max(clerks // parts, 1))
    keys = ("customer_id", "clerk_id", "interaction_id", "benefit_id")

    def renamed(table: pl.DataFrame, part: int) -> pl.DataFrame:
        known = [key for key in keys if key in table.columns]
        return table.with_columns(pl.col(key) + f"_{part}" for key in known)

    return {
        name: table
        if name in SHARED
        else pl.concat([renamed(table, part) for part in range(parts)])
        for name, table in shop.items()
    }


def timed(inputs: Inputs, files: DecisionFiles, world: Any) -> tuple[Plan, float]:
    start = time.perf_counter()
    plan = decide(inputs, files.rules(DecisionSettings()), as_of=world.AS_OF)
    return plan, time.perf_counter() - start


@pytest.mark.proof
def test_four_thousand_customers_take_less_than_two_seconds(
    make_inputs: Callable[..., Inputs], files: DecisionFiles, world: Any
) -> None:
    inputs = make_inputs(4000, 16)
    seconds = min(timed(inputs, files, world)[1] for _ in range(3))
    print(f"4,000 customers, 16 clerks: {seconds:.2f} s")
    assert seconds < 2


@pytest.mark.proof
def test_a_million_customers_take_minutes_and_bounded_memory(
    make_inputs: Callable[..., Inputs], files: DecisionFiles, world: Any
) -> None:
    inputs = large_inputs(make_inputs, 1_000_000, 1000)
    plan, seconds = timed(inputs, files, world)
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    kept = plan.clerks["value_expected"].sum() / plan.clerks["value_bound"].sum()
    print(
        f"1,000,000 customers, 1,000 clerks: {seconds:.0f} s, {gigabytes:.1f} GB at most, "
        f"{plan.log.height} logged, value over bound {kept:.4f}"
    )
    assert seconds < 600
    assert gigabytes < 8
    assert (plan.clerks["minutes_planned"] <= plan.clerks["minutes"] + 1e-9).all()
