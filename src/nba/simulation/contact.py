"""What a contact does: read or not, boost, fatigue, responses, a lost friend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.schema.words import CONTACT_MODES
from nba.simulation.config import (
    BLOCK_PER_CONTACT,
    BOOST_HALF_LIFE,
    FATIGUE_HALF_LIFE,
    MAX_BOOST,
)
from nba.simulation.demand import available, tier_now
from nba.simulation.messages import (
    CHANNEL_FATIGUE,
    CHANNEL_STRENGTH,
    IS_CHAT,
    Contacts,
    is_service,
)
from nba.simulation.people import TYPE_BLOCK, TYPE_FACTOR
from nba.simulation.responses import record_interactions, respond
from nba.simulation.scene import Scene, State
from nba.simulation.tables import Recorder

#: Relevance of a contact that brings no product, by mode.
GENERAL_RELEVANCE: Final = np.array([0.15, 0.35, 0.40])
#: Part of a contact's effect that reaches the customer's other categories.
SPILL: Final = 0.2
READ_RATE: Final = 0.6
COMPLAINT_SHARE: Final = 0.15
"""Complaints per block."""
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
    """Return the chance that a contact is read at all."""
    tired = np.exp(-0.5 * scene.people.fatigue_weight[customer] * state.fatigue[customer])
    result: Floats = np.minimum(READ_RATE * hour_factor(scene, customer, hour) * tired / 0.85, 0.95)
    return result


def base_strength(
    scene: Scene, state: State, customer: Ints, clerk: Ints, mode: Ints, channel: Ints
) -> Floats:
    """Return the strength of a read contact before fit, relevance and moment."""
    people = scene.people
    tired = np.exp(-people.fatigue_weight[customer] * state.fatigue[customer])
    stranger = np.where(state.friend[customer], 1.0, 0.6)
    result: Floats = (
        scene.effects.strength
        * people.response[customer, mode]
        * TYPE_FACTOR[people.kind[customer]]
        * scene.shops.skill[clerk, mode]
        * tired
        * stranger
        * CHANNEL_STRENGTH[channel]
    )
    return result


def product_relevance(
    scene: Scene, state: State, day: int, customer: Ints, product: Ints
) -> Floats:
    """Return how well a product fits a customer's taste and price tier, from 0 to 1."""
    goods, people = scene.assortment, scene.people
    taste = np.einsum("nd,nd->n", people.taste[customer], goods.style[product])
    tier = np.exp(-0.35 * (goods.tier[product] - tier_now(scene, day)[customer]) ** 2)
    fit = (0.25 + 0.75 / (1 + np.exp(-taste))) * tier
    known = (state.favourite[customer] == product[:, None]).any(axis=1)
    result: Floats = np.where(known, np.maximum(fit, 0.85), fit)
    return result


def cell_relevance(
    scene: Scene, state: State, day: int, customer: Ints, mode: Ints, products: Ints
) -> tuple[Floats, Ints]:
    """Return relevance by cell (contacts × 4) and the best product brought for each cell.

    A product of a category that the customer never buys is irrelevant.
    """
    n, width = products.shape
    flat = products.reshape(-1)
    who = np.repeat(customer, width)
    value = np.where(
        (flat >= 0) & available(scene, flat, scene.people.store[who], day),
        product_relevance(scene, state, day, who, flat),
        0.0,
    ).reshape(n, width, 1)
    category = scene.assortment.category[products]
    brought_count = np.maximum((products >= 0).sum(axis=1), 1)
    value = value * (brought_count**-ATTENTION)[:, None, None]
    same = category[:, :, None] == scene.people.cell_category[customer][:, None, :]
    match = np.where(same, value, 0.0)
    best = np.argmax(match, axis=1)
    relevance = np.max(match, axis=1)
    brought = np.where(relevance > 0, np.take_along_axis(products, best, axis=1), -1)
    bare = (products < 0).all(axis=1)
    floor = np.where(bare, GENERAL_RELEVANCE[mode], SPILL * GENERAL_RELEVANCE[mode])
    spill = SPILL * relevance.max(axis=1)
    return np.maximum(relevance, np.maximum(floor, spill)[:, None]), brought


def boosts(
    scene: Scene,
    state: State,
    day: int,
    customer: Ints,
    clerk: Ints,
    mode: Ints,
    channel: Ints,
    relevance: Floats,
) -> Floats:
    """Return the boost of each cell that a read contact gives (contacts × 4)."""
    people = scene.people
    kind = scene.assortment.kind[people.cell_category[customer]]
    age = (day + 0.5 - state.last[customer]) / people.cell_gap[customer]
    strength = base_strength(scene, state, customer, clerk, mode, channel)
    strength = np.where(scene.birthday_near(customer, day), BIRTHDAY * strength, strength)
    result: Floats = (
        strength[:, None] * scene.effects.fit[kind, mode[:, None]] * relevance * moment_factor(age)
    )
    return result


