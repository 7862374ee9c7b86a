"""Policies compared in the same world on the same random numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl

from nba.simulation.books import Books, Rules
from nba.simulation.config import WorldConfig
from nba.simulation.policies import BASELINES, PolicyFactory
from nba.simulation.streams import Floats
from nba.simulation.world import World

BASELINE: Final = "no_contact"


def prepare(config: WorldConfig) -> tuple[World, Books]:
    """Play the history once; return the world at its end and what a retailer saw."""
    world, books = World(config), Books(config.time_zone)
    for day in range(config.days):
        books.add(world.step(day, habitual=config.habits).tables)
    return world, books


def play(
    world: World, books: Books, factory: PolicyFactory, *, days: int, tail_days: int, rules: Rules
) -> tuple[Floats, dict[str, float]]:
    """Play a policy from a world's present on copies, then days without contact.

    Returns
    -------
    margin : array of float
        Margin by customer over all these days.
    counts : dict
        Contacts, minutes, blocks, listed actions, and the share of each mode.
    """
    twin, seen = world.copy(), books.copy()
    policy = factory(twin, rules)
    start = twin.state.margin.copy()
    counts = {"listed": 0.0, "contacts": 0.0, "minutes": 0.0, "blocks": 0.0}
    modes: dict[str, float] = {}
    for offset in range(days + tail_days):
        listed = policy.plan(twin.date, seen) if offset < days else None
        outcome = twin.step(twin.day, listed)
        seen.add(outcome.tables)
        counts["listed"] += 0 if listed is None else listed.height
        counts["contacts"] += outcome.contacts
        counts["minutes"] += outcome.minutes
        counts["blocks"] += outcome.blocks
        if outcome.contacts:
            for mode, n in outcome.tables["interactions"].group_by("mode").len().iter_rows():
                modes[str(mode)] = modes.get(str(mode), 0.0) + n
    total = max(sum(modes.values()), 1.0)
    shares = {f"share_{mode}": n / total for mode, n in modes.items()}
    return twin.state.margin - start, {**counts, **shares}


def compare_policies(
    config: WorldConfig,
    policies: Mapping[str, PolicyFactory] = BASELINES,
    *,
    seeds: Sequence[int] = (1, 2, 3),
    weeks: int = 8,
    tail_days: int = 28,
    rules: Rules | None = None,
) -> pl.DataFrame:
    """Compare policies by incremental margin over no contact.

    Parameters
    ----------
    config : WorldConfig
        The world; its seed is replaced by each of `seeds`.
    policies : mapping of name to factory
        An engine joins as a factory that returns something with `plan(day, books)`.
    seeds : sequence of int
    weeks : int
        Weeks in which the policies contact.
    tail_days : int
        Days without contact afterwards, so that what was pulled forward is charged.
    rules : Rules or None

    Returns
    -------
    DataFrame
        One row per seed and policy: margin, incremental_amount (over no contact), its
        standard error over customers, share of the oracle, counts, mode shares.
    """
    rows = []
    for seed in seeds:
        world, books = prepare(config.model_copy(update={"seed": seed}))
        margins = {}
        for name, factory in {BASELINE: BASELINES[BASELINE], **policies}.items():
            margin, counts = play(
                world, books, factory, days=7 * weeks, tail_days=tail_days, rules=rules or Rules()
            )
            margins[name] = margin
            gain = margin - margins[BASELINE]
            rows.append(
                {
                    "seed": seed,
                    "policy": name,
                    "margin_amount": float(margin.sum()),
                    "incremental_amount": float(gain.sum()),
                    "standard_error": float(gain.std() * len(gain) ** 0.5),
                    **counts,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def summary(results: pl.DataFrame) -> pl.DataFrame:
    """Return one row per policy: means over the seeds, a 95 % interval, the oracle's share.

    The interval is that of the mean over seeds by the variation between customers: customers
    do not influence each other in the world.
    """
    by = results.group_by("policy", maintain_order=True).agg(
        pl.col("margin_amount").mean(),
        pl.col("incremental_amount").mean(),
        ((pl.col("standard_error") ** 2).sum().sqrt() / pl.len()).alias("standard_error"),
        pl.col("listed", "contacts", "minutes", "blocks").mean(),
        pl.col("^share_.*$").fill_null(0.0).mean(),
    )
    best = by.filter(pl.col("policy") == "oracle")["incremental_amount"]
    share = pl.col("incremental_amount") / (best[0] if len(best) else np.nan)
    base = by.filter(pl.col("policy") == BASELINE)["margin_amount"][0]
    return by.with_columns(
        (pl.col("incremental_amount") - 1.96 * pl.col("standard_error")).alias("low"),
        (pl.col("incremental_amount") + 1.96 * pl.col("standard_error")).alias("high"),
        share.alias("share_of_oracle"),
        (pl.col("incremental_amount") / base).alias("incremental_rate"),
    )
