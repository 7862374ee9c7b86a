"""Differences between arms that few clerks, stores or groups drew for all their customers.

With few units the usual cluster-robust interval is too narrow: residuals are smaller than what they
stand for, the more so the larger a unit is, and the normal distribution is a poor guide. Here
each unit's residual is freed of its own part in the mean (CR2), and the degrees of freedom of the t
distribution are those that the sizes of the units leave.

References
----------
Bell, McCaffrey (2002), Bias reduction in standard errors for linear regression with multi-stage
samples.
Imbens, Kolesár (2016), Robust standard errors in small samples: some practical advice.
Donner, Klar (2000), Design and analysis of cluster randomization trials in health research.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from nba.arrays import Bools, Floats
from nba.evaluation.arm_effects import LEVEL, Effect, adjusted
from nba.evaluation.sequential import POWER

#: Fewer units than this in an arm have no interval: of three against three, no order of the
#: outcomes is as rare as one in twenty.
MIN_UNITS: Final = 4


def unit_difference(
    outcome: Floats,
    treated: Bools,
    unit: NDArray[Any],
    *,
    covariates: Floats | None = None,
    level: float = LEVEL,
) -> Effect:
    """Return the difference in means per customer of two arms that whole units drew.

    Parameters
    ----------
    outcome : array of shape (n,)
    treated : bool array of shape (n,)
        False: the control.
    unit : array of shape (n,)
        The unit of each row.
    covariates : array of shape (n, k), optional
        Known before the arm was drawn; see `nba.evaluation.arm_effects.adjusted`.
    level : float

    Notes
    -----
    NaN but for the means where an arm has fewer than `MIN_UNITS` units.
    """
    y = adjusted(outcome, treated, covariates)
    counts = int(treated.sum()), int((~treated).sum())
    arms = [_ArmMean.of(y[arm], unit[arm]) for arm in (treated, ~treated)]
    means = arms[0].mean, arms[1].mean
    if min(arm.units for arm in arms) < MIN_UNITS:
        return Effect(*(float("nan"),) * 4, *means, *counts)
    within = intra_cluster_correlation(y - np.where(treated, *means), unit)
    variances = [arm.variance for arm in arms]
    degrees = [arm.degrees(within) for arm in arms]
    total = sum(variances)
    parts = [v / total for v in variances] if total > 0 else [0.5, 0.5]
    apart = sum(part**2 / d for part, d in zip(parts, degrees, strict=True))
    error = math.sqrt(total)
    half_width = float(stdtrit(max(1.0 / apart, 1.0), 0.5 + level / 2)) * error
    estimate = means[0] - means[1]
    return Effect(estimate, error, estimate - half_width, estimate + half_width, *means, *counts)


@dataclass(frozen=True)
class _ArmMean:
    """The mean of an arm, and how its units spread about it.

    Parameters
    ----------
    mean : float
    size : array of shape (units,)
        Rows of each unit.
    residual : array of shape (units,)
        Sum over each unit's rows of what they are above the mean.
    """

    mean: float
    size: Floats
    residual: Floats

    @classmethod
    def of(cls, y: Floats, unit: NDArray[Any]) -> _ArmMean:
        if not len(y):
            return cls(float("nan"), np.zeros(0), np.zeros(0))
        code = np.unique(unit, return_inverse=True)[1]
        mean = float(y.mean())
        residual: Floats = np.bincount(code, weights=y - mean).astype(np.float64)
        return cls(mean, np.bincount(code).astype(np.float64), residual)

    @property
    def units(self) -> int:
        return len(self.size)

    @property
    def _part(self) -> Floats:
        """The part of each unit in the mean."""
        part: Floats = self.size / self.size.sum()
        return part

    @property
    def variance(self) -> float:
        """The variance of the mean (CR2)."""
        scaled = np.square(self.residual / self.size.sum()) / (1.0 - self._part)
        return float(scaled.sum())

    def degrees(self, within: float) -> float:
        """Return the degrees of freedom of the variance, where customers of a unit are alike.

        Parameters
        ----------
        within : float
            The intra-cluster correlation.
        """
        part = self._part
        weight = np.square(part) / (1.0 - part)
        spread = np.sqrt(within + (1.0 - within) / self.size)
        # The variance is a quadratic form of the units' own means about that of the arm.
        centred = np.eye(self.units) - part[None, :]
        form = (centred * spread[None, :]).T @ (weight[:, None] * centred * spread[None, :])
        return float(np.trace(form) ** 2 / np.square(form).sum())


def intra_cluster_correlation(outcome: Floats, unit: NDArray[Any]) -> float:
    """Return which part of the variance lies between units (analysis of variance), 0 to 1.

    Parameters
    ----------
    outcome : array of shape (n,)
        Without what was foreseeable; with arms, about the mean of each.
    unit : array of shape (n,)

    Examples
    --------
    >>> intra_cluster_correlation(np.array([1.0, 1.0, 5.0, 5.0]), np.array([0, 0, 1, 1]))
    1.0
    """
    code = np.unique(unit, return_inverse=True)[1]
    size = np.bincount(code).astype(np.float64)
    units, rows = len(size), len(outcome)
    if units < 2 or rows <= units:
        return 0.0
    means = np.bincount(code, weights=outcome) / size
    between = float(size @ np.square(means - outcome.mean())) / (units - 1)
    within = float(np.square(outcome - means[code]).sum()) / (rows - units)
    usual = (rows - float(np.square(size).sum()) / rows) / (units - 1)
    whole = between + (usual - 1.0) * within
    return min(max((between - within) / whole, 0.0), 1.0) if whole > 0 else 0.0


def design_effect(sizes: Floats, correlation: float) -> float:
    """Return by how much units multiply the variance of a mean: customers alike count for less.

    Parameters
    ----------
    sizes : array of shape (units,)
        Customers of each unit.
    correlation : float
        Within units.
    """
    usual = float(np.square(sizes).sum() / sizes.sum())
    return 1.0 + (usual - 1.0) * correlation


def detectable_by_units(
    spread: float,
    sizes: Floats,
    correlation: float,
    counts: tuple[int, int],
    *,
    level: float = LEVEL,
    power: float = POWER,
) -> float:
    """Return the smallest difference per customer that a test of units finds with this power.

    Parameters
    ----------
    spread : float
        Standard deviation over customers, after what was foreseeable is taken off.
    sizes : array of shape (units,)
        Customers of each unit.
    correlation : float
        Within units, of the same outcome.
    counts : tuple of int
        Units of each arm; NaN where one has fewer than `MIN_UNITS`.
    level, power : float

    Examples
    --------
    >>> round(detectable_by_units(100.0, np.full(20, 80.0), 0.02, (10, 10)), 2)
    23.8
    """
    if min(counts) < MIN_UNITS:
        return float("nan")
    mean = float(sizes.mean())
    deff = design_effect(sizes, correlation)
    error = spread * math.sqrt(deff * sum(1.0 / (count * mean) for count in counts))
    degrees = sum(counts) - 2
    return float((stdtrit(degrees, 0.5 + level / 2) + stdtrit(degrees, power)) * error)
