"""Arms that clerks, stores or groups draw for all their customers: the draw and the day's plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from nba.decisions import DecisionFiles, DecisionSettings, decide
from nba.decisions.audience import decide_audiences
from nba.decisions.compare import replay
from nba.decisions.inputs import conform_inputs
from nba.decisions.next_actions import OpenBook, next_actions
from nba.decisions.parts import arm_of
from nba.decisions.replacement import draw_replacements
from nba.decisions.rules import DecisionRules
from nba.decisions.settings import UnitDraw
from nba.decisions.units import arms_of_units
from nba.schema.words import DrawUnit
from nba.settings import ArmShares

Make = Callable[..., dict[str, pl.DataFrame]]
SETTINGS = DecisionSettings(arms=ArmShares(holdout=0.1, random=0.1))
SHARES = {"short": 0.4, "due_worth": 0.3}


def of_units(files: DecisionFiles, unit: str) -> DecisionRules:
    """Rules with an arm whose contacts are half as long, and a simple list beside it."""
    short = [one.model_copy(update={"minutes": one.minutes / 2}) for one in files.catalogue.actions]
    catalogue = files.catalogue.model_copy(update={"actions": tuple(short)})
    draft = replace(files, catalogue=catalogue, version="draft")
    own = {"short": draft.rules(SETTINGS), "due_worth": files.rules(SETTINGS)}
    arms = {name: own[name] for name in SHARES}
    draw = UnitDraw(unit=DrawUnit(unit), salt="trial", shares=SHARES)
    return files.rules(SETTINGS).with_variants(arms, SHARES, draw)


def in_stores(inputs: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The same clerks, two in each store."""
    number = pl.int_range(pl.len()) // 2
    stores = inputs["clerk"].with_columns(store_id=pl.format("store-{}", number))
    return {**inputs, "clerk": stores}


@pytest.mark.parametrize("unit", ["clerk", "store"])
def test_all_customers_of_a_unit_follow_it_but_those_drawn_by_themselves(
    make_inputs: Make, files: DecisionFiles, world: Any, unit: str
) -> None:
    inputs = in_stores(make_inputs(600, 12, seed=5))
    rules = of_units(files, unit)
    plan = decide(inputs, rules, as_of=world.AS_OF)
    plain = decide(inputs, files.rules(SETTINGS), as_of=world.AS_OF)
    stores = inputs["clerk"].select("clerk_id", store="store_id")
    both = plan.log.join(plain.log.select("customer_id", before="arm"), on="customer_id").join(
        stores, on="clerk_id"
    )
    alone = both.filter(pl.col("before") != "engine")
    assert (alone["arm"] == alone["before"]).all()
    assert set(alone["arm"]) == {"holdout", "random"}
    followers = both.filter(pl.col("before") == "engine")
    of_unit = followers.group_by("clerk_id" if unit == "clerk" else "store").agg(
        pl.col("arm").unique()
    )
    assert (of_unit["arm"].list.len() == 1).all()
    assert set(followers["arm"]) == {"engine", "short", "due_worth"}
    minutes = {one.action_type: one.minutes for one in files.catalogue.actions}
    rows = plan.log.filter(pl.col("arm").is_in(["short"]) & pl.col("action_type").is_not_null())
    assert rows.height > 3
    assert set(rows["policy_version"]) == {"draft"}
    expected = [minutes[name] / 2 for name in rows["action_type"]]
    assert rows["minutes"].to_list() == pytest.approx(expected)


def test_a_unit_has_all_its_minutes_and_each_clerk_one_row(
    make_inputs: Make, files: DecisionFiles, world: Any
) -> None:
    inputs = make_inputs(600, 12, seed=5)
    plan = decide(inputs, of_units(files, "clerk"), as_of=world.AS_OF)
    own = dict(inputs["clerk"].select("clerk_id", "minutes_per_day").iter_rows())
    assert plan.clerks["clerk_id"].is_unique().all()
    plain = decide(inputs, files.rules(SETTINGS), as_of=world.AS_OF)
    assert set(plan.clerks["clerk_id"]) == set(plain.clerks["clerk_id"])
    for row in plan.clerks.iter_rows(named=True):
        assert row["minutes_own"] == pytest.approx(own[row["clerk_id"]])
        assert 0.3 * own[row["clerk_id"]] < row["minutes_planned"] <= own[row["clerk_id"]] + 1e-6
        assert row["price_per_minute"] is not None
    total = plan.log["alternatives"].list.eval(pl.element().struct.field("probability")).list.sum()
    assert total.to_list() == pytest.approx([1.0] * plan.log.height)
    rules = DecisionRules.model_validate_json(of_units(files, "clerk").model_dump_json())
    again = decide(inputs, rules, as_of=world.AS_OF)
    assert again.log.equals(plan.log)
    listed = plan.actions.filter(pl.col("rank").is_not_null())["action_id"]
    found = replay(inputs, rules, action_id=listed[0], as_of=world.AS_OF, plan=plan)
    assert found.same


