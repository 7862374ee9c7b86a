"""Is a probability what it says: calibration error, reliability tables, lift."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nba.arrays import Floats

BINS = 10


def _bins(probability: Floats, bins: int) -> NDArray[np.int64]:
    """Number equally large groups from the lowest to the highest probability."""
    order = np.argsort(probability, kind="stable")
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.arange(len(order)) * bins // max(1, len(order))
    return group


def reliability(
    probability: Floats, happened: NDArray[np.bool_], *, bins: int = BINS
) -> pl.DataFrame:
    """Return predicted and observed shares in groups of equal size, lowest first."""
    curve = pl.DataFrame(
        {
            "bin": _bins(probability, bins),
            "predicted": probability,
            "observed": happened.astype(np.float64),
        }
    )
    return (
        curve.group_by("bin")
        .agg(pl.len().alias("customers"), pl.col("predicted").mean(), pl.col("observed").mean())
        .sort("bin")
    )


def calibration_error(
    probability: Floats, happened: NDArray[np.bool_], *, bins: int = BINS
) -> float:
    """Return the expected calibration error over groups of equal size.

    The mean of |predicted − observed| over the groups, weighted by their customers.

    >>> calibration_error(np.array([0.2, 0.2, 0.7, 0.7]), np.array([0, 0, 1, 1], bool), bins=2)
    0.25
    """
    table = reliability(probability, happened, bins=bins)
    if table.is_empty():
        return float("nan")
    distance = np.abs(table["predicted"].to_numpy() - table["observed"].to_numpy())
    return float(np.average(distance, weights=table["customers"].to_numpy()))


def lift(
    score: Floats, happened: NDArray[np.bool_], *, shares: tuple[float, ...] = (0.1,)
) -> Floats:
    """Return how much more often it happened among the top shares than among all."""
    order = np.argsort(-score, kind="stable")
    base = happened.mean() if len(happened) else np.nan
    tops = [max(1, round(share * len(order))) for share in shares]
    if not base:
        return np.full(len(tops), np.nan)
    return np.array([happened[order[:top]].mean() / base for top in tops])
