"""Intervals that may be looked at every day, and how long a test must run.

A fixed interval is right for one look. Whoever looks daily and stops when it leaves out zero is
wrong far more often than it says. An always-valid interval holds at all looks at once, for a price
in width of about a half.

References
----------
Robbins (1970), Statistical methods related to the law of the iterated logarithm.
Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2021), Time-uniform central limit theory and
asymptotic confidence sequences.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from scipy.special import ndtri

from nba.evaluation.arm_effects import LEVEL, Effect

POWER: Final = 0.8


def always_valid(effect: Effect, planned_error: float, *, level: float = LEVEL) -> Effect:
    """Return the effect with an interval that holds at every look.

    Parameters
    ----------
    effect : Effect
        As of today; its estimates at successive looks share their past.
    planned_error : float
        The standard error for which the interval is to be narrowest, chosen before the test from
        earlier data: where the test is meant to end.
    level : float

    Notes
    -----
    The interval of a normal mixture, in terms of the information ``1 / standard_error ** 2``. It
    holds where later estimates add to earlier ones, as with customers who come in by and by or
    whose days are summed; not where the outcome is redefined on the way.
    """
    if not (math.isfinite(effect.standard_error) and effect.standard_error > 0):
        return effect
    alpha = 1 - level
    budget = -2 * math.log(alpha)
    mixing = (budget + math.log(budget + 1)) * (planned_error / effect.standard_error) ** 2
    half_width = effect.standard_error * math.sqrt(
        (mixing + 1) / mixing * (math.log(mixing + 1) + budget)
    )
    # few units: as much wider as their own interval is than that of a normal distribution
    normal = float(ndtri(0.5 + level / 2)) * effect.standard_error
    half_width *= max((effect.upper - effect.estimate) / normal, 1.0)
    return replace(effect, lower=effect.estimate - half_width, upper=effect.estimate + half_width)


def detectable(
    spread: float, treated: float, control: float, *, level: float = LEVEL, power: float = POWER
) -> float:
    """Return the smallest difference in means that a test finds with this power.

    Parameters
    ----------
    spread : float
        Standard deviation of the outcome, after what was foreseeable is taken off.
    treated, control : float
        Customers of each arm.
    level, power : float

    Examples
    --------
    >>> round(detectable(100.0, 800, 800), 2)
    14.01
    """
    error = spread * math.sqrt(1 / treated + 1 / control)
    return float((ndtri(0.5 + level / 2) + ndtri(power)) * error)
