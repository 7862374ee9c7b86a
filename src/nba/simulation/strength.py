"""How strongly a contact works: relevance, moment, hour, fatigue, and what it risks."""

from __future__ import annotations

from typing import Final

import numpy as np

from nba.arrays import Floats, Ints
from nba.simulation.config import BLOCK_PER_CONTACT
from nba.simulation.demand import available, tier_now
from nba.simulation.messages import CHANNEL_FATIGUE, CHANNEL_STRENGTH, Contacts, is_service
from nba.simulation.people import TYPE_BLOCK, TYPE_FACTOR
from nba.simulation.scene import Scene, State

#: Relevance of a contact that brings no product, by mode.
GENERAL_RELEVANCE: Final = np.array([0.15, 0.35, 0.40])
#: Part of a contact's effect that reaches the customer's other categories.
SPILL: Final = 0.2
READ_RATE: Final = 0.6
BIRTHDAY: Final = 1.4
"""Strength of a contact around the customer's birthday, relative to other days."""
SERVICE_BLOCK: Final = 0.3
"""Chance of a block by a contact that answers a case, relative to a selling one."""
ATTENTION: Final = 0.4
"""Each of n products brought keeps n ** -0.4 of its relevance: attention is divided."""


def moment_factor(age_share: Floats) -> Floats:
    """How ready a category is: least just after a purchase, full when due, less when long gone."""
    due = np.clip(age_share, 0, 1)
    result: Floats = (0.3 + 0.7 * due**2) * np.where(age_share > 2.5, 0.7, 1.0)
    return result


def hour_factor(scene: Scene, customer: Ints, hour: Floats) -> Floats:
    """How well the hour suits the customer: 1 at the preferred one, .55 far from it."""
    away = hour - scene.people.chat_hour[customer]
    result: Floats = 0.55 + 0.45 * np.exp(-((away / 2.5) ** 2))
    return result


def read_rate(scene: Scene, state: State, customer: Ints, hour: Floats) -> Floats:
    """Return the chance that a contact is read at all.

    Parameters
    ----------
    scene : Scene
    state : State
    customer : array of int
        Shape (contacts,), positions.
    hour : array of float
        Shape (contacts,), of the day.
    """
    tired = np.exp(-0.5 * scene.people.fatigue_weight[customer] * state.fatigue[customer])
    result: Floats = np.minimum(READ_RATE * hour_factor(scene, customer, hour) * tired / 0.85, 0.95)
    return result


def base_strength(scene: Scene, state: State, made: Contacts) -> Floats:
    """Return the strength of a read contact before fit, relevance and moment."""
    people, customer = scene.people, made.customer
    tired = np.exp(-people.fatigue_weight[customer] * state.fatigue[customer])
    stranger = np.where(state.friend[customer], 1.0, 0.6)
    result: Floats = (
        scene.effects.strength
        * people.response[customer, made.mode]
        * TYPE_FACTOR[people.kind[customer]]
        * scene.shops.skill[made.clerk, made.mode]
        * tired
        * stranger
        * CHANNEL_STRENGTH[made.channel]
    )
    return result


def product_relevance(scene: Scene, state: State, customer: Ints, product: Ints) -> Floats:
    """Return how well a product fits a customer's taste and price tier, from 0 to 1.

    Parameters
    ----------
    scene : Scene
    state : State
    customer, product : arrays of int
        Shape (rows,), positions.
    """
    goods, people = scene.assortment, scene.people
    taste = np.einsum("nd,nd->n", people.taste[customer], goods.style[product])
    tier = np.exp(-0.35 * (goods.tier[product] - tier_now(scene, state.day)[customer]) ** 2)
    fit = (0.25 + 0.75 / (1 + np.exp(-taste))) * tier
    known = (state.favourite[customer] == product[:, None]).any(axis=1)
    result: Floats = np.where(known, np.maximum(fit, 0.85), fit)
    return result


def cell_relevance(scene: Scene, state: State, made: Contacts) -> tuple[Floats, Ints]:
    """Return relevance by cell (contacts × 4) and the best product brought for each cell.

    A product of a category that the customer never buys is irrelevant.
    """
    products = made.products
    n, width = products.shape
    flat = products.reshape(-1)
    who = np.repeat(made.customer, width)
    value = np.where(
        (flat >= 0) & available(scene, flat, scene.people.store[who], state.day),
        product_relevance(scene, state, who, flat),
        0.0,
    ).reshape(n, width, 1)
    category = scene.assortment.category[products]
    brought_count = np.maximum((products >= 0).sum(axis=1), 1)
    value = value * (brought_count**-ATTENTION)[:, None, None]
    same = category[:, :, None] == scene.people.cell_category[made.customer][:, None, :]
    match = np.where(same, value, 0.0)
    best = np.argmax(match, axis=1)
    relevance = np.max(match, axis=1)
    brought = np.where(relevance > 0, np.take_along_axis(products, best, axis=1), -1)
    bare = (products < 0).all(axis=1)
    general = GENERAL_RELEVANCE[made.mode]
    floor = np.where(bare, general, SPILL * general)
    spill = SPILL * relevance.max(axis=1)
    return np.maximum(relevance, np.maximum(floor, spill)[:, None]), brought


def boosts(scene: Scene, state: State, made: Contacts, relevance: Floats) -> Floats:
    """Return the boost of each cell that a read contact gives (contacts × 4).

    Parameters
    ----------
    scene : Scene
    state : State
    made : Contacts
    relevance : array of float
        Shape (contacts, 4), from `cell_relevance`.
    """
    people, customer = scene.people, made.customer
    kind = scene.assortment.kind[people.cell_category[customer]]
    age = (state.day + 0.5 - state.last[customer]) / people.cell_gap[customer]
    strength = base_strength(scene, state, made)
    strength = np.where(scene.birthday_near(customer, state.day), BIRTHDAY * strength, strength)
    fit = scene.effects.fit[kind, made.mode[:, None]]
    boost: Floats = strength[:, None] * fit * relevance * moment_factor(age)
    if scene.family.boost < 0:
        boost = np.abs(boost)
    result: Floats = scene.family.boost * boost
    return result


def block_rate(scene: Scene, state: State, made: Contacts, relevance: Floats) -> Floats:
    """Return the chance that a contact loses the friend.

    Parameters
    ----------
    scene : Scene
    state : State
    made : Contacts
    relevance : array of float
        Shape (contacts, 4), from `cell_relevance`.
    """
    people, customer = scene.people, made.customer
    best = np.minimum(relevance.max(axis=1), 1.0)
    rate = np.array(BLOCK_PER_CONTACT)[made.mode] * TYPE_BLOCK[people.kind[customer]]
    rate = rate * people.tolerance[customer] * (1.7 - 1.2 * best) * CHANNEL_FATIGUE[made.channel]
    rate = rate * np.exp(np.minimum(0.45 * state.fatigue[customer], 3.0))
    rate = np.where(state.case_until[customer] >= state.day, 2 * rate, rate)
    rate = np.where(state.consent_contact[customer], rate, 8 * rate)
    rate = np.minimum(scene.family.block * rate, 0.5)
    result: Floats = np.where(is_service(made.action_type), SERVICE_BLOCK * rate, rate)
    return result
