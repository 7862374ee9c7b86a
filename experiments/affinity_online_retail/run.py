"""Online Retail II: the next basket of a gift shop's customers, at two cut-offs."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import polars as pl

from experiments.common.affinity_cornac import cornac_methods
from experiments.common.data import read_public
from experiments.common.shipped import shipped_affinity
from nba.evaluation.affinity_experiment import run_affinity_experiment

CUTOFFS: Final = (date(2011, 9, 1), date(2011, 10, 15))
BARS: Final = {
    "2011-09-01": {"recall@10": 0.188, "recall@20": 0.273, "ndcg@10": 0.224},
    "2011-10-15": {"recall@10": 0.197, "recall@20": 0.280, "ndcg@10": 0.227},
}


def online_retail() -> pl.DataFrame:
    """Return the usable lines of Online Retail II as purchases."""
    table = read_public("online_retail_ii", "transactions.parquet").filter(
        pl.col("customer_id").is_not_null()
        & ~pl.col("is_cancellation")
        & (pl.col("quantity") > 0)
        & (pl.col("unit_price") > 0)
        & pl.col("is_product")
    )
    return table.select(
        "customer_id",
        pl.col("stock_code").alias("product_id"),
        pl.col("invoice_date").alias("ts"),
        "quantity",
        (pl.col("quantity") * pl.col("unit_price")).alias("amount"),
        pl.col("description").alias("name"),
    )


def affinity_online_retail(*, seed: int = 0) -> dict[str, Any]:
    """Compare all methods, cornac's among them, with the model as it ships, at both cut-offs."""
    compared = run_affinity_experiment(
        online_retail(),
        cutoffs=CUTOFFS,
        config=shipped_affinity(),
        seed=seed,
        others=cornac_methods,
    )
    return compared | {"bars": BARS}
