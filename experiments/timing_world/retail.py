"""The timing model in the simulated retail world: the true curves, and the rhythms it found.

The truth is what the world itself knows at the cut-off (needs, competitors, who is about to
leave), played forward many times on other random numbers. No model of a purchase log can know
all that: the ratio to it is a limit, not a target.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any, Final

import numpy as np
import polars as pl
from scipy.stats import spearmanr

from nba.arrays import Floats
from nba.evaluation.survival import Outcome, brier
from nba.evaluation.timing import FIRST_DAY, TimingResult, run_timing_experiment
from nba.models.purchases import CUSTOMER_CATEGORY, day_number, read_log
from nba.models.timing.core import CoreConfig, HazardCore
from nba.models.timing.panel import GAP
from nba.simulation import Preset, WorldConfig
from nba.simulation.streams import Streams
from nba.simulation.truth import cell_truth
from nba.simulation.world import World

DAYS: Final = 540
HORIZON_DAYS: Final = 90
#: Mean Weibull shape of a category's cells from which on it counts as regular.
REGULAR_SHAPE: Final = 2.0
#: Gaps that a customer must have shown in a category for its rhythm to be compared.
FEWEST_GAPS: Final = 3
_SEPARATOR: Final = "\x1f"


@dataclass(frozen=True)
class Played:
    """A world's history and what followed, with the truth at the cut-off.

    Parameters
    ----------
    purchases : polars.DataFrame
        `customer_id`, `ts`, `amount`, `quantity`, `category`; before and after the cut-off.
    cutoff : datetime
    survival : polars.DataFrame
        `customer_id` and `survival`: the share of futures without a purchase, days 0..90.
    futures : int
    cells : polars.DataFrame
        `customer_id`, `category`, `gap_days`, `regularity`.
    """

    purchases: pl.DataFrame
    cutoff: datetime
    survival: pl.DataFrame
    futures: int
    cells: pl.DataFrame


def play(preset: str, *, customers: int, seed: int, futures: int, days: int = DAYS) -> Played:
    """Play a history without a pilot, the 90 days that follow, and `futures` more of those."""
    config = WorldConfig(
        preset=Preset(preset), customers=customers, seed=seed, days=days, pilot=False
    )
    world = World(config)
    for _ in range(days):
        world._pass_day(habitual=True)
    at_cutoff = world.copy()
    tables = _ahead(world)
    categories = tables["products"].select("product_id", "category").unique("product_id")
    cutoff = datetime.combine(config.start, time()) + timedelta(days=days)
    ids = world.scene.customer_ids
    left = np.zeros((len(ids), HORIZON_DAYS + 1))
    for number in range(futures):
        left += _one_future(at_cutoff, seed=seed + 7_919 * (number + 1), cutoff=cutoff)
    return Played(
        _purchases(tables["transactions"], categories, config.time_zone),
        cutoff,
        pl.DataFrame({"customer_id": ids, "survival": left / futures}),
        futures,
        cell_truth(world.scene),
    )


def _ahead(world: World) -> dict[str, pl.DataFrame]:
    for _ in range(HORIZON_DAYS):
        world._pass_day(habitual=True)
    return world._pending.take()


def _one_future(world: World, *, seed: int, cutoff: datetime) -> Floats:
    """Return, per customer and day 0..90, whether a future has no purchase up to it."""
    twin = world.copy()
    twin.scene = replace(world.scene, streams=Streams(seed))
    twin._pending.take()
    lines = _ahead(twin)["transactions"].filter(
        pl.col("customer_id").is_not_null() & (pl.col("quantity") > 0)
    )
    zone = world.config.time_zone
    when = pl.col("ts").dt.convert_time_zone(zone).dt.replace_time_zone(None)
    first = lines.group_by("customer_id").agg(
        (when.min().dt.date() - pl.lit(cutoff.date())).dt.total_days().alias("day")
    )
    ids = world.scene.customer_ids.to_frame("customer_id")
    day = ids.join(first, on="customer_id", how="left", maintain_order="left")["day"]
    days = day.fill_null(HORIZON_DAYS + 1).to_numpy() + 1
    return np.asarray(days[:, None] > np.arange(HORIZON_DAYS + 1), dtype=np.float64)


def _purchases(lines: pl.DataFrame, categories: pl.DataFrame, zone: str) -> pl.DataFrame:
    price = pl.col("quantity").cast(pl.Float64) * pl.col("unit_price").cast(pl.Float64)
    known = lines.filter(pl.col("customer_id").is_not_null() & (pl.col("quantity") > 0))
    return known.join(categories, on="product_id", how="left").select(
        "customer_id",
        pl.col("ts").dt.convert_time_zone(zone).dt.replace_time_zone(None).cast(pl.Datetime("us")),
        price.alias("amount"),
        pl.col("quantity").cast(pl.Float64),
        "category",
    )


def run_world(
    played: Played, *, config: CoreConfig, draws: int, seed: int, threads: int
) -> tuple[dict[str, TimingResult], dict[str, float]]:
    """Run the protocol on customers and on customers × category; compare rhythms with the truth.

    Returns
    -------
    results : dict
        `customers`, and customer × category pairs of the `regular` and the `other` categories.
    findings : dict
        The Brier ratio to the truth, and how well rhythms were recovered.
    """

    def truth(ids: pl.Series, since: Floats, days: int) -> Floats:
        rows = ids.to_frame("customer_id").join(
            played.survival, on="customer_id", how="left", maintain_order="left"
        )
        return np.asarray(rows["survival"].to_list(), dtype=np.float64)[:, : days + 1]

    common: dict[str, Any] = {
        "cutoff": played.cutoff,
        "config": config,
        "draws": draws,
        "seed": seed,
        "threads": threads,
    }
    results = {
        "customers": run_timing_experiment(played.purchases, others={"truth": truth}, **common)
    }
    pairs = played.purchases.with_columns(
        customer_id=pl.concat_str(["customer_id", "category"], separator=_SEPARATOR)
    )
    core: HazardCore | None = None
    for name, chosen in _pairs_by_regularity(played, pairs).items():
        if len(chosen):
            results[name] = run_timing_experiment(pairs, customers=chosen, core=core, **common)
            core = results[name].core
    assert core is not None
    ratio = _unbiased(results["customers"], played.futures)
    return results, {"brier_ratio_to_truth": ratio, **rhythms(played, core)}


def _pairs_by_regularity(played: Played, pairs: pl.DataFrame) -> dict[str, pl.Series]:
    shape = played.cells.group_by("category").agg(pl.col("regularity").mean())
    regular = shape.filter(pl.col("regularity") >= REGULAR_SHAPE)["category"].implode()
    mine = pairs.select("customer_id", "category").unique()
    return {
        "pairs_regular": mine.filter(pl.col("category").is_in(regular))["customer_id"],
        "pairs_other": mine.filter(~pl.col("category").is_in(regular))["customer_id"],
    }


def _unbiased(result: TimingResult, futures: int) -> float:
    """Return the model's integrated Brier score over the truth's.

    Shares of finitely many futures err; p (1 - p) / (futures - 1) of that is taken off.
    """
    truth = result.others["truth"]
    outcome: Outcome = result.outcome
    times = np.arange(FIRST_DAY, truth.shape[1] - 1, dtype=np.float64)
    part = truth[:, FIRST_DAY:-1]
    scores = brier(outcome, part, times) - (part * (1.0 - part)).mean(axis=0) / (futures - 1)
    exact = float(np.trapezoid(scores, times) / (times[-1] - times[0]))
    return result.metrics["hazard"]["integrated_brier"] / exact


def rhythms(played: Played, core: HazardCore) -> dict[str, float]:
    """Return how well the gaps that overdue ratios rest on tell the true gaps.

    By pair of customer and category, and by category (medians over its pairs). Needs that were
    met elsewhere make a gap on record longer than that of the needs, which order does not mind.
    """
    log = read_log(played.purchases, as_of=played.cutoff, keys=CUSTOMER_CATEGORY)
    snapshot = core.builder.at(log, day_number(played.cutoff))
    found = log.ids[snapshot.known].with_columns(
        found=pl.Series(snapshot.static[:, GAP]), count=pl.Series(snapshot.static[:, 0])
    )
    both = found.filter(pl.col("count") > FEWEST_GAPS).join(
        played.cells, on=["customer_id", "category"], how="inner"
    )
    by_category = both.group_by("category").agg(
        pl.col("found").median(), pl.col("gap_days").median()
    )
    return {
        "pairs_compared": float(both.height),
        "gap_rank_correlation_by_pair": float(spearmanr(both["found"], both["gap_days"])[0]),
        "gap_rank_correlation_by_category": float(
            spearmanr(by_category["found"], by_category["gap_days"])[0]
        ),
    }
