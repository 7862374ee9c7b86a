"""Draws from what is believed of the modes, with which lists try what is uncertain."""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from nba.arrays import Floats
from nba.models.base import ModelInputs
from nba.models.mode.scores import STATE

#: Days for which a clerk's draws stay, counted from 0001-01-01: an outcome takes 14, and what a
#: draw makes a clerk try takes some days too.
DRAW_DAYS: Final = 28


def clerks_of(customer_id: pl.Series, inputs: ModelInputs) -> pl.Series:
    """Return the clerk of each customer as `customer_state` has it, empty where it has none."""
    nobody = pl.Series("clerk_id", [""] * len(customer_id), dtype=pl.String)
    if STATE not in inputs or "clerk_id" not in inputs[STATE].columns:
        return nobody
    known = inputs[STATE].select("customer_id", "clerk_id")
    joined = customer_id.to_frame("customer_id").join(
        known, on="customer_id", how="left", maintain_order="left"
    )
    return joined["clerk_id"].cast(pl.String).fill_null("")


def belief_draws(
    clerk_id: pl.Series, as_of: datetime, kind: npt.NDArray[np.int64], root: Floats
) -> Floats:
    """Return normal draws of variance one for each customer, shape (customers, modes).

    One draw per clerk, period of `DRAW_DAYS`, kind of category and mode: a customer's draw is
    that of the clerk, the same whoever else is scored.

    Parameters
    ----------
    clerk_id : Series of n ids
    kind : int array of shape (n,)
    root : array of shape (kinds, modes, modes)
        As from `correlation_root`: how what is believed of the modes goes together, by kind. Most
        of what is not known they share, and a choice hangs on what they do not.

    Notes
    -----
    Thompson (1933), On the likelihood that one unknown probability exceeds another. Drawing once
    per clerk, not per customer, tries a belief on a whole list; a draw per customer would pick
    the luckiest draws every day.
    """
    shape = root.shape[:2]
    names = clerk_id.unique().sort()
    seeds = [(zlib.crc32(name.encode()), as_of.toordinal() // DRAW_DAYS) for name in names]
    draws = [np.random.default_rng(seed).standard_normal(shape) for seed in seeds]
    together = np.einsum("kab,ckb->cka", root, np.reshape(draws, (-1, *shape)))
    place = names.search_sorted(clerk_id).to_numpy()
    return np.asarray(together[place, kind])


def correlation_root(covariance: Floats) -> Floats:
    """Return the lower Cholesky factor of the correlation, shape (kinds, modes, modes).

    Parameters
    ----------
    covariance : array of shape (kinds, modes, modes)

    >>> root = correlation_root(np.array([[[4.0, 1.0], [1.0, 1.0]]]))[0]
    >>> np.allclose(root @ root.T, [[1.0, 0.5], [0.5, 1.0]], atol=1e-5)
    True
    """
    spread = np.sqrt(np.maximum(np.einsum("kaa->ka", covariance), 1e-18))
    correlation = covariance / (spread[:, :, None] * spread[:, None, :])
    return np.asarray(np.linalg.cholesky(correlation + 1e-6 * np.eye(correlation.shape[1])))
