"""Did the lists put first whom a listing pays? The gain curve of the logged values, and its Qini.

On days on which a customer could be listed or left alone with known chances, each row scores what
a listing changed; rows are taken from the highest value that the plan saw down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.evaluation.impact.listings import MIN_LISTINGS, NONE, PAST
from nba.evaluation.off_policy import MIN_EFFECTIVE_ROWS
from nba.evaluation.uplift import uplift_curve

#: Chances below are raised to it: a weight is at most its inverse.
MIN_PROPENSITY: Final = 0.02
#: Every so many of a hundred points are kept.
STEP: Final = 5
_Z: Final = 1.959964


@dataclass(frozen=True)
class Gains:
    """The gain curve of the lists.

    Parameters
    ----------
    curve : DataFrame
        share (of customer days, the highest values first), gain (margin per customer day of all,
        if these alone were listed); empty where the log cannot say.
    qini, lower, upper : float
        Area between the curve and the straight line of a list without order; NaN with no curve.
    rows : int
    """

    curve: pl.DataFrame
    qini: float
    lower: float
    upper: float
    rows: int

    @property
    def verdict(self) -> str:
        """`ranks`, `misranks`, `open` or `unknown`."""
        if self.curve.is_empty():
            return "unknown"
        if self.lower > 0:
            return "ranks"
        return "misranks" if self.upper < 0 else "open"


def list_gains(rows: pl.DataFrame) -> Gains:
    """Return the gain curve of the values by which the lists were made.

    Parameters
    ----------
    rows : DataFrame
        Of `listing_rows`.
    """
    drawn = rows.filter((pl.col("p_none") < 1) & pl.col("best_value").is_not_null())
    listed = (drawn["mode"] != NONE).to_numpy()
    propensity = np.where(listed, 1 - drawn["p_none"].to_numpy(), drawn["p_none"].to_numpy())
    weight = 1 / np.maximum(propensity, MIN_PROPENSITY)
    if listed.sum() < MIN_LISTINGS or _effective(weight[listed]) < MIN_EFFECTIVE_ROWS:
        return Gains(_EMPTY, *(float("nan"),) * 3, drawn.height)
    y = drawn["margin"].to_numpy()
    past = np.column_stack([np.ones(len(y)), *(drawn[name].to_numpy() for name in PAST)])
    slope, *_ = np.linalg.lstsq(past, y, rcond=None)
    gain = np.where(listed, 1.0, -1.0) * weight * (y - past @ slope)
    customer = drawn["customer_id"].rank("dense").cast(pl.Int64).to_numpy()
    found = uplift_curve(drawn["best_value"].to_numpy(), gain, group=customer)
    half_width = _Z * found.qini_error
    curve = pl.DataFrame({"share": found.share[::STEP], "gain": found.gain[::STEP]})
    return Gains(curve, found.qini, found.qini - half_width, found.qini + half_width, drawn.height)


_EMPTY: Final = pl.DataFrame(schema={"share": pl.Float64, "gain": pl.Float64})


def _effective(weight: Floats) -> float:
    squares = float(np.square(weight).sum())
    return float(weight.sum()) ** 2 / squares if squares else 0.0
