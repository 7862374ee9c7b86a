"""One penalised fit of all factors: maximum a posteriori by Gauss-Newton, Laplace posterior.

orders = m0 + reached x scale x exp(design @ theta) + nuisance @ eta + noise

`m0`, what is bought without a contact, comes from trees that did not see the row's fold. A contact
that was not read cannot work: `reached` is 1 / P(read) where it was read. Rows that a policy drew
count with the arm minus its propensity. Contacts that clerks chose count with `reached` minus one:
by what is bought where they were read against where they were not. Both are orthogonal to mistakes
of `m0` and to whom clerks choose. Where reading is not recorded, contacts of clerks count as they
are, beside a level of how the chosen differ. The scale is linear and may be zero or below: where
contacts change nothing, it says so.

References
----------
Nie, Wager (2021), Quasi-oracle estimation of heterogeneous treatment effects.
MacKay (1992), A practical Bayesian framework for backpropagation networks (Laplace posterior).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.linalg import block_diag

from nba.arrays import Bools, Floats, Ints

STEPS: Final = 25
#: Largest change of a parameter in one step, in prior widths.
LARGEST_STEP: Final = 1.0
CONVERGED: Final = 2e-3
#: The exponent stays between these.
LOG_RANGE: Final = 4.0


@dataclass(frozen=True)
class Sample:
    """Weighted rows of the fit, and the contacts that they had or could have had.

    Parameters
    ----------
    residual : array of shape (rows,)
        Orders minus what is bought without a contact.
    weight : array of shape (rows,)
    nuisance : array of shape (rows, nuisances)
    row : int array of shape (entries,)
        The row of each entry, rising: one contact that was made, or that could have been drawn.
    design : array of shape (entries, parameters)
    taken : array of shape (entries,)
        `reached` of the contact that was made, 0 of the others.
    expected : array of shape (entries,)
        Propensity times the chance that it is sent; 1 of a clerk's choice of which reading tells, 0
        of any other.
    """

    residual: Floats
    weight: Floats
    nuisance: Floats
    row: Ints
    design: Floats
    taken: Floats
    expected: Floats

    def per_row(self, values: Floats) -> Floats:
        """Return the sum of the entries of each row."""
        sums = np.bincount(self.row, weights=values, minlength=len(self.residual))
        return sums.astype(np.float64)


@dataclass(frozen=True)
class Posterior:
    """Mean and covariance of (scale, theta), and the nuisances' mean.

    Parameters
    ----------
    mean : array of shape (1 + parameters,)
    covariance : array of shape (1 + parameters, 1 + parameters)
    nuisance : array of shape (nuisances,)
    inflation : float
        Variance of the noise against what was assumed.
    """

    mean: Floats
    covariance: Floats
    nuisance: Floats
    inflation: float

    def effect(self, design: Floats) -> Floats:
        """Return the chance of an extra order by a contact, shape (rows,)."""
        return np.asarray(self.mean[0] * growth(design, self.mean[1:]))

    def gradient(self, design: Floats) -> Floats:
        """Return the derivative of `effect` by (scale, theta), shape (rows, 1 + parameters)."""
        grown = growth(design, self.mean[1:])
        return np.column_stack([grown, (self.mean[0] * grown)[:, None] * design])

    def variance(self, design: Floats) -> Floats:
        """Return the variance of `effect`, shape (rows,)."""
        by = self.gradient(design)
        return np.asarray(np.einsum("ij,jk,ik->i", by, self.covariance, by))

    def held(self, direction: Floats, value: float) -> Posterior:
        """Return the posterior given that `direction` @ (scale, theta) is `value`."""
        moved = self.covariance @ direction
        gain = moved / max(float(direction @ moved), 1e-12)
        mean = self.mean + gain * (value - float(direction @ self.mean))
        return replace(self, mean=mean, covariance=self.covariance - np.outer(gain, moved))


@dataclass(frozen=True)
class Shown:
    """What some rows show of the scale with the factors held.

    Parameters
    ----------
    scale, error : float
        0 and infinity where nothing was tried in them.
    share : array of shape (parameters,)
        The design of what was tried in them, in the mean by information.
    """

    scale: float
    error: float
    share: Floats


def shown_by(sample: Sample, posterior: Posterior, rows: Bools, group: Ints) -> Shown:
    """Return the scale that some rows show with the factors held.

    The error is the larger of what the fit says and of what the groups show (a sandwich with
    a correction for few groups): orders of a customer go together, and a few rows of rarely bought
    goods carry much of the weight.

    Parameters
    ----------
    sample : Sample
    posterior : Posterior
        Of `fit_posterior`; its factors and nuisances are taken as they are.
    rows : bool array of shape (rows,)
        Which rows are asked.
    group : int array of shape (rows,)
        Rows that are not independent.
    """
    grown = growth(sample.design, posterior.mean[1:])
    entry = (sample.taken - sample.expected) * grown
    tried = sample.per_row(entry)[rows]
    rest = (sample.residual - sample.nuisance @ posterior.nuisance)[rows]
    weight = sample.weight[rows] / posterior.inflation
    information = float(weight @ np.square(tried))
    if information <= 0.0:
        return Shown(0.0, float("inf"), np.zeros(sample.design.shape[1]))
    scale = float(weight @ (tried * rest)) / information
    names, code = np.unique(group[rows], return_inverse=True)
    score = np.bincount(code, weights=weight * tried * (rest - scale * tried))
    few = len(names) / max(len(names) - 1, 1)
    clustered = few * float(np.square(score).sum()) / information**2
    own = np.where(rows, sample.weight, 0.0)[sample.row] * np.square(entry)
    share = own @ sample.design / max(float(own.sum()), 1e-12)
    return Shown(scale, max(1.0 / information, clustered) ** 0.5, share)


def growth(design: Floats, theta: Floats) -> Floats:
    """Return exp(design @ theta) within bounds."""
    return np.asarray(np.exp(np.clip(design @ theta, -2 * LOG_RANGE, LOG_RANGE)))


def fit_posterior(
    sample: Sample,
    *,
    mean: Floats,
    covariance: Floats,
    nuisance_error: Floats,
    group: Ints | None = None,
) -> Posterior:
    """Return the posterior of (scale, theta) by Gauss-Newton.

    Parameters
    ----------
    mean, covariance : arrays of shape (1 + parameters,) and (1 + parameters, 1 + parameters)
        The prior of the scale and of every log factor.
    nuisance_error : array of shape (nuisances,)
        Widths around zero.
    group : int array of shape (rows,), optional
        Rows that are not independent: their common error widens the posterior.
    """
    count, more = len(mean), len(nuisance_error)
    prior = block_diag(np.linalg.inv(covariance), np.diag(nuisance_error**-2.0))
    limit = np.concatenate([np.sqrt(np.diag(covariance)), nuisance_error]) * LARGEST_STEP
    at = np.concatenate([mean, np.zeros(more)])
    centre = at.copy()
    z, u = _linearised(sample, at, count)
    inflation = 1.0
    for step in range(STEPS):
        scaled = z * sample.weight[:, None]
        information = z.T @ scaled / inflation + prior
        slope = scaled.T @ u / inflation - prior @ (at - centre)
        change = np.linalg.solve(information, slope)
        most = float(np.max(np.abs(change) / limit, initial=0.0))
        change = change / max(most, 1.0)
        at = at + change
        z, u = _linearised(sample, at, count)
        if step == 0:
            inflation = max(float(sample.weight @ np.square(u)) / max(len(u), 1), 1e-6)
            inflation *= _clustering(z, u, sample.weight, group)
        elif most < CONVERGED:
            break
    scaled = z * sample.weight[:, None]
    information = z.T @ scaled / inflation + prior
    width = np.asarray(np.linalg.inv(information), dtype=np.float64)
    return Posterior(at[:count], width[:count, :count], at[count:], inflation)


def _linearised(sample: Sample, at: Floats, count: int) -> tuple[Floats, Floats]:
    """Return the derivative of the mean by all parameters, and what is left of the residual."""
    scale, theta, eta = at[0], at[1:count], at[count:]
    grown = growth(sample.design, theta)
    fitted = sample.nuisance @ eta + scale * sample.per_row(sample.taken * grown)
    surprise = (sample.taken - sample.expected) * grown
    by = np.zeros((len(sample.residual), count))
    slopes = np.column_stack([surprise, (scale * surprise)[:, None] * sample.design])
    first = np.flatnonzero(np.diff(sample.row, prepend=-1))
    if len(first):
        by[sample.row[first]] = np.add.reduceat(slopes, first, axis=0)
    return np.column_stack([by, sample.nuisance]), sample.residual - fitted


def _clustering(z: Floats, u: Floats, weight: Floats, group: Ints | None) -> float:
    """Return by how much errors common to a group widen the scale's variance, at least 1."""
    if group is None or not len(u):
        return 1.0
    score = weight * z[:, 0] * u
    _, code = np.unique(group, return_inverse=True)
    together = np.bincount(code, weights=score)
    alone = float(np.square(score).sum())
    return float(np.clip(np.square(together).sum() / max(alone, 1e-12), 1.0, 3.0))
