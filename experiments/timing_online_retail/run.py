"""Online Retail II: the protocol is fixed; the configuration was chosen at earlier cut-offs.

These are 2011-01-15, 03-15 and 05-01, whose labels end before the test begins.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import polars as pl

from experiments.common.data import read_public
from experiments.common.shipped import shipped_timing
from experiments.common.timing import SEED, Bar, timing_run
from nba.evaluation.timing import run_timing_experiment
from nba.evaluation.timing_report import TimingRun

CUTOFFS: Final = (datetime(2011, 8, 1), datetime(2011, 9, 1))
#: Reported with the configuration frozen; no bar was set for them.
FURTHER: Final = (datetime(2010, 10, 1), datetime(2011, 7, 1))
BARS: Final[tuple[Bar, ...]] = (
    ("2011-08-01", "concordance", "at_least", 0.755),
    ("2011-08-01", "integrated_brier", "at_most", 0.133),
    ("2011-08-01", "auc_7d", "at_least", 0.808),
    ("2011-08-01", "auc_30d", "at_least", 0.825),
    ("2011-08-01", "auc_90d", "at_least", 0.800),
    ("2011-08-01", "calibration_error_7d", "at_most", 0.012),
    ("2011-08-01", "calibration_error_30d", "at_most", 0.030),
    ("2011-08-01", "calibration_error_90d", "at_most", 0.040),
    ("2011-09-01", "concordance", "at_least", 0.728),
    ("2011-09-01", "integrated_brier", "at_most", 0.153),
    ("2011-09-01", "calibration_error_7d", "at_most", 0.012),
    ("2011-09-01", "calibration_error_30d", "at_most", 0.030),
    ("2011-09-01", "calibration_error_90d", "at_most", 0.040),
)


def read_online_retail() -> pl.DataFrame:
    """Return usable lines: a customer, no cancellation, a product, quantity and price above 0."""
    usable = (
        pl.col("customer_id").is_not_null()
        & ~pl.col("is_cancellation")
        & pl.col("is_product")
        & (pl.col("quantity") > 0)
        & (pl.col("unit_price") > 0)
    )
    lines = read_public("online_retail_ii", "transactions.parquet").filter(usable)
    return lines.select(
        pl.col("customer_id").cast(pl.String),
        pl.col("invoice_date").alias("ts"),
        pl.col("quantity").cast(pl.Float64),
        (pl.col("quantity") * pl.col("unit_price")).alias("amount"),
    )


def timing_online_retail(*, seed: int = SEED, draws: int = 100, threads: int = 0) -> TimingRun:
    """Run Online Retail II at the two cut-offs with bars and the two without."""
    lines = read_online_retail()
    parts = {
        cutoff.date().isoformat(): run_timing_experiment(
            lines,
            cutoff=cutoff,
            active_days=365,
            config=shipped_timing(),
            ships=True,
            draws=draws,
            seed=seed,
            threads=threads,
        )
        for cutoff in (*CUTOFFS, *FURTHER)
    }
    return timing_run("timing_online_retail", parts, BARS)
