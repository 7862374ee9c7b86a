"""What churn costs: the share of the customer's purchases that goes with a lost friend.

A customer who blocks a clerk may still buy in the shop. How much less is seen in what those who
left bought afterwards, against those who were written to at the time, had bought as much before,
and stayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

#: The table of `nba.models.mode.assignments.outcomes.followed_contacts`.
FOLLOWED: Final = "followed_contacts"
#: Customers are compared within so many groups of equal size by their purchases before.
GROUPS: Final = 10
#: Fewer customers who left say nothing.
MIN_LEFT: Final = 5


@dataclass(frozen=True)
class LostShare:
    """The share of a customer's margin that goes with the friendship.

    Parameters
    ----------
    share : float
        Posterior mean, between 0 and 1.
    error : float
        Its standard deviation.
    seen : float or None
        The plain estimate, None where too few left.
    left : int
        Customers who left and could be followed.
    """

    share: float
    error: float
    seen: float | None
    left: int


def lost_share(rows: pl.DataFrame | None, *, prior: float, prior_error: float) -> LostShare:
    """Estimate the share, by the precision of what was seen and of the prior.

    Parameters
    ----------
    rows : DataFrame or None
        As from `nba.models.mode.assignments.outcomes.followed_contacts`.
    prior, prior_error : float
        What is believed without data, and its standard deviation.
    """
    unknown = LostShare(prior, prior_error, None, 0)
    if rows is None or rows.is_empty():
        return unknown
    before = rows["before_purchases"].to_numpy()
    after = rows["after_purchases"].to_numpy()
    lost = rows["is_lost"].to_numpy()
    left, stayed = int(lost.sum()), int((~lost).sum())
    if left < MIN_LEFT or stayed < GROUPS:
        return unknown
    edges = np.quantile(before[~lost], np.linspace(0, 1, GROUPS + 1)[1:-1])
    group = np.searchsorted(edges, before)
    count = np.bincount(group[~lost], minlength=GROUPS)
    total = np.bincount(group[~lost], weights=after[~lost], minlength=GROUPS)
    mean = np.divide(total, count, out=np.full(GROUPS, after[~lost].mean()), where=count > 0)
    expected = mean[group[lost]]
    whole = float(expected.sum())
    if whole <= 0:
        return unknown
    share_after = float(after[lost].sum()) / whole
    variance = float(np.square(after[lost] - share_after * expected).sum()) / whole**2
    variance = max(variance, 1e-9) * left / (left - 1)
    weight, belief = 1.0 / variance, prior_error**-2
    share = (weight * (1.0 - share_after) + belief * prior) / (weight + belief)
    share = float(np.clip(share, 0.0, 1.0))
    return LostShare(share, float((weight + belief) ** -0.5), 1.0 - share_after, left)
