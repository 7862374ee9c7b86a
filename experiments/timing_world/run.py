"""A world of planted rhythms, then the simulated retail world in both presets."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from scipy.special import gamma

from experiments.common.planted import planted_rhythm
from experiments.common.timing import SEED, Bar, timing_run
from experiments.timing_world.retail import play, run_world
from nba.arrays import Floats
from nba.evaluation.timing import Curves, TimingResult, run_timing_experiment
from nba.evaluation.timing_report import TimingRun
from nba.models.timing.core import CoreConfig, HazardCore
from nba.models.timing.hazard import HazardConfig

PLANTED_CUSTOMERS: Final = 2_000
PLANTED_DAYS: Final = 720
RETAIL_CUSTOMERS: Final = 3_000
FUTURES: Final = 24
HORIZON_DAYS: Final = 90
#: Fine periods, for rhythms of a fortnight; chosen on the world of another seed.
CONFIG: Final = CoreConfig(edges=(3, 7, 10, 14, 18, 22, 30, 38, 46, 60, 90))
BARS: Final[tuple[Bar, ...]] = (
    ("all", "integrated_brier", "of_truth", 1.05),
    ("regular", "concordance", "gain", 0.0),
    ("regular", "auc_30d", "gain", 0.0),
)


def timing_world(*, seed: int = SEED, draws: int = 100, threads: int = 0) -> TimingRun:
    """Compare with the truth where rhythms are planted, and in the simulated shops."""
    parts = _planted(draws=draws, seed=seed, threads=threads)
    findings = {}
    for preset in ("published", "conservative"):
        played = play(preset, customers=RETAIL_CUSTOMERS, seed=seed, futures=FUTURES)
        results, findings[preset] = run_world(
            played, config=HazardConfig(), draws=draws, seed=seed, threads=threads
        )
        parts |= {f"{preset}_{name}": result for name, result in results.items()}
    return timing_run("timing_world", parts, BARS, findings)


def _planted(*, draws: int, seed: int, threads: int) -> dict[str, TimingResult]:
    world = planted_rhythm(seed=seed, customers=PLANTED_CUSTOMERS, days=PLANTED_DAYS)
    price = pl.col("quantity").cast(pl.Float64) * pl.col("unit_price").cast(pl.Float64)
    purchases = world.tables["transactions"].select(
        "customer_id",
        pl.col("ts").dt.replace_time_zone(None).cast(pl.Datetime("us")),
        price.alias("amount"),
    )
    cutoff = world.as_of.replace(tzinfo=None) - timedelta(days=HORIZON_DAYS)
    return against_weibull(
        purchases, world.truth, cutoff=cutoff, draws=draws, seed=seed, threads=threads
    )


def weibull_truth(truth: pl.DataFrame) -> Curves:
    """Return the true curves of a world whose gaps are Weibull.

    Parameters
    ----------
    truth : polars.DataFrame
        `customer_id`, `gap_days` (mean) and `regularity` (shape; 1 is memoryless).
    """

    def curves(ids: pl.Series, since: Floats, days: int) -> Floats:
        mine = ids.to_frame("customer_id").join(
            truth, on="customer_id", how="left", maintain_order="left"
        )
        shape = mine["regularity"].to_numpy()[:, None]
        scale = mine["gap_days"].to_numpy()[:, None] / gamma(1.0 + 1.0 / shape)
        # a purchase on day d took place at noon on average: half a day has gone by more
        elapsed = since[:, None] - 0.5
        ahead = ((elapsed + np.arange(days + 1)) / scale) ** shape - (elapsed / scale) ** shape
        return np.asarray(np.exp(-ahead))

    return curves


def against_weibull(
    purchases: pl.DataFrame,
    truth: pl.DataFrame,
    *,
    cutoff: datetime,
    seed: int = SEED,
    draws: int = 100,
    config: CoreConfig = CONFIG,
    threads: int = 0,
) -> dict[str, TimingResult]:
    """Compare with the true curves of a world with planted rhythms: all, regular and random.

    Parameters
    ----------
    purchases : polars.DataFrame
        `customer_id`, `ts`, `amount`.
    truth : polars.DataFrame
        As for `weibull_truth`.
    """
    parts = {
        "regular": truth.filter(pl.col("regularity") > 1.5)["customer_id"],
        "memoryless": truth.filter(pl.col("regularity") <= 1.5)["customer_id"],
    }

    def run(customers: pl.Series | None, core: HazardCore | None) -> TimingResult:
        return run_timing_experiment(
            purchases,
            cutoff=cutoff,
            customers=customers,
            config=config,
            others={"truth": weibull_truth(truth)},
            core=core,
            draws=draws,
            seed=seed,
            threads=threads,
        )

    everybody = run(None, None)
    found = {"all": everybody}
    for name, customers in parts.items():
        if len(customers):
            found[name] = run(customers, everybody.core)
    return found
