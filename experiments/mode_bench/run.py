"""How fast the learned mode model fits and scores, on planted customers whose effects differ."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from nba.jobs.progress import to_stderr
from nba.models.base import ModelInputs
from nba.models.mode.effects.contacts import ARMS
from nba.models.mode.prior import KINDS
from nba.models.mode.residual_effects import ResidualEffectsConfig, ResidualEffectsMode
from nba.models.mode.scores import BEHAVIOUR, CONTACT

AS_OF: Final = datetime(2026, 3, 1)
#: Assignments to learn from: more than a shop logs in a year of pilots.
MAX_ASSIGNMENTS: Final = 200_000
SHARES: Final = (0.4, 0.2, 0.2, 0.2)


def planted_customers(count: int, seed: int) -> ModelInputs:
    """Return `customer_behaviour` and `customer_contact` with every column the model reads."""
    rng = np.random.default_rng(seed)
    config = ResidualEffectsConfig()
    ids = pl.Series("customer_id", np.arange(count)).cast(pl.String).str.zfill(8)
    behaviour = {
        name: rng.lognormal(1, 1, count)
        for name in config.behaviour
        if name not in ("main_category_kind", "price_tier")
    }
    contact = {name: rng.exponential(1, count) for name in config.contact}
    tables = {
        BEHAVIOUR: pl.DataFrame(
            {
                "customer_id": ids,
                **behaviour,
                "price_tier": rng.integers(1, 6, count),
                "main_category_kind": pl.Series(KINDS).gather(rng.integers(0, 3, count)),
            }
        ),
        CONTACT: pl.DataFrame({"customer_id": ids, **contact}),
    }
    return ModelInputs(tables)


def planted_assignments(customers: ModelInputs, count: int, seed: int) -> ModelInputs:
    """Return a training set whose effects depend on columns in ways that need every learner."""
    rng = np.random.default_rng(seed)
    behaviour = customers[BEHAVIOUR].head(count)
    rows = behaviour.height
    arm = rng.choice(len(ARMS), rows, p=SHARES)
    recency = np.log(behaviour["days_since_purchase"].to_numpy())
    orders = np.log(behaviour["purchase_days_365d"].to_numpy())
    effect = np.column_stack(
        [
            np.zeros(rows),
            1 + recency,
            1 + 2 * np.sign((recency - 1) * (orders - 1)),
            1 + np.sin(2 * orders) * 2,
        ]
    )
    margin = orders + effect[np.arange(rows), arm] + rng.normal(0, 3, rows)
    ids = pl.Series("assignment_id", np.arange(rows)).cast(pl.String).str.zfill(8)
    assignments = pl.DataFrame(
        {
            "assignment_id": ids,
            "customer_id": behaviour["customer_id"],
            "ts": [AS_OF - timedelta(days=60)] * rows,
            "mode": pl.Series(ARMS).gather(arm),
            "propensity": np.array(SHARES)[arm],
            "margin_amount": margin,
            "margin_check_amount": margin,
            "is_lost": rng.uniform(size=rows) < 0.002 * (arm > 0),
        }
    )
    features = behaviour.join(customers[CONTACT].head(rows), on="customer_id", how="left")
    return ModelInputs(
        {
            **customers,
            "assignments": assignments,
            "assignment_features": features.with_columns(ids),
        }
    )


def bench_mode(
    customers: Sequence[int] = (100_000, 1_000_000),
    *,
    assignments: int = MAX_ASSIGNMENTS,
    threads: int = 4,
    seed: int = 0,
) -> dict[str, Any]:
    """Time fit and score of the learned mode model.

    Parameters
    ----------
    customers : sequence of int
        Sizes of the shop.
    assignments : int
        Logged assignments to learn from, at most one per customer.
    threads : int
        Threads that score.

    Returns
    -------
    dict
        One entry per size: seconds of fit and score, customers per second over all modes, and
        how many shapes of effects the scores average.
    """
    results = []
    for count in customers:
        shop = planted_customers(count, seed)
        training = planted_assignments(shop, assignments, seed + 1)
        model = ResidualEffectsMode(ResidualEffectsConfig(threads=threads))
        began = time.perf_counter()
        model.fit(training, as_of=AS_OF, seed=seed)
        fitted = time.perf_counter()
        scores = model.score(shop, as_of=AS_OF)
        ended = time.perf_counter()
        assert model.effects is not None
        row = {
            "customers": count,
            "assignments": training["assignments"].height,
            "modes": len(ARMS) - 1,
            "fit_seconds": fitted - began,
            "score_seconds": ended - fitted,
            "customers_per_second": count / (ended - fitted),
            "rows": scores.height,
            "shapes": len(model.effects.shapes),
        }
        results.append(row)
        to_stderr(
            f"{count} customers: fit {row['fit_seconds']:.1f} s, "
            f"{row['customers_per_second']:.0f} customers/s"
        )
    return {"threads": threads, "seed": seed, "sizes": results}
