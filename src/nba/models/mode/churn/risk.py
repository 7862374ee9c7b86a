"""How likely a contact loses the friend: a rate per mode, and who is more easily lost.

Losses are rare, so little is learned: each mode's rate is shrunk towards the prior's base rate with
the weight of `prior_contacts`, minus what is lost without a contact; one pooled logistic on a few
columns says who is lost more easily, and counts only as far as it is proven on held-out rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nba.arrays import Floats, Ints
from nba.models.mode.scores import MODES

#: Fewer losses than this say nothing about who is lost.
MIN_LOSSES = 30
#: How far the odds of one customer may stand from the mean.
MAX_LOG_RATIO = 2.0


@dataclass(frozen=True)
class RiskModel:
    """Rates per contact mode, and a log odds ratio per customer.

    Parameters
    ----------
    rate : array of shape (3,)
        Probability that one contact loses the friend, beyond what is lost without.
    weight : array of shape (terms,)
        Of the standardised terms; zeros where nothing was proven.
    losses : int
        Losses after contacts that were seen.
    """

    rate: Floats
    weight: Floats
    losses: int

    def score(self, terms: Floats, cap: float) -> Floats:
        """Return the risk of one contact, shape (rows, 3)."""
        ratio = np.exp(np.clip(terms @ self.weight, -MAX_LOG_RATIO, MAX_LOG_RATIO))
        return np.asarray(np.minimum(ratio[:, None] * self.rate, cap))


def fit_risk(
    terms: Floats,
    arm: Ints,
    lost: Floats,
    propensity: Floats,
    *,
    base: Floats,
    prior_contacts: float,
    fold: Ints,
    folds: int,
) -> RiskModel:
    """Fit rates and a pooled logistic.

    Parameters
    ----------
    terms : array of shape (rows, terms)
    arm : int array of shape (rows,)
        0 is none, 1 to 3 the contact modes.
    lost : array of shape (rows,), 0 or 1
    propensity : array of shape (rows,)
    base : array of shape (3,)
        The prior's rates.
    prior_contacts : float
        The weight of the prior, in contacts.
    """
    weight = 1.0 / propensity
    rates = np.zeros(len(MODES) + 1)
    effective = np.zeros(len(MODES) + 1)
    for one in range(len(rates)):
        mine = weight[arm == one]
        if len(mine):
            rates[one] = float(mine @ lost[arm == one]) / mine.sum()
            effective[one] = mine.sum() ** 2 / np.square(mine).sum()
    excess = np.maximum(rates[1:] - rates[0], 0.0)
    reach = 1.0 / (1.0 / np.maximum(effective[1:], 1e-9) + 1.0 / max(effective[0], 1e-9))
    rate = (excess * reach + base * prior_contacts) / (reach + prior_contacts)
    contacts = arm > 0
    odds = _proven_logistic(terms[contacts], lost[contacts], fold[contacts], folds)
    return RiskModel(rate, odds, int(lost[contacts].sum()))


def _proven_logistic(terms: Floats, lost: Floats, fold: Ints, folds: int) -> Floats:
    """Return log odds weights, scaled by how well held-out rows bear them out."""
    nothing = np.zeros(terms.shape[1])
    if lost.sum() < MIN_LOSSES:
        return nothing
    held_out = np.zeros(len(lost))
    for one in range(folds):
        rest, rows = fold != one, fold == one
        if rows.any() and 0 < lost[rest].sum() < rest.sum():
            held_out[rows] = terms[rows] @ _logistic(terms[rest], lost[rest]).coef_[0]
    residual = lost - lost.mean()
    centred = held_out - held_out.mean()
    spread = float(np.sqrt(np.square(centred * residual).sum()))
    t = float(centred @ residual) / spread if spread > 0 else 0.0
    if t < 2:
        return nothing
    kept = 1 - (2 / t) ** 2
    return np.asarray(kept * _logistic(terms, lost).coef_[0], dtype=np.float64)


def _logistic(terms: Floats, lost: Floats) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.01, max_iter=500).fit(terms, lost)
