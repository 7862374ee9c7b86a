"""Whom a contact moves first: gain curves of a fit's ranking and of a simple one, on drawn days.

Each row is a customer and day on which a draw with known chances listed somebody or left them
alone. Rows are taken from the highest rank down; the area between the curve and the straight line
of a list without order is the Qini (Radcliffe 2007).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.evaluation.intervals import Interval
from nba.evaluation.off_policy import MIN_EFFECTIVE_ROWS, mean_interval
from nba.evaluation.pictures import empty_figure
from nba.evaluation.uplift import rank_share, uplift_curve

#: Propensities below are raised to it: a weight is at most its inverse.
MIN_PROPENSITY: Final = 0.02
#: Fewer listings than this say nothing.
MIN_LISTINGS: Final = 30
#: Every so many of a hundred points are kept.
STEP: Final = 5
MODEL, BASELINE = "model", "baseline"
_Z: Final = 1.959964


@dataclass(frozen=True)
class EffectGains:
    """Gain curves on days held back.

    Parameters
    ----------
    curves : DataFrame
        ranking (`model`, `baseline`), share (of customer days, the highest first), gain (extra
        orders per 100 customer days of all, if these alone were listed).
    metrics : mapping of str to Interval
        `qini`, `baseline/qini` and `qini-baseline`, the difference on the same rows.
    rows, listed, days : int
        Customer days, those listed, and from the first to the last of them.
    """

    curves: pl.DataFrame
    metrics: Mapping[str, Interval]
    rows: int
    listed: int
    days: int


def row_gains(listed: Bools, p_none: Floats, outcome: Floats, past: Floats) -> Floats | None:
    """Return what a listing changed, as an unbiased score per row; None where too few were listed.

    Parameters
    ----------
    listed : bool array of shape (rows,)
    p_none : array of shape (rows,)
        The chance of being left alone.
    outcome : array of shape (rows,)
    past : array of shape (rows, columns)
        Known before: what it foretells of the outcome is taken off.
    """
    weight = 1 / np.maximum(np.where(listed, 1 - p_none, p_none), MIN_PROPENSITY)
    squares = float(np.square(weight[listed]).sum())
    effective = float(weight[listed].sum()) ** 2 / squares if squares else 0.0
    if listed.sum() < MIN_LISTINGS or effective < MIN_EFFECTIVE_ROWS:
        return None
    known = np.column_stack([np.ones(len(outcome)), past])
    slope, *_ = np.linalg.lstsq(known, outcome, rcond=None)
    gain: Floats = np.where(listed, 1.0, -1.0) * weight * (outcome - known @ slope)
    return gain


def effect_gains(
    model: Floats, baseline: Floats, gain: Floats, *, customer: Ints, listed: int, days: int
) -> EffectGains:
    """Return the gain curves of two rankings of the same rows.

    Parameters
    ----------
    model, baseline, gain : array of shape (rows,)
        What each ranks by, and the scores of `row_gains`.
    customer : int array of shape (rows,)
        Rows of one customer are not independent.
    listed, days : int
        For `EffectGains`.
    """
    curves, metrics = [], {}
    for name, key, place in ((MODEL, model, ""), (BASELINE, baseline, f"{BASELINE}/")):
        found = uplift_curve(key, gain, group=customer)
        half_width = _Z * found.qini_error
        metrics[f"{place}qini"] = Interval(
            found.qini, found.qini - half_width, found.qini + half_width
        )
        curves.append(
            pl.DataFrame({"share": found.share[::STEP], "gain": found.gain[::STEP]}).select(
                ranking=pl.lit(name), share="share", gain="gain"
            )
        )
    apart = (rank_share(baseline) - rank_share(model)) * gain
    mean, _, low, high = mean_interval(apart, group=customer)
    metrics[f"qini-{BASELINE}"] = Interval(mean, low, high)
    return EffectGains(pl.concat(curves), metrics, len(gain), listed, days)


def draw_gains(found: EffectGains) -> Any | None:
    """Draw the curves with the line of a list without order; None without matplotlib."""
    figure = empty_figure(6.0, 4.5)
    if figure is None:
        return None
    axes = figure.subplots()
    for (name,), rows in found.curves.group_by("ranking", maintain_order=True):
        label = "this fit" if name == MODEL else "most due first (baseline)"
        axes.plot(rows["share"].to_numpy(), rows["gain"].to_numpy(), "o-", ms=3, label=label)
    whole = float(found.curves["gain"].to_numpy()[-1])
    axes.plot([0, 1], [0, whole], color="0.6", linestyle="--", label="without order")
    axes.set_xlabel("share of customer days, the highest first")
    axes.set_ylabel("extra orders per 100 customer days")
    qini = found.metrics["qini"]
    axes.set_title(
        f"Gains on {found.days} days held back: Qini {qini.estimate:.3f} "
        f"[{qini.lower:.3f}, {qini.upper:.3f}]",
        fontsize=10,
    )
    axes.legend(fontsize=8)
    return figure
