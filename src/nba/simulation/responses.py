"""What is recorded of contacts: interactions and the customers' responses."""

from __future__ import annotations

from dataclasses import replace
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
    """Record contacts as `interactions` rows."""
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


def respond(
    scene: Scene, state: State, day: int, made: Contacts, key: Ints, ids: pl.Series,
    relevance: Floats, read: Bools, lost: Bools, complains: Bools, recorder: Recorder,
) -> None:  # fmt: skip
    """Draw and record how customers answer."""
    streams, people = scene.streams, scene.people
    who, mode = made.customer, np.minimum(made.mode, 2)
    warm = TYPE_REPLY[people.kind[who]] * (0.35 + relevance.max(axis=1))
    warm *= np.exp(-0.8 * people.fatigue_weight[who] * state.fatigue[who])
    warm *= CHANNEL_STRENGTH[made.channel] * people.response[who, mode] ** 0.5
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


def record_left_alone(scene: Scene, day: int, left: Contacts, recorder: Recorder) -> None:
    """Record decisions to leave customers alone (mode `none`), an arm of a test."""
    if len(left):
        made = replace(left, minutes=np.zeros(len(left)))
        ids = f"I{day:05d}-" + scene.customer_ids.gather(left.customer) + "-none"
        record_interactions(scene, day, made, ids, recorder)
