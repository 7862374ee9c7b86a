"""A plan acted out: what the clerks do with the actions that they are given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.errors import UsageError
from nba.schema.words import CONTACT_MODES
from nba.simulation.config import MODE_MINUTES
from nba.simulation.contact import reachable
from nba.simulation.habits import GROUP, works_on
from nba.simulation.life import add_members, topic_of, win_friends
from nba.simulation.lookup import positions, product_positions
from nba.simulation.messages import (
    CHANNELS,
    MAX_PRODUCTS,
    Contacts,
    contacts,
)
from nba.simulation.scene import Scene, State
from nba.simulation.tables import Recorder

_REASONS: Final = ("no_time", "not_suitable", "wrong_moment")
FRIEND_ACCEPTS: Final = 0.15
GROUP_ACCEPTS: Final = 0.25
REQUIRED: Final = ("action_id", "customer_id", "clerk_id", "mode")


@dataclass(frozen=True)
class PlannedContacts:
    """A day's actions as positions, in the order in which each clerk works through them."""

    frame: pl.DataFrame
    made: Contacts
    rank: Ints


def read_plan(scene: Scene, day: int, actions: pl.DataFrame) -> PlannedContacts | None:
    """Turn exported actions into contacts; rows with mode `none` are left alone."""
    missing = [name for name in REQUIRED if name not in actions.columns]
    if missing:
        raise UsageError(
            "the plan lacks columns",
            expected=", ".join(REQUIRED),
            found=", ".join(actions.columns),
            next_step="export the plan with `nba actions export`",
        )
    frame = actions.filter(pl.col("mode").cast(pl.String) != "none")
    if not frame.height:
        return None
    customer = positions(frame["customer_id"], scene.customer_ids, "customer")
    clerk = positions(frame["clerk_id"], scene.clerk_ids, "clerk")
    mode = positions(frame["mode"], pl.Series([str(m) for m in CONTACT_MODES]), "mode")
    kinds = _text(frame, "action_type")
    channel = positions(
        _text(frame, "channel").fill_null("chat"), pl.Series([str(c) for c in CHANNELS]), "channel"
    )
    made = contacts(
        customer=customer, clerk=clerk, mode=mode,
        hour=_hours(scene, day, frame, customer, clerk), channel=channel,
        products=_brought(scene, frame), action_type=kinds,
    )  # fmt: skip
    made = replace(
        made,
        minutes=_numbers(frame, "minutes", np.array(MODE_MINUTES)[mode]),
        propensity=_numbers(frame, "propensity", np.full(frame.height, np.nan)),
        action_id=frame["action_id"].cast(pl.String),
        content_id=_text(frame, "content_id"),
    )
    rank = _numbers(frame, "rank", np.arange(1.0, frame.height + 1)).astype(np.int64)
    return PlannedContacts(frame, made, rank)


def carry_out(
    scene: Scene, state: State, day: int, plan: PlannedContacts, recorder: Recorder
) -> Contacts | None:
    """Return the contacts that reach their customers, and record the clerks' feedback.

    A clerk sends with the probability of their adherence, as far as the day's minutes go;
    what they skip or never come to says nothing about the customer.

    Parameters
    ----------
    scene : Scene
    state : State
    day : int
        Days since the start.
    plan : PlannedContacts
        The actions of the day, of all clerks.
    recorder : Recorder
        Takes the feedback.
    """
    made = plan.made
    works = works_on(scene, day)[made.clerk]
    in_time = works & _within_minutes(scene, made, plan.rank)
    draw = scene.streams.uniform("adhere", made.customer, day=day)
    willing = draw < scene.shops.adherence[made.clerk]
    arrives = reachable(state, made)
    sent = in_time & willing & arrives
    kind = np.select(
        [~in_time, ~willing, ~arrives], ["expired", "skipped", "undelivered"], default="sent"
    )
    _feedback(scene, day, plan, recorder, kind=kind, draw=draw)
    if not sent.any():
        return None
    reached = made.take(sent)
    posted = reached.channel == GROUP
    reached = replace(reached, group=np.where(posted, state.group[reached.customer], -1))
    _invite(scene, state, day, reached, recorder)
    return reached


