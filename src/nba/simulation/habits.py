"""The logging history: imperfect clerks who contact by habit, and a small randomised pilot."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.schema.words import CONTACT_MODES, Channel
from nba.simulation.messages import CHANNELS, Contacts, contacts
from nba.simulation.scene import Scene, State

CHAT: Final = CHANNELS.index(Channel.CHAT)
MOMENTS: Final = CHANNELS.index(Channel.MOMENTS)
GROUP: Final = CHANNELS.index(Channel.GROUP)
#: Probabilities of the pilot's arms: the three contact modes and none.
PILOT_ARMS: Final = np.array([0.2, 0.2, 0.2, 0.4])
PILOT_SHARE: Final = 0.16
PILOT_PERIOD: Final = 14
_ACTION_TYPES: Final = pl.Series(["new_arrival", "topic_post", "care_call"])
NONE: Final = len(CONTACT_MODES)


def works_on(scene: Scene, day: int) -> Bools:
    """Return which clerks work on a day: their week, without their absences."""
    weekday = (scene.config.start.toordinal() + day - 1) % 7
    absent = absent_on(scene, day)
    result: Bools = scene.shops.working[:, weekday] & ~absent
    return result


def absent_on(scene: Scene, day: int) -> Bools:
    """Return which clerks are absent: about eight days a year, in runs of up to three."""
    index = np.arange(scene.shops.clerks)
    absent = np.zeros(len(index), dtype=bool)
    for back in range(3):
        draw = scene.streams.uniform("absence", index, day=day - back)
        absent |= draw < 0.012 * (1 - back / 3)
    return absent


def pilot_members(scene: Scene) -> Bools:
    """Return who belongs to the pilot, friends or not; only friends are assigned."""
    index = np.arange(scene.people.count)
    if not scene.config.pilot:
        return np.zeros(len(index), dtype=bool)
    result: Bools = scene.streams.uniform("pilot_member", index) < PILOT_SHARE
    return result


def in_pilot(scene: Scene, day: int) -> bool:
    """Whether the pilot runs on this day."""
    config = scene.config
    return config.pilot and config.days - config.pilot_days <= day < config.days


def contactable(scene: Scene, state: State, day: int) -> Bools:
    """Return friends who have not blocked, have agreed to contact and have joined."""
    result: Bools = (
        state.friend
        & ~np.isfinite(state.blocked)
        & state.consent_contact
        & (scene.people.joined < day)
    )
    return result


def habitual_contacts(scene: Scene, state: State, day: int, allowed: Bools) -> list[Contacts]:
    """Return what clerks do by themselves today: a few chosen contacts, now and then a post.

    Parameters
    ----------
    scene : Scene
    state : State
    day : int
        Days since the start.
    allowed : array of bool
        Shape (customers,): whom nothing else keeps back.
    """
    works = works_on(scene, day)
    open_ = contactable(scene, state, day) & allowed & works[scene.people.clerk]
    if in_pilot(scene, day):
        open_ &= ~pilot_members(scene)
    customers = np.flatnonzero(open_)
    if not len(customers):
        return []
    return [_chosen(scene, state, day, customers), *_posts(scene, state, day, customers)]


def _chosen(scene: Scene, state: State, day: int, customers: Ints) -> Contacts:
    shops, streams = scene.shops, scene.streams
    clerk = scene.people.clerk[customers]
    weight = shops.habits[clerk]
    since = np.maximum(day - state.last_visit[customers], 0)
    recency = 2.0 * np.exp(-since / 60.0) * -np.expm1(-since / 15.0)
    spend = np.log1p(state.spend[customers]) / 8.0
    birthday = scene.birthday_near(customers, day)
    score = weight[:, 0] * recency + weight[:, 1] * spend + 2.5 * weight[:, 2] * birthday
    score -= 2.0 * (day - state.contact_day[customers] < 6)
    score += 0.5 * streams.gumbel("whim", customers, day=day)
    order = np.lexsort((-score, clerk))
    rank = _rank_in_runs(clerk[order])
    want = np.round(
        shops.diligence * (0.5 + streams.uniform("mood", np.arange(shops.clerks), day=day))
    )
    pick = order[rank < want[clerk[order]]]
    chosen, by = customers[pick], clerk[pick]
    mode = _modes(scene, state, day, chosen, by)
    hour = _hours(scene, day, chosen, by)
    action = pl.Series(np.where(birthday[pick], 1, 0)).cast(pl.Boolean)
    kinds = pl.DataFrame({"gift": action, "kind": _ACTION_TYPES.gather(mode)}).select(
        pl.when("gift").then(pl.lit("birthday_gift")).otherwise("kind")
    ).to_series()  # fmt: skip
    channel = np.full(len(chosen), CHAT)
    products = _products(scene, state, day, chosen, by)
    return contacts(
        customer=chosen, clerk=by, mode=mode, hour=hour, channel=channel, products=products,
        action_type=kinds,
    )  # fmt: skip


def _modes(scene: Scene, state: State, day: int, chosen: Ints, by: Ints) -> Ints:
    """By the clerk's own mix: experts talk to families, personal care goes to who spends."""
    weight = scene.shops.mode_mix[by].copy()
    weight[:, 1] *= np.where(scene.people.sector[chosen] == 1, 2.5, 1.0)
    weight[:, 2] *= np.where(state.spend[chosen] > 3000, 4.0, 0.5)
    edges = np.cumsum(weight / weight.sum(axis=1, keepdims=True), axis=1)
    draw = scene.streams.uniform("habit_mode", chosen, day=day)
    result: Ints = np.minimum((draw[:, None] > edges).sum(axis=1), 2).astype(np.int64)
    return result


