"""What a contact does: read or not, boost, fatigue, responses, a lost friend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from nba.schema.words import CONTACT_MODES, Channel
from nba.simulation.config import (
    BLOCK_PER_CONTACT,
    BOOST_HALF_LIFE,
    FATIGUE_HALF_LIFE,
    MAX_BOOST,
    MODE_MINUTES,
)
from nba.simulation.demand import available, tier_now
from nba.simulation.people import TYPE_BLOCK, TYPE_FACTOR
from nba.simulation.scene import Scene, State
from nba.simulation.streams import Bools, Floats, Ints
from nba.simulation.tables import Recorder

CHANNELS: Final = tuple(Channel)
_IS_CHAT: Final = np.array([c in ("moments", "chat", "group") for c in CHANNELS])
#: Strength, fatigue and block weight of a channel, relative to a chat.
_CHANNEL_STRENGTH: Final = np.array(
    [0.25 if c == "moments" else 0.5 if c in ("subscription", "mini_program") else
     0.7 if c == "group" else 1.0 for c in CHANNELS])  # fmt: skip
_CHANNEL_FATIGUE: Final = np.array(
    [0.25 if c == "moments" else 0.5 if c in ("subscription", "mini_program", "group") else 1.0
     for c in CHANNELS])  # fmt: skip
#: Relevance of a contact that brings no product, by mode.
GENERAL_RELEVANCE: Final = np.array([0.15, 0.35, 0.40])
#: Part of a contact's effect that reaches the customer's other categories.
SPILL: Final = 0.2
READ_RATE: Final = 0.6
REPLY_RATE: Final = np.array([0.05, 0.10, 0.28])
CLICK_RATE: Final = np.array([0.10, 0.12, 0.06])
TYPE_REPLY: Final = np.array([1.0, 0.5, 0.35])
COMPLAINT_SHARE: Final = 0.15
"""Complaints per block."""
MAX_PRODUCTS: Final = 6
ATTENTION: Final = 0.4
"""Each of n products brought keeps n ** -0.4 of its relevance: attention is divided."""


@dataclass(frozen=True)
class Contacts:
    """Contacts of one day, one entry each; products are positions, -1 for none."""

    customer: Ints
    clerk: Ints
    mode: Ints
    hour: Floats
    channel: Ints
    products: Ints
    action_type: pl.Series
    content_id: pl.Series
    group: Ints
    minutes: Floats
    propensity: Floats
    action_id: pl.Series

    def __len__(self) -> int:
        return len(self.customer)

    def take(self, rows: Ints | Bools) -> Contacts:
        """Return some of the contacts, in the order given."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        values = {
            name: value.gather(rows) if isinstance(value, pl.Series) else value[rows]
            for name, value in self.__dict__.items()
        }
        return replace(self, **values)  # type: ignore[arg-type]


def contacts(
    customer: Ints,
    clerk: Ints,
    mode: Ints,
    hour: Floats,
    channel: Ints,
    products: Ints,
    action_type: pl.Series,
) -> Contacts:
    """Return contacts with the mode's minutes and nothing else known."""
    n = len(customer)
    wide = np.full((n, MAX_PRODUCTS), -1)
    wide[:, : products.shape[1]] = products[:, :MAX_PRODUCTS]
    empty = pl.Series([None] * n, dtype=pl.String)
    return Contacts(
        customer, clerk, mode, hour, channel, wide, action_type, empty,
        np.full(n, -1), np.array([*MODE_MINUTES, 0.0])[mode], np.full(n, np.nan), empty,
    )  # fmt: skip


def join(parts: list[Contacts]) -> Contacts:
    """Return all contacts in one, in the given order."""
    values = {}
    for name, value in parts[0].__dict__.items():
        columns = [part.__dict__[name] for part in parts]
        values[name] = (
            pl.concat(columns) if isinstance(value, pl.Series) else np.concatenate(columns)
        )
    return replace(parts[0], **values)  # type: ignore[arg-type]


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
        * _CHANNEL_STRENGTH[channel]
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
    rate = rate * people.tolerance[customer] * (1.7 - 1.2 * best) * _CHANNEL_FATIGUE[channel]
    rate = rate * np.exp(np.minimum(0.45 * state.fatigue[customer], 3.0))
    rate = np.where(state.case_until[customer] >= day, 2 * rate, rate)
    rate = np.where(state.consent_contact[customer], rate, 8 * rate)
    result: Floats = np.minimum(rate, 0.5)
    return result


def reachable(state: State, made: Contacts) -> Bools:
    """Whether a contact arrives: chat channels reach friends only, blocked ones nothing does."""
    blocked = np.isfinite(state.blocked[made.customer])
    result: Bools = ~blocked & (state.friend[made.customer] | ~_IS_CHAT[made.channel])
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
    lost = scene.streams.uniform("block", key, day=day) < risk
    complains = scene.streams.uniform("complain", key, day=day) < COMPLAINT_SHARE * risk
    ids = f"I{day:05d}-" + scene.customer_ids.gather(who) + "-" + pl.Series(ordinal).cast(pl.String)
    _record_interactions(scene, day, made, ids, recorder)
    _respond(scene, state, day, made, key, ids, relevance, read, lost, complains, recorder)
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
    np.add.at(state.fatigue, made.customer, _CHANNEL_FATIGUE[made.channel])
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


