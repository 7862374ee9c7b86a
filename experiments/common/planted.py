"""Small data with a planted answer.

Each function returns canonical tables and the truth that a method should recover.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import gamma as gamma_function

from nba.arrays import Floats, Ints
from nba.simulation.streams import Streams
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


def _sales(customer: Ints, product: Ints, when: Floats, prefix: str) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "order_id": _ids(prefix, np.arange(len(customer))),
            "line_no": pl.repeat("1", len(customer), eager=True),
            "customer_id": _ids("C", customer),
            "product_id": _ids("P", product),
            "ts": _stamps(when),
            "quantity": np.ones(len(customer)),
            "unit_price": np.full(len(customer), 100.0),
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
