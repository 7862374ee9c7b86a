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