def product_lists(scene: Scene, products: Ints) -> pl.Series:
    """Return lists of product ids from positions, without the missing ones."""
    rows = np.repeat(np.arange(len(products)), products.shape[1])
    flat = products.reshape(-1)
    keep = flat >= 0
    lists = (
        pl.DataFrame({"row": rows[keep], "id": scene.product_ids.gather(flat[keep])})
        .group_by("row", maintain_order=True)
        .agg("id")
    )
    return (
        pl.DataFrame({"row": np.arange(len(products))})
        .join(lists, on="row", how="left", maintain_order="left")["id"]
        .alias("product_ids")
    )


def _record_interactions(
    scene: Scene, day: int, made: Contacts, ids: pl.Series, recorder: Recorder
) -> None:
    modes = pl.Series([*map(str, CONTACT_MODES), "none"])
    channels = pl.Series([str(c) for c in CHANNELS])
    propensity = pl.Series(made.propensity).fill_nan(None)
    group = pl.Series(made.group)
    frame = pl.DataFrame(
        {
            "interaction_id": ids,
            "customer_id": scene.customer_ids.gather(made.customer),
            "clerk_id": scene.clerk_ids.gather(made.clerk),
            "ts": scene.timestamps(day + made.hour / 24),
            "mode": modes.gather(made.mode),
            "action_type": made.action_type,
            "channel": channels.gather(made.channel),
            "action_id": made.action_id,
            "propensity": propensity,
            "product_ids": product_lists(scene, made.products),
            "content_id": made.content_id,
            "group": group,
            "minutes": made.minutes,
        }
    )
    named = frame.with_columns(
        pl.when(pl.col("group") >= 0)
        .then("G" + (pl.col("group") + 1).cast(pl.String).str.zfill(5))
        .alias("group_id"),
        pl.when(pl.col("mode") != "none").then("channel").alias("channel"),
    )
    recorder.add("interactions", named.drop("group"))


def _respond(
    scene: Scene, state: State, day: int, made: Contacts, key: Ints, ids: pl.Series,
    relevance: Floats, read: Bools, lost: Bools, complains: Bools, recorder: Recorder,
) -> None:  # fmt: skip
    streams, people = scene.streams, scene.people
    who, mode = made.customer, np.minimum(made.mode, 2)
    warm = TYPE_REPLY[people.kind[who]] * (0.35 + relevance.max(axis=1))
    warm *= np.exp(-0.8 * people.fatigue_weight[who] * state.fatigue[who])
    warm *= _CHANNEL_STRENGTH[made.channel] * people.response[who, mode] ** 0.5
    reply = read & (streams.uniform("reply", key, day=day) < REPLY_RATE[mode] * warm)
    has_link = made.products[:, 0] >= 0
    click = read & has_link & (streams.uniform("click", key, day=day) < CLICK_RATE[mode] * warm)
    chat = made.channel != CHANNELS.index(Channel.MOMENTS)
    lag = -np.log(streams.uniform("lag", key, day=day))
    hits = (chat, read & chat, click, reply, lost, complains)
    # By kind: hours after the contact, and how much the customer's own pace adds.
    base = np.array([0.001, 0.0, 0.03, 0.1, 0.3, 0.4])
    pace = np.array([0.0, 0.3, 0.3, 0.3, 0.0, 0.0])
    rows = [np.flatnonzero(hit) for hit in hits]
    at = np.concatenate(rows)
    kind = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    when = day + np.minimum(made.hour[at] + base[kind] + pace[kind] * lag[at], 23.95) / 24
    add_responses(scene, recorder, kind, ids.gather(at), who[at], made.clerk[at], when)


#: The kinds of responses in the order of their numbers in response ids.
RESPONSE_KINDS: Final = pl.Series(
    ["delivered", "read", "clicked", "replied", "blocked", "complained", "purchased"]
)


def add_responses(
    scene: Scene, recorder: Recorder, kind: Ints, ids: pl.Series, customer: Ints, clerk: Ints,
    when: Floats,
) -> None:  # fmt: skip
    """Record responses to the given interactions; kinds are positions in `RESPONSE_KINDS`."""
    if not len(customer):
        return
    recorder.add(
        "responses",
        pl.DataFrame(
            {
                "response_id": "V" + ids.str.slice(1) + "-" + pl.Series(kind).cast(pl.String),
                "interaction_id": ids,
                "customer_id": scene.customer_ids.gather(customer),
                "clerk_id": scene.clerk_ids.gather(clerk),
                "ts": scene.timestamps(when),
                "kind": RESPONSE_KINDS.gather(kind),
            }
        ),
    )


def record_untouched(scene: Scene, day: int, left: Contacts, recorder: Recorder) -> None:
    """Record decisions to leave customers alone (mode `none`), an arm of a test."""
    if len(left):
        made = replace(left, minutes=np.zeros(len(left)))
        ids = f"I{day:05d}-" + scene.customer_ids.gather(left.customer) + "-none"
        _record_interactions(scene, day, made, ids, recorder)
