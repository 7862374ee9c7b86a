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
from nba.decisions.inputs import conform_inputs
from nba.decisions.loading import DecisionFiles
from nba.decisions.needs import open_needs
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


def bought_of(needs: pl.DataFrame) -> pl.DataFrame:
    """Return that every customer bought what is brought first of each due need, 31 days ago."""
    return needs.filter(pl.col("need") == "due").select(
        "customer_id",
        "category",
        product_id=pl.col("product_ids").list.first(),
        purchase_days=pl.lit(4),
        quantity=pl.lit(4.0),
        days_since_purchase=pl.lit(31.0),
        days_since_return=pl.lit(None, pl.Float64),
    )


@pytest.fixture(scope="module")
def told(world: Any) -> Inputs:
    inputs: Inputs = world.make_inputs(customers=200, clerks=3, seed=5)
    needs = needs_of(inputs)
    bought = bought_of(needs)
    return {
        **inputs,
        "interactions": inputs["interactions"].clear(),
        "needs": needs,
        "customer_product": bought,
        "customer_category": bought.select(
            "customer_id", "category", "purchase_days", gap_days_median=pl.lit(30.0)
        ),
    }


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


def reasons_after(given: Inputs, files: DecisionFiles, world: Any, **changes: pl.Expr) -> set[str]:
    """Return the first reasons about tea, with the purchases of tea changed."""
    of_tea = given["customer_product"].with_columns(
        pl.when(pl.col("category") == "tea").then(change).otherwise(name).alias(name)
        for name, change in changes.items()
    )
    rows = contacts({**given, "customer_product": of_tea}, files, world)
    return {reasons[0]["en"] for reasons in rows.filter(pl.col("category") == "tea")["reasons"]}


def test_reasons_name_what_was_bought_last(told: Inputs, files: DecisionFiles, world: Any) -> None:
    """Not what is brought, nor what was sent back."""
    given = {**told, "customer_category": told["customer_category"].clear()}
    retired = told["product"].filter("is_retired")["product_id"][0]
    name = dict(told["product"].select("product_id", "name").iter_rows())[retired]
    (found,) = reasons_after(given, files, world, product_id=pl.lit(retired))
    assert found == f"last bought goods of this kind 31 days ago ({name})"
    back = {"days_since_return": pl.lit(20.0)}
    (one,) = reasons_after(given, files, world, quantity=pl.lit(1.0), **back)
    assert "31 days" not in one
    assert one.startswith("has chosen something like")
    (some,) = reasons_after(given, files, world, quantity=pl.lit(2.0), **back)
    assert "31 days" not in some
    (again,) = reasons_after(given, files, world, days_since_return=pl.lit(32.0))
    assert "31 days ago (Product" in again


def test_an_earlier_purchase_counts_where_the_last_was_sent_back(
    told: Inputs, files: DecisionFiles, world: Any
) -> None:
    first = told["customer_product"].with_columns(
        pl.lit("p0059").alias("product_id"), quantity=pl.lit(1.0), days_since_purchase=pl.lit(9.0),
        days_since_return=pl.lit(3.0),
    )  # fmt: skip
    both = {**told, "customer_product": pl.concat([told["customer_product"], first])}
    for reason in reasons_after(both, files, world):
        assert "31 days ago" in reason
        assert not reason.startswith("buys")


def test_a_habit_is_told_of_three_purchases_or_more(
    told: Inputs, files: DecisionFiles, world: Any
) -> None:
    few = told["customer_category"].with_columns(purchase_days=pl.lit(2))
    needs = told["needs"].with_columns(times=pl.lit(2.0), usual_gap_days=pl.lit(59.0))
    given = {**told, "customer_category": few, "needs": needs}
    for reason in reasons_after(given, files, world):
        assert reason.startswith("bought tea 31 days ago (Product")
        assert reason.endswith("we expect the next need about 59 days after it")
    for reason in reasons_after({**told, "needs": needs}, files, world):
        assert reason.startswith("buys tea every 30 days or so; the last time was 31 days ago")


