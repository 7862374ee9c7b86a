"""The true effect of a contact: its sign, its moment, its relevance, and that it is true."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from nba.schema.words import CONTACT_MODES
from nba.simulation import World, WorldConfig
from nba.simulation.effects import Outlook, effect_table, residual_share
from nba.simulation.habits import contactable
from nba.simulation.messages import CHANNELS, contacts


@pytest.fixture(scope="module")
def effects(played):
    world = played.world
    who = np.flatnonzero(contactable(world.scene, world.state, world.day))
    return effect_table(world.scene, world.state, who).with_columns(
        pl.Series("type", world.scene.people.kind[np.repeat(who, 3)])
    )


def test_indifferent_customers_gain_nothing_and_averse_ones_lose(effects):
    assert effects.filter(pl.col("type") == 1)["gain_amount"].abs().max() < 1e-9
    averse = effects.filter(pl.col("type") == 2)["gain_amount"]
    assert averse.max() <= 1e-9
    assert averse.min() < -0.1
    receptive = effects.filter(pl.col("type") == 0)["gain_amount"]
    assert (receptive > 0).mean() > 0.9


def test_about_a_quarter_is_useless_or_harmful_to_contact(effects):
    best = effects.group_by("customer").agg(pl.col("gain_amount").max())
    assert 0.17 < (best["gain_amount"] <= 1e-9).mean() < 0.40


def test_effect_is_strongest_when_a_category_is_due(played):
    """The same customers and products, just after a purchase and a gap later."""
    world = played.world.copy()
    people = world.scene.people
    who = np.flatnonzero(contactable(world.scene, world.state, world.day) & (people.kind == 0))
    gains = []
    for share in (0.05, 1.0):
        world.state.last[who] = world.day + 0.5 - share * people.cell_gap[who]
        gains.append(effect_table(world.scene, world.state, who)["gain_amount"].mean())
    assert gains[1] > 2 * gains[0]


def test_relevance_hour_and_fatigue_matter(played):
    world = played.world.copy()
    ids = world.scene.customer_ids.gather(
        np.flatnonzero(contactable(world.scene, world.state, world.day))
    )
    good = world.true_effect(world.day, ids, "topic_expert")
    nothing = pl.Series([[]] * len(ids), dtype=pl.List(pl.String))
    bare = world.true_effect(world.day, ids, "topic_expert", nothing)
    assert good["effect_amount"].mean() > bare["effect_amount"].mean()
    assert good["block_rate"].mean() < bare["block_rate"].mean()
    world.state.fatigue += 3.0
    tired = world.true_effect(world.day, ids, "topic_expert")
    assert tired["gain_amount"].mean() < 0.8 * good["gain_amount"].mean()
    assert tired["block_rate"].mean() > 1.5 * good["block_rate"].mean()


def test_given_products_equal_the_best_when_they_are_the_best(played):
    world = played.world
    ids = played.observed().eligible(world.date, _rules())["customer_id"]
    best = world.true_effect(world.day, ids, "private_partner")
    again = world.true_effect(world.day, ids, "private_partner", best["product_ids"])
    np.testing.assert_allclose(again["effect_amount"], best["effect_amount"])


def _rules():
    from nba.simulation.observed import Rules

    return Rules()


def test_residual_time_of_a_memoryless_cell_never_changes():
    """Weibull shape 1 is exponential: waiting tells nothing. Shape 4 waits shorter and shorter."""
    x = np.array([0.0, 0.5, 1.0, 1.9])
    np.testing.assert_allclose(residual_share(np.ones(4), x), 1.0, rtol=0.01)
    assert (np.diff(residual_share(np.full(4, 4.0), x)) < 0).all()


@pytest.mark.proof
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_expected_effect_equals_the_mean_difference_of_two_worlds(mode):
    """One contact to all friends on one day, against none, over the ten weeks that follow."""
    differences, expected, early, early_expected = [], [], [], []
    for seed in range(4):
        world = World(WorldConfig(customers=12_000, seed=seed, pilot=False, days=60,
                                  sector_shares=(0.5, 0.5, 0.0)))  # fmt: skip
        for day in range(60):
            world.step(day, habitual=True)
        scene, state = world.scene, world.state
        who = np.flatnonzero(contactable(scene, state, world.day))
        table = effect_table(scene, state, who).filter(pl.col("mode") == mode)
        rate = Outlook.of(scene, state, who).rate.sum(axis=1)
        lost = table["block_rate"].to_numpy()
        expected.append(table["gain_amount"].to_numpy() * (1 - lost) - lost * rate * 70 * 0.15)
        products = table.select("product_0", "product_1", "product_2").to_numpy()
        made = contacts(
            customer=who, clerk=scene.people.clerk[who], mode=np.full(len(who), mode),
            hour=table["hour"].to_numpy(), products=products,
            channel=np.full(len(who), CHANNELS.index("chat")),
            action_type=pl.repeat("test", len(who), dtype=pl.String, eager=True),
        )  # fmt: skip
        still = world.copy()
        world.step_with(made)
        still.step_with(None)
        for offset in range(70):
            world.step_with(None)
            still.step_with(None)
            if offset == 12:
                early.append((world.state.margin - still.state.margin)[who])
                early_expected.append(table["window_amount"].to_numpy() * (1 - lost))
        differences.append((world.state.margin - still.state.margin)[who])
    difference, mean = np.concatenate(differences), np.concatenate(expected).mean()
    error = difference.std() / len(difference) ** 0.5
    assert abs(difference.mean() - mean) < 3 * error + 0.25 * mean, CONTACT_MODES[mode]
    assert difference.mean() > 2 * error
    first = np.concatenate(early)
    error = first.std() / len(first) ** 0.5
    mean = np.concatenate(early_expected).mean()
    assert abs(first.mean() - mean) < 3 * error + 0.25 * mean, CONTACT_MODES[mode]
