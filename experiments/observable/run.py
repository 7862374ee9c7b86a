"""True effects regressed on what a retailer sees: the observable oracle of the closed loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.common.compare import prepare
from experiments.common.policies import effect_sample
from experiments.observable.oracle import fit_expected
from nba.simulation.config import Preset, WorldConfig
from nba.simulation.observed import Rules

#: Seeds of the worlds that an observable oracle learns from begin here.
OTHER_SEEDS = 1001


@dataclass(frozen=True)
class Learned:
    """What an observable oracle learned from, and how well it knows a world not seen.

    `correlation` is between expected and true effects, `value_share` the true effect of the
    tenth with the highest expectation over that of the true tenth.
    """

    rows: int
    worlds: int
    customers: int
    correlation: float
    value_share: float


def bench_observable(
    *,
    preset: str = "published",
    worlds: int = 10,
    customers: int = 100_000,
    days: int = 28,
    every: int = 14,
    rounds: int = 600,
    threads: int = 4,
    folder: str = "",
) -> Learned:
    """Regress true effects on what a retailer sees, for the observable oracle of the closed loop.

    Parameters
    ----------
    preset : str
        `published` or `conservative`.
    worlds, customers : int
        Worlds of seeds from 1001 on, and customers in each.
    days, every : int
        Days that a random policy plays after the history, and how often a sample is taken.
    rounds, threads : int
        Of the regression.
    folder : str
        Where the regression is kept; empty: nowhere.

    Returns
    -------
    Learned
        Checked in one more world, of 20,000 customers and a seed of its own.
    """
    config = WorldConfig(preset=Preset(preset), customers=customers)
    seeds = range(OTHER_SEEDS, OTHER_SEEDS + worlds)
    expected = fit_expected(
        config, seeds=seeds, days=days, every=every, rounds=rounds, threads=threads
    )
    if folder:
        expected.save(Path(folder))
    other = config.model_copy(update={"seed": OTHER_SEEDS - 1, "customers": min(customers, 20_000)})
    world, observed = prepare(WorldConfig(**other.model_dump(exclude={"clerks", "stores"})))
    truth = effect_sample(world, observed, Rules())
    found = truth.join(
        expected(world.date, observed, observed.eligible(world.date, Rules())),
        on=["customer_id", "mode"],
        suffix="_expected",
    )
    true, told = found["effect_amount"].to_numpy(), found["effect_amount_expected"].to_numpy()
    tenth = max(len(true) // 10, 1)
    share = true[np.argsort(-told)[:tenth]].sum() / np.sort(true)[-tenth:].sum()
    correlation = float(np.corrcoef(true, told)[0, 1])
    return Learned(expected.rows, worlds, customers, correlation, float(share))
