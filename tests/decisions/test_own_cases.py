"""Service is not treatment: who is held out still gets an answer to an own case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from nba.decisions import DecisionFiles, DecisionSettings, decide
from nba.decisions.next_actions import OpenBook, next_actions
from nba.settings import ArmShares, PolicyShares

Make = Callable[..., dict[str, pl.DataFrame]]


@pytest.mark.parametrize(
    ("arms", "policies"),
    [
        ({"holdout": 0.5, "random": 0.3}, {}),
        ({"holdout": 0.4}, {"due_worth": 0.6}),  # no customer is left for the engine
    ],
)
def test_cases_of_every_listed_arm_and_of_the_holdout_are_answered(
    make_inputs: Make,
    files: DecisionFiles,
    world: Any,
    arms: dict[str, float],
    policies: dict[str, float],
) -> None:
    inputs = make_inputs(400, 3, seed=5)
    inputs["customer_state"] = inputs["customer_state"].with_columns(
        open_complaints=pl.when(pl.int_range(pl.len()) % 20 == 0).then(1.0).otherwise(0.0)
    )
    inputs["clerk"] = inputs["clerk"].with_columns(
        works_today=pl.lit(True),
        minutes_per_day=pl.lit(400.0),
        modes=pl.lit(None, pl.List(pl.String)),
    )
    settings = DecisionSettings(
        exploration_floor=0, arms=ArmShares(**arms), policies=PolicyShares(**policies)
    )
    rules = files.rules(settings)
    plan = decide(inputs, rules, as_of=world.AS_OF)
    cases = inputs["customer_state"].filter(pl.col("open_complaints") > 0)["customer_id"]
    log = plan.log.filter(pl.col("customer_id").is_in(cases.implode()))
    assert {"holdout", *(name for name, share in policies.items() if share)} <= set(log["arm"])
    assert set(log["action_type"]) == {"resolve_complaint"}
    held = plan.log.filter(pl.col("arm") == "holdout")
    assert set(held["action_type"].drop_nulls()) == {"resolve_complaint"}
    assert (held.filter(pl.col("action_type").is_null())["propensity"] == 1).all()
    listed = plan.actions.filter(pl.col("rank").is_not_null() & (pl.col("arm") == "holdout"))
    assert sorted(listed["customer_id"]) == sorted(
        log.filter(pl.col("arm") == "holdout")["customer_id"]
    )
    assert listed["reasons"].list.len().min() > 0

    book = OpenBook.of(inputs, plan.clerks)
    now = next_actions(book, held["customer_id"].to_list(), rules, as_of=world.AS_OF)
    assert sorted(now["customer_id"]) == sorted(listed["customer_id"])
    assert set(now["action_type"]) == {"resolve_complaint"}
