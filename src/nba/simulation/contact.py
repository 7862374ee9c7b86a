"""What a contact does: read or not, its effect, fatigue, responses, a lost friend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.schema.words import CONTACT_MODES
from nba.simulation.config import BOOST_HALF_LIFE, FATIGUE_HALF_LIFE, MAX_BOOST
from nba.simulation.messages import CHANNEL_FATIGUE, IS_CHAT, Contacts
from nba.simulation.orders import schedule_orders
from nba.simulation.responses import Reaction, record_interactions, respond
from nba.simulation.scene import Scene, State
from nba.simulation.strength import block_rate, boosts, cell_relevance, read_rate
from nba.simulation.tables import Recorder

COMPLAINT_SHARE: Final = 0.15
"""Complaints per block."""


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


def act(scene: Scene, state: State, made: Contacts, recorder: Recorder) -> Truth:
    """Carry out the day's contacts and record interactions and responses.

    At most one contact of a customer a day has an effect beyond fatigue: the first.

    Parameters
    ----------
    scene : Scene
    state : State
        Changed: fatigue, boosts, orders to come, lost friends.
    made : Contacts
        Contacts of the day, in any order.
    recorder : Recorder
        Takes interactions and responses.
    """
    day = state.day
    order = np.lexsort((made.hour, made.customer))
    made = made.take(order)
    first = np.concatenate([[True], made.customer[1:] != made.customer[:-1]])[: len(made)]
    starts = np.maximum.accumulate(np.where(first, np.arange(len(made)), 0))
    ordinal = np.arange(len(made)) - starts
    key = made.customer * 16 + ordinal
    who = made.customer
    relevance, brought = cell_relevance(scene, state, made)
    boost = boosts(scene, state, made, relevance)
    read = scene.streams.uniform("read", key, day=day) < read_rate(scene, state, who, made.hour)
    risk = block_rate(scene, state, made, relevance)
    lost = scene.streams.uniform("block", key, day=day) < risk
    complains = scene.streams.uniform("complain", key, day=day) < COMPLAINT_SHARE * risk
    ids = f"I{day:05d}-" + scene.customer_ids.gather(who) + "-" + pl.Series(ordinal).cast(pl.String)
    record_interactions(scene, day, made, ids, recorder)
    works = np.flatnonzero(read & first & (made.mode < len(CONTACT_MODES)))
    curious = np.zeros(len(made), dtype=bool)
    if scene.family.orders:
        woken = schedule_orders(scene, state, made.take(works), relevance[works], brought[works])
        curious[works] = woken & scene.family.visits
    reaction = Reaction(key, ids, relevance.max(axis=1), read, lost, complains, curious)
    respond(scene, state, made, reaction, recorder)
    _apply_boosts(state, scene.effects.tier_shift, made.take(works), boost[works], brought[works])
    _count(state, made, ordinal)
    _lose(state, who[lost], made.hour[lost])
    state.case_until[who[complains]] = day + 3
    return Truth(ids, read, relevance.max(axis=1), boost.max(axis=1), risk)


def _apply_boosts(
    state: State, tier_shift: tuple[float, ...], made: Contacts, boost: Floats, brought: Ints
) -> None:
    who = made.customer
    added = np.minimum(state.boost[who] + boost, MAX_BOOST) - state.boost[who]
    state.boost[who] += added
    state.boost_tier[who] += np.array(tier_shift)[made.mode][:, None] * np.maximum(added, 0)
    state.brought[who] = np.where(brought >= 0, brought, state.brought[who])


def _count(state: State, made: Contacts, ordinal: Ints) -> None:
    """Note that the contacts took place; fatigue grows with each."""
    first = ordinal == 0
    np.add.at(state.fatigue, made.customer, CHANNEL_FATIGUE[made.channel])
    np.add.at(state.contacts, made.customer, 1)
    state.contact_day[made.customer[first]] = state.day
    state.contact_hour[made.customer[first]] = made.hour[first]
    state.contact_ordinal[made.customer[first]] = ordinal[first]


def _lose(state: State, who: Ints, hour: Floats) -> None:
    end = state.day + np.minimum(hour + 0.3, 23.9) / 24
    state.blocked[who] = np.minimum(state.blocked[who], end)
    state.friend[who] = False
    state.order_day[who] = np.inf
    state.boost[who] = 0.0
    state.boost_tier[who] = 0.0


def decay(state: State) -> None:
    """Let a night pass over boosts and fatigue."""
    state.boost *= 0.5 ** (1 / BOOST_HALF_LIFE)
    state.boost_tier *= 0.5 ** (1 / BOOST_HALF_LIFE)
    state.fatigue *= 0.5 ** (1 / FATIGUE_HALF_LIFE)
