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

#: Fewer lost friends than this say nothing about who is lost.
MIN_CHURNED = 30
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
    churned : int
        Friends lost after contacts that were seen.
    """

    rate: Floats
    weight: Floats
    churned: int

    def score(self, terms: Floats, cap: float) -> Floats:
        """Return the risk of one contact, shape (rows, 3)."""
        ratio = np.exp(np.clip(terms @ self.weight, -MAX_LOG_RATIO, MAX_LOG_RATIO))
        return np.asarray(np.minimum(ratio[:, None] * self.rate, cap))


def fit_risk(
    terms: Floats,
    arm: Ints,
    churned: Floats,
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
    churned : array of shape (rows,), 0 or 1
    propensity : array of shape (rows,)
    base : array of shape (3,)
        The prior's rates.
    prior_contacts : float
        The weight of the prior, in contacts.
    """
    weight = 1.0 / propensity
    rates = np.zeros(len(MODES) + 1)
    effective = np.zeros(len(MODES) + 1)
    for code in range(len(rates)):
        mine = weight[arm == code]
        if len(mine):
            rates[code] = float(mine @ churned[arm == code]) / mine.sum()
            effective[code] = mine.sum() ** 2 / np.square(mine).sum()
    excess = np.maximum(rates[1:] - rates[0], 0.0)
    information = 1.0 / (1.0 / np.maximum(effective[1:], 1e-9) + 1.0 / max(effective[0], 1e-9))
    rate = (excess * information + base * prior_contacts) / (information + prior_contacts)
    contacts = arm > 0
    odds = _proven_logistic(terms[contacts], churned[contacts], fold[contacts], folds)
    return RiskModel(rate, odds, int(churned[contacts].sum()))


def _proven_logistic(terms: Floats, churned: Floats, fold: Ints, folds: int) -> Floats:
    """Return log odds weights, scaled by how well held-out rows bear them out."""
    nothing = np.zeros(terms.shape[1])
    if churned.sum() < MIN_CHURNED:
        return nothing
    held_out = np.zeros(len(churned))
    for number in range(folds):
        rest, rows = fold != number, fold == number
        if rows.any() and 0 < churned[rest].sum() < rest.sum():
            held_out[rows] = terms[rows] @ _logistic(terms[rest], churned[rest]).coef_[0]
    residual = churned - churned.mean()
    centred = held_out - held_out.mean()
    spread = float(np.sqrt(np.square(centred * residual).sum()))
    t = float(centred @ residual) / spread if spread > 0 else 0.0
    if t < 2:
        return nothing
    proven_share = 1 - (2 / t) ** 2
    return np.asarray(proven_share * _logistic(terms, churned).coef_[0], dtype=np.float64)


def _logistic(terms: Floats, churned: Floats) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.01, max_iter=500).fit(terms, churned)
