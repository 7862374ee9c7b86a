"""Off-policy estimates: what a policy would have earned on a log that another policy wrote.

Three estimators share one form: each row contributes a number, the estimate is their mean, and
the interval comes from their spread (over groups of rows where rows are not independent).

- IPS: ``w y``, unbiased with known propensities, wide.
- SNIPS: the weights divided by their mean; a little biased, narrower.
- DR: ``sum_k pi_k m_k(x) + w (y - m_a(x))`` with an outcome model fitted on other rows; the
  narrowest of the three when the model explains anything.

Here ``w = pi(a | x) / e(a | x)``, cut at `max_weight`, and the share that was cut is reported.

References
----------
Dudik, Langford, Li (2011), Doubly robust policy evaluation and learning.
Swaminathan, Joachims (2015), The self-normalized estimator for counterfactual learning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from scipy.special import stdtrit

from nba.arrays import Floats, Ints
from nba.errors import ModelError

#: Under this effective sample size an estimate is not to be trusted.
MIN_EFFECTIVE_ROWS: Final = 100.0
#: The mean weight has expectation one; outside of this range something is wrong.
MEAN_WEIGHT_RANGE: Final = (0.9, 1.1)


class Method(StrEnum):
    """How a policy's value is estimated."""

    IPS = "ips"
    SNIPS = "snips"
    DR = "dr"


@dataclass(frozen=True)
class Log:
    """What was done, what came of it, and how likely it was.

    Parameters
    ----------
    arm : int array of shape (n,)
        The arm that was drawn, an index below the number of arms.
    outcome : array of shape (n,)
    propensity : array of shape (n,)
        The probability with which the logging policy drew that arm; never of a filtered subset.
    group : int array of shape (n,), optional
        Rows of one group are not independent; intervals are taken over groups.
    max_weight : float
        Weights above are cut (a bias that the estimate reports as `clipped_share`).
    """

    arm: Ints
    outcome: Floats
    propensity: Floats
    group: Ints | None = None
    max_weight: float = float("inf")

    def __post_init__(self) -> None:
        lengths = {len(self.arm), len(self.outcome), len(self.propensity)}
        if len(lengths) != 1 or (self.group is not None and len(self.group) not in lengths):
            raise ModelError(
                "a log's columns differ in length",
                expected="one value per row in arm, outcome, propensity and group",
                found=f"lengths {sorted(lengths)}",
            )
        if len(self.propensity) and not (0 < self.propensity.min() <= self.propensity.max() <= 1):
            raise ModelError(
                "a log holds impossible propensities",
                expected="0 < propensity <= 1 of the arm that was drawn",
                found=f"{self.propensity.min():g} .. {self.propensity.max():g}",
                next_step="log the probability of the drawn arm, or estimate it",
            )


@dataclass(frozen=True)
class Estimate:
    """A policy's value with its interval and what to check before believing it.

    `contributions` holds one influence value per row, whose mean is `value`.
    """

    method: Method
    value: float
    standard_error: float
    lower: float
    upper: float
    rows: int
    effective_rows: float
    mean_weight: float
    clipped_share: float
    contributions: Floats = field(repr=False, compare=False)

    @property
    def problems(self) -> tuple[str, ...]:
        """What speaks against trusting the estimate; empty when nothing does."""
        problems_found = []
        if self.effective_rows < MIN_EFFECTIVE_ROWS:
            problems_found.append(f"effective sample size {self.effective_rows:.0f} < 100")
        low, high = MEAN_WEIGHT_RANGE
        if not low <= self.mean_weight <= high:
            problems_found.append(f"mean weight {self.mean_weight:.3f} outside {low}-{high}")
        return tuple(problems_found)

    def trusted(self) -> Estimate:
        """Return the estimate itself, or refuse.

        Raises
        ------
        ModelError
            When the effective sample size or the mean weight is out of range.
        """
        if self.problems:
            raise ModelError(
                "an off-policy estimate is refused",
                expected="effective sample size >= 100 and mean weight within 0.9-1.1",
                found="; ".join(self.problems),
                next_step="gather more rows, or evaluate a policy nearer to the logging one",
            )
        return self


@dataclass(frozen=True)
class Difference:
    """The paired difference of two estimates on the same rows."""

    value: float
    standard_error: float
    z: float
    lower: float
    upper: float


