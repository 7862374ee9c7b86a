"""The history of customers from feature views, where there is no purchase log at hand."""

from __future__ import annotations

import numpy as np
import polars as pl

from nba.arrays import Ints, Reals
from nba.models.affinity.candidates.fitted import Fitted
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.history.customers import History, assemble_history
from nba.models.affinity.history.state import CUSTOMER_FEATURES, Pairs, mean_sd, starts_of
from nba.models.affinity.scores import with_columns
from nba.models.base import ModelInputs
from nba.models.purchases import PurchaseLog

_PAIR = {
    "purchase_days": pl.Float64(),
    "days_since_purchase": pl.Float64(),
    "days_since_first_purchase": pl.Float64(),
}
#: Customer features that stand in `customer_behaviour` under another name.
_BEHAVIOUR = {
    "customer_baskets": "purchase_days",
    "customer_days_since_purchase": "days_since_purchase",
    "customer_days_since_first": "days_since_first_purchase",
}


def decayed_evenly(
    times: Reals, since_last: Reals, gap: Reals, half_lives: tuple[float, ...]
) -> Reals:
    """Return the decayed counts of purchases spaced evenly, shape (half-lives, pairs).

    Exact for one and for two purchases; a geometric sum for more.

    Parameters
    ----------
    times : array of float
        Shape (pairs,): days with a purchase.
    since_last : array of float
        Shape (pairs,), days.
    gap : array of float
        Shape (pairs,), mean days between purchases; NaN for a single one.
    half_lives : tuple of float
        Days.
    """
    lives = np.asarray(half_lives)[:, None]
    ratio = np.exp2(-np.nan_to_num(gap)[None, :] / lives)
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = np.where(ratio < 1, (1 - ratio**times) / (1 - ratio), times)
    return np.asarray(np.exp2(-since_last[None, :] / lives) * sums)


def history_from_views(
    inputs: ModelInputs, log: PurchaseLog, fitted: Fitted, config: TwoStageConfig
) -> History:
    """Return the history from `customer_product` and `customer_behaviour`.

    Parameters
    ----------
    inputs : ModelInputs
        Holds the two views.
    log : PurchaseLog
        Names customers, products and homes; its rows are not read.
    fitted : Fitted
    config : TwoStageConfig
    """
    table = with_columns(
        inputs.require("customer_product", ["customer_id", "product_id", "purchase_days"]), _PAIR
    )
    people = pl.DataFrame({"customer_id": log.customer_ids}).with_row_index("customer")
    products = pl.DataFrame({"product_id": log.product_ids}).with_row_index("product")
    table = (
        table.with_columns(pl.col("customer_id", "product_id").cast(pl.String))
        .filter(pl.col("purchase_days") > 0)
        .join(people, on="customer_id")
        .join(products, on="product_id")
        .sort("customer", "product")
    )
    pairs = _pairs(
        table["customer"].to_numpy().astype(np.int64),
        table["product"].to_numpy().astype(np.int64),
        *(table[name].to_numpy().astype(np.float64) for name in _PAIR),
        half_lives=config.half_lives,
    )
    features = _customer_features(inputs, people, pairs, fitted)
    categories = _by_category(pairs, fitted.category, config.half_lives)
    return assemble_history(pairs, categories, features, log.home, fitted)


def _pairs(
    customer: Ints,
    product: Ints,
    times: Reals,
    since_last: Reals,
    since_first: Reals,
    *,
    half_lives: tuple[float, ...],
) -> Pairs:
    first = np.where(np.isnan(since_first), since_last, since_first)
    gap = np.where(times > 1, (first - since_last) / np.maximum(times - 1, 1), np.nan)
    latest = np.full(int(customer.max(initial=-1)) + 1, np.inf)
    np.minimum.at(latest, customer, since_last)
    return Pairs(
        customer=customer,
        product=product,
        times=times,
        since_last=since_last,
        since_first=first,
        # All that is known of order: whether it was in the last basket.
        baskets_since=np.where(since_last <= latest[customer] + 0.5, 0.0, np.nan),
        season=np.full(len(times), np.nan),
        decayed=decayed_evenly(times, since_last, gap, half_lives),
    )


def _by_category(pairs: Pairs, category: Ints, half_lives: tuple[float, ...]) -> Pairs:
    """Return the pairs summed over the products of a category."""
    known = category[pairs.product] >= 0
    customer, code = pairs.customer[known], category[pairs.product[known]]
    order = np.lexsort((code, customer))
    customer, code = customer[order], code[order]
    starts = starts_of(customer, code)
    if not len(starts):
        empty = np.zeros(0)
        return _pairs(customer, code, empty, empty, empty, half_lives=half_lives)
    return _pairs(
        customer[starts],
        code[starts],
        np.maximum.reduceat(pairs.times[known][order], starts),
        np.minimum.reduceat(pairs.since_last[known][order], starts),
        np.maximum.reduceat(pairs.since_first[known][order], starts),
        half_lives=half_lives,
    )


def _customer_features(
    inputs: ModelInputs, people: pl.DataFrame, pairs: Pairs, fitted: Fitted
) -> Reals:
    n = len(people)
    rows = np.bincount(pairs.customer, pairs.times, minlength=n)
    distinct = np.bincount(pairs.customer, minlength=n).astype(np.float64)
    behaviour = _behaviour(inputs, people, pairs)
    baskets, last, first = behaviour
    in_last = pairs.baskets_since == 0
    last_size = np.bincount(pairs.customer[in_last], minlength=n).astype(np.float64)
    price, spread = mean_sd(fitted.log_price[pairs.product], pairs.customer, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.where(baskets > 1, (first - last) / (baskets - 1), np.nan)
        values = {
            "customer_baskets": baskets,
            "customer_basket_size": rows / baskets,
            "customer_last_basket_size": last_size,
            "customer_products": distinct,
            "customer_repeat_share": 1 - distinct / rows,
            "customer_days_since_purchase": last,
            "customer_days_since_first": first,
            "customer_gap_days": gap,
            "customer_overdue_ratio": last / gap,
            "customer_log_price": price,
            "customer_log_price_sd": spread,
        }
    return np.column_stack([values[name] for name in CUSTOMER_FEATURES])


def _behaviour(
    inputs: ModelInputs, people: pl.DataFrame, pairs: Pairs
) -> tuple[Reals, Reals, Reals]:
    """Return baskets, days since the last, and days since the first, per customer."""
    n = len(people)
    baskets = np.zeros(n)
    np.maximum.at(baskets, pairs.customer, pairs.times)
    last, first = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(last, pairs.customer, pairs.since_last)
    np.maximum.at(first, pairs.customer, pairs.since_first)
    last, first = np.where(np.isinf(last), np.nan, last), np.where(np.isinf(first), np.nan, first)
    derived = (baskets, last, first)
    if "customer_behaviour" not in inputs:
        return derived
    table = with_columns(
        inputs["customer_behaviour"], {name: pl.Float64() for name in _BEHAVIOUR.values()}
    ).with_columns(pl.col("customer_id").cast(pl.String))
    known = people.join(
        table.unique("customer_id"), on="customer_id", how="left", maintain_order="left"
    )
    stated = [known[name].to_numpy().astype(np.float64) for name in _BEHAVIOUR.values()]
    bought = baskets > 0
    return tuple(  # type: ignore[return-value]
        np.where(bought & ~np.isnan(value), value, other)
        for value, other in zip(stated, derived, strict=True)
    )
