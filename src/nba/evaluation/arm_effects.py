"""What an arm changed against a control, by assignment: differences, ratios, shrinkage, counts.

Intervals hold over clusters (a customer with several rows, a group that shares its arm), and may
use what was known before the arm was drawn to take away noise.

References
----------
Deng, Xu, Kohavi, Walker (2013), Improving the sensitivity of online controlled experiments by
utilizing pre-experiment data (CUPED).
Liang, Zeger (1986), Longitudinal data analysis using generalized linear models.
DerSimonian, Laird (1986), Meta-analysis in clinical trials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from nba.arrays import Bools, Floats

#: An arm of fewer clusters than this has no interval.
MIN_CLUSTERS: Final = 2
LEVEL: Final = 0.95


@dataclass(frozen=True)
class Effect:
    """A difference between two arms with its interval; NaN where an arm is too small.

    Parameters
    ----------
    estimate, standard_error, lower, upper : float
    treated_mean, control_mean : float
        Adjusted where the effect is; a relative effect has those of the ratio itself.
    treated, control : int
        Rows of each arm.
    """

    estimate: float
    standard_error: float
    lower: float
    upper: float
    treated_mean: float
    control_mean: float
    treated: int
    control: int

    @property
    def proven(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.lower > 0 or self.upper < 0

    def times(self, factor: float) -> Effect:
        """Return the effect on `factor` rows in sum."""
        return Effect(
            self.estimate * factor,
            self.standard_error * factor,
            self.lower * factor,
            self.upper * factor,
            self.treated_mean,
            self.control_mean,
            self.treated,
            self.control,
        )

    def columns(self) -> dict[str, float]:
        """Return estimate and interval for a table."""
        return {
            "estimate": self.estimate,
            "standard_error": self.standard_error,
            "lower": self.lower,
            "upper": self.upper,
        }


def adjusted(outcome: Floats, treated: Bools, covariates: Floats | None) -> Floats:
    """Return the outcome without what was foreseeable before the arm was drawn (CUPED).

    Parameters
    ----------
    outcome : array of shape (n,)
    treated : bool array of shape (n,)
    covariates : array of shape (n, k) or None
        Known before the arm was drawn: what comes later takes a part of the effect away.
    """
    if covariates is None or covariates.size == 0:
        return outcome
    within_x, within_y = covariates.astype(np.float64), outcome.astype(np.float64)
    for arm in (treated, ~treated):
        if arm.any():
            within_x = np.where(arm[:, None], within_x - within_x[arm].mean(0), within_x)
            within_y = np.where(arm, within_y - within_y[arm].mean(), within_y)
    scale = within_x.std(0)
    scale[scale < 1e-12] = 1.0
    slope, *_ = np.linalg.lstsq(within_x / scale, within_y, rcond=None)
    result: Floats = outcome - (covariates - covariates.mean(0)) / scale @ slope
    return result


def difference(
    outcome: Floats,
    treated: Bools,
    *,
    covariates: Floats | None = None,
    cluster: NDArray[Any] | None = None,
    weight: Floats | None = None,
    level: float = LEVEL,
) -> Effect:
    """Return the difference in means of two arms, with a cluster-robust t interval.

    Parameters
    ----------
    outcome : array of shape (n,)
    treated : bool array of shape (n,)
        False: the control.
    covariates : array of shape (n, k), optional
        Known before the arm was drawn; see `adjusted`.
    cluster : array of shape (n,), optional
        Rows of one cluster are not independent; without it every row is one.
    weight : array of shape (n,), optional
        Of each row in the mean of its arm, as from known propensities.
    level : float

    Examples
    --------
    >>> effect = difference(np.array([3.0, 5.0, 1.0, 1.0]), np.array([True, True, False, False]))
    >>> effect.estimate, effect.treated
    (3.0, 2)
    """
    y = adjusted(outcome, treated, covariates)
    counts = int(treated.sum()), int((~treated).sum())
    if not all(counts):
        return _nothing(y, treated, counts)
    w = np.ones(len(y)) if weight is None else weight
    sums = float(w[treated].sum()), float(w[~treated].sum())
    means = float((w * y)[treated].sum() / sums[0]), float((w * y)[~treated].sum() / sums[1])
    influence = w * np.where(treated, (y - means[0]) / sums[0], -(y - means[1]) / sums[1])
    error, half_width = _spread(influence, treated, cluster, level)
    estimate = means[0] - means[1]
    return Effect(estimate, error, estimate - half_width, estimate + half_width, *means, *counts)


def relative(
    numerator: Floats,
    denominator: Floats,
    treated: Floats,
    control: Floats,
    *,
    cluster: NDArray[Any] | None = None,
    level: float = LEVEL,
) -> Effect:
    """Return by which share a ratio differs between two weighted arms.

    Parameters
    ----------
    numerator, denominator : array of shape (n,)
        As orders and buyers for the frequency; ones for a mean.
    treated, control : array of shape (n,)
        Weights of the rows in each arm, zero for rows outside.
    cluster : array of shape (n,), optional
    level : float

    Notes
    -----
    The interval stands on the log scale, where it is more nearly symmetric (delta method).
    """
    sums = [float(w @ v) for w in (treated, control) for v in (numerator, denominator)]
    counts = int((treated > 0).sum()), int((control > 0).sum())
    if min(sums) <= 0 or min(counts) < MIN_CLUSTERS:
        return Effect(*(float("nan"),) * 6, *counts)
    ratios = sums[0] / sums[1], sums[2] / sums[3]
    influence = treated * (numerator / sums[0] - denominator / sums[1])
    influence = influence - control * (numerator / sums[2] - denominator / sums[3])
    error, half_width = _spread(influence, treated > 0, cluster, level)
    log = float(np.log(ratios[0] / ratios[1]))
    low, mid, high = (float(np.expm1(log + step)) for step in (-half_width, 0.0, half_width))
    return Effect(mid, error * (1 + mid), low, high, *ratios, *counts)


def _nothing(y: Floats, treated: Bools, counts: tuple[int, int]) -> Effect:
    means = [float(y[arm].mean()) if arm.any() else float("nan") for arm in (treated, ~treated)]
    return Effect(*(float("nan"),) * 4, means[0], means[1], *counts)


def _spread(
    influence: Floats, treated: Bools, cluster: NDArray[Any] | None, level: float
) -> tuple[float, float]:
    """Return the standard error of a sum of influences, and the half width of its interval.

    Degrees of freedom are Welch's over the clusters of each arm.
    """
    rows = np.arange(len(influence))
    code = rows if cluster is None else np.unique(cluster, return_inverse=True)[1]
    units = int(code.max()) + 1
    parts, freedom = [], 0.0
    for arm in (treated, ~treated):
        sums = np.bincount(code[arm], weights=influence[arm], minlength=units)
        count = len(np.unique(code[arm]))
        if count < MIN_CLUSTERS:
            return float("nan"), float("nan")
        scaled = sums * np.sqrt(count / (count - 1))
        variance = float(np.square(scaled).sum())
        freedom += variance**2 / (count - 1)
        parts.append(scaled)
    variance = float(np.square(parts[0] + parts[1]).sum())
    apart = sum(float(np.square(part).sum()) for part in parts)
    degrees = apart**2 / freedom if freedom > 0 else units - 1.0
    error = float(np.sqrt(variance))
    return error, float(stdtrit(max(degrees, 1.0), 0.5 + level / 2)) * error


def shrunk(estimate: Floats, standard_error: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Return estimates of many groups pulled to their mean, and their standard errors.

    Parameters
    ----------
    estimate, standard_error : array of shape (groups,)
        Groups with a NaN stay as they are.
    size : array of shape (groups,)
        Weights of the groups in their mean, so that the whole keeps its total.

    Notes
    -----
    The more the groups differ beyond their noise, the less they are pulled (empirical Bayes with
    the variance of DerSimonian and Laird). A ranking of raw estimates ranks the noise.
    """
    known = np.isfinite(estimate) & (standard_error > 0)
    value, error = estimate.astype(np.float64), standard_error.astype(np.float64)
    if known.sum() < MIN_CLUSTERS:
        return value, error
    y, e, share = value[known], error[known], size[known] / size[known].sum()
    between = _variance_between(y, e)
    own = between / (between + e**2)
    mean, spread = float(share @ y), float(np.square(share * e).sum())
    value[known] = own * y + (1 - own) * mean
    error[known] = np.sqrt(own * e**2 + np.square(1 - own) * spread)
    return value, error


