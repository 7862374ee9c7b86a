"""Whether what is listed is sent: clerks choose, and what was not sent changes nothing.

Effects are learned per assignment (listed for a mode, or left alone). What sending does follows
from P(sent | listed, x): the design of the effects multiplies each listed row by it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.models.mode.doubly_robust.nuisance import folds_of
from nba.models.mode.estimators.linear import Basis
from nba.models.mode.propensities.arms import CONSTANT, estimate_propensities
from nba.schema.words import Mode


def sent_probability(assignments: pl.DataFrame, x: Floats, *, folds: int, seed: int) -> Floats:
    """Return P(sent | listed, x) of every assignment.

    Listed rows get it from models that did not see them, rows left alone from one fitted on all
    that was listed: had they been listed, would they have been sent?

    Parameters
    ----------
    assignments : DataFrame
        `mode, sent, customer_id`, in the order of `x`.
    x : array of shape (rows, columns)

    Returns
    -------
    array of shape (rows,)
        NaN everywhere where nothing was listed.
    """
    from sklearn.linear_model import LogisticRegression

    is_listed = (assignments["mode"].cast(pl.String) != str(Mode.NONE)).to_numpy()
    listed, left = np.flatnonzero(is_listed), np.flatnonzero(~is_listed)
    probability = np.full(assignments.height, np.nan)
    if not len(listed):
        return probability
    rows = assignments[listed]
    sent = rows["sent"].cast(pl.Int64).to_numpy().astype(np.int64)
    group = rows["customer_id"].rank("dense").to_numpy().astype(np.int64)
    fold = folds_of(len(listed), folds, seed, group, sent)
    basis = Basis.fit(x[listed])
    terms = basis.transform(x[listed])
    estimated = estimate_propensities(terms, x[listed], sent, 2, fold=fold, folds=folds, seed=seed)
    probability[listed] = estimated.values[:, 1]
    if estimated.model == CONSTANT or sent.min() == sent.max():
        probability[left] = sent.mean()
    elif len(left):
        model = LogisticRegression(C=0.1, max_iter=300, tol=1e-3).fit(terms, sent)
        probability[left] = model.predict_proba(basis.transform(x[left]))[:, 1]
    return probability
