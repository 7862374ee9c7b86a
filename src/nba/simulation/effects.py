"""The expected incremental margin of one contact, from the truth.

One step ahead: a contact today against none, with no further contact. A cell is a renewal
process, so that its value after the boost has faded is known: a purchase at day t is worth
its margin plus what the rate of purchases earns in the rest of the horizon, and a cell that
has waited for r is worth `margin - rate * mean residual time` more than a fresh one (the
relative value of renewal reward theory, e.g. Ross, Stochastic Processes, chapter 3). What a
contact only pulls forward is charged with the wait that follows; a lost friend with the part
of a year's purchases that goes elsewhere; fatigue with what it takes from the contacts to come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints
from nba.schema.words import CONTACT_MODES, Channel
from nba.simulation.config import (
    BOOST_HALF_LIFE,
    CELLS,
    FATIGUE_HALF_LIFE,
    HAZARD_SHARE,
    MAX_BOOST,
)
from nba.simulation.demand import (
    available,
    base_capture,
    calendar,
    capture_rate,
    level,
    need_hazard,
    tier_now,
)
from nba.simulation.lookup import positions, product_positions
from nba.simulation.messages import CHANNELS, Contacts, contacts, product_lists
from nba.simulation.orders import (
    DROPOUT_DAYS,
    order_chance,
    order_margin,
    order_moment,
    usual_margin,
)
from nba.simulation.scene import Scene, State
from nba.simulation.strength import (
    block_rate,
    boosts,
    cell_relevance,
    moment_factor,
    read_rate,
)

HORIZON: Final = 40
WINDOW: Final = 14
"""Days of the outcome window."""
CONTACT_RATE: Final = 0.1
"""Contacts a day that the cost of fatigue counts with."""
FUTURE_CONTACTS: Final = 12.0
"""Contacts that a lost friend would still have received."""
MEAN_MOMENT: Final = 0.6
"""Effect of a contact at an average moment, relative to one worth making."""
_GRID: Final = np.linspace(0.0, 6.0, 301)
_SHAPES: Final = np.linspace(1.0, 6.0, 41)


@cache
def _residuals() -> Floats:
    """Mean residual time by shape and waiting time, both in units of the Weibull scale."""
    fine = np.linspace(0.0, 40.0, 20_001)
    rows = []
    for shape in _SHAPES:
        below = np.minimum(fine, 2.0) ** shape
        hazard = below + shape * 2.0 ** (shape - 1) * np.maximum(fine - 2.0, 0.0)
        survival = np.exp(-hazard)
        step = fine[1] - fine[0]
        area = np.cumsum(((survival[:-1] + survival[1:]) / 2 * step)[::-1])[::-1]
        area = np.append(area, 0.0)
        at = np.searchsorted(fine, _GRID)
        late = 1 / (shape * 2.0 ** (shape - 1))
        value = area[at] / np.maximum(survival[at], 1e-300)
        rows.append(np.where(_GRID >= 2.0, late, value))
    return np.array(rows)


def residual_share(shape: Floats, x: Floats) -> Floats:
    """Return the mean time to the next need after waiting x, relative to a fresh cell's."""
    table = _residuals()
    row = np.clip((shape - 1.0) / (_SHAPES[1] - _SHAPES[0]), 0, len(_SHAPES) - 1.001)
    column = np.clip(x / (_GRID[1] - _GRID[0]), 0, len(_GRID) - 1.001)
    i, j = row.astype(np.int64), column.astype(np.int64)
    a, b = row - i, column - j
    mixed = (table[i, j] * (1 - a) + table[i + 1, j] * a) * (1 - b) + (
        table[i, j + 1] * (1 - a) + table[i + 1, j + 1] * a
    ) * b
    fresh = table[i, 0] * (1 - a) + table[i + 1, 0] * a
    result: Floats = mixed / fresh
    return result


