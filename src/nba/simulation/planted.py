"""Small data with a planted answer, for the tests of other parts.

Each function returns canonical tables and the truth that a method should recover.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import gamma as gamma_function

from nba.schema.words import CONTACT_MODES, Mode
from nba.simulation.streams import Floats, Ints, Streams
from nba.simulation.tables import canonical, timestamps, zone_offsets

_START = dt.date(2024, 1, 1)
_ZONE = "Asia/Shanghai"


@dataclass(frozen=True)
class Planted:
    """Tables and the truth planted in them."""

    tables: dict[str, pl.DataFrame]
    truth: pl.DataFrame
    as_of: dt.datetime


def planted_rhythm(
    *, seed: int = 1, customers: int = 200, days: int = 720, gaps: tuple[float, float] = (15, 60)
) -> Planted:
    """Plant personal rhythms: one category, gaps Weibull with a mean and a regularity.

    Returns
    -------
    Planted
        truth: customer_id, gap_days (mean), regularity (Weibull shape, 1 is memoryless).
    """
    streams, index = Streams(seed), np.arange(customers)
    gap = gaps[0] + (gaps[1] - gaps[0]) * streams.uniform("gap", index)
    shape = np.where(streams.uniform("shape", index) < 0.5, 1.0, 4.0)
    rounds = int(3 * days / gaps[0])
    draw = streams.uniform("wait", np.arange(customers * rounds)).reshape(customers, rounds)
    scale = gap / gamma_function(1 + 1 / shape)
    wait = scale[:, None] * (-np.log(draw)) ** (1 / shape[:, None])
    wait[:, 0] *= streams.uniform("first", index)
    when = np.cumsum(wait, axis=1)
    customer, position = np.nonzero(when < days)
    product = np.zeros(len(customer), dtype=np.int64)
    sales = _sales(customer, product, when[customer, position], "R")
    truth = pl.DataFrame({"customer_id": _ids("C", index), "gap_days": gap, "regularity": shape})
    return Planted({"transactions": sales}, truth, _as_of(days))


def planted_taste(
    *, seed: int = 1, customers: int = 200, products: int = 40, days: int = 360, tastes: int = 4
) -> Planted:
    """Plant taste: products and customers fall into groups; 80 % is bought within one's own.

    Returns
    -------
    Planted
        truth: customer_id, product_id, probability of the product in the next purchase.
    """
    streams = Streams(seed)
    buys = 24
    index = np.arange(customers * buys)
    customer = index // buys
    loyal = streams.uniform("loyal", index) < 0.8
    size = products // tastes
    draw = streams.uniform("product", index)
    own = customer % tastes + tastes * (draw * size).astype(np.int64)
    product = np.where(loyal, own, (draw * tastes * size).astype(np.int64))
    when = days * (index % buys + streams.uniform("when", index)) / buys
    sales = _sales(customer, product, when, "T")
    who = np.repeat(np.arange(customers), tastes * size)
    what = np.tile(np.arange(tastes * size), customers)
    within = what % tastes == who % tastes
    truth = pl.DataFrame(
        {
            "customer_id": _ids("C", who),
            "product_id": _ids("P", what),
            "probability": 0.8 * within / size + 0.2 / (tastes * size),
        }
    )
    return Planted({"transactions": sales}, truth, _as_of(days))


def planted_uplift(
    *, seed: int = 1, customers: int = 4000, days: int = 120, price: float = 100.0
) -> Planted:
    """Plant uplift: a randomised test of the three modes and none, two kinds of customers.

    Frequent buyers (six purchases before the test) answer to `private_partner` and are put
    off by `shopping_assistant`; occasional ones (two purchases) the other way round;
    `topic_expert` does nothing. The outcome is one purchase within 14 days of the
    assignment, or none; half of its price is margin.

    Returns
    -------
    Planted
        truth: customer_id, mode, effect_amount (expected incremental margin).
    """
    streams, index = Streams(seed), np.arange(customers)
    frequent = streams.uniform("kind", index) < 0.5
    arm = (streams.uniform("arm", index) * 4).astype(np.int64)
    effect = np.zeros((customers, 4))
    effect[:, 0] = np.where(frequent, -0.05, 0.15)
    effect[:, 2] = np.where(frequent, 0.20, -0.05)
    chance = 0.2 + effect[index, arm]
    bought = np.flatnonzero(streams.uniform("outcome", index) < chance)
    before = np.where(frequent, 6, 2)
    past = np.repeat(index, before)
    past_when = (days - 20) * streams.uniform("past", np.arange(len(past)))
    assigned = days - 16 + streams.uniform("assigned", index)
    after = assigned[bought] + 13 * streams.uniform("after", bought)
    customer = np.concatenate([past, bought])
    when = np.concatenate([past_when, after])
    sales = _sales(customer, np.zeros(len(customer), dtype=np.int64), when, "U", price)
    modes = pl.Series([*map(str, CONTACT_MODES), str(Mode.NONE)])
    interactions = canonical(
        "interactions",
        [
            pl.DataFrame(
                {
                    "interaction_id": _ids("I", index),
                    "customer_id": _ids("C", index),
                    "ts": _stamps(assigned),
                    "mode": modes.gather(arm),
                    "propensity": np.full(customers, 0.25),
                }
            )
        ],
    )
    truth = pl.DataFrame(
        {
            "customer_id": _ids("C", np.repeat(index, 3)),
            "mode": modes.gather(np.tile(np.arange(3), customers)),
            "effect_amount": effect[:, :3].reshape(-1) * price * 0.5,
        }
    )
    goods = pl.DataFrame({"product_id": ["P00001"], "price": [price], "cost": [price / 2]})
    tables = {
        "transactions": sales,
        "interactions": interactions,
        "products": canonical("products", [goods]),
    }
    return Planted(tables, truth, _as_of(days))


def _sales(
    customer: Ints, product: Ints, when: Floats, prefix: str, price: float = 100.0
) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "order_id": _ids(prefix, np.arange(len(customer))),
            "line_no": pl.repeat("1", len(customer), eager=True),
            "customer_id": _ids("C", customer),
            "product_id": _ids("P", product),
            "ts": _stamps(when),
            "quantity": np.ones(len(customer)),
            "unit_price": np.full(len(customer), price),
        }
    )
    return canonical("transactions", [frame])


def _stamps(when: Floats) -> pl.Series:
    midnight = dt.datetime.combine(_START, dt.time(), tzinfo=dt.UTC)
    start = int(midnight.timestamp()) * 1_000_000
    return timestamps(when, start, zone_offsets(_START, 3000, _ZONE))


def _as_of(days: int) -> dt.datetime:
    return dt.datetime.combine(_START, dt.time()) + dt.timedelta(days=days)


def _ids(prefix: str, index: Ints) -> pl.Series:
    return prefix + pl.Series(index + 1).cast(pl.String).str.zfill(5)
