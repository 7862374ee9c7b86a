"""Doors that are closed to a customer: their names, and when waiting opens them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from nba.decisions import DecisionFiles, DecisionSettings, Plan, decide
from nba.decisions.doors import DOORS
from nba.decisions.explain import explain
from nba.decisions.next_actions import OpenBook, why_not
from nba.decisions.replacement import RESERVE_SIZE, write_reserve
from nba.decisions.rules import DecisionRules

Make = Callable[..., dict[str, pl.DataFrame]]


@pytest.fixture(scope="module")
def inputs(make_inputs: Make) -> dict[str, pl.DataFrame]:
    return make_inputs(300, 3, seed=4)


@pytest.fixture(scope="module")
def rules(files: DecisionFiles) -> DecisionRules:
    return files.rules(DecisionSettings(seed=1), model_versions="mode:3")


@pytest.fixture(scope="module")
def plan(inputs: dict[str, pl.DataFrame], rules: DecisionRules, world: Any) -> Plan:
    return decide(inputs, rules, as_of=world.AS_OF)


def test_every_door_is_named_in_both_languages() -> None:
    assert all(set(texts) == {"zh", "en"} for texts in DOORS.values())


def test_doors_say_what_the_explanation_of_the_night_says(
    inputs: dict[str, pl.DataFrame], rules: DecisionRules, plan: Plan, world: Any
) -> None:
    book = OpenBook.of(inputs, plan.clerks)
    for customer in inputs["customer_state"]["customer_id"][:5]:
        found = why_not(book, customer, rules, as_of=world.AS_OF)
        told = explain(inputs, rules, customer_id=customer, as_of=world.AS_OF).candidates
        assert found["action_type"].to_list() == told["action_type"].to_list()
        assert found["door_en"].to_list() == told["why"].to_list()
        assert (found["door"] == "").to_list() == (found["stage"] == "open").to_list()
    assert why_not(book, "nobody", rules, as_of=world.AS_OF).is_empty()


def test_a_door_opens_on_the_day_that_it_says(
    inputs: dict[str, pl.DataFrame], rules: DecisionRules, plan: Plan, world: Any
) -> None:
    book = OpenBook.of(inputs, plan.clerks)
    seen = 0
    for customer in inputs["customer_state"]["customer_id"]:
        found = why_not(book, customer, rules, as_of=world.AS_OF)
        waiting = found.filter(pl.col("opens_on").is_not_null())
        if waiting.is_empty():
            continue
        assert (waiting["stage"] == "policy").all()
        assert (waiting["opens_on"] > world.AS_OF.date()).all()
        seen += 1
        if seen == 3:
            return
    pytest.fail("nobody waits for a door")


def test_the_reserve_holds_the_best_who_were_not_drawn(
    inputs: dict[str, pl.DataFrame], rules: DecisionRules, plan: Plan, world: Any
) -> None:
    reserve = write_reserve(inputs, plan.log, plan.clerks, rules, as_of=world.AS_OF)
    assert reserve.height
    drawn = plan.log.filter(pl.col("action_type").is_not_null())
    assert reserve.join(drawn, on="customer_id", how="semi").is_empty()
    assert set(reserve["arm"]) <= {"engine", "random"}
    assert reserve["rank"].max() <= RESERVE_SIZE  # type: ignore[operator]
    per_customer = reserve.group_by("customer_id").agg(pl.col("rank").n_unique())
    assert (per_customer["rank"] == 1).all()
    assert reserve["action_id"].n_unique() == reserve.height