def _within_minutes(scene: Scene, made: Contacts, rank: Ints) -> Bools:
    order = np.lexsort((rank, made.clerk))
    minutes, clerk = made.minutes[order], made.clerk[order]
    before = np.cumsum(minutes) - minutes
    starts = np.concatenate([[True], clerk[1:] != clerk[:-1]])
    before -= np.maximum.accumulate(np.where(starts, before, 0.0))
    fits = np.empty(len(order), dtype=bool)
    fits[order] = before < scene.shops.minutes[clerk]
    return fits


def _feedback(
    scene: Scene, day: int, plan: PlannedContacts, recorder: Recorder, *,
    kind: npt.NDArray[np.str_], draw: Floats,
) -> None:  # fmt: skip
    made = plan.made
    kinds = pl.Series(kind.tolist(), dtype=pl.String)
    when = np.where(kind == "expired", 23.98, np.where(kind == "sent", made.hour, 20.5))
    reasons = pl.Series(_REASONS).gather((draw * 997).astype(np.int64) % len(_REASONS))
    recorder.add(
        "feedback",
        pl.DataFrame(
            {
                "feedback_id": "F-" + made.action_id + "-" + kinds,
                "action_id": made.action_id,
                "clerk_id": scene.clerk_ids.gather(made.clerk),
                "ts": scene.timestamps(day + when / 24),
                "kind": kinds,
                "reason": reasons,
                "position": plan.rank,
            }
        ).with_columns(pl.when(pl.col("kind") == "skipped").then("reason").alias("reason")),
    )


def _invite(scene: Scene, state: State, day: int, made: Contacts, recorder: Recorder) -> None:
    """Invitations may win a friend or a member of a group."""
    names = made.action_type.fill_null("")
    invites = names.str.contains("invit").to_numpy()
    draw = scene.streams.uniform("accept", made.customer, day=day)
    to_friend = invites & names.str.contains("friend").to_numpy() & ~state.friend[made.customer]
    won = made.customer[to_friend & (draw < FRIEND_ACCEPTS)]
    win_friends(scene, state, np.unique(won), recorder, hour=22.0)
    to_group = invites & names.str.contains("group").to_numpy()
    to_group &= state.friend[made.customer] & (state.group[made.customer] < 0)
    who = np.unique(made.customer[to_group & (draw < GROUP_ACCEPTS)])
    topic = topic_of(scene, who)
    known = topic >= 0
    add_members(scene, state, day, who=who[known], topic=topic[known], recorder=recorder)


def _hours(scene: Scene, day: int, frame: pl.DataFrame, customer: Ints, clerk: Ints) -> Floats:
    shops = scene.shops
    start = _hour_of(scene, frame, "contact_from", shops.shift_start[clerk].astype(np.float64))
    end = _hour_of(scene, frame, "contact_to", shops.shift_end[clerk].astype(np.float64))
    end = np.maximum(end, start + 0.1)
    draw = scene.streams.uniform("plan_hour", customer, day=day)
    result: Floats = np.clip(start + (end - start) * draw, 0.0, 23.9)
    return result


def _hour_of(scene: Scene, frame: pl.DataFrame, name: str, default: Floats) -> Floats:
    if name not in frame.columns or frame[name].dtype == pl.Null:
        return default
    series = frame[name]
    if series.dtype == pl.String:
        series = series.str.to_datetime(strict=False)
    if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone is not None:
        series = series.dt.convert_time_zone(scene.config.time_zone)
    hours = series.dt.hour().cast(pl.Float64) + series.dt.minute().cast(pl.Float64) / 60
    values = hours.to_numpy()
    result: Floats = np.where(np.isnan(values), default, values)
    return result


def _brought(scene: Scene, frame: pl.DataFrame) -> Ints:
    if "product_ids" not in frame.columns or frame["product_ids"].dtype == pl.Null:
        return np.full((frame.height, MAX_PRODUCTS), -1)
    return product_positions(scene, frame["product_ids"])


def _text(frame: pl.DataFrame, name: str) -> pl.Series:
    if name in frame.columns:
        return frame[name].cast(pl.String)
    return pl.Series([None] * frame.height, dtype=pl.String)


def _numbers(frame: pl.DataFrame, name: str, default: Floats) -> Floats:
    if name not in frame.columns:
        return default
    values = frame[name].cast(pl.Float64).to_numpy()
    result: Floats = np.where(np.isnan(values), default, values)
    return result
