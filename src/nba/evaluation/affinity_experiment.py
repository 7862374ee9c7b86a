"""Affinity on a dated purchase log: every method beside the two-stage model, at each cut-off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import numpy as np
import polars as pl

from nba.errors import InputRefusedError
from nba.evaluation.affinity import RankingTask, Recommendations, compare
from nba.evaluation.pace import Pace
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.scores import homes
from nba.models.base import ModelInputs
from nba.models.purchases import PurchaseLog, day_number

DATED: Final = TwoStageConfig()
Methods = Mapping[str, Callable[[RankingTask], Recommendations]]


def _no_more(task: RankingTask) -> Methods:
    return {}


def run_affinity_experiment(
    purchases: pl.DataFrame,
    *,
    cutoffs: Sequence[date],
    products: pl.DataFrame | None = None,
    config: TwoStageConfig = DATED,
    seed: int = 0,
    horizon: int = 60,
    min_baskets: int = 3,
    others: Callable[[RankingTask], Methods] = _no_more,
    pace: Pace | None = None,
) -> dict[str, Any]:
    """Compare all methods on a dated purchase log, at each cut-off.

    Parameters
    ----------
    purchases : polars.DataFrame
        `customer_id`, `product_id`, `ts`, and where there are any `quantity`, `amount`, `name`,
        `category`. Rows with a quantity of zero or less are left out.
    cutoffs : sequence of date
        Everything is learned strictly before; the target is the first basket within `horizon`
        days, of customers with `min_baskets` before.
    products : polars.DataFrame, optional
        `product_id` with `name`, `category`, `brand`. Default: the latest row of `purchases`
        before the cut-off.
    config : TwoStageConfig
    seed : int
    horizon : int
        Days.
    min_baskets : int
    others : callable
        Gives further methods by name for a task.
    pace : Pace, optional
        Says what is done; what is left out when its time is up.

    Raises
    ------
    InputRefusedError
        When nobody can be asked about at a cut-off.
    """
    log = PurchaseLog.from_purchases(purchases)
    everyone = np.ones(log.n_customers, dtype=bool)
    reports: dict[str, Any] = {}
    for moment in cutoffs:
        catalogue = Catalogue.build(log.product_ids, _known(purchases, products, moment))
        start = datetime(moment.year, moment.month, moment.day)
        stores = homes(ModelInputs({}), purchases.filter(pl.col("ts") < start))
        task = RankingTask(
            log.with_homes(stores),
            catalogue,
            day_number(moment),
            horizon,
            everyone,
            everyone,
            min_baskets,
        )
        if not len(task.rows()):
            raise InputRefusedError(
                f"nobody can be asked about at the cut-off {moment}",
                expected=f"customers with {min_baskets} baskets before and one after",
                found="none",
                next_step="choose a cut-off inside the log",
            )
        report, _ = compare(task, config, seed=seed, others=others(task), pace=pace)
        reports[moment.isoformat()] = report
    return {"cutoffs": reports, "seed": seed}


def _known(
    purchases: pl.DataFrame, products: pl.DataFrame | None, moment: date
) -> pl.DataFrame | None:
    columns = [name for name in ("name", "category", "brand") if name in purchases.columns]
    if products is not None or not columns:
        return products
    start = datetime(moment.year, moment.month, moment.day)
    past = purchases.filter(pl.col("ts") < start).sort("ts", *columns)
    return past.group_by("product_id").agg(pl.col(columns).last())
