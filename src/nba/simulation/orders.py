"""Orders that a contact leads to by itself, in the families where effects arise so.

A contact that was read wakes each need that it speaks to with a chance of its own; where it
does, an order is placed some days later, on top of what the needs bring by themselves. Where the
family only pulls forward, the next order that the need would have brought is left out.
"""

from __future__ import annotations

import numpy as np

from nba.arrays import Bools, Floats, Ints
from nba.simulation.config import LINE_TWO, MOVED, Moment
from nba.simulation.demand import available, choice_logits, festival_height, tier_now
from nba.simulation.messages import Contacts
from nba.simulation.scene import Scene, State
from nba.simulation.strength import base_strength

DUE_SPREAD = 1.0
"""Standard deviation of the log-normal fall of how due a category is."""
BIRTHDAY_AHEAD, BIRTHDAY_AFTER = 10, 3
"""Days before and after a birthday in which a gift is wanted."""
FESTIVAL_AHEAD = 10
"""Days before a festival in which a gift is wanted."""
OUT_OF_SEASON = 0.05
"""Effect of a contact outside the season of gifts, relative to one within."""
CONVERSION = 0.6
"""Share of visits that end in an order when the category is due."""
DROPOUT_DAYS = 365 * 4.5
"""Mean days until a customer drops out."""


def due(scene: Scene, state: State, customer: Ints) -> Floats:
    """How due each cell is: 1 at one personal gap between orders, 0 if it was never bought."""
    gap = scene.people.cell_gap[customer] / scene.people.capture[customer, None]
    bought = np.isfinite(state.last_order[customer])
    age = np.where(bought, state.day + 0.5 - state.last_order[customer], gap)
    away = np.log(np.maximum(age, 0.5) / gap)
    result: Floats = np.where(bought, np.exp(-((away / DUE_SPREAD) ** 2) / 2), 0.0)
    return result


def gift_season(scene: Scene, customer: Ints, day: int) -> Floats:
    """How much a gift is wanted: around the birthday and ahead of festivals, little otherwise."""
    ahead = (scene.people.birthday[customer] - scene.year_day(day)) % 365
    near = (ahead <= BIRTHDAY_AHEAD) | (ahead >= 365 - BIRTHDAY_AFTER)
    festive = any(festival_height(scene, day + t) > 1 for t in range(FESTIVAL_AHEAD + 1))
    result: Floats = np.where(near | festive, 1.0, OUT_OF_SEASON)
    return result


def order_moment(scene: Scene, state: State, customer: Ints) -> Floats:
    """How ready each cell is for an order of a contact's own, by the moment of the family."""
    if scene.family.moment is Moment.DUE:
        return due(scene, state, customer)
    bought = np.isfinite(state.last_order[customer])
    season = gift_season(scene, customer, state.day)
    result: Floats = np.where(bought, season[:, None], 0.0)
    return result


def order_chance(
    scene: Scene, state: State, made: Contacts, relevance: Floats, brought: Ints
) -> tuple[Floats, Floats]:
    """Return the chance that a read contact wakes each cell, and that a woken one orders.

    Parameters
    ----------
    scene : Scene
    state : State
    made : Contacts
        Contacts that were read.
    relevance, brought : array of float, array of int
        Shape (contacts, 4), from `cell_relevance`.
    """
    people, family = scene.people, scene.family
    kind = scene.assortment.kind[people.cell_category[made.customer]]
    fit = scene.effects.fit[kind, made.mode[:, None]]
    strength = np.maximum(base_strength(scene, state, made), 0.0)
    spoken_to = relevance if family.moment is Moment.GIFT else np.where(brought >= 0, relevance, 0)
    moment = order_moment(scene, state, made.customer)
    free = ~np.isfinite(state.order_day[made.customer]) & (state.owed[made.customer] == 0)
    pull = family.orders * strength[:, None] * fit * spoken_to * free
    if family.visits:
        return -np.expm1(-pull), CONVERSION * moment
    return -np.expm1(-pull * moment), np.ones_like(moment)


