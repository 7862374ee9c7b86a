"""Each family of worlds shows what its name says, and its truth is the mean of many days."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nba.simulation import World, WorldConfig
from nba.simulation.config import FAMILIES, Assortments, Family
from nba.simulation.effects import effects_of
from nba.simulation.habits import contactable
from nba.simulation.messages import CHANNELS, contacts
from nba.simulation.orders import due, gift_season

CUSTOMERS, HISTORY = 1500, 200


def config(family: Family, **changes) -> WorldConfig:
    # Goods that come back often, so that most cells were bought within the history, which ends
    # ahead of a festival.
    given = {
        "customers": CUSTOMERS,
        "days": HISTORY,
        "pilot": False,
        "habits": False,
        "sector_shares": (0.2, 0.8, 0.0),
        "seed": 3,
        "start": dt.date(2024, 11, 20),
    }
    return WorldConfig(family=family, **{**given, **changes})


@pytest.fixture(scope="module")
def history():
    """One year without contacts is the same in every family; each takes it up with its own."""
    world = World(config(Family.CAPTURE))
    for day in range(HISTORY):
        world.step(day)
    return world


def world_of(history: World, family: Family, *, day_stream: int = 0) -> World:
    """Return the history's end in another family, its coming days drawn anew."""
    given = config(family)
    fresh = World(given)
    twin = history.copy()
    twin.config, twin.scene = given, fresh.scene
    if day_stream:
        twin.scene.streams.seed = 1000 + day_stream
    return twin


def brings_most_due(world: World, mode: int = 1):
    """Return one contact of every friend, in the evening, with the favourite that is most due."""
    scene, state = world.scene, world.state
    who = np.flatnonzero(contactable(scene, state, world.day))
    ready = np.where(state.favourite[who] >= 0, due(scene, state, who), -1)
    product = np.take_along_axis(state.favourite[who], ready.argmax(axis=1)[:, None], axis=1)
    return contacts(
        customer=who, clerk=scene.people.clerk[who], mode=np.full(len(who), mode),
        hour=np.full(len(who), 19.0), channel=np.full(len(who), CHANNELS.index("chat")),
        products=product, action_type=pl.repeat("test", len(who), dtype=pl.String, eager=True),
    )  # fmt: skip


def gains(history: World, family: Family, *, days: int, replications: int):
    """Return mean and error of what one contact to all adds, and what the truth expected."""
    world = world_of(history, family)
    made = brings_most_due(world)
    truth = effects_of(world.scene, world.state, made)
    expected = truth.with_columns(kept=1 - pl.col("block_rate"))
    totals = []
    for stream in range(1, replications + 1):
        with_contact = world_of(history, family, day_stream=stream)
        without = with_contact.copy()
        with_contact.step_with(made)
        without.step_with(None)
        for _ in range(days - 1):
            with_contact.step_with(None)
            without.step_with(None)
        difference = with_contact.state.margin - without.state.margin
        totals.append(difference[made.customer].sum())
    return np.mean(totals), np.std(totals) / len(totals) ** 0.5, expected


def test_default_family_is_todays():
    assert WorldConfig().family is Family.CAPTURE
    assert FAMILIES[Family.CAPTURE].boost == 1
    assert FAMILIES[Family.CAPTURE].orders == 0


def test_in_null_purchases_are_the_same_with_and_without_contacts(history):
    world = world_of(history, Family.NULL)
    twin = world.copy()
    made = brings_most_due(world)
    assert (effects_of(world.scene, world.state, made)["gain_amount"] == 0).all()
    blocks = 0
    for day in range(30):
        first = world.step_with(made if day % 3 == 0 else None)
        second = twin.step_with(None)
        assert_frame_equal(first.tables["transactions"], second.tables["transactions"])
        blocks += first.blocks
    assert blocks > 0
    np.testing.assert_array_equal(world.state.margin, twin.state.margin)


def test_harmful_contacts_take_demand_and_lose_friends(history):
    mean, error, truth = gains(history, Family.HARMFUL, days=14, replications=4)
    assert (truth["gain_amount"] <= 0).all()
    assert mean < -2 * error
    calm = world_of(history, Family.CAPTURE)
    usual = effects_of(calm.scene, calm.state, brings_most_due(calm))
    assert truth["block_rate"].sum() > 2 * usual["block_rate"].sum()


@pytest.mark.parametrize("family", [Family.EXTRA_ORDERS, Family.ATTENTION, Family.SEASONAL_GIFT])
def test_measured_gain_of_orders_on_top_equals_the_truth(history, family):
    # The last order comes within eight days; there is no gain after it.
    mean, error, truth = gains(history, family, days=10, replications=10)
    expected = (truth["gain_amount"] * truth["kept"]).sum()
    assert expected > 0
    assert abs(mean - expected) < 3 * error + 0.05 * expected
    assert (truth["gain_amount"] == truth["window_amount"]).all()


