"""Draws from the posterior per customer and week, with which lists try what is uncertain."""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import ndtri

from nba.arrays import Floats

DRAW_DAYS: Final = 7
_Words = npt.NDArray[np.uint64]


def normal_draws(customer_id: pl.Series, as_of: datetime, count: int) -> Floats:
    """Return standard normal draws, shape (customers, count).

    A customer's draws are the same whoever else is scored, and stay for a week: what is tried hangs
    on the customer, not on a clerk.
    """
    names = np.array([zlib.crc32(name.encode()) for name in customer_id], dtype=np.uint64)
    week = np.uint64(as_of.toordinal() // DRAW_DAYS)
    key = _mixed(names * np.uint64(0x9E3779B97F4A7C15) + week)
    place = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95)
    bits = _mixed(key[:, None] + place[None, :])
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.asarray(ndtri(uniform))


def _mixed(words: _Words) -> _Words:
    """Return well mixed words (splitmix64)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
