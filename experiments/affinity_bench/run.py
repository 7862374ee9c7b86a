"""`nba bench affinity`: how fast the two-stage model fits and ranks, beside implicit's ALS.

The shop is drawn with a long-tailed popularity and customers who keep to a few categories.
Scoring is end to end: from a purchases table to the score frame, in parts, so that memory
does not grow with the number of customers.
"""

from __future__ import annotations

import resource
import time
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.two_stage import TwoStageAffinity
from nba.models.base import ModelInputs
from nba.models.purchases import PurchaseLog, day_number

AS_OF: Final = datetime(2026, 1, 1)
_DAYS: Final = 540
_CATEGORIES: Final = 100


def synthetic_purchases(
    customers: int, products: int, *, seed: int, first: int = 0, baskets: float = 6.0
) -> pl.DataFrame:
    """Return purchases of `customers` customers, numbered from `first`: about 3 per basket."""
    generator = np.random.default_rng([seed, first])
    count = 1 + generator.poisson(baskets, customers)
    customer = np.repeat(np.arange(customers), count)
    day = generator.integers(0, _DAYS, len(customer))
    size = 1 + generator.poisson(2.0, len(customer))
    customer, day = np.repeat(customer, size), np.repeat(day, size)
    favourite = generator.integers(0, _CATEGORIES, (customers, 4))
    category = favourite[customer, generator.integers(0, 4, len(customer))]
    per_category = products // _CATEGORIES
    within = np.minimum(generator.zipf(1.3, len(customer)) - 1, per_category - 1)
    product = category * per_category + within
    price = np.exp(np.random.default_rng(seed).normal(3, 1, products))
    numbers = pl.DataFrame({"customer": customer + first, "product": product, "day": day})
    start = AS_OF - timedelta(days=_DAYS)
    return numbers.select(
        (pl.lit("c") + pl.col("customer").cast(pl.String)).alias("customer_id"),
        (pl.lit("p") + pl.col("product").cast(pl.String)).alias("product_id"),
        (pl.lit(start) + pl.duration(days=pl.col("day"))).dt.cast_time_unit("us").alias("ts"),
        pl.lit(1.0).alias("quantity"),
        pl.Series("amount", price[product]),
    )


def synthetic_products(products: int) -> pl.DataFrame:
    """Return the product table that goes with it."""
    number = np.arange(products)
    return pl.DataFrame({"product": number}).select(
        (pl.lit("p") + pl.col("product").cast(pl.String)).alias("product_id"),
        (pl.lit("k") + (pl.col("product") // (products // _CATEGORIES)).cast(pl.String)).alias(
            "category"
        ),
        pl.lit(False).alias("is_retired"),
    )


def bench_affinity(
    *,
    fit_customers: int = 100_000,
    products: int = 10_000,
    score_customers: int = 1_000_000,
    part: int = 100_000,
    threads: int = 4,
    seed: int = 1,
    config: TwoStageConfig | None = None,
) -> dict[str, Any]:
    """Fit, rank the top 20 for many customers and for one, and compare with implicit.

    Returns
    -------
    dict
        `fit_seconds`, `score_customers_per_second` (end to end, tables drawn apart; per
        second of processor time too, which a busy machine does not change),
        `one_customer_ms` (median of 50), `candidate_ratio_to_implicit` (seconds of our
        candidate stage over implicit's own batch recommend, same customers and factors), and
        `peak_memory_gb`.
    """
    config = (config or TwoStageConfig()).model_copy(update={"threads": threads})
    catalogue = synthetic_products(products)
    training = synthetic_purchases(fit_customers, products, seed=seed)
    start = time.perf_counter()
    model = TwoStageAffinity(config).fit(
        ModelInputs({"purchases": training, "product": catalogue}), as_of=AS_OF, seed=seed
    )
    found: dict[str, Any] = {"fit_seconds": round(time.perf_counter() - start, 1)}
    seconds, cpu_seconds, rows = 0.0, 0.0, 0
    for first in range(0, score_customers, part):
        many = min(part, score_customers - first)
        inputs = ModelInputs(
            {
                "purchases": synthetic_purchases(many, products, seed=seed, first=first),
                "product": catalogue,
            }
        )
        start, cpu = time.perf_counter(), time.process_time()
        rows += len(model.score(inputs, as_of=AS_OF))
        seconds += time.perf_counter() - start
        cpu_seconds += time.process_time() - cpu
    found |= {
        "scored_customers": score_customers,
        "rows": rows,
        "score_seconds": round(seconds, 1),
        "score_customers_per_second": round(score_customers / seconds),
        "score_customers_per_cpu_second": round(score_customers / cpu_seconds),
        "one_customer_ms": _one_customer(model, training, catalogue),
        "candidate_ratio_to_implicit": _candidate_ratio(model, training.head(300_000), threads),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "threads": threads,
        "products": products,
        "fit_customers": fit_customers,
        "seed": seed,
    }
    return found


def _one_customer(
    model: TwoStageAffinity, purchases: pl.DataFrame, catalogue: pl.DataFrame
) -> float:
    """Return the median milliseconds to rank for one customer."""
    ids = purchases["customer_id"].unique(maintain_order=True)[:50]
    took = []
    for one in ids:
        inputs = ModelInputs(
            {"purchases": purchases.filter(pl.col("customer_id") == one), "product": catalogue}
        )
        start = time.perf_counter()
        model.score(inputs, as_of=AS_OF)
        took.append(1000 * (time.perf_counter() - start))
    return round(float(np.median(took)), 2)


def _candidate_ratio(model: TwoStageAffinity, purchases: pl.DataFrame, threads: int) -> float:
    """Return seconds of the candidate stage over those of implicit's batch recommend."""
    from implicit.cpu.als import AlternatingLeastSquares

    from nba.models.affinity.candidates.generation import candidate_blocks
    from nba.models.affinity.history.customers import history
    from nba.models.blas import one_blas_thread

    fitted = model.fitted
    assert fitted is not None
    log = PurchaseLog.from_purchases(purchases, product_ids=model.product_ids)
    past = history(log, day_number(AS_OF), fitted, model.config)
    rows = np.arange(log.n_customers)
    reference = model.positions(log.customer_ids)
    with one_blas_thread():
        start = time.perf_counter()
        for _ in candidate_blocks(
            past,
            fitted,
            model.config,
            rows=rows,
            reference=reference,
            open_products=fitted.products.sold,
        ):
            pass
        ours = time.perf_counter() - start
        library = AlternatingLeastSquares(
            factors=model.config.als_factors, iterations=1, random_state=1, num_threads=threads
        )
        library.fit(past.confidence, show_progress=False)
        start = time.perf_counter()
        library.recommend(rows, past.confidence, N=model.config.explore_candidates)
        theirs = time.perf_counter() - start
    return round(ours / theirs, 2)
