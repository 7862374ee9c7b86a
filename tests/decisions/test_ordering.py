"""Simple lists beside the engine: no score stands as money, and no place depends on a unit."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import polars as pl
import pytest

from nba.decisions import DecisionFiles, DecisionSettings, Plan, decide, simple
from nba.decisions.compare import diff_plans
from nba.decisions.next_actions import OpenBook, next_actions
from nba.decisions.ordering import UNPRICED_ARMS, placed
from nba.decisions.replacement import write_reserve
from nba.decisions.rules import DecisionRules
from nba.models.needs.base import NEED_SCORE_SCHEMA
from nba.schema.words import CONTACT_MODES, Arm
from nba.settings import ArmShares, PolicyShares
from nba.stores.books import reserve_rows

Make = Callable[..., dict[str, pl.DataFrame]]


def rows(*listed: tuple[str, str, float, bool]) -> pl.DataFrame:
    table = pl.DataFrame(
        listed, schema=["customer_id", "arm", "value", "service"], orient="row"
    ).with_columns(clerk_id=pl.lit("k1"))
    return placed(table, -pl.col("value")).sort("rank")


def test_lists_are_interleaved_in_their_own_order_after_services() -> None:
    listed = [
        ("a", "engine", 9.0, False),
        ("b", "engine", 8.0, False),
        ("c", "random", 7.0, False),
        ("d", "engine", 6.0, False),
        ("e", "most_overdue", 0.2, False),
        ("f", "most_overdue", 0.1, False),
        ("g", "most_overdue", 40.0, True),
    ]
    ids = rows(*listed)["customer_id"].to_list()
    assert ids == ["g", "a", "e", "b", "c", "f", "d"]
    louder = [(one, arm, value * 1e6 if arm == "most_overdue" else value, service)
              for one, arm, value, service in listed]  # fmt: skip
    assert rows(*louder)["customer_id"].to_list() == ids
    alone = [one for one in listed if one[1] != "most_overdue"]
    assert rows(*alone)["customer_id"].to_list() == ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def rules(files: DecisionFiles) -> DecisionRules:
    lists = PolicyShares(most_overdue=0.4, due_worth=0.2)
    return files.rules(DecisionSettings(arms=ArmShares(holdout=0.1), policies=lists))


@pytest.fixture(scope="module")
def inputs(make_inputs: Make) -> dict[str, pl.DataFrame]:
    """Return customers who all need tea, each overdue by another ratio."""
    made = make_inputs(400, 3, seed=5)
    tea = made["product"].filter((pl.col("category") == "tea") & ~pl.col("is_retired"))
    amounts = {f"{name}_{mode}": pl.lit(4.0) for mode in CONTACT_MODES
               for name in ("chance", "uplift_amount", "uplift_lower", "uplift_drawn")}  # fmt: skip
    needs = made["customer_state"].select("customer_id").with_columns(
        need_id=pl.lit("due:tea"), need=pl.lit("due"), category=pl.lit("tea"),
        category_kind=pl.lit("short"), is_known=pl.lit(True), times=pl.lit(4.0),
        product_ids=pl.lit(tea["product_id"].to_list(), pl.List(pl.String)),
        days_since=pl.lit(31.0), gap_days=pl.lit(30.0), due=pl.lit(31 / 30),
        order_margin=pl.lit(20.0), **amounts,
    )  # fmt: skip
    empty = pl.DataFrame(schema=NEED_SCORE_SCHEMA)
    needs = pl.concat([empty, needs], how="diagonal_relaxed")
    return {**made, "needs": needs, "interactions": made["interactions"].clear()}


@pytest.fixture(scope="module")
def plan(inputs: dict[str, pl.DataFrame], rules: DecisionRules, world: Any) -> Plan:
    return decide(inputs, rules, as_of=world.AS_OF)


def test_what_stands_as_money_is_money(
    inputs: dict[str, pl.DataFrame], rules: DecisionRules, plan: Plan, world: Any
) -> None:
    listed = plan.actions.filter(pl.col("mode") != "none")
    scored = pl.col("arm") == "most_overdue"
    assert listed.filter(scored).height
    assert listed.filter(scored)["value"].null_count() == listed.filter(scored).height
    assert listed.filter(~scored)["value"].null_count() == 0
    money = listed["value"].sum()
    assert plan.clerks["value_planned"].sum() == pytest.approx(money)
    assert diff_plans(plan.actions, plan.actions).value_after == pytest.approx(money)
    assert (plan.clerks["value_planned"] <= plan.clerks["value_bound"] + 1e-6).all()
    book = OpenBook.of(inputs, plan.clerks)
    ids = plan.log.filter(scored)["customer_id"].to_list()
    now = next_actions(book, ids, rules, as_of=world.AS_OF)
    assert now.height
    assert now["value"].null_count() == now.height
    reserve = write_reserve(inputs, plan.log, plan.clerks, rules, as_of=world.AS_OF)
    of_list = [
        one for one in reserve_rows(reserve, world.AS_OF.date()) if one["arm"] in UNPRICED_ARMS
    ]
    assert of_list
    assert all(one["value"] is not None and "value" not in one["action"] for one in of_list)


def test_the_unit_of_a_list_moves_nobody(
    inputs: dict[str, pl.DataFrame], rules: DecisionRules, plan: Plan, world: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    cents = {**simple.SIMPLE_POLICIES, Arm.MOST_OVERDUE: lambda of: 100 * simple.most_overdue(of)}
    monkeypatch.setattr(simple, "SIMPLE_POLICIES", MappingProxyType(cents))
    again = decide(inputs, rules, as_of=world.AS_OF)
    scores = [
        one.log.filter(pl.col("arm") == "most_overdue")["value"].sum() for one in (plan, again)
    ]
    assert scores[1] > 50 * scores[0] > 0
    places = [one.actions.select("customer_id", "rank", "value") for one in (plan, again)]
    assert places[0].equals(places[1])
    money = ["value_planned", "value_bound", "value_pooled", "price_before_fatigue"]
    assert plan.clerks.select(money).equals(again.clerks.select(money))
