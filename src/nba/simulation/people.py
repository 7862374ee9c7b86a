"""Customers, clerks and stores: everything about them that never changes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from scipy.special import gamma as gamma_function

from nba.arrays import Bools, Floats, Ints
from nba.simulation.assortment import TASTE_DIMENSIONS, Assortment
from nba.simulation.config import CELLS, GROWTH, WorldConfig
from nba.simulation.streams import Streams

CITIES: Final = ("上海", "北京", "广州", "深圳", "杭州", "成都", "Hong Kong", "Singapore")
RESERVE_SHARE: Final = 0.1
"""Further customers who join in the year after the history, as a share."""
TYPE_FACTOR: Final = np.array([1.0, 0.0, -0.6])
"""Effect of a contact by type: receptive, indifferent, averse."""
TYPE_BLOCK: Final = np.array([1.0, 1.5, 5.0])
"""Chance of a block by type, relative."""
TYPE_SHARES: Final = np.array([0.75, 0.15, 0.10])


@dataclass(frozen=True)
class Shops:
    """Stores and clerks, with each clerk's habit and skill."""

    stores: int
    store: Ints
    minutes: Floats
    working: Bools
    shift_start: Ints
    shift_end: Ints
    diligence: Floats
    adherence: Floats
    habits: Floats
    mode_mix: Floats
    attention: Floats
    skill: Floats
    post_period: Floats

    @property
    def clerks(self) -> int:
        """Number of clerks."""
        return len(self.store)


@dataclass(frozen=True)
class People:
    """Customers, one entry each, and their cells: the categories that each of them buys.

    Cells are arrays of shape (customers, 4). Days count from the first day of the history.
    """

    count: int
    sector: Ints
    clerk: Ints
    store: Ints
    joined: Floats
    friend_day: Floats
    birthday: Ints
    birth_year: Ints
    gender: Ints
    city: Ints
    english: Bools
    consent_contact: Bools
    consent_profiling: Bools
    revoke_day: Floats
    kind: Ints
    response: Floats
    fatigue_weight: Floats
    tolerance: Floats
    pulled_share: Floats
    capture: Floats
    taste: Floats
    tier: Floats
    repeat: Floats
    discount_share: Floats
    peak_hour: Floats
    chat_hour: Floats
    mini_program_share: Floats
    onset: Floats
    before: Floats
    tier_before: Floats
    dropout: Floats
    cell_category: Ints
    cell_gap: Floats
    cell_shape: Floats
    cell_scale: Floats
    cell_last: Floats


def build_shops(config: WorldConfig, streams: Streams) -> Shops:
    """Draw the clerks: shifts, minutes, working days, habits and skills."""
    count = config.clerks
    index = np.arange(count)
    late = streams.uniform("shift", index) < 0.4
    off = streams.choice("off", index, np.array([2, 2, 1, 1, 1, 0.3, 0.3]))
    off = np.column_stack([off, (off + 1 + (streams.uniform("off2", index) * 3).astype(int)) % 7])
    working = np.ones((count, 7), dtype=bool)
    working[index[:, None], off] = False
    mix = np.array([0.72, 0.18, 0.10]) * streams.lognormal(
        "mix", np.arange(count * 3), 0.5
    ).reshape(count, 3)
    return Shops(
        stores=config.stores,
        store=index % config.stores,
        minutes=np.array(config.clerk_minutes)[
            streams.choice("minutes", index, np.ones(len(config.clerk_minutes)))
        ],
        working=working,
        shift_start=np.where(late, 12, 10),
        shift_end=np.where(late, 21, 19),
        diligence=3.0 + 5.0 * streams.uniform("diligence", index),
        adherence=0.62 + 0.33 * streams.uniform("adherence", index),
        habits=streams.lognormal("habits", np.arange(count * 3), 0.6).reshape(count, 3),
        mode_mix=mix / mix.sum(axis=1, keepdims=True),
        attention=0.35 + 0.5 * streams.uniform("attention", index),
        skill=np.clip(streams.lognormal("skill", np.arange(count * 3), 0.25), 0.5, 1.7).reshape(
            count, 3
        ),
        post_period=18 + 30 * streams.uniform("post", index),
    )  # fmt: skip


