"""How good survival curves are: IPCW concordance, Brier scores, Kaplan–Meier.

Definitions are those of scikit-survival (`concordance_index_ipcw`, `brier_score`,
`integrated_brier_score`), and the tests compare with it. Times are few and discrete
(days), which makes everything here a cumulative sum per distinct time instead of a loop over pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nba.arrays import Bools, Floats


@dataclass(frozen=True)
class Outcome:
    """Observed times in days and whether they ended in a purchase (else censored)."""

    time: Floats
    event: Bools

    def within(self, horizon: float) -> Outcome:
        """Return the outcome censored at `horizon`."""
        return Outcome(np.minimum(self.time, horizon), self.event & (self.time <= horizon))

    def take(self, rows: NDArray[np.int64]) -> Outcome:
        """Return the outcome of `rows`."""
        return Outcome(self.time[rows], self.event[rows])


def kaplan_meier(outcome: Outcome, *, weight: Floats | None = None) -> tuple[Floats, Floats]:
    """Return the distinct times and the survival just after each (Kaplan and Meier, 1958)."""
    times, inverse = np.unique(outcome.time, return_inverse=True)
    weight = np.ones(len(outcome.time)) if weight is None else weight
    died = np.bincount(inverse, weights=weight * outcome.event, minlength=len(times))
    leaving = np.bincount(inverse, weights=weight, minlength=len(times))
    at_risk = leaving[::-1].cumsum()[::-1]
    return times, np.asarray(np.cumprod(1.0 - died / np.maximum(at_risk, 1e-300)))


def _uncensored(outcome: Outcome) -> tuple[Floats, Floats]:
    """Return times and G, the chance of not being censored up to and including each time.

    A purchase and a censoring on the same day: the purchase comes first, so the purchase
    is no longer at risk of being censored (as in scikit-survival).
    """
    times, inverse = np.unique(outcome.time, return_inverse=True)
    n = len(times)
    censored = np.bincount(inverse, weights=~outcome.event, minlength=n)
    bought = np.bincount(inverse, weights=outcome.event, minlength=n)
    at_risk = (censored + bought)[::-1].cumsum()[::-1] - bought
    step = np.where(at_risk > 0, 1.0 - censored / np.maximum(at_risk, 1.0), 1.0)
    return times, np.asarray(np.cumprod(step), dtype=np.float64)


def censoring_weights(outcome: Outcome, at: Floats) -> Floats:
    """Return 1 / G(t) for each time in `at`; 0 where nobody is left uncensored."""
    times, uncensored = _uncensored(outcome)
    where = np.searchsorted(times, at, side="right") - 1
    g = np.where(where >= 0, uncensored[np.maximum(where, 0)], 1.0)
    return np.where(g > 0, 1.0 / np.maximum(g, 1e-300), 0.0)


def concordance(
    outcome: Outcome, risk: Floats, *, tau: float | None = None, censoring: Outcome | None = None
) -> float:
    """Return the IPCW concordance of Uno et al. (2011).

    Of pairs in which one customer is known to have bought before the other, the share in
    which that one had the higher risk; ties in risk count half.

    Parameters
    ----------
    outcome : Outcome
    risk : array, shape (n,)
        Higher means sooner.
    tau : float, optional
        Only purchases before `tau` count.
    censoring : Outcome, optional
        Where the censoring distribution is estimated; `outcome` itself by default.

    Notes
    -----
    One number per customer is judged, not the curve: state which (ours is the mean number
    of days without a purchase within the horizon, negated).
    """
    weight = censoring_weights(censoring or outcome, outcome.time) ** 2
    values, rank = np.unique(risk, return_inverse=True)
    order = np.argsort(outcome.time, kind="stable")
    days, first = np.unique(outcome.time[order], return_index=True)
    later = np.zeros(len(values))  # who is known to buy later, counted by risk
    good = total = 0.0
    for day, rows in zip(days[::-1], np.split(order, first[1:])[::-1], strict=True):
        bought = rows[outcome.event[rows]]
        np.add.at(later, rank[rows[~outcome.event[rows]]], 1.0)
        if len(bought) and (tau is None or day < tau):
            upto = np.cumsum(later)
            below = upto[rank[bought]] - 0.5 * later[rank[bought]]
            good += float(weight[bought] @ below)
            total += float(weight[bought].sum() * upto[-1])
        np.add.at(later, rank[bought], 1.0)
    return good / total if total else float("nan")


def brier(
    outcome: Outcome, survival: Floats, times: Floats, *, censoring: Outcome | None = None
) -> Floats:
    """Return the IPCW Brier score at each of `times` (Graf et al., 1999).

    Parameters
    ----------
    survival : array, shape (n, len(times))
        Predicted P(no purchase up to and including each time).
    """
    base = censoring or outcome
    case_weight = np.where(outcome.event, censoring_weights(base, outcome.time), 0.0)
    control_weight = censoring_weights(base, times)
    bought = outcome.time[:, None] <= times[None, :]
    error = np.where(bought, survival**2 * case_weight[:, None], (1.0 - survival) ** 2)
    return np.asarray(np.where(bought, error, error * control_weight[None, :]).mean(axis=0))


def integrated_brier(
    outcome: Outcome, survival: Floats, times: Floats, *, censoring: Outcome | None = None
) -> float:
    """Return the Brier score averaged over `times` by the trapezoid rule.

    Parameters
    ----------
    outcome : Outcome
    survival : array of float
        Shape (n, len(times)): predicted P(no purchase up to and including each time).
    times : array of float
        Days, rising.
    censoring : Outcome, optional
        From whom the censoring weights are estimated; `outcome` where not given.
    """
    scores = brier(outcome, survival, times, censoring=censoring)
    return float(np.trapezoid(scores, times) / (times[-1] - times[0]))


def auc(label: Bools, score: Floats, *, weight: Floats | None = None) -> float:
    """Return the area under the ROC curve; ties count half; NaN with one class only.

    >>> auc(np.array([True, False, False]), np.array([0.9, 0.9, 0.1]))
    0.75
    """
    values, inverse = np.unique(score, return_inverse=True)
    weight = np.ones(len(score)) if weight is None else weight
    yes = np.bincount(inverse, weights=weight * label, minlength=len(values))
    no = np.bincount(inverse, weights=weight * ~label, minlength=len(values))
    if not yes.sum() or not no.sum():
        return float("nan")
    below = np.cumsum(no) - no
    return float(yes @ (below + 0.5 * no) / (yes.sum() * no.sum()))


def mean_days_without(survival: Floats) -> Floats:
    """Return the restricted mean: expected days without a purchase on the curve."""
    return np.asarray(survival[:, :-1].sum(axis=1))