def stocked(given: Inputs, empty: list[str], restocked: float | None = None) -> Inputs:
    """Return the inputs where store s0 has none of some products, and s1 has all."""
    ids = given["product"]["product_id"].to_list()
    rows = [
        (product, store, 0.0 if store == "s0" and product in empty else 5.0, restocked)
        for product in ids
        for store in ("s0", "s1")
    ]
    names = ["product_id", "store_id", "on_hand", "days_since_restock"]
    table = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    return {**given, "store_stock": table}


@pytest.fixture(scope="module")
def two_stores(told: Inputs) -> Inputs:
    clerks = told["clerk"].sort("clerk_id").with_columns(store_id=pl.Series(["s0", "s1", "s9"]))
    return {**told, "clerk": clerks.with_columns(works_today=pl.lit(True))}


def by_store(given: Inputs, files: DecisionFiles, world: Any) -> dict[str, set[str]]:
    """Return what the clerks of each store bring first."""
    rows = contacts(given, files, world).join(given["clerk"].select("clerk_id", "store_id"),
                                              on="clerk_id")  # fmt: skip
    firsts = rows.select("store_id", first=pl.col("product_ids").list.first())
    return {
        store: set(firsts.filter(pl.col("store_id") == store)["first"]) for store in
        ("s0", "s1", "s9")
    }  # fmt: skip


def test_a_clerk_brings_what_their_store_has(
    two_stores: Inputs, files: DecisionFiles, world: Any
) -> None:
    tea, serum = (
        two_stores["needs"].filter(pl.col("category") == category)["product_ids"][0].to_list()
        for category in ("tea", "serum")
    )
    found = by_store(stocked(two_stores, [tea[0], serum[0]]), files, world)
    assert found["s0"] <= {tea[1], serum[1]}
    assert found["s1"] <= {tea[0], serum[0]}
    assert found["s9"] <= {tea[0], serum[0]}
    assert all(found.values())
    assert by_store(stocked(two_stores, tea + serum), files, world)["s0"] == set()


def test_who_buys_online_may_be_brought_what_only_others_have(
    two_stores: Inputs, files: DecisionFiles, world: Any
) -> None:
    """After what the store has."""
    online = two_stores["customer_behaviour"].with_columns(channel_web_share=pl.lit(0.5))
    given = {**two_stores, "customer_behaviour": online}
    goods = [ids.to_list() for ids in two_stores["needs"]["product_ids"].unique() if len(ids)]
    firsts = {ids[0] for ids in goods}
    every = {product for ids in goods for product in ids}
    assert by_store(stocked(given, sorted(firsts)), files, world)["s0"] <= every - firsts
    assert by_store(stocked(given, sorted(every)), files, world)["s0"] <= firsts
    assert by_store(stocked(given, sorted(every)), files, world)["s0"]
    rows = contacts(stocked(given, sorted(every)), files, world)
    clerks = set(given["clerk"].filter(pl.col("store_id") == "s0")["clerk_id"])
    for clerk, reasons in rows.select("clerk_id", "reasons").iter_rows():
        warned = any(reason["code"] == "not_here" for reason in reasons)
        assert warned == (clerk in clerks)


def test_back_in_stock_is_of_the_clerks_store(
    two_stores: Inputs, files: DecisionFiles, world: Any
) -> None:
    """Elsewhere, or on no shelf at all, is not here; without a store's word all stores count."""
    product = two_stores["product"].with_columns(days_since_restock=pl.lit(2.0))
    given = {**two_stores, "product": product}
    people = given["customer_state"].select("customer_id", consent_profiling=pl.lit(True))

    def back(inputs: Inputs) -> set[str]:
        rows = open_needs(
            conform_inputs(inputs), people, {}, as_of=world.AS_OF, policy=files.policy
        ).rows.filter("is_restocked")
        homes = given["customer_state"].select("customer_id", "clerk_id")
        clerks = given["clerk"].select("clerk_id", "store_id")
        return set(rows.join(homes, on="customer_id").join(clerks, on="clerk_id")["store_id"])

    assert back(given) == {"s0", "s1", "s9"}
    assert back(stocked(given, [])) == {"s9"}
    assert back(stocked(given, [], restocked=3.0)) == {"s0", "s1", "s9"}
    assert back(stocked(given, given["product"]["product_id"].to_list(), 3.0)) == {"s1", "s9"}


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
