"""From survival curves to what a score table says: probabilities, dates, money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import numpy as np
import polars as pl
from pydantic import Field

from nba.arrays import Floats
from nba.models.base import ModelConfig
from nba.schema.defaults import MARGIN_RATE

CURVE_DAYS: Final = 90
HORIZONS: Final = (7, 14, 30, 90)
#: No expected date lies further away than this.
LONGEST_WAIT_DAYS: Final = 730.0
#: The tail of the curve that is carried on beyond its end.
TAIL_DAYS: Final = 30
#: Days between purchases that are believed in before any were seen.
BELIEVED_GAP_DAYS: Final = 60.0
#: A day of the curve is believed as it was learned where the record is so many times as long.
_TIMES_ON_RECORD: Final = 3.0
_WEEK: Final = 7
_LEAST: Final = 1e-300


class MoneyConfig(ModelConfig):
    """What every timing model needs to turn purchases into money."""

    margin_rate: Annotated[
        float, Field(ge=0, le=1, description="gross margin where purchases do not state it")
    ] = MARGIN_RATE
    value_prior: Annotated[
        float, Field(gt=0, description="weight of the mean purchase, in own purchases")
    ] = 2.0


def probabilities(survival: Floats, horizons: Sequence[int] = HORIZONS) -> dict[str, Floats]:
    """Return `p_purchase_Hd` for each horizon that lies on the curve.

    Parameters
    ----------
    survival : array, shape (n, days + 1)
        P(no purchase in the first t days), column t.
    """
    return {f"p_purchase_{h}d": 1.0 - survival[:, h] for h in horizons if h < survival.shape[1]}


def shrink_young(survival: Floats, days_on_record: float) -> Floats:
    """Return curves that promise no more than so short a record can know.

    Where the hazard (the mean of seven days up to a day) lies above that of `BELIEVED_GAP_DAYS`,
    it is shrunk to it on the scale of logarithms: day t counts by `days_on_record / 3t`, at most
    1. What lies below stays. By the rule of succession one customer in `days_on_record + 2` may
    never come back, which fades as the record grows. Every curve of a shop with three times its
    length on record stays as it is.

    Parameters
    ----------
    survival : array, shape (n, days + 1)
        P(no purchase in the first t days), column t.
    days_on_record : float
        From the first purchase of the shop to the moment of scoring.
    """
    if is_old(days_on_record, survival.shape[1] - 1):
        return survival
    believed = np.exp(-_shrunken(survival, days_on_record))
    record = max(days_on_record, 0.0)
    gone = max(0.0, 1.0 - record / (_TIMES_ON_RECORD * CURVE_DAYS)) / (max(record, 1.0) + 2.0)
    # who comes back more seldom than that has not gone: the curve is bent at its low end
    floor = gone * (1.0 - believed) ** 2
    return np.asarray(np.minimum(floor + (1.0 - floor) * believed, 1.0))


def young_share(survival: Floats, days_on_record: float) -> Floats:
    """Return the share of expected purchases that `shrink_young` leaves, shape (n,)."""
    if is_old(days_on_record, survival.shape[1] - 1):
        return np.ones(len(survival))
    was = -np.log(np.maximum(survival[:, -1], _LEAST))
    left = _shrunken(survival, days_on_record)[:, -1]
    return np.asarray(np.where(was > left, left / np.maximum(was, _LEAST), 1.0))


def is_old(days_on_record: float, days: int) -> bool:
    """Return whether a record is long enough to believe curves of so many days."""
    return days_on_record >= _TIMES_ON_RECORD * max(days, CURVE_DAYS)


def _shrunken(survival: Floats, days_on_record: float) -> Floats:
    """Return the cumulative hazards of curves, each day shrunk by how little is known."""
    days = np.arange(1, survival.shape[1])
    weight = np.minimum(1.0, max(days_on_record, 0.0) / (_TIMES_ON_RECORD * days))
    reached = -np.log(np.maximum(survival, _LEAST))
    week = np.minimum(days, _WEEK)
    level = (reached[:, 1:] - reached[:, days - week]) / week
    factor = np.maximum(level * BELIEVED_GAP_DAYS, 1.0) ** (weight - 1.0)
    shrunken = np.cumsum(np.diff(reached, axis=1) * factor, axis=1)
    return np.asarray(np.concatenate([reached[:, :1], shrunken], axis=1))


def days_until(survival: Floats, level: float) -> Floats:
    """Return the day on which survival falls to `level`, carried on by the curve's tail.

    Linear between days; beyond the curve the average hazard of its last 30 days goes on.
    """
    days = survival.shape[1] - 1
    below = survival <= level
    hit = below.any(axis=1)
    at = np.where(hit, below.argmax(axis=1), days)
    row = np.arange(len(survival))
    here, before = survival[row, at], survival[row, np.maximum(at - 1, 0)]
    step = np.maximum(before - here, 1e-12)
    inside = at - 1 + np.clip((before - level) / step, 0.0, 1.0)
    last = np.maximum(survival[:, days], 1e-12)
    tail = np.log(np.maximum(survival[:, max(0, days - TAIL_DAYS)], 1e-12) / last)
    rate = np.maximum(tail / min(TAIL_DAYS, days), 1e-9)
    beyond = days + np.log(last / level) / rate
    return np.asarray(np.clip(np.where(hit, inside, beyond), 0.0, LONGEST_WAIT_DAYS))


def expected_dates(survival: Floats) -> dict[str, Floats]:
    """Return the median day of the next purchase and its 80 % interval."""
    return {
        "expected_days": days_until(survival, 0.5),
        "expected_days_low": days_until(survival, 0.9),
        "expected_days_high": days_until(survival, 0.1),
    }


def with_curves(
    ids: pl.DataFrame, columns: Mapping[str, Floats], survival: Floats | None = None
) -> pl.DataFrame:
    """Return `ids` beside `columns` (and the curves as lists), as a score table."""
    series = [*ids.get_columns(), *(pl.Series(name, values) for name, values in columns.items())]
    if survival is not None:
        shape = pl.Array(pl.Float64, survival.shape[1])
        curve = pl.Series("survival", np.ascontiguousarray(survival), dtype=shape)
        series.append(curve.cast(pl.List(pl.Float64)))
    return pl.DataFrame(series)


def lengthened(survival: Floats, days: int) -> Floats:
    """Carry curves on to `days` with the average hazard of their last 30 days."""
    have = survival.shape[1] - 1
    if days <= have:
        return survival
    rate = np.log(np.maximum(survival[:, have - 30], 1e-12) / np.maximum(survival[:, have], 1e-12))
    more = np.arange(1, days - have + 1)
    tail = survival[:, [have]] * np.exp(-rate[:, None] / 30.0 * more)
    return np.concatenate([survival, tail], axis=1)
