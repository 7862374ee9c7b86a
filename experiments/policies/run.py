"""Policies that need no engine, in the same worlds on the same random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from experiments.common.compare import compare_policies, summary
from nba.simulation.config import Preset, WorldConfig


def bench_policies(
    *,
    preset: str = "published",
    customers: int = 2000,
    weeks: int = 8,
    seeds: Sequence[int] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
) -> pl.DataFrame:
    """Compare no contact, random, recency and spend, most overdue and the oracle.

    Parameters
    ----------
    preset : str
        `published` or `conservative`.
    customers : int
        Size of each world.
    weeks : int
        Weeks in which the policies contact; four weeks without contact follow.
    seeds : sequence of int
        One world each.

    Returns
    -------
    DataFrame
        One row per policy, see `summary`.
    """
    config = WorldConfig(preset=Preset(preset), customers=customers)
    return summary(compare_policies(config, seeds=seeds, weeks=weeks))