def test_pulling_forward_gains_within_the_window_and_nothing_after(history):
    early, error, truth = gains(history, Family.PULL_FORWARD, days=14, replications=6)
    expected = (truth["window_amount"] * truth["kept"]).sum()
    assert abs(early - expected) < 3 * error + 0.1 * expected
    assert early > 3 * error
    late, error, _ = gains(history, Family.PULL_FORWARD, days=150, replications=2)
    assert abs(late) < 0.35 * early + 3 * error
    assert truth["gain_amount"].sum() < 0.15 * expected


def test_an_order_on_top_needs_a_known_need_that_is_due(history):
    world = world_of(history, Family.EXTRA_ORDERS)
    scene, state = world.scene, world.state
    made = brings_most_due(world)
    usual = effects_of(scene, state, made)["gain_amount"].to_numpy()
    moments = {}
    for share in (0.1, 1.0, 20.0):
        gap = scene.people.cell_gap / scene.people.capture[:, None]
        state.last_order[:] = world.day + 0.5 - share * gap
        moments[share] = effects_of(scene, state, made)["gain_amount"].sum()
    assert moments[1.0] > 5 * moments[0.1]
    assert moments[1.0] > 5 * moments[20.0]
    state.last_order[:] = -np.inf
    assert (effects_of(scene, state, made)["gain_amount"] == 0).all()
    assert usual.sum() > 0


def test_attention_shows_in_visits_before_orders(history):
    world = world_of(history, Family.ATTENTION)
    made = brings_most_due(world)
    clicks = [world.step_with(made).tables["responses"]]
    orders = (world.state.order_day < np.inf).any(axis=1)
    for _ in range(3):
        clicks.append(world.step_with(None).tables.get("responses", clicks[0].clear()))
    clicked = pl.concat(clicks).filter(pl.col("kind") == "clicked")
    assert clicked["response_id"].is_unique().all()
    visited = set(clicked["customer_id"])
    assert set(world.scene.customer_ids.gather(np.flatnonzero(orders))) <= visited
    assert len(visited) > 2 * orders.sum() * 0.5
    assert clicked.group_by("interaction_id").len()["len"].max() == 2


def test_gifts_are_wanted_around_birthdays_and_festivals(history):
    world = world_of(history, Family.SEASONAL_GIFT)
    scene = world.scene
    day = next(d for d in range(365) if scene.year_day(d) == 80)  # no festival near
    everybody = np.arange(scene.people.count)
    wanted = gift_season(scene, everybody, day) == 1
    assert 0.02 < wanted.mean() < 0.06
    ahead = (scene.people.birthday[wanted] - 80) % 365
    assert ((ahead <= 10) | (ahead >= 362)).all()
    double_eleven = next(d for d in range(365) if scene.year_day(d) == 300)
    assert (gift_season(scene, everybody, double_eleven) == 1).all()


@pytest.mark.parametrize("family", [Family.PULL_FORWARD, Family.ATTENTION, Family.SEASONAL_GIFT])
def test_policies_share_every_draw(history, family):
    """A contact changes nobody but the customer contacted."""
    world, twin = world_of(history, family), world_of(history, family)
    made = brings_most_due(world).take(np.arange(20))
    for day in range(20):
        world.step_with(made if day in (0, 5) else None)
        twin.step_with(None)
    changed = np.flatnonzero(world.state.margin != twin.state.margin)
    assert len(changed)
    assert set(changed) <= set(made.customer)


def test_keys_stay_unique_where_orders_come_on_top(history):
    world = world_of(history, Family.EXTRA_ORDERS)
    made = brings_most_due(world)
    sales = [world.step_with(made if day % 4 == 0 else None).tables["transactions"]
             for day in range(12)]  # fmt: skip
    assert pl.concat(sales).select("order_id", "line_no").is_unique().all()


def test_effects_of_a_plan_are_those_of_its_very_contacts(history):
    world = world_of(history, Family.EXTRA_ORDERS)
    made = brings_most_due(world).take(np.arange(30))
    ids = world.scene.customer_ids.gather(made.customer)
    plan = pl.DataFrame(
        {
            "action_id": "a-" + ids,
            "customer_id": ids,
            "clerk_id": world.scene.clerk_ids.gather(made.clerk),
            "mode": ["topic_expert"] * 29 + ["none"],
            "product_ids": [[p] for p in world.scene.product_ids.gather(made.products[:, 0])],
        }
    )
    chats = world.true_effect_of(plan)
    assert chats["action_id"].to_list() == plan["action_id"].to_list()[:29]
    posts = world.true_effect_of(plan.with_columns(channel=pl.lit("moments")))
    assert posts["gain_amount"].sum() < chats["gain_amount"].sum()


def test_another_assortment_and_other_minutes():
    world = World(config(Family.CAPTURE, assortment=Assortments.EVERYDAY, days=5,
                         clerk_minutes=(25.0, 120.0)))  # fmt: skip
    opening = world.step(0).tables
    assert set(world.scene.shops.minutes) == {25.0, 120.0}
    assert "pet_food" in set(opening["categories"]["category"])
    kinds = dict(opening["categories"].select("category", "kind").iter_rows())
    assert kinds["audio"] == "group"
    assert set(opening["products"]["category"]) == set(kinds)