def test_cards_and_free_places_follow_the_unit(
    make_inputs: Make, files: DecisionFiles, world: Any
) -> None:
    inputs, rules = make_inputs(600, 12, seed=5), of_units(files, "clerk")
    plan = decide(inputs, rules, as_of=world.AS_OF)
    tables = conform_inputs(inputs)
    contacts = plan.log.filter(pl.col("action_type").is_not_null())
    book = OpenBook.of(inputs, plan.clerks)
    for arm in ("short", "due_worth", "engine"):
        ids = contacts.filter(pl.col("arm") == arm)["customer_id"].to_list()[:5]
        found = next_actions(book, ids, rules, as_of=world.AS_OF)
        assert set(found["arm"]) == {arm}
        own = arm_of(tables, rules, ids[0], as_of=world.AS_OF)
        assert own == ("" if arm == "engine" else arm)
    options = contacts.filter(pl.col("arm") == "short").select(
        "customer_id", "arm", "mode", "value", "minutes"
    )
    draw = draw_replacements(options.head(20), 30.0, rules.settings, seed="x")
    assert draw.drawn.height > 0
    assert set(draw.drawn["arm"]) <= {"short"}


def test_groups_draw_for_their_members_and_nobody_else_is_in_the_test(
    make_inputs: Make, files: DecisionFiles, world: Any
) -> None:
    inputs = make_inputs(400, 4, seed=5)
    people = inputs["customer_state"].select("customer_id").head(160)
    number = pl.int_range(pl.len()) % 20
    memberships = people.with_columns(
        group_id=pl.format("g{}", number),
        joined_at=pl.lit(world.AS_OF - timedelta(days=90)),
        left_at=pl.lit(None, dtype=pl.Datetime("us")),
    )
    inputs = {**inputs, "memberships": memberships}
    plan = decide(inputs, of_units(files, "group"), as_of=world.AS_OF)
    rows = plan.log.join(memberships, on="customer_id", how="left")
    outside = rows.filter(pl.col("group_id").is_null())
    assert set(outside["arm"]) == {"engine", "holdout", "random"}
    within = rows.filter(pl.col("group_id").is_not_null())
    assert (within.group_by("group_id").agg(pl.col("arm").n_unique())["arm"] == 1).all()
    assert {"short", "due_worth"} <= set(within["arm"])
    own = dict(inputs["clerk"].select("clerk_id", "minutes_per_day").iter_rows())
    for row in plan.clerks.iter_rows(named=True):
        assert row["minutes_own"] == pytest.approx(own[row["clerk_id"]])
        assert row["minutes_planned"] <= own[row["clerk_id"]] + 1e-6


def test_posts_of_a_clerk_follow_the_arm_that_the_clerk_drew(
    make_inputs: Make, files: DecisionFiles, world: Any
) -> None:
    inputs = make_inputs(600, 12, seed=5)
    rules = of_units(files, "clerk")
    posts = decide_audiences(inputs, rules, as_of=world.AS_OF).posts
    assert posts.height
    draw = rules.settings.by_units
    assert draw is not None
    followers = posts.filter(pl.col("arm").is_in(["engine", "short", "due_worth"]))
    assert followers["arm"].to_list() == arms_of_units(followers["clerk_id"], draw).to_list()
    moments = posts.filter(pl.col("audience").str.starts_with("moments:"))
    listed = set(moments["clerk_id"].to_list())
    clerks = inputs["clerk"]["clerk_id"]
    due = set(clerks.filter(arms_of_units(clerks, draw) == "due_worth").to_list())
    assert not listed & due


def test_shares_are_of_the_units_within_what_customers_leave(files: DecisionFiles) -> None:
    settings = of_units(files, "clerk").settings
    assert settings.shares["short"] == pytest.approx(0.4 * 0.8)
    assert settings.shares["engine"] == pytest.approx(0.3 * 0.8)
    assert settings.shares_of_customers["engine"] == pytest.approx(0.8)
    clerks = pl.Series([f"clerk-{number}" for number in range(4000)])
    assert settings.by_units is not None
    drawn = dict(arms_of_units(clerks, settings.by_units).value_counts().iter_rows())
    assert drawn["short"] / 4000 == pytest.approx(0.4, abs=0.03)
    other = settings.by_units.model_copy(update={"salt": "another"})
    assert (arms_of_units(clerks, other) != arms_of_units(clerks, settings.by_units)).any()
