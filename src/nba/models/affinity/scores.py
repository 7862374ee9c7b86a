"""The score table of affinity, and the rules that every affinity model keeps.

A product is never brought that is retired, out of stock, unknown, or returned by the
customer, nor one that was just bought and is not replenishable. A customer who refused
profiling gets what does not depend on their profile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Ints, Reals
from nba.models.base import ModelInputs
from nba.schema.words import SERVICE_CATEGORY

#: Log odds of being in the next basket of a product with one purchase just now.
BELIEVED_LEVEL: Final = -2.0
#: What is added to the simple rule's score before its logarithm is taken.
LEAST_WORTH: Final = 1e-3


#: Returns after which the same customer bought the product again, to learn from how soon.
_FEWEST_REBOUGHT: Final = 20


class ListSource(StrEnum):
    """Why a product stands in a list."""

    REPEAT = "repeat"
    EXPLORE = "explore"
    POPULAR = "popular"


#: The score table: at most N rows per customer, rank 1 first.
SCORE_SCHEMA: Final[dict[str, pl.DataType]] = {
    "customer_id": pl.String(),
    "rank": pl.Int32(),
    "product_id": pl.String(),
    "category": pl.String(),
    "score": pl.Float64(),
    "relevance": pl.Float64(),
    "source": pl.String(),
    "times_bought": pl.Int32(),
    "days_since_purchase": pl.Float64(),
    "gap_days": pl.Float64(),
}


def empty_scores() -> pl.DataFrame:
    """Return a score table without rows."""
    return pl.DataFrame(schema=SCORE_SCHEMA)


def customers(inputs: ModelInputs) -> pl.DataFrame:
    """Return the customers to score: `customer_id` and `profiled` (may we use the profile).

    They come from `customer_state`, else `customer_behaviour`, else from what was bought.
    """
    names = ("customer_state", "customer_behaviour", "customer_product")
    name = next((table for table in names if table in inputs), "purchases")
    table = inputs.require(name, ["customer_id"])
    consent = (
        pl.col("consent_profiling").fill_null(True)
        if "consent_profiling" in table.columns
        else pl.lit(True)
    )
    return (
        table.select(pl.col("customer_id").cast(pl.String), consent.alias("profiled"))
        .drop_nulls("customer_id")
        .unique("customer_id", keep="first")
        .sort("customer_id")
    )


def with_columns(table: pl.DataFrame, defaults: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return `table` with each column of `defaults`, null where the table lacks it."""
    return table.with_columns(
        (pl.col(name) if name in table.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in defaults.items()
    )


def sellable(products: pl.DataFrame) -> pl.DataFrame:
    """Return the products that may be brought: goods, not retired, not known to be out of stock."""
    optional = {"is_retired": pl.Boolean(), "on_hand": pl.Float64(), "category": pl.String()}
    return with_columns(products, optional).filter(
        ~pl.col("is_retired").fill_null(False)
        & (pl.col("on_hand").fill_null(1.0) > 0)
        & (pl.col("category").fill_null("") != SERVICE_CATEGORY)
    )


def replenishable_categories(
    inputs: ModelInputs, learned: Mapping[str, bool] | None = None
) -> dict[str, bool]:
    """Return which categories are replenishable: as stated, else as learned from rebuying."""
    replenishable = dict(learned or {})
    for name in ("customer_category", "product"):
        if name in inputs and {"category", "replenishable"} <= set(inputs[name].columns):
            stated = (
                inputs[name]
                .drop_nulls(["category", "replenishable"])
                .group_by("category")
                .agg(pl.col("replenishable").cast(pl.Boolean).any())
            )
            replenishable |= dict(stated.iter_rows())
    return replenishable


def resting(lasting: pl.Expr, *, just_bought_days: float, returned_days: float) -> pl.Expr:
    """Return whether a product rests for a customer: sent back, or just bought and lasting.

    What was bought again after its return does not rest for it. Reads `days_since_purchase`,
    `returned` and `days_since_return`; a return of unknown day rests for ever.

    Parameters
    ----------
    lasting : polars.Expr
        Whether it is not replenishable.
    just_bought_days, returned_days : float
    """
    since, back = pl.col("days_since_purchase"), pl.col("days_since_return")
    kept = (since < back).fill_null(False)
    lately = (back < returned_days).fill_null(True)
    just_bought = ((since < just_bought_days) & lasting).fill_null(False)
    return (pl.col("returned").fill_null(False) & ~kept & lately) | just_bought


def returned_rest_days(purchases: pl.DataFrame, believed: float) -> float:
    """Return for how many days a returned product rests, as the log supports it.

    Half of those who bought a product again after they had sent it back did so within that time.
    With fewer than `_FEWEST_REBOUGHT` of them it is what is believed.

    Parameters
    ----------
    purchases : polars.DataFrame
        `customer_id`, `product_id`, `ts`, `quantity` (below zero for returns).
    believed : float
    """
    if "quantity" not in purchases.columns:
        return believed
    pair = ["customer_id", "product_id"]
    day = purchases.drop_nulls(pair).with_columns(pl.col("ts").dt.truncate("1d"))
    back = day.filter(pl.col("quantity") < 0).select(*pair, sent=pl.col("ts")).unique()
    bought = day.filter(pl.col("quantity") > 0).select(*pair, "ts").unique()
    again = (
        back.join(bought, on=pair)
        .filter(pl.col("ts") > pl.col("sent"))
        .group_by(*pair, "sent")
        .agg((pl.col("ts").min() - pl.col("sent").first()).dt.total_days().alias("days"))
    )
    if len(again) < _FEWEST_REBOUGHT:
        return believed
    return float(np.median(again["days"].to_numpy()))


def rebought_categories(pairs: pl.DataFrame, threshold: float) -> dict[str, bool]:
    """Return per category ("" where unknown) whether customers buy the same product again.

    Parameters
    ----------
    pairs : polars.DataFrame
        One row per customer and product: `category`, `purchase_days`.
    threshold : float
        Share of pairs with two purchase days or more from which a category counts.
    """
    shares = pairs.group_by(pl.col("category").fill_null("")).agg(
        (pl.col("purchase_days") >= 2).mean().alias("share")
    )
    return {str(name): bool(share >= threshold) for name, share in shares.sort("category").rows()}


def first_open(blocked: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, per row, the positions of the first `wanted[row]` columns that are not blocked.

    Parameters
    ----------
    blocked : (rows, columns) array of bool
    wanted : (rows,) array of int

    Returns
    -------
    rows, columns : arrays of int, row-major.
    """
    open_ = ~blocked
    chosen = open_ & (np.cumsum(open_, axis=1) <= wanted[:, None])
    rows, columns = np.nonzero(chosen)
    return rows, columns


def homes(inputs: ModelInputs, purchases: pl.DataFrame) -> pl.DataFrame:
    """Return `customer_id`, `store_id`: as stated by `customer_state`, else where they buy most."""
    if "customer_state" in inputs and "store_id" in inputs["customer_state"].columns:
        table = inputs["customer_state"]
    elif "store_id" in purchases.columns:
        table = purchases.drop_nulls("store_id").group_by("customer_id", "store_id").len()
        table = table.sort("len", "store_id", descending=[True, False])
    else:
        return pl.DataFrame(schema={"customer_id": pl.String, "store_id": pl.String})
    return (
        table.select(pl.col("customer_id", "store_id").cast(pl.String))
        .drop_nulls()
        .unique("customer_id", keep="first", maintain_order=True)
    )


def believed_relevance(worth: pl.Expr) -> pl.Expr:
    """Return the chance of being in the next basket that is believed in before anything is learned.

    Parameters
    ----------
    worth : polars.Expr
        The simple rule's score, in purchases just now: one of them stands for 12 %.
    """
    odds = math.exp(BELIEVED_LEVEL) * (worth + LEAST_WORTH)
    return odds / (1.0 + odds)


def score_table(
    customer_ids: pl.Series,
    product_ids: pl.Series,
    categories: pl.Series,
    *,
    rank: Ints,
    score: Reals,
    relevance: Reals,
    source: pl.Series,
    times: Reals,
    since: Reals,
    gap: Reals,
) -> pl.DataFrame:
    """Return rows of the score table

    Parameters
    ----------
    customer_ids, product_ids, categories, source : polars.Series
        One value per row.
    rank : array of int
        From 0.
    score, relevance : arrays of float
        The order within a list, and P(bought next).
    times : array of float
        Days on which the customer bought the product.
    since, gap : arrays of float
        Days since the last of them, and between them; NaN becomes null.
    """
    return pl.DataFrame(
        {
            "customer_id": customer_ids,
            "rank": (rank + 1).astype(np.int32),
            "product_id": product_ids,
            "category": categories,
            "score": score.astype(np.float64),
            "relevance": relevance.astype(np.float64),
            "source": source,
            "times_bought": times.astype(np.int32),
            "days_since_purchase": since.astype(np.float64),
            "gap_days": gap.astype(np.float64),
        },
        schema=SCORE_SCHEMA,
    ).with_columns(pl.col("days_since_purchase", "gap_days").fill_nan(None))