@dataclass(frozen=True)
class Outlook:
    """What each cell of some customers would do without a contact, day by day."""

    customer: Ints
    hazard: Floats
    capture: Floats
    margin: Floats
    tier: Floats
    rate: Floats
    wait_value: Floats
    usual: Floats

    @staticmethod
    def of(scene: Scene, state: State, customer: Ints) -> Outlook:
        """Look ahead for some customers."""
        people, day = scene.people, state.day
        category = people.cell_category[customer]
        last = state.last[customer]
        levels = level(scene, day)[customer, None]
        days = []
        for t in range(HORIZON):
            of_day = calendar(scene, day + t)[category] * levels
            days.append(need_hazard(scene, last, day + t + 0.5, customer) * of_day)
        capture = base_capture(scene, state, customer)[:, None] * np.ones(CELLS)
        tier = tier_now(scene, day)[customer][:, None] * np.ones(CELLS)
        margin = scene.cell_margin(category, tier)
        gap = people.cell_gap[customer]
        x = np.maximum(day + HORIZON - last, 0) / people.cell_scale[customer]
        waited = residual_share(people.cell_shape[customer], x)
        return Outlook(
            customer, np.array(days), capture, margin, tier,
            capture * margin * levels / gap, capture * margin * (1 - waited),
            usual_margin(scene, state, customer) if scene.family.orders else np.empty(0),
        )  # fmt: skip

    def value(
        self, scene: Scene, state: State, rows: Ints, *, boost: Floats, shift: Floats
    ) -> tuple[Floats, Floats]:
        """Return the value of each cell under a boost: in all, and the margin of the window.

        Parameters
        ----------
        scene : Scene
        state : State
            What the customers' cells are like today.
        rows : array of int
            Positions in the outlook.
        boost : array of float
            Shape (rows, 4): on top of nothing, the standing boost included.
        shift : array of float
            Shape (rows, 4): price tiers up.
        """
        who, day = self.customer[rows], state.day
        gap = scene.people.cell_gap[who]
        pulled = scene.people.pulled_share[who, None]
        rate, capture = self.rate[rows], self.capture[rows]
        category = scene.people.cell_category[who]
        last = state.last[who]
        fade = 0.5 ** (1 / BOOST_HALF_LIFE)
        alive, total, window = np.ones_like(boost), np.zeros_like(boost), np.zeros_like(boost)
        shifted = bool(np.any(shift > 0))
        margin = self.margin[rows]
        for t in range(HORIZON):
            now = boost * fade**t
            impulse = np.exp(HAZARD_SHARE * now)
            fires = alive * -np.expm1(-self.hazard[t][rows] * impulse)
            earned = margin
            if shifted and t < 30:
                earned = scene.cell_margin(category, self.tier[rows] + shift * fade**t)
            wait = np.maximum(gap - (day + t + 0.5 - last), 0.0)
            delayed = (1 - 1 / np.maximum(impulse, 1.0)) * pulled * rate * wait
            sold = capture_rate(capture, now) * earned
            total += fires * (sold + rate * (HORIZON - t - 0.5) - delayed)
            if t < WINDOW:
                window += fires * (sold + rate * (WINDOW - t - 0.5) - delayed)
            alive -= fires
        return total + alive * self.wait_value[rows], window

    def baseline(self, scene: Scene, state: State) -> tuple[Floats, Floats]:
        """Return the value of each cell without a contact, as `value` does."""
        every = np.arange(len(self.customer))
        boost, shift = state.boost[self.customer], state.boost_tier[self.customer]
        return self.value(scene, state, every, boost=boost, shift=shift)

    def missed(self, scene: Scene, rows: Ints) -> tuple[Floats, Floats]:
        """Return the chance that a cell brings no order: ever, and within the window."""
        people = scene.people
        wait = people.cell_gap[self.customer[rows]] / np.maximum(self.capture[rows], 1e-9)
        hazard = self.hazard[:WINDOW, rows].sum(axis=0)
        return wait / (wait + DROPOUT_DAYS), np.exp(-hazard * self.capture[rows])


