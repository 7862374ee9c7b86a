"""From the effect of listing to the effect of sending.

Effects are learned per assignment: a customer was listed for a mode or left alone. What sending
does follows, where listing without sending changes nothing (the clerk's look at a list is not a
contact): effect of sending = effect of listing / P(sent | listed, x).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from nba.models.mode.frame import Floats
from nba.models.mode.linear import Basis
from nba.models.mode.nuisance import folds_of
from nba.models.mode.propensity import estimate_propensities
from nba.schema.words import Mode

#: Below this an effect of sending is not derived: too little was sent.
MIN_SENT: float = 0.05


def sent_probability(assignments: pl.DataFrame, x: Floats, *, folds: int, seed: int) -> Floats:
    """Return P(sent | listed, x) of every assignment by models that did not see it.

    Parameters
    ----------
    assignments : DataFrame
        `mode, sent, customer_id`, in the order of `x`.
    x : array of shape (rows, columns)

    Returns
    -------
    array of shape (rows,)
        NaN where the customer was left alone.
    """
    listed = np.flatnonzero((assignments["mode"].cast(pl.String) != str(Mode.NONE)).to_numpy())
    found = np.full(assignments.height, np.nan)
    if not len(listed):
        return found
    rows = assignments[listed]
    sent = rows["sent"].cast(pl.Int64).to_numpy().astype(np.int64)
    group = rows["customer_id"].rank("dense").to_numpy().astype(np.int64)
    fold = folds_of(len(listed), folds, seed, group, sent)
    terms = Basis.fit(x[listed]).transform(x[listed])
    estimated = estimate_propensities(terms, x[listed], sent, 2, fold, folds, seed)
    found[listed] = estimated.values[:, 1]
    return found


def sending_effect(listing_effect: Floats, p_sent: Floats) -> Floats:
    """Return the effect of sending; NaN where too little of what is listed is sent."""
    enough = p_sent >= MIN_SENT
    return np.asarray(np.where(enough, listing_effect / np.where(enough, p_sent, 1.0), np.nan))