def _hours(scene: Scene, day: int, chosen: Ints, by: Ints) -> Floats:
    start, end = scene.shops.shift_start[by], scene.shops.shift_end[by]
    result: Floats = start + (end - start - 0.1) * scene.streams.uniform(
        "habit_hour", chosen, day=day
    )
    return result  # fmt: skip


def promoted(scene: Scene, store: Ints, day: int) -> Ints:
    """Return three products that a store pushes in a week, the same to everybody."""
    week = day // 7
    index = store[:, None] * 3 + np.arange(3)
    draw = scene.streams.uniform("promoted", index, day=week)
    goods = scene.assortment
    on_sale = np.flatnonzero((goods.launched <= week * 7) & (goods.retired > week * 7 + 7))
    return on_sale[(draw * len(on_sale)).astype(np.int64)]


def _products(scene: Scene, state: State, day: int, chosen: Ints, by: Ints) -> Ints:
    """Attentive clerks bring what the customer bought; the others what the store pushes."""
    push = promoted(scene, scene.people.store[chosen], day)
    known = state.favourite[chosen]
    age = np.where(known >= 0, day - state.last[chosen], -np.inf)
    cell = np.argmax(age / scene.people.cell_gap[chosen], axis=1)
    usual = known[np.arange(len(chosen)), cell]
    attentive = scene.streams.uniform("attention", chosen, day=day) < scene.shops.attention[by]
    head = np.where(attentive & (usual >= 0), usual, push[:, 0])
    return np.column_stack([head, push[:, 1]])


def _posts(scene: Scene, state: State, day: int, customers: Ints) -> list[Contacts]:
    """A clerk's post reaches all friends at once: moments, or the members of a group."""
    shops, people = scene.shops, scene.people
    index = np.arange(shops.clerks)
    made = []
    for stream, channel, mode, period in (
        ("moments_post", MOMENTS, 0, shops.post_period),
        ("group_post", GROUP, 1, shops.post_period * 0.7),
    ):
        posts = scene.streams.uniform(stream, index, day=day) < 1 / period
        reached = customers[posts[people.clerk[customers]]]
        if channel == GROUP:
            reached = reached[state.group[reached] >= 0]
        by = people.clerk[reached]
        hour = _hours(scene, day, by, by)
        kinds = pl.repeat(str(_ACTION_TYPES[mode]), len(reached), dtype=pl.String, eager=True)
        post = contacts(
            customer=reached, clerk=by, mode=np.full(len(reached), mode), hour=hour,
            channel=np.full(len(reached), channel),
            products=promoted(scene, people.store[reached], day), action_type=kinds,
        )  # fmt: skip
        content = f"T{mode}-{day // 30 % 12:02d}-" + pl.Series(by % 6).cast(pl.String)
        group = state.group[reached] if channel == GROUP else post.group
        share = np.bincount(by, minlength=shops.clerks)[by]
        made.append(
            replace(post, content_id=content, group=group, minutes=6.0 / np.maximum(share, 1))
        )
    return [post for post in made if len(post)]


def pilot_contacts(scene: Scene, state: State, day: int) -> Contacts | None:
    """Return the pilot's assignments of the day, `none` included, with their propensities.

    Each friend in the pilot is assigned once a fortnight, uniformly within the arms'
    shares, and every assignment is carried out.
    """
    if not in_pilot(scene, day):
        return None
    people, streams = scene.people, scene.streams
    index = np.arange(people.count)
    turn = (index + day) % PILOT_PERIOD == 0
    works = works_on(scene, day)[people.clerk]
    who = np.flatnonzero(turn & works & pilot_members(scene) & contactable(scene, state, day))
    mode = streams.choice("pilot_arm", who, PILOT_ARMS, day=day)
    by = people.clerk[who]
    kinds = pl.Series([*_ACTION_TYPES, "none"]).gather(mode)
    made = contacts(
        customer=who, clerk=by, mode=mode, hour=_hours(scene, day, who, by),
        channel=np.full(len(who), CHAT), products=_products(scene, state, day, who, by),
        action_type=kinds,
    )  # fmt: skip
    blank = np.where((mode == NONE)[:, None], -1, made.products)
    return replace(made, propensity=PILOT_ARMS[mode], products=blank)


def _rank_in_runs(sorted_values: Ints) -> Ints:
    """Return 0, 1, 2, … within each run of equal values."""
    position = np.arange(len(sorted_values))
    starts = np.concatenate([[True], sorted_values[1:] != sorted_values[:-1]])
    return position - np.maximum.accumulate(np.where(starts, position, 0))