def block_rate(
    scene: Scene,
    state: State,
    day: int,
    customer: Ints,
    mode: Ints,
    channel: Ints,
    relevance: Floats,
) -> Floats:
    """Return the chance that a contact loses the friend."""
    people = scene.people
    best = np.minimum(relevance.max(axis=1), 1.0)
    rate = np.array(BLOCK_PER_CONTACT)[mode] * TYPE_BLOCK[people.kind[customer]]
    rate = rate * people.tolerance[customer] * (1.7 - 1.2 * best) * CHANNEL_FATIGUE[channel]
    rate = rate * np.exp(np.minimum(0.45 * state.fatigue[customer], 3.0))
    rate = np.where(state.case_until[customer] >= day, 2 * rate, rate)
    rate = np.where(state.consent_contact[customer], rate, 8 * rate)
    result: Floats = np.minimum(rate, 0.5)
    return result


def reachable(state: State, made: Contacts) -> Bools:
    """Whether a contact arrives: chat channels reach friends only, blocked ones nothing does."""
    blocked = np.isfinite(state.blocked[made.customer])
    result: Bools = ~blocked & (state.friend[made.customer] | ~IS_CHAT[made.channel])
    return result


@dataclass(frozen=True)
class Truth:
    """What is true about each contact made: kept apart from the tables."""

    interaction_id: pl.Series
    read: Bools
    relevance: Floats
    boost: Floats
    block_rate: Floats

    def frame(self) -> pl.DataFrame:
        """Return one row per contact."""
        return pl.DataFrame(
            {
                "interaction_id": self.interaction_id,
                "read": self.read,
                "relevance": self.relevance,
                "boost": self.boost,
                "block_rate": self.block_rate,
            }
        )


def act(scene: Scene, state: State, day: int, made: Contacts, recorder: Recorder) -> Truth:
    """Carry out the day's contacts and record interactions and responses.

    At most one contact of a customer a day has an effect beyond fatigue: the first.
    """
    order = np.lexsort((made.hour, made.customer))
    made = made.take(order)
    first = np.concatenate([[True], made.customer[1:] != made.customer[:-1]])[: len(made)]
    starts = np.maximum.accumulate(np.where(first, np.arange(len(made)), 0))
    ordinal = np.arange(len(made)) - starts
    key = made.customer * 16 + ordinal
    who, mode = made.customer, made.mode
    relevance, brought = cell_relevance(scene, state, day, who, mode, made.products)
    boost = boosts(scene, state, day, who, made.clerk, mode, made.channel, relevance)
    read = scene.streams.uniform("read", key, day=day) < read_rate(scene, state, who, made.hour)
    risk = block_rate(scene, state, day, who, mode, made.channel, relevance)
    risk = np.where(is_service(made.action_type), SERVICE_BLOCK * risk, risk)
    lost = scene.streams.uniform("block", key, day=day) < risk
    complains = scene.streams.uniform("complain", key, day=day) < COMPLAINT_SHARE * risk
    ids = f"I{day:05d}-" + scene.customer_ids.gather(who) + "-" + pl.Series(ordinal).cast(pl.String)
    record_interactions(scene, day, made, ids, recorder)
    respond(scene, state, day, made, key, ids, relevance, read, lost, complains, recorder)
    works = read & first & (mode < len(CONTACT_MODES))
    _apply(scene, state, day, made, ordinal, boost, brought, works, first)
    _lose(scene, state, day, who[lost], made.hour[lost])
    state.case_until[who[complains]] = day + 3
    return Truth(ids, read, relevance.max(axis=1), boost.max(axis=1), risk)


def _apply(
    scene: Scene, state: State, day: int, made: Contacts, ordinal: Ints,
    boost: Floats, brought: Ints, works: Bools, first: Bools,
) -> None:  # fmt: skip
    who, mode = made.customer[works], made.mode[works]
    added = np.minimum(state.boost[who] + boost[works], MAX_BOOST) - state.boost[who]
    state.boost[who] += added
    shift = np.array(scene.effects.tier_shift)[mode]
    state.boost_tier[who] += shift[:, None] * np.maximum(added, 0)
    state.brought[who] = np.where(brought[works] >= 0, brought[works], state.brought[who])
    np.add.at(state.fatigue, made.customer, CHANNEL_FATIGUE[made.channel])
    np.add.at(state.contacts, made.customer, 1)
    state.contact_day[made.customer[first]] = day
    state.contact_hour[made.customer[first]] = made.hour[first]
    state.contact_ordinal[made.customer[first]] = ordinal[first]


def _lose(scene: Scene, state: State, day: int, who: Ints, hour: Floats) -> None:
    state.blocked[who] = np.minimum(state.blocked[who], day + np.minimum(hour + 0.3, 23.9) / 24)
    state.friend[who] = False
    state.boost[who] = 0.0
    state.boost_tier[who] = 0.0


def decay(state: State) -> None:
    """Let a night pass over boosts and fatigue."""
    state.boost *= 0.5 ** (1 / BOOST_HALF_LIFE)
    state.boost_tier *= 0.5 ** (1 / BOOST_HALF_LIFE)
    state.fatigue *= 0.5 ** (1 / FATIGUE_HALF_LIFE)
