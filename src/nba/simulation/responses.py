"""What is recorded of contacts: interactions and the customers' responses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.schema.words import CONTACT_MODES, Channel
from nba.simulation.messages import CHANNEL_STRENGTH, CHANNELS, Contacts, product_lists
from nba.simulation.scene import Scene, State
from nba.simulation.tables import Recorder

REPLY_RATE: Final = np.array([0.05, 0.10, 0.28])
CLICK_RATE: Final = np.array([0.10, 0.12, 0.06])
TYPE_REPLY: Final = np.array([1.0, 0.5, 0.35])


def record_interactions(
    scene: Scene, day: int, made: Contacts, ids: pl.Series, recorder: Recorder
) -> None:
    """Record contacts as `interactions` rows.

    Parameters
    ----------
    scene : Scene
    day : int
        Days since the start.
    made : Contacts
    ids : polars.Series
        One per contact.
    recorder : Recorder
    """
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


@dataclass(frozen=True)
class Reaction:
    """How the customers of some contacts react, one entry each.

    Parameters
    ----------
    key : array of int
        Index of the contact in the random streams.
    ids : Series
        Interaction ids.
    relevance : array of float
        Relevance of what fits best of what was brought.
    read, lost, complains, curious : array of bool
        Read; the friend is lost; complains; certain to follow the link.
    """

    key: Ints
    ids: pl.Series
    relevance: Floats
    read: Bools
    lost: Bools
    complains: Bools
    curious: Bools


def respond(
    scene: Scene, state: State, made: Contacts, reaction: Reaction, recorder: Recorder
) -> None:
    """Draw and record how customers answer.

    Parameters
    ----------
    scene : Scene
    state : State
    made : Contacts
        Contacts of the day.
    reaction : Reaction
        How each contact is taken.
    recorder : Recorder
        Takes the responses.
    """
    streams, people, day = scene.streams, scene.people, state.day
    key, read = reaction.key, reaction.read
    who, mode = made.customer, np.minimum(made.mode, 2)
    warm = TYPE_REPLY[people.kind[who]] * (0.35 + reaction.relevance)
    warm *= np.exp(-0.8 * people.fatigue_weight[who] * state.fatigue[who])
    warm *= CHANNEL_STRENGTH[made.channel] * people.response[who, mode] ** 0.5
    reply = read & (streams.uniform("reply", key, day=day) < REPLY_RATE[mode] * warm)
    has_link = made.products[:, 0] >= 0
    click = read & has_link & (streams.uniform("click", key, day=day) < CLICK_RATE[mode] * warm)
    click |= reaction.curious
    chat = made.channel != CHANNELS.index(Channel.MOMENTS)
    lag = -np.log(streams.uniform("lag", key, day=day))
    hits = (chat, read & chat, click, reply, reaction.lost, reaction.complains)
    # By kind: hours after the contact, and how much the customer's own pace adds.
    base = np.array([0.001, 0.0, 0.03, 0.1, 0.3, 0.4])
    pace = np.array([0.0, 0.3, 0.3, 0.3, 0.0, 0.0])
    rows = [np.flatnonzero(hit) for hit in hits]
    at = np.concatenate(rows)
    kind = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    when = day + np.minimum(made.hour[at] + base[kind] + pace[kind] * lag[at], 23.95) / 24
    answers = Answers(kind, reaction.ids.gather(at), who[at], made.clerk[at], when)
    add_responses(scene, answers, recorder)


#: The kinds of responses in the order of their numbers in response ids; the last is the click
#: of a later visit.
RESPONSE_KINDS: Final = pl.Series(
    ["delivered", "read", "clicked", "replied", "blocked", "complained", "purchased", "clicked"]
)


@dataclass(frozen=True)
class Answers:
    """Responses to interactions, one entry each.

    Parameters
    ----------
    kind : array of int
        Positions in `RESPONSE_KINDS`.
    ids : Series
        The interactions answered.
    customer, clerk : array of int
    when : array of float
        Days since the start, with the time of day.
    """

    kind: Ints
    ids: pl.Series
    customer: Ints
    clerk: Ints
    when: Floats


def add_responses(scene: Scene, answers: Answers, recorder: Recorder) -> None:
    """Record responses to interactions."""
    if not len(answers.customer):
        return
    kind, ids = answers.kind, answers.ids
    recorder.add(
        "responses",
        pl.DataFrame(
            {
                "response_id": "V" + ids.str.slice(1) + "-" + pl.Series(kind).cast(pl.String),
                "interaction_id": ids,
                "customer_id": scene.customer_ids.gather(answers.customer),
                "clerk_id": scene.clerk_ids.gather(answers.clerk),
                "ts": scene.timestamps(answers.when),
                "kind": RESPONSE_KINDS.gather(kind),
            }
        ),
    )


def record_left_alone(scene: Scene, day: int, left: Contacts, recorder: Recorder) -> None:
    """Record decisions to leave customers alone (mode `none`), an arm of a test.

    Parameters
    ----------
    scene : Scene
    day : int
        Days since the start.
    left : Contacts
        Who would have been contacted, one entry each.
    recorder : Recorder
    """
    if len(left):
        made = replace(left, minutes=np.zeros(len(left)))
        ids = f"I{day:05d}-" + scene.customer_ids.gather(left.customer) + "-none"
        record_interactions(scene, day, made, ids, recorder)