def build_people(
    config: WorldConfig, assortment: Assortment, shops: Shops, streams: Streams
) -> People:
    """Draw the customers, those included who join in the year after the history.

    Parameters
    ----------
    config : WorldConfig
    assortment : Assortment
    shops : Shops
        Each customer belongs to a clerk of theirs.
    streams : Streams
    """
    count = config.customers + max(1, round(config.customers * RESERVE_SHARE))
    index = np.arange(count)
    u, n, ln = streams.uniform, streams.normal, streams.lognormal
    sector = streams.choice("sector", index, np.array(config.sector_shares))
    clerk = np.minimum((u("clerk", index) * shops.clerks).astype(np.int64), shops.clerks - 1)
    joined = _joined(config, streams, index)
    growth = np.array([list(asdict(g).values()) for g in GROWTH])[sector]
    friend_day, onset = _friend_days(config, streams, joined, growth[:, 3])
    is_new = u("new", index) < growth[:, 0]
    cells = _cells(config, assortment, streams, sector, joined)
    return People(
        count=count,
        sector=sector,
        clerk=clerk,
        store=shops.store[clerk],
        joined=joined,
        friend_day=friend_day,
        birthday=(u("birthday", index) * 365).astype(np.int64),
        birth_year=1960 + (u("birth_year", index) * 45).astype(np.int64),
        gender=streams.choice("gender", index, np.array([0.68, 0.27, 0.05])),
        city=streams.choice("city", index, np.array([5, 4, 3, 3, 2, 2, 0.6, 0.4])),
        english=u("locale", index) < 0.08,
        consent_contact=u("consent_contact", index) > 0.05,
        consent_profiling=u("consent_profiling", index) > 0.08,
        revoke_day=np.where(u("revoke", index) < 0.02, 730 * u("revoke_day", index), np.inf),
        kind=streams.choice("type", index, TYPE_SHARES),
        response=ln("response", np.arange(count * 3), 0.5).reshape(count, 3),
        fatigue_weight=0.25 * ln("fatigue", index, 0.4),
        tolerance=ln("tolerance", index, 0.6),
        pulled_share=np.clip(0.5 + 0.2 * n("pulled", index), 0.05, 0.95),
        capture=np.clip(0.66 + 0.13 * n("capture", index), 0.25, 0.95),
        taste=n("taste", np.arange(count * TASTE_DIMENSIONS)).reshape(count, TASTE_DIMENSIONS),
        tier=np.clip(3.0 + 0.5 * (sector == 2) + 1.0 * n("tier", index), 1.0, 5.5),
        repeat=np.clip(0.45 + 0.25 * n("repeat", index), 0.02, 0.95),
        discount_share=np.clip(0.15 + 0.15 * n("discount", index), 0.0, 0.7),
        peak_hour=np.where(u("peak", index) < 0.4, 12.5, 18.5) + n("peak_noise", index),
        chat_hour=np.where(u("chat", index) < 0.35, 12.5, 19.5) + 1.2 * n("chat_noise", index),
        mini_program_share=np.clip(0.25 + 0.2 * n("mini", index), 0.0, 0.9),
        onset=onset,
        before=np.where(is_new, 0.0, growth[:, 1]) * np.ones(count),
        tier_before=growth[:, 2],
        dropout=np.maximum(joined, -60) - 365 * 4.5 * np.log(u("dropout", index)),
        cell_category=cells[0],
        cell_gap=cells[1],
        cell_shape=cells[2],
        cell_scale=cells[3],
        cell_last=cells[4],
    )


def _joined(config: WorldConfig, streams: Streams, index: Ints) -> Floats:
    u = streams.uniform("joined", index)
    within = streams.uniform("joined_within", index) < 0.22
    if config.programme_day is not None:
        within[:] = False
    first = np.where(within, u * (config.days - 5), -30.0 - 1000.0 * u)
    reserve = index >= config.customers
    return np.where(reserve, config.days + 1 + u * 364, first)


def _friend_days(
    config: WorldConfig, streams: Streams, joined: Floats, lead: Floats
) -> tuple[Floats, Floats]:
    """Draw the day each customer becomes a friend, and the day their demand rose (or began)."""
    index = np.arange(len(joined))
    noise = 8.0 * streams.normal("onset", index)
    u = streams.uniform("friend_after", index)
    if config.programme_day is not None:
        friend = config.programme_day + 5 + 20 * u
        linked = streams.uniform("linked", index) < 0.9
        rise = np.where(linked, friend - lead + noise, -1e4)
        return np.maximum(friend, joined + 0.01), rise
    never = streams.uniform("friend", index) > 0.68
    soon = streams.uniform("soon", index) < 0.6
    friend = np.floor(joined) + np.where(soon, 0.0, 30 + u * 700)
    onset = np.where(joined > -30, -1e4, friend - lead + noise)
    friend = np.maximum(friend, joined + 0.01)
    return np.where(never, np.inf, friend), np.where(never, -1e4, onset)


def _cells(
    config: WorldConfig, assortment: Assortment, streams: Streams, sector: Ints, joined: Floats
) -> tuple[Ints, Floats, Floats, Floats, Floats]:
    """Draw four categories per customer, three of the own sector, with personal rhythms."""
    count = len(sector)
    index = np.arange(count * len(assortment.specs))
    own = assortment.sector[None, :] == sector[:, None]
    noise = streams.gumbel("interest", index).reshape(count, -1)
    best_own = np.argsort(-np.where(own, noise, -np.inf), axis=1, kind="stable")[:, : CELLS - 1]
    other = np.argmax(np.where(own, -np.inf, noise), axis=1)
    category = np.column_stack([best_own, other]).astype(np.int64)
    cell = np.arange(count * CELLS)
    intensity = streams.lognormal("intensity", np.arange(count), 0.3)[:, None]
    gap = assortment.gap[category] / intensity
    gap *= streams.lognormal("gap", cell, 0.4).reshape(count, CELLS)
    gap[:, -1] *= 3.0
    shape = np.clip(
        1 + (assortment.shape[category] - 1) * streams.lognormal("shape", cell, 0.5).reshape(
            count, CELLS
        ),
        1.0,
        6.0,
    )  # fmt: skip
    gap = np.maximum(gap, 6.0)
    scale = gap / gamma_function(1 + 1 / shape)
    since = streams.uniform("since", cell).reshape(count, CELLS) * gap
    last = np.minimum(np.maximum(joined, -1e6), 0.0)[:, None] - since
    last = np.where(joined[:, None] >= 0, joined[:, None] - since, -since)
    return category, gap, shape, scale, last