def _variance_between(estimate: Floats, standard_error: Floats) -> float:
    """Return the variance of groups beyond their noise; never below zero."""
    weight = standard_error**-2.0
    mean = float(weight @ estimate / weight.sum())
    beyond = float(weight @ np.square(estimate - mean)) - (len(estimate) - 1)
    scale = float(weight.sum() - np.square(weight).sum() / weight.sum())
    return max(beyond / scale, 0.0)


def sample_ratio(counts: dict[str, int], shares: dict[str, float]) -> float:
    """Return the chance of counts at least this far from the shares (chi-squared).

    Parameters
    ----------
    counts : dict of str to int
        Units that drew each arm: customers, or groups that share theirs.
    shares : dict of str to float
        Arms of share zero are left out.

    Notes
    -----
    Below 0.001 the draw, the log or the joining of the two is broken, and so is the comparison.
    """
    arms = [arm for arm, share in shares.items() if share > 0]
    total = sum(counts.get(arm, 0) for arm in arms)
    if len(arms) < 2 or not total:
        return 1.0
    scale = sum(shares[arm] for arm in arms)
    expected = [total * shares[arm] / scale for arm in arms]
    from scipy.stats import chisquare

    return float(chisquare([counts.get(arm, 0) for arm in arms], expected).pvalue)
