"""Did the lists put first whom a listing pays? The gain curve of the logged values, and its Qini.

On days on which a customer could be listed or left alone with known chances, each row scores what
a listing changed; rows are taken from the highest value that the plan saw down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from nba.evaluation.effect_gains import STEP, row_gains
from nba.evaluation.impact.listings import NONE, PAST
from nba.evaluation.uplift import uplift_curve

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
    past = drawn.select(PAST).to_numpy()
    gain = row_gains(listed, drawn["p_none"].to_numpy(), drawn["margin"].to_numpy(), past)
    if gain is None:
        return Gains(_EMPTY, *(float("nan"),) * 3, drawn.height)
    customer = drawn["customer_id"].rank("dense").cast(pl.Int64).to_numpy()
    found = uplift_curve(drawn["best_value"].to_numpy(), gain, group=customer)
    half_width = _Z * found.qini_error
    curve = pl.DataFrame({"share": found.share[::STEP], "gain": found.gain[::STEP]})
    return Gains(curve, found.qini, found.qini - half_width, found.qini + half_width, drawn.height)


_EMPTY: Final = pl.DataFrame(schema={"share": pl.Float64, "gain": pl.Float64})
