"""Play one world: the engine and the lists on the same random numbers, and what was true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import process_time
from typing import Any, Final

import numpy as np
import polars as pl
from scipy.stats import spearmanr

from experiments.common.compare import prepare
from experiments.common.policies import PolicyFactory
from nba.arrays import Floats
from nba.simulation.config import WorldConfig
from nba.simulation.observed import ObservedTables, Rules
from nba.simulation.world import World

DECILES: Final = 10
#: What is compared with the truth of a contact.
PREDICTED: Final = "uplift"


@dataclass
class Played:
    """What a policy came to in one world.

    Parameters
    ----------
    margin : array of float
        Margin by customer over all days.
    weekly : list of float
        Margin of all customers up to the end of each week, days without contact included.
    contacts, minutes, blocks : list of float
        By week, of the weeks with contact.
    contacts_truth : list of DataFrame
        A row per action listed: what the policy predicted (where it does) and what is true.
    seconds : list of float
        Processor seconds of each night.
    """

    margin: Floats
    weekly: list[float] = field(default_factory=list)
    contacts: list[float] = field(default_factory=list)
    minutes: list[float] = field(default_factory=list)
    blocks: list[float] = field(default_factory=list)
    contacts_truth: list[pl.DataFrame] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Plays:
    """How long is played.

    Parameters
    ----------
    weeks, tail_weeks : int
        With contact, then without any.
    rules : Rules
        What the lists keep; the engine keeps its own contact policy.
    """

    weeks: int = 6
    tail_weeks: int = 4
    rules: Rules = field(default_factory=Rules)

    def play(self, world: World, observed: ObservedTables, make: PolicyFactory) -> Played:
        """Play a policy on copies of a world and of what was seen of it."""
        twin, seen = world.copy(), observed.copy()
        policy = make(twin, self.rules)
        start = twin.state.margin.copy()
        played = Played(start)
        for week in range(self.weeks + self.tail_weeks):
            sums = np.zeros(3)
            for _ in range(7):
                plan = None
                if week < self.weeks:
                    began = process_time()
                    plan = policy.plan(twin.date, seen)
                    played.seconds.append(process_time() - began)
                    if plan is not None:
                        played.contacts_truth.append(_truth_of(twin, plan, week))
                outcome = twin.step(twin.day, plan)
                seen.add(outcome.tables)
                sums += (outcome.contacts, outcome.minutes, outcome.blocks)
            played.weekly.append(float((twin.state.margin - start).sum()))
            if week < self.weeks:
                for name, value in zip(("contacts", "minutes", "blocks"), sums, strict=True):
                    getattr(played, name).append(float(value))
        played.margin = twin.state.margin - start
        return played


def _truth_of(world: World, plan: pl.DataFrame, week: int) -> pl.DataFrame:
    truth = world.true_effect_of(plan)
    if truth.is_empty():
        return truth
    listed = plan.filter(pl.col("mode").cast(pl.String) != "none")
    columns = [name for name in ("mode", "action_type", "minutes", PREDICTED) if name in listed]
    return truth.hstack(listed.select(columns)).with_columns(week=pl.lit(week), day=world.day)


def accuracy(played: Played) -> dict[str, Any]:
    """Return how the predicted uplift of the very contacts listed agrees with the truth.

    `rank_correlation` (Spearman) with the gain in the long run and within the window,
    `slope` of true gain on predicted over the means of deciles of the predicted, and these means.
    """
    parts = [part for part in played.contacts_truth if part.height and PREDICTED in part.columns]
    if not parts:
        return {}
    rows = pl.concat(parts, how="diagonal_relaxed").drop_nulls(PREDICTED)
    predicted = rows[PREDICTED].to_numpy()
    gain, window = rows["gain_amount"].to_numpy(), rows["window_amount"].to_numpy()
    order = np.argsort(predicted, kind="stable")
    groups = [part for part in np.array_split(order, DECILES) if len(part)]
    told = np.array([predicted[part].mean() for part in groups])
    true = np.array([gain[part].mean() for part in groups])
    spread = float(((told - told.mean()) ** 2).sum())
    slope = float(((told - told.mean()) * (true - true.mean())).sum() / spread) if spread else None
    constant = np.ptp(gain) == 0 or np.ptp(predicted) == 0
    return {
        "contacts": rows.height,
        "rank_correlation": None if constant else float(spearmanr(predicted, gain).statistic),
        "rank_correlation_window": None
        if np.ptp(window) == 0 or np.ptp(predicted) == 0
        else float(spearmanr(predicted, window).statistic),
        "slope": slope,
        "predicted_mean": float(predicted.mean()),
        "true_mean": float(gain.mean()),
        "deciles": [[float(a), float(b)] for a, b in zip(told, true, strict=True)],
    }


def play_world(
    config: WorldConfig,
    makers: Mapping[str, PolicyFactory],
    plays: Plays,
    *,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Play every policy in one world; return a row per policy.

    Each row holds incremental margin over `no_contact` on the same random numbers, its standard
    error over customers, cumulative incremental margin by week, contacts, minutes and blocks by
    week, the accuracy of what the policy predicted, and its processor seconds.
    """
    world, observed = prepare(config)
    base: Played | None = None
    rows = []
    for name, make in makers.items():
        began = process_time()
        played = plays.play(world, observed, make)
        base = played if base is None else base
        gain = played.margin - base.margin
        rows.append(
            {
                "preset": str(config.preset),
                "family": str(config.family),
                "seed": config.seed,
                "policy": name,
                "margin_amount": float(played.margin.sum()),
                "incremental_amount": float(gain.sum()),
                "standard_error": float(gain.std() * len(gain) ** 0.5),
                "weekly_amounts": [a - b for a, b in zip(played.weekly, base.weekly, strict=True)],
                "contacts": played.contacts,
                "minutes": played.minutes,
                "blocks": played.blocks,
                "true_amount": float(
                    sum(p["effect_amount"].sum() for p in played.contacts_truth if p.height)
                ),
                "accuracy": accuracy(played),
                "seconds": round(process_time() - began, 1),
                "night_seconds": sorted(played.seconds)[len(played.seconds) // 2],
            }
        )
        row = rows[-1]
        say(
            f"{config.preset} {config.family} {config.seed} {name:>16}: "
            f"{row['incremental_amount']:>10,.0f}  contacts {sum(played.contacts):,.0f}  "
            f"blocks {sum(played.blocks):.0f}  night {row['night_seconds']:.2f} s  "
            f"{row['seconds']} s"
        )
    return rows