def schedule_orders(
    scene: Scene, state: State, made: Contacts, relevance: Floats, brought: Ints
) -> Bools:
    """Draw which needs the contacts wake, and when they order; return who was woken at all.

    Parameters
    ----------
    scene : Scene
    state : State
        Changed: orders and visits to come.
    made : Contacts
        Contacts that were read.
    relevance, brought : array of float, array of int
        Shape (contacts, 4), from `cell_relevance`.
    """
    wakes, orders = order_chance(scene, state, made, relevance, brought)
    streams, family, day = scene.streams, scene.family, state.day
    cell = scene.cells_of(made.customer)
    woken = streams.uniform("woken", cell.ravel(), day=day).reshape(cell.shape) < wakes
    converts = streams.uniform("converts", cell.ravel(), day=day).reshape(cell.shape) < orders
    low, high = family.lag_days
    draw = streams.uniform("order_lag", cell.ravel(), day=day).reshape(cell.shape)
    lag = low + np.floor((high - low + 1) * draw)
    placed = woken & converts
    who = made.customer
    state.order_day[who] = np.where(placed, day + lag, state.order_day[who])
    state.order_product[who] = np.where(placed, brought, state.order_product[who])
    curious: Bools = np.any(woken, axis=1)
    if family.visits:
        visit = 1 + np.floor(2 * streams.uniform("visit", who, day=day))
        state.visit_day[who] = np.where(curious, day + visit, state.visit_day[who])
    return curious


def usual_margin(scene: Scene, state: State, customer: Ints) -> Floats:
    """Return the expected margin of an order's first and second line by the customer's own choice.

    Returns
    -------
    array of shape (customers, 4, 2)
    """
    people, goods, day = scene.people, scene.assortment, state.day
    who = np.repeat(customer, people.cell_category.shape[1])
    category = people.cell_category[customer].reshape(-1)
    slots = category[:, None] * goods.slots + np.arange(goods.slots)
    logits = choice_logits(scene, who, category, tier_now(scene, day)[who])
    open_ = available(scene, slots, people.store[who][:, None], day)
    weight = np.where(open_, np.exp(logits - logits.max(axis=1, keepdims=True)), 0.0)
    share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    chosen = (share * line_margin(scene, who[:, None], slots)).sum(axis=1)
    favourite = state.favourite[customer].reshape(-1)
    known = (favourite >= 0) & available(scene, favourite, people.store[who], day)
    habit = np.where(known, people.repeat[who], 0.0)
    first = habit * line_margin(scene, who, favourite) + (1 - habit) * chosen
    result: Floats = np.stack([first, chosen], axis=1).reshape(len(customer), -1, 2)
    return result


def line_margin(scene: Scene, customer: Ints, product: Ints) -> Floats:
    """Return the expected margin of an order line of a product, returns and discounts deducted."""
    goods = scene.assortment
    price, category = goods.price[product], goods.category[product]
    pieces = np.where(price > 1500, 1.0, np.where(goods.replenishable[category], 1.55, 1.08))
    discount = 0.165 * scene.people.discount_share[customer]
    kept = 1 - goods.return_rate[category]
    result: Floats = (price * (1 - discount) - goods.cost[product]) * pieces * kept
    return result


def order_margin(scene: Scene, customer: Ints, usual: Floats, brought: Ints) -> Floats:
    """Return the expected margin of an order in each cell, given the product brought for it.

    Parameters
    ----------
    customer : array of shape (contacts,)
    usual : array of shape (contacts, 4, 2)
        As `usual_margin` returns it: the first line of an order and a second one.
    brought : array of shape (contacts, 4)
        Products, -1 for none.
    """
    moved = MOVED * (brought >= 0) * (not scene.family.swallows)
    own = line_margin(scene, customer[:, None], brought)
    result: Floats = moved * own + (1 - moved) * usual[:, :, 0] + LINE_TWO * usual[:, :, 1]
    return result
