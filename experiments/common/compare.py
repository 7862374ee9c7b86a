"""Policies compared in the same world on the same random numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from experiments.common.policies import BASELINES, PolicyFactory
from nba.arrays import Floats
from nba.simulation.config import WorldConfig
from nba.simulation.observed import ObservedTables, Rules
from nba.simulation.world import World

BASELINE: Final = "no_contact"


def world_configs(
    presets: Sequence[str], families: Sequence[str], seeds: Sequence[int], **common: Any
) -> Iterator[WorldConfig]:
    """Yield one world per seed, preset and family, the seed changing last.

    Parameters
    ----------
    presets, families : sequence of str
        Which contacts fit whom, and how effects arise.
    seeds : sequence of int
    **common
        Further fields of all of them.
    """
    for seed, preset, family in product(seeds, presets, families):
        yield WorldConfig.model_validate(
            {"seed": seed, "preset": preset, "family": family, **common}
        )


def append_rows(log: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append what a world came to to a file, one JSON per line; without a file do nothing."""
    if log:
        with Path(log).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def prepare(config: WorldConfig) -> tuple[World, ObservedTables]:
    """Play the history once; return the world at its end and what a retailer saw."""
    world, observed = World(config), ObservedTables(config.time_zone)
    for day in range(config.days):
        observed.add(world.step(day, habitual=config.habits).tables)
    return world, observed


@dataclass(frozen=True)
class Played:
    """What a policy came to in one world.

    Parameters
    ----------
    margin : array of float
        Margin by customer over all days.
    weekly : array of float
        Margin of all customers up to the end of each week, days without contact included.
    counts : dict
        Contacts, minutes, blocks, listed actions, and the share of each mode.
    """

    margin: Floats
    weekly: Floats
    counts: dict[str, float]


def play(
    world: World,
    observed: ObservedTables,
    factory: PolicyFactory,
    *,
    days: int,
    tail_days: int,
    rules: Rules,
) -> Played:
    """Play a policy from a world's present on copies, then days without contact."""
    twin, seen = world.copy(), observed.copy()
    policy = factory(twin, rules)
    start = twin.state.margin.copy()
    counts = {"listed": 0.0, "contacts": 0.0, "minutes": 0.0, "blocks": 0.0}
    modes: dict[str, float] = {}
    weekly = []
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
        if offset % 7 == 6:
            weekly.append(float((twin.state.margin - start).sum()))
    total = max(sum(modes.values()), 1.0)
    shares = {f"share_{mode}": n / total for mode, n in modes.items()}
    return Played(twin.state.margin - start, np.array(weekly), {**counts, **shares})


def compare_policies(
    config: WorldConfig,
    policies: Mapping[str, PolicyFactory] = BASELINES,
    *,
    seeds: Sequence[int] = (1, 2, 3),
    weeks: int = 8,
    tail_days: int = 28,
    rules: Rules | None = None,
    paired_with: str | None = None,
) -> pl.DataFrame:
    """Compare policies by incremental margin over no contact.

    Parameters
    ----------
    config : WorldConfig
        The world; its seed is replaced by each of `seeds`.
    policies : mapping of name to factory
        An engine joins as a factory that returns something with `plan(day, observed)`.
    seeds : sequence of int
    weeks : int
        Weeks in which the policies contact.
    tail_days : int
        Days without contact afterwards, so that what was pulled forward is charged.
    rules : Rules or None
    paired_with : str or None
        A policy that all others are held against, customer by customer.

    Returns
    -------
    DataFrame
        One row per seed and policy: margin_amount, incremental_amount (over no contact), its
        standard_error over customers, weekly_amounts (incremental, cumulative, by week),
        counts, mode shares; where paired, behind_amount (the named policy's margin minus
        this one's) and behind_error.
    """
    rows = []
    for seed in seeds:
        world, observed = prepare(config.model_copy(update={"seed": seed}))
        played = {
            name: play(
                world,
                observed,
                factory,
                days=7 * weeks,
                tail_days=tail_days,
                rules=rules or Rules(),
            )
            for name, factory in {BASELINE: BASELINES[BASELINE], **policies}.items()
        }
        for name, found in played.items():
            gain = found.margin - played[BASELINE].margin
            row = {
                "seed": seed,
                "policy": name,
                "margin_amount": float(found.margin.sum()),
                "incremental_amount": float(gain.sum()),
                "standard_error": _error(gain),
                "weekly_amounts": (found.weekly - played[BASELINE].weekly).tolist(),
                **found.counts,
            }
            if paired_with is not None:
                ahead = played[paired_with].margin - found.margin
                row |= {"behind_amount": float(ahead.sum()), "behind_error": _error(ahead)}
            rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)


def _error(amounts: Floats) -> float:
    """Return the standard error of a sum over customers."""
    return float(amounts.std() * len(amounts) ** 0.5)


def summary(results: pl.DataFrame) -> pl.DataFrame:
    """Return one row per policy: means over the seeds, a 95 % interval, the oracle's share.

    The interval is that of the mean over seeds by the variation between customers: customers
    do not influence each other in the world.
    """
    error = ((pl.col("^(standard|behind)_error$") ** 2).sum().sqrt() / pl.len()).name.keep()
    amounts = pl.col("^(margin|incremental|behind)_amount$").mean()
    by = results.group_by("policy", maintain_order=True).agg(
        amounts,
        error,
        pl.col("listed", "contacts", "minutes", "blocks").mean(),
        pl.col("^share_.*$").fill_null(0.0).mean(),
    )
    best = by.filter(pl.col("policy") == "oracle")["incremental_amount"]
    share = pl.col("incremental_amount") / (best[0] if len(best) else np.nan)
    base = by.filter(pl.col("policy") == BASELINE)["margin_amount"][0]
    found = by.with_columns(
        *_interval("incremental_amount", "standard_error", "low", "high"),
        share.alias("share_of_oracle"),
        (pl.col("incremental_amount") / base).alias("incremental_rate"),
    )
    if "behind_amount" not in found.columns:
        return found
    return found.with_columns(
        _interval("behind_amount", "behind_error", "behind_low", "behind_high")
    )


def _interval(amount: str, error: str, low: str, high: str) -> list[pl.Expr]:
    half = 1.96 * pl.col(error)
    return [(pl.col(amount) - half).alias(low), (pl.col(amount) + half).alias(high)]


def weekly_amounts(results: pl.DataFrame) -> pl.DataFrame:
    """Return incremental margin up to the end of each week by policy, a column per policy.

    Cumulative means over the seeds: a week alone would not charge what was pulled forward
    from the weeks after it.
    """
    long = (
        results.select("seed", "policy", "weekly_amounts")
        .with_columns(pl.int_ranges(1, pl.col("weekly_amounts").list.len() + 1).alias("week"))
        .explode("weekly_amounts", "week")
    )
    means = long.group_by("policy", "week", maintain_order=True).agg(
        pl.col("weekly_amounts").mean()
    )
    return means.pivot(on="policy", index="week", values="weekly_amounts").sort("week")