def contact_value(
    scene: Scene, state: State, outlook: Outlook, rows: Ints, made: Contacts,
    *, baseline: tuple[Floats, Floats],
) -> pl.DataFrame:  # fmt: skip
    """Return gain, block rate and net value of contacts.

    Parameters
    ----------
    scene : Scene
    state : State
    outlook : Outlook
        Of the customers contacted.
    rows : array of int
        Shape (contacts,): the customer of each in the outlook.
    made : Contacts
    baseline : tuple of two array of float
        Value of each cell without a contact, from `Outlook.baseline`.
    """
    who = made.customer
    relevance, brought = cell_relevance(scene, state, made)
    by_boost = _gain_by_boost(scene, state, outlook, rows, made,
                              relevance=relevance, baseline=baseline)  # fmt: skip
    by_order = _gain_by_order(scene, state, outlook, rows, made,
                              relevance=relevance, brought=brought)  # fmt: skip
    read = read_rate(scene, state, who, made.hour)
    gain = read * (by_boost[0] + by_order[0]).sum(axis=1)
    within = read * (by_boost[1] + by_order[1]).sum(axis=1)
    lost = block_rate(scene, state, made, relevance)
    year = outlook.rate[rows].sum(axis=1) * 365 * scene.family.demand_loss
    later = np.maximum(gain, 0) * MEAN_MOMENT
    tired = scene.people.fatigue_weight[who] * CONTACT_RATE * FATIGUE_HALF_LIFE / np.log(2)
    return pl.DataFrame(
        {
            "gain_amount": gain,
            "window_amount": within,
            "block_rate": lost,
            "block_cost": lost * (year + FUTURE_CONTACTS * later),
            "fatigue_cost": tired * later,
            "relevance": relevance.max(axis=1),
        }
    ).with_columns(
        (pl.col("gain_amount") - pl.col("block_cost") - pl.col("fatigue_cost")).alias(
            "effect_amount"
        )
    )


def _gain_by_boost(
    scene: Scene, state: State, outlook: Outlook, rows: Ints, made: Contacts,
    *, relevance: Floats, baseline: tuple[Floats, Floats],
) -> tuple[Floats, Floats]:  # fmt: skip
    """Return what each cell gains by the boost of a read contact: in all, and in the window."""
    who = made.customer
    if not scene.family.boost:
        return np.zeros((len(who), CELLS)), np.zeros((len(who), CELLS))
    boost = boosts(scene, state, made, relevance)
    boost = np.minimum(state.boost[who] + boost, MAX_BOOST) - state.boost[who]
    shift = np.array(scene.effects.tier_shift)[made.mode][:, None] * np.maximum(boost, 0)
    value, window = outlook.value(
        scene, state, rows, boost=state.boost[who] + boost, shift=state.boost_tier[who] + shift
    )
    return value - baseline[0][rows], window - baseline[1][rows]


