"""A small shop with planted taste: two kinds of customers, each with products of its own.

Products 0-24 are "tea" and bought again every few weeks by tea drinkers, 25-49 are "toys" for
the others; whoever likes a kind comes to buy each product of it sooner or later.
"""

from datetime import datetime, timedelta

import numpy as np
import polars as pl

AS_OF = datetime(2026, 1, 1)
KINDS = ("tea", "toys")


def purchases(customers: int = 120, seed: int = 5, days: int = 300) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(customers):
        taste = number % 2
        favourites = generator.choice(25, 5, replace=False) + 25 * taste
        day = int(generator.integers(0, 25))
        while day < days:
            own = generator.choice(favourites, 2, replace=False)
            other = generator.integers(0, 25) + 25 * (
                taste if generator.random() < 0.9 else 1 - taste
            )
            for product in {*own.tolist(), int(other)}:
                row = (f"c{number:03d}", f"p{product:02d}", day, 2.0, 6.0 + product)
                rows.append(row)
            day += int(generator.integers(12, 28))
    table = pl.DataFrame(
        rows, schema=["customer_id", "product_id", "day", "quantity", "amount"], orient="row"
    )
    start = AS_OF - timedelta(days=days)
    return table.select(
        "customer_id",
        "product_id",
        (pl.lit(start) + pl.duration(days=pl.col("day"))).dt.cast_time_unit("us").alias("ts"),
        "quantity",
        "amount",
    )


def products(new: int = 1) -> pl.DataFrame:
    rows = [
        {"product_id": f"p{i:02d}", "name": f"{KINDS[i // 25]} number {i}"}
        | {"category": KINDS[i // 25], "is_retired": False, "on_hand": 5.0, "replenishable": True}
        for i in range(50)
    ]
    rows += [
        {"product_id": f"n{i:02d}", "name": f"tea novelty {i}", "category": "tea"}
        | {"is_retired": False, "on_hand": 5.0, "replenishable": True}
        for i in range(new)
    ]
    return pl.DataFrame(rows)


def customer_product(bought: pl.DataFrame, half_life: float = 90.0) -> pl.DataFrame:
    ago = (AS_OF - pl.col("ts")).dt.total_days().cast(pl.Float64)
    return (
        bought.group_by("customer_id", "product_id")
        .agg(
            pl.col("ts").n_unique().cast(pl.Float64).alias("purchase_days"),
            ago.min().alias("days_since_purchase"),
            ago.max().alias("days_since_first_purchase"),
            (0.5 ** (ago / half_life)).sum().alias("decayed_count"),
        )
        .with_columns(pl.lit(False).alias("returned"))
        .sort("customer_id", "product_id")
    )