def one_arm(arm: Ints | int, arms: int, rows: int) -> Floats:
    """Return the policy that plays `arm` (one for all, or one per row), shape (rows, arms)."""
    policy = np.zeros((rows, arms))
    policy[np.arange(rows), arm] = 1.0
    return policy


def row_scores(log: Log, arms: int, predicted: Floats | None = None) -> Floats:
    """Return per row and arm an unbiased score of the outcome under that arm, shape (n, arms).

    IPS scores without `predicted` (an outcome model's means, fitted on other rows), doubly
    robust scores with it. A policy's value is the mean of its scores, an arm's effect the mean
    difference of two columns.
    """
    base = np.zeros((len(log.arm), arms)) if predicted is None else predicted.copy()
    rows = np.arange(len(log.arm))
    weight = np.minimum(1.0 / log.propensity, log.max_weight)
    base[rows, log.arm] += weight * (log.outcome - base[rows, log.arm])
    return np.asarray(base)


def policy_value(
    log: Log,
    policy: Floats,
    *,
    method: Method = Method.DR,
    predicted: Floats | None = None,
    level: float = 0.95,
) -> Estimate:
    """Estimate the mean outcome had `policy` chosen the arms.

    Parameters
    ----------
    log : Log
    policy : array of shape (n, arms)
        The policy's probabilities per row.
    method : Method
    predicted : array of shape (n, arms), required for DR
        Expected outcomes per row and arm, from a model that did not see the row.
    level : float
        Level of the two-sided interval.
    """
    rows = np.arange(len(log.arm))
    raw = policy[rows, log.arm] / log.propensity
    weight = np.minimum(raw, log.max_weight)
    mean_weight = float(weight.mean()) if len(weight) else 0.0
    if method is Method.IPS:
        contributions = weight * log.outcome
    elif method is Method.SNIPS:
        contributions = _self_normalised(weight, log.outcome)
    else:
        if predicted is None:
            raise ModelError("the doubly robust estimate needs an outcome model's predictions")
        residual = log.outcome - predicted[rows, log.arm]
        contributions = (policy * predicted).sum(axis=1) + weight * residual
    value, error, low, high = mean_interval(contributions, group=log.group, level=level)
    squares = float(np.square(weight).sum())
    return Estimate(
        method=method,
        value=value,
        standard_error=error,
        lower=low,
        upper=high,
        rows=len(weight),
        effective_rows=float(weight.sum()) ** 2 / squares if squares else 0.0,
        mean_weight=mean_weight,
        clipped_share=float((raw > log.max_weight).mean()) if len(raw) else 0.0,
        contributions=contributions,
    )


def paired_difference(
    policy: Estimate, against: Estimate, *, group: Ints | None = None, level: float = 0.95
) -> Difference:
    """Return the difference of two estimates on the same rows, which shares their noise.

    Parameters
    ----------
    policy, against : Estimate
        Made from the same rows in the same order.
    group : array of int, optional
        Shape (rows,): units whose rows belong together.
    level : float
        Of the confidence interval.
    """
    gap = policy.contributions - against.contributions
    value, error, low, high = mean_interval(gap, group=group, level=level)
    return Difference(value, error, value / error if error > 0 else 0.0, low, high)


def mean_interval(
    values: Floats, *, group: Ints | None = None, level: float = 0.95
) -> tuple[float, float, float, float]:
    """Return mean, standard error, and the ends of a t interval, over groups where given."""
    count = len(values)
    if count < 2:
        return (float(values.mean()) if count else float("nan"), *(float("nan"),) * 3)
    mean = float(values.mean())
    deviation: Floats = values - mean
    if group is not None:
        _, code = np.unique(group, return_inverse=True)
        deviation = np.asarray(np.bincount(code, weights=deviation), dtype=np.float64)
    units = len(deviation)
    if units < 2:
        return mean, float("nan"), float("nan"), float("nan")
    error = float(np.sqrt(np.square(deviation).sum() * units / (units - 1))) / count
    half_width = float(stdtrit(units - 1, 0.5 + level / 2)) * error
    return mean, error, mean - half_width, mean + half_width


def _self_normalised(weight: Floats, outcome: Floats) -> Floats:
    """Return influence values of the ratio of means (delta method); their mean is the ratio."""
    total = weight.mean()
    if total <= 0:
        return np.full(len(weight), np.nan)
    ratio = (weight * outcome).mean() / total
    return np.asarray(ratio + weight * (outcome - ratio) / total)