def _gain_by_order(
    scene: Scene, state: State, outlook: Outlook, rows: Ints, made: Contacts,
    *, relevance: Floats, brought: Ints,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Return what each cell gains by the orders of a read contact: in all, and in the window."""
    if not scene.family.orders:
        return np.zeros((len(made), CELLS)), np.zeros((len(made), CELLS))
    wakes, orders = order_chance(scene, state, made, relevance, brought)
    margin = order_margin(scene, made.customer, outlook.usual[rows], brought)
    # Nothing from a customer who has dropped out.
    gain = wakes * orders * margin * (outlook.rate[rows] > 0)
    if not scene.family.swallows:
        return gain, gain
    ever, within = outlook.missed(scene, rows)
    return gain * ever, gain * within


def best_products(scene: Scene, state: State, outlook: Outlook, mode: int) -> Ints:
    """Return the product that fits best for each cell, the most promising cell first.

    Parameters
    ----------
    scene : Scene
    state : State
    outlook : Outlook
        Of the customers asked about.
    mode : int
        Position in `CONTACT_MODES`.
    """
    people, goods, day = scene.people, scene.assortment, state.day
    who = outlook.customer
    category = people.cell_category[who]
    slots = category[:, :, None] * goods.slots + np.arange(goods.slots)
    taste = np.einsum("nd,nksd->nks", people.taste[who], goods.style[slots])
    tier = np.exp(-0.35 * (goods.tier[slots] - outlook.tier[:, :, None]) ** 2)
    fit = (0.25 + 0.75 / (1 + np.exp(-taste))) * tier
    fit = np.where(slots == state.favourite[who][:, :, None], np.maximum(fit, 0.85), fit)
    fit = np.where(available(scene, slots, people.store[who][:, None, None], day), fit, -1.0)
    best = np.argmax(fit, axis=2)
    product = np.take_along_axis(slots, best[:, :, None], axis=2)[:, :, 0]
    relevance = np.take_along_axis(fit, best[:, :, None], axis=2)[:, :, 0]
    if scene.family.orders:
        ready = order_moment(scene, state, who)
    else:
        age = (day + 0.5 - state.last[who]) / people.cell_gap[who]
        ready = moment_factor(age)
    promise = (
        np.maximum(relevance, 0)
        * ready
        * scene.effects.fit[goods.kind[category], mode]
        * outlook.margin
    )
    if scene.family.boost:
        promise = promise * outlook.hazard[:7].sum(axis=0)
    order = np.argsort(-promise, axis=1, kind="stable")
    return np.take_along_axis(np.where(relevance > 0, product, -1), order, axis=1)


def best_hours(scene: Scene, customer: Ints) -> Floats:
    """Return the customer's best hour within the own clerk's shift."""
    people, shops = scene.people, scene.shops
    clerk = people.clerk[customer]
    hour = people.chat_hour[customer]
    result: Floats = np.clip(hour, shops.shift_start[clerk], shops.shift_end[clerk] - 0.25)
    return result


def effect_table(scene: Scene, state: State, customer: Ints) -> pl.DataFrame:
    """Return the best contact of each mode for each customer, with its products and hour.

    Columns: customer (position), mode (position), count (products brought), product_0 to
    product_2, hour, and those of `contact_value`. One, two and three products are tried.
    """
    outlook = Outlook.of(scene, state, customer)
    index = np.arange(len(customer))
    baseline = outlook.baseline(scene, state)
    hour = best_hours(scene, customer)
    parts = []
    for mode in range(len(CONTACT_MODES)):
        ordered = best_products(scene, state, outlook, mode)
        modes = np.full(len(customer), mode)
        for count in (1, 2, 3):
            products = ordered[:, :count]
            made = _chats(scene, customer, modes, products)
            valued = contact_value(scene, state, outlook, index, made, baseline=baseline)
            parts.append(
                valued.with_columns(
                    pl.Series("customer", customer),
                    pl.Series("mode", modes),
                    pl.Series("hour", hour),
                    *(pl.Series(f"product_{i}", made.products[:, i]) for i in range(3)),
                )
            )
    best = pl.concat(parts).sort("effect_amount", descending=True, maintain_order=True)
    return best.unique(["customer", "mode"], keep="first", maintain_order=True).sort(
        "customer", "mode"
    )


def _chats(scene: Scene, customer: Ints, mode: Ints, products: Ints) -> Contacts:
    """Return chats by the own clerk at the customer's best hour."""
    return contacts(
        customer=customer,
        clerk=scene.people.clerk[customer],
        mode=mode,
        hour=best_hours(scene, customer),
        channel=np.full(len(customer), CHANNELS.index(Channel.CHAT)),
        products=products,
    )


def true_effect(
    scene: Scene,
    state: State,
    customers: Sequence[str] | pl.Series,
    mode: str | Sequence[str],
    products: pl.Series | None = None,
) -> pl.DataFrame:
    """Return the expected incremental margin of one contact per row, today.

    Parameters
    ----------
    scene, state : Scene, State
    customers : sequence of customer ids
    mode : str or sequence of str
        One contact mode for all rows, or one for each.
    products : Series of lists of product ids, or None
        What is brought; None brings what fits best.

    Returns
    -------
    DataFrame
        customer_id, mode, effect_amount (= gain - block cost - fatigue cost), gain_amount (in
        the long run), window_amount (the gain within 14 days of the contact), block_rate,
        block_cost, fatigue_cost, relevance, product_ids.
    """
    ids = pl.Series(list(customers), dtype=pl.String)
    rows = positions(ids, scene.customer_ids, "customer")
    names = pl.Series([mode] * len(ids) if isinstance(mode, str) else list(mode))
    modes = positions(names, pl.Series([str(m) for m in CONTACT_MODES]), "mode")
    if products is None:
        unique, inverse = np.unique(rows, return_inverse=True)
        table = effect_table(scene, state, unique)
        valued = table[(inverse * len(CONTACT_MODES) + modes).tolist()]
        wide = valued.select("product_0", "product_1", "product_2").to_numpy()
    else:
        wide = product_positions(scene, products)
        valued = effects_of(scene, state, _chats(scene, rows, modes, wide))
    result: pl.DataFrame = valued.select(
        ids.alias("customer_id"), names.alias("mode"),
        "effect_amount", "gain_amount", "window_amount", "block_rate", "block_cost",
        "fatigue_cost", "relevance",
        product_lists(scene, wide),
    )  # fmt: skip
    return result


def effects_of(scene: Scene, state: State, made: Contacts) -> pl.DataFrame:
    """Return the expected effect of each of some contacts, see `contact_value`."""
    unique, inverse = np.unique(made.customer, return_inverse=True)
    outlook = Outlook.of(scene, state, unique)
    baseline = outlook.baseline(scene, state)
    return contact_value(scene, state, outlook, inverse, made, baseline=baseline)
