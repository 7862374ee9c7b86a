"""How fast the timing model is: fit, score a million customers, score one."""

from __future__ import annotations

import os
import resource
from datetime import datetime, timedelta
from time import perf_counter
from typing import Final

import numpy as np
import polars as pl

from nba.models.base import ModelInputs
from nba.models.timing.hazard import Hazard, HazardConfig

AS_OF: Final = datetime(2026, 3, 1)
HISTORY_DAYS: Final = 720


def draw_purchases(customers: int, *, seed: int) -> pl.DataFrame:
    """Return a drawn log of two years: six purchases per customer on average, in rhythm."""
    rng = np.random.default_rng(seed)
    gap = rng.gamma(2.0, 45.0, customers) + 7.0
    joined = rng.uniform(0.0, HISTORY_DAYS, customers)
    count = 1 + rng.poisson(np.minimum((HISTORY_DAYS - joined) / gap * 0.7, 60.0))
    owner = np.repeat(np.arange(customers), count)
    waits = rng.gamma(2.0, gap[owner] / 2.0)
    waits[np.cumsum(count) - count] = 0.0
    total = np.cumsum(waits)
    day = joined[owner] + total - np.repeat(total[np.cumsum(count) - count], count)
    keep = day < HISTORY_DAYS
    start = AS_OF - timedelta(days=HISTORY_DAYS)
    seconds = (day[keep] * 86_400).astype(np.int64)
    return pl.DataFrame(
        {"number": owner[keep], "seconds": seconds, "amount": rng.lognormal(4.0, 0.7, keep.sum())}
    ).select(
        pl.format("c{}", pl.col("number").cast(pl.String).str.zfill(8)).alias("customer_id"),
        (pl.lit(start) + pl.duration(seconds="seconds")).cast(pl.Datetime("us")).alias("ts"),
        "amount",
        quantity=pl.lit(1.0),
    )


def bench_timing(
    *,
    fit_customers: int = 100_000,
    score_customers: int = 1_000_000,
    threads: int = 0,
    seed: int = 20261121,
) -> dict[str, float]:
    """Fit, score a crowd in chunks, score one; return seconds, rates and memory.

    `score_per_second` counts everything between the purchase lines and the score frames:
    the folding of the lines to days, the features, and the full curve of 90 days. ModelInputs
    are dropped as they come, as a writer would; only the lines stay in memory.
    """
    model = Hazard(HazardConfig(threads=threads))
    training = ModelInputs({"purchases": draw_purchases(fit_customers, seed=seed)})
    started = perf_counter()
    model.fit(training, as_of=AS_OF, seed=seed)
    fit_seconds = perf_counter() - started
    crowd = ModelInputs({"purchases": draw_purchases(score_customers, seed=seed + 1)})
    before = _peak_gib()
    started = perf_counter()
    rows = sum(chunk.height for chunk in model.score_chunks(crowd, as_of=AS_OF))
    score_seconds = perf_counter() - started
    single = _single(model, training)
    return {
        "cores": float(os.cpu_count() or 1),
        "fit_customers": float(fit_customers),
        "fit_seconds": fit_seconds,
        "score_customers": float(rows),
        "score_seconds": score_seconds,
        "score_per_second": rows / score_seconds,
        "single_ms_median": single,
        "peak_gib_before_scoring": before,
        "peak_gib": _peak_gib(),
    }


def _single(model: Hazard, tables: ModelInputs, *, repeats: int = 200) -> float:
    """Return the median milliseconds of scoring one customer from their own purchases."""
    purchases = tables["purchases"]
    customer = purchases.filter(pl.col("customer_id") == purchases["customer_id"][0])
    inputs = ModelInputs({"purchases": customer})
    spent = []
    for _ in range(repeats):
        started = perf_counter()
        model.score(inputs, as_of=AS_OF)
        spent.append(perf_counter() - started)
    return float(np.median(spent) * 1000.0)


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
