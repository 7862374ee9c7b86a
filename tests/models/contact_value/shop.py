"""A small shop as feature views, for the contract of the model."""

from __future__ import annotations

import numpy as np
import polars as pl

from nba.models.base import ModelInputs
from nba.models.mode.scores import MODES

KINDS = {"milk": "short", "cream": "group", "bags": "premium"}


def views(customers: int = 60, seed: int = 3) -> ModelInputs:
    """Return the views that needs and contacts read, and affinity scores."""
    rng = np.random.default_rng(seed)
    ids = [f"c{i:03d}" for i in range(customers)]
    products = pl.DataFrame(
        {
            "product_id": [f"p{i:02d}" for i in range(12)],
            "category": [list(KINDS)[i % 3] for i in range(12)],
            "is_retired": [i == 3 for i in range(12)],
            "on_hand": [0.0 if i == 4 else 5.0 for i in range(12)],
            "launched_days": [10.0 if i > 9 else 300.0 for i in range(12)],
            "buyers_90d": list(range(12)),
        }
    )
    pairs = pl.DataFrame(
        [
            (customer, f"p{product:02d}", list(KINDS)[product % 3], times, float(since), 40.0)
            for customer in ids
            for product in rng.choice(9, 3, replace=False)
            for times, since in [(int(rng.integers(1, 5)), rng.integers(1, 90))]
        ],
        schema=["customer_id", "product_id", "category", "purchase_days",
                "days_since_purchase", "spend_amount"],
        orient="row",
    )  # fmt: skip
    category = pairs.group_by("customer_id", "category").agg(
        pl.col("purchase_days").sum(),
        pl.col("days_since_purchase").min(),
        days_since_first_purchase=pl.col("days_since_purchase").max() + 60.0,
        margin_amount=pl.col("spend_amount").sum() * 0.4,
    )
    category = category.with_columns(
        kind=pl.col("category").replace_strict(KINDS, return_dtype=pl.String)
    )
    behaviour = category.group_by("customer_id").agg(
        pl.col("purchase_days").sum(),
        pl.col("days_since_purchase").min(),
        pl.col("days_since_first_purchase").max(),
        pl.col("margin_amount").sum(),
        margin_365d_amount=pl.col("margin_amount").sum(),
        main_category_kind=pl.col("kind").sort().first(),
        price_tier=pl.lit(3),
        purchase_days_365d=pl.col("purchase_days").sum(),
    )
    contact = pl.DataFrame(
        {
            "customer_id": ids,
            "fatigue": rng.uniform(0, 2, customers),
            "contacts_90d": rng.integers(0, 8, customers),
            "reads_90d": rng.integers(0, 3, customers),
            **{f"contacts_{mode}_365d": rng.integers(0, 10, customers) for mode in MODES},
            **{f"response_rate_{mode}": rng.uniform(0.1, 0.4, customers) for mode in MODES},
        }
    )
    state = pl.DataFrame(
        {
            "customer_id": [*ids, "z-new"],
            "clerk_id": [f"k{i % 5}" for i in range(customers + 1)],
            "birthday": ["03-04"] * (customers + 1),
        }
    )
    affinity = pl.DataFrame(
        [(customer, f"p{product:02d}", "explore", 0, float(rng.uniform(0.02, 0.3)))
         for customer in ids for product in range(9, 12)],
        schema=["customer_id", "product_id", "source", "times_bought", "relevance"],
        orient="row",
    )  # fmt: skip
    return ModelInputs(
        {
            "customer_category": category.sort("customer_id", "category"),
            "customer_product": pairs,
            "customer_behaviour": behaviour.sort("customer_id"),
            "customer_contact": contact,
            "customer_state": state,
            "product": products,
            "affinity": affinity,
        }
    )
