"""Each action serves the need for which it is worth most, with what may be brought today."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from nba.decisions.brought import joined_names
from nba.decisions.decide import decide
from nba.decisions.fatigue_cost import WEEKS, cost_of_fatigue, worth_ahead
from nba.decisions.loading import DecisionFiles
from nba.decisions.settings import DecisionSettings, Factors
from nba.decisions.simple import SIMPLE_POLICIES
from nba.models.needs.base import NEED_SCORE_SCHEMA
from nba.models.needs.pairs import with_pairs
from nba.models.needs.words import BARE_NEEDS

Inputs = dict[str, pl.DataFrame]
MODES = ("shopping_assistant", "topic_expert", "private_partner")


def needs_of(inputs: Inputs) -> pl.DataFrame:
    """Return two due categories per customer: tea fits the assistant, serum the partner."""
    people = inputs["customer_state"].select("customer_id").sort("customer_id")
    worth = {"tea": (9.0, 2.0, 3.0), "serum": (1.0, 3.0, 60.0)}
    parts = []
    for category, amounts in worth.items():
        goods = inputs["product"].filter(
            (pl.col("category") == category) & ~pl.col("is_retired") & (pl.col("on_hand") > 0)
        )["product_id"]
        columns = {f"{name}_{mode}": pl.lit(amount) for mode, amount in
                   zip(MODES, amounts, strict=True) for name in
                   ("chance", "uplift_amount", "uplift_lower", "uplift_drawn")}  # fmt: skip
        parts.append(
            people.with_columns(
                need_id=pl.lit(f"due:{category}"),
                need=pl.lit("due"),
                category=pl.lit(category),
                category_kind=pl.lit("short"),
                product_ids=pl.lit(goods.head(2).to_list(), pl.List(pl.String)),
                is_known=pl.lit(True),
                times=pl.lit(4.0),
                days_since=pl.lit(31.0),
                gap_days=pl.lit(30.0),
                due=pl.lit(31 / 30),
                order_margin=pl.lit(20.0),
                **columns,
            )
        )
    parts.extend(
        people.with_columns(
            need_id=pl.lit(str(need)),
            need=pl.lit(str(need)),
            product_ids=pl.lit([], pl.List(pl.String)),
        )
        for need in BARE_NEEDS
    )
    empty = pl.DataFrame(schema=NEED_SCORE_SCHEMA)
    return pl.concat([empty, *parts], how="diagonal_relaxed")


@pytest.fixture(scope="module")
def told(world: Any) -> Inputs:
    inputs: Inputs = world.make_inputs(customers=200, clerks=3, seed=5)
    quiet = {"interactions": inputs["interactions"].clear()}
    return {**inputs, **quiet, "needs": needs_of(inputs)}


def contacts(given: Inputs, files: DecisionFiles, world: Any, **settings: Any) -> pl.DataFrame:
    plan = decide(given, files.rules(DecisionSettings(**settings)), as_of=world.AS_OF)
    listed = plan.log.filter(pl.col("action_type").is_not_null()).select(
        "customer_id", "need_id", "category", "fatigue_cost", log_uplift="uplift"
    )
    rows = plan.actions.filter(pl.col("product_ids").list.len() > 0)
    return rows.join(listed, on="customer_id")


def test_mode_need_and_product_are_chosen_together(
    told: Inputs, files: DecisionFiles, world: Any
) -> None:
    rows = contacts(told, files, world)
    category = told["product"].select(product_id="product_id", brought="category")
    first = rows.with_columns(product_id=pl.col("product_ids").list.first())
    first = first.join(category, on="product_id")
    assert first.height > 5
    assert (first["brought"] == first["category"]).all()
    by_mode = dict(first.group_by("mode").agg(pl.col("category").unique()).iter_rows())
    assert by_mode["private_partner"] == ["serum"]
    assert set(by_mode.get("shopping_assistant", ["tea"])) == {"tea"}
    assert (rows["uplift"] == rows["log_uplift"]).all()


def test_reasons_name_the_need_that_is_served(
    told: Inputs, files: DecisionFiles, world: Any
) -> None:
    for reasons, category in contacts(told, files, world).select("reasons", "category").iter_rows():
        assert reasons[0]["code"] == "need_due"
        assert category in reasons[0]["en"]
        assert "31 days ago" in reasons[0]["en"]


def test_a_product_brought_lately_gives_way_to_the_next_and_a_need_without_any_rests(
    told: Inputs, files: DecisionFiles, world: Any
) -> None:
    needs = told["needs"]
    long = files.policy.model_copy(update={"same_product_days": 14})
    files = replace(files, policy=long)
    serum = needs.filter(pl.col("category") == "serum")["product_ids"][0].to_list()
    people = told["customer_state"]["customer_id"]

    def brought(products: list[str]) -> Inputs:
        rows = pl.DataFrame(
            {
                "interaction_id": [f"i{i}" for i in range(len(people))],
                "customer_id": people,
                "ts": [world.AS_OF - timedelta(days=8)] * len(people),
                "mode": ["shopping_assistant"] * len(people),
                "product_ids": [products] * len(people),
            }
        )
        return {**told, "interactions": rows}

    second = contacts(brought(serum[:1]), files, world).filter(pl.col("category") == "serum")
    assert set(second["product_ids"].list.first()) == {serum[1]}
    neither = contacts(brought(serum), files, world)
    assert "serum" not in set(neither["category"])


def test_alternatives_are_logged_with_their_need(
    told: Inputs, files: DecisionFiles, world: Any
) -> None:
    plan = decide(told, files.rules(DecisionSettings()), as_of=world.AS_OF)
    every = plan.log.select("alternatives").explode("alternatives").unnest("alternatives")
    selling = every.filter(pl.col("need_id").str.starts_with("due:").fill_null(False))
    assert selling.height > 0
    assert (selling["need_id"] == "due:" + selling["category"]).all()
    assert (
        every.filter(pl.col("mode") == "none")["need_id"].null_count()
        == every.filter(pl.col("mode") == "none").height
    )


def test_what_is_worth_nothing_is_left_alone(
    told: Inputs, files: DecisionFiles, world: Any
) -> None:
    amounts = [f"{name}_{mode}" for mode in MODES for name in ("uplift_amount", "uplift_drawn")]
    harmful = {**told, "needs": told["needs"].with_columns(pl.col(name) * -1 for name in amounts)}
    plan = decide(harmful, files.rules(DecisionSettings()), as_of=world.AS_OF)
    chosen = plan.log.filter(pl.col("action_type").is_not_null() & ~pl.col("explored"))
    duties = {name for floor in files.policy.floors if floor.duty for name in floor.action_types}
    service = {action.action_type for action in files.catalogue.actions if action.service}
    assert set(chosen["action_type"]) <= service | duties
    assert chosen.filter(~pl.col("action_type").is_in(service))["floor"].null_count() == 0


def test_fatigue_costs_nothing_where_it_is_switched_off(
    told: Inputs, files: DecisionFiles, world: Any
) -> None:
    off = contacts(told, files, world, factors=Factors(fatigue_cost=False))
    assert (off["fatigue_cost"] == 0).all()


def test_its_cost_grows_with_fatigue_and_with_what_is_to_come() -> None:
    worth = np.array([[0.0] * WEEKS, [5.0] * WEEKS, [10.0] * WEEKS])
    calm, tired = (cost_of_fatigue(worth, slope, cool_down_weeks=0.3) for slope in (0.1, 0.5))
    assert calm[0] == tired[0] == 0.0
    assert (tired[1:] > calm[1:]).all()
    assert tired[2] == pytest.approx(2 * tired[1])


def test_a_dear_minute_makes_fatigue_cheap() -> None:
    value, minutes = np.full((1, 1), 12.0), np.full((1, 1), 4.0)
    ahead = np.ones((1, 1, 3))
    cheap, dear = (
        cost_of_fatigue(
            worth_ahead(value, ahead, (7, 14, 28), np.array([price]), minutes),
            0.3,
            cool_down_weeks=0.3,
        )[0]
        for price in (0.0, 3.0)
    )
    assert cheap > 0.0
    assert dear == 0.0


@pytest.mark.parametrize("name", sorted(SIMPLE_POLICIES))
def test_simple_policies_score_every_need(name: str, told: Inputs) -> None:
    facts = (
        told["customer_behaviour"]
        .join(told["customer_contact"], on="customer_id")
        .join(told["timing"], on="customer_id")
    )
    rows = told["needs"].join(facts, on="customer_id", how="left", maintain_order="left")
    worth = SIMPLE_POLICIES[name](rows)
    assert worth.shape == (rows.height, 3)
    assert np.isfinite(worth).all()
    assert (worth >= 0).all()
    goods = (rows["need"] == "due").to_numpy()
    assert worth[goods].max() > 0
    assert worth[~goods].max() == 0


def test_a_simple_list_plans_for_its_share_of_customers_and_minutes(
    told: Inputs, files: DecisionFiles, world: Any
) -> None:
    shares = {"arms": {"holdout": 0.1}, "policies": {"due_worth": 0.4}}
    plan = decide(told, files.rules(DecisionSettings(**shares)), as_of=world.AS_OF)
    listed = plan.log.filter(pl.col("action_type").is_not_null())
    used = dict(listed.group_by("arm").agg(pl.col("minutes").sum()).iter_rows())
    assert set(used) == {"engine", "due_worth"}
    assert used["due_worth"] <= 0.4 / 0.9 * plan.clerks["minutes"].sum() + 1e-9
    simple = listed.filter((pl.col("arm") == "due_worth") & pl.col("category").is_not_null())
    # the rule goes by fit and answers, whatever the effects say: no partner for everyday goods
    by_rule = simple.filter(pl.col("floor").is_null())
    assert set(by_rule["mode"]) <= {"shopping_assistant", "topic_expert"}
    assert (simple["fatigue_cost"] == 0).all()
    without = decide(told, files.rules(DecisionSettings(arms=shares["arms"])), as_of=world.AS_OF)
    before = without.log.select("customer_id", was="arm")
    both = plan.log.join(before, on="customer_id")
    assert (both.filter(pl.col("was") == "holdout")["arm"] == "holdout").all()
    assert set(both.filter(pl.col("arm") == "due_worth")["was"]) == {"engine"}


def test_shares_of_more_than_all_customers_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 1"):
        DecisionSettings(arms={"holdout": 0.5}, policies={"most_overdue": 0.6})


def test_two_products_are_named_together_in_each_language() -> None:
    goods = pl.DataFrame({"first": ["茶 | Tea", "Tea"], "second": ["皂 | Soap", "Soap"]})
    named = goods.select(name=joined_names("first", "second"))["name"]
    assert named.to_list() == ["茶和皂 | Tea and Soap", "Tea和Soap | Tea and Soap"]


def test_two_needs_in_one_contact_are_told_apart(
    told: Inputs, files: DecisionFiles, world: Any
) -> None:
    """The reason names the product of its own need; the text offers both."""
    pairs = {**told, "needs": with_pairs(told["needs"], 0.95)}
    by_worth = replace(files, policy=files.policy.model_copy(update={"floors": ()}))
    rows = contacts(pairs, by_worth, world).filter(pl.col("product_ids").list.len() == 2)
    assert not rows.is_empty()
    names = dict(told["product"].select("product_id", "name").iter_rows())
    for row in rows.iter_rows(named=True):
        first, second = (names[product] for product in row["product_ids"])
        (due,) = (reason["en"] for reason in row["reasons"] if reason["code"] == "need_due")
        assert first in due
        assert second not in due
        text = row["talking_point"]
        assert (first in text) == (second in text)
