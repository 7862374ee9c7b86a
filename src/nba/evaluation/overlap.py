"""Can the arms be compared? Covariate balance before and after weighting, per arm."""

from __future__ import annotations

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints

#: A standardised mean difference above this is an imbalance worth naming.
IMBALANCE = 0.1


def covariate_balance(
    x: Floats, names: tuple[str, ...], arm: Ints, propensity: Floats, *, arms: int
) -> pl.DataFrame:
    """Return per arm and column how far the arm stands from everyone, in standard deviations.

    Parameters
    ----------
    x : array of shape (rows, columns)
        NaN is allowed and left out.
    names : tuple of str
    arm : int array of shape (rows,)
    propensity : array of shape (rows,)
        Of the arm that was drawn.

    Returns
    -------
    DataFrame with `arm, column, before, after`, and `z`: the difference after weighting in
    standard errors.
    """
    frames = []
    known = ~np.isnan(x)
    filled = np.where(known, x, 0.0)
    everyone = filled.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, x - everyone, 0.0)
    spread = np.sqrt(np.square(centred).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    spread[spread < 1e-12] = np.inf
    for code in range(arms):
        mine = arm == code
        weight = 1.0 / propensity[mine]
        raw = centred[mine].sum(axis=0) / np.maximum(known[mine].sum(axis=0), 1)
        sums = weight @ known[mine]
        mean = weight @ centred[mine] / np.maximum(sums, 1e-12)
        error = np.sqrt(np.square(weight[:, None] * (centred[mine] - mean) * known[mine]).sum(0))
        error = error / np.maximum(sums, 1e-12)
        frames.append(
            pl.DataFrame(
                {
                    "arm": np.full(len(names), code),
                    "column": list(names),
                    "before": raw / spread,
                    "after": mean / spread,
                    "z": np.divide(mean, error, out=np.zeros_like(mean), where=error > 0),
                }
            )
        )
    return pl.concat(frames)
