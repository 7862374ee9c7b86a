"""Ta-Feng by the protocol of "A Next Basket Recommendation Reality Check"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Final

import numpy as np
import polars as pl

from experiments.common.affinity_cornac import cornac_methods
from experiments.common.data import read_public
from experiments.common.shipped import shipped_affinity
from nba.arrays import Bools
from nba.evaluation.affinity import RankingTask, compare
from nba.jobs.affinity_report import short
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.affinity.config import TwoStageConfig
from nba.models.purchases import PurchaseLog

#: A log of baskets without time: days are baskets, counted from the end.
ORDER_ONLY: Final = TwoStageConfig(
    cutoff_days=(1,),
    year_ago_cutoffs=0,
    horizon=1,
    min_baskets=1,
    half_lives=(1.0, 3.0, 8.0, 1000.0),
    windows=(1, 2, 4, 16),
    season_days=10_000,
    new_days=0,
    new_candidates=0,
    popular_candidates=40,
    reference_customers=20_000,
    learn_customers=20_000,
    threads=1,
)
#: Days of the train customers' purchases, from the last basket on, that may be learned from.
PROTOCOLS: Final = {"honest": 0, "full": 1}
BARS: Final = {"recall@10": 0.168, "ndcg@10": 0.145}


def tafeng_log() -> PurchaseLog:
    """Return Ta-Feng with the last basket of each customer on day 0, the one before on day −1."""
    table = read_public("tafeng_nbr", "basket_items.parquet")
    index = pl.col("basket_index").cast(pl.Int64)
    return PurchaseLog.from_purchases(
        table.select(
            pl.col("user_id").alias("customer_id"),
            pl.col("item_id").cast(pl.String).alias("product_id"),
            (index - index.max().over("user_id")).alias("day"),
        )
    )


def reality_check_split(n: int, seed: int) -> tuple[Bools, Bools, Bools]:
    """Return masks of the first 72 %, the next 8 %, and the last 20 % of shuffled customers."""
    order = np.random.default_rng(seed).permutation(n)
    part = np.searchsorted([int(0.72 * n), int(0.80 * n)], np.arange(n), side="right")
    group = np.empty(n, dtype=np.int64)
    group[order] = part
    return group == 0, group == 1, group == 2


def affinity_tafeng(
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    protocols: Sequence[str] = tuple(PROTOCOLS),
    processes: int = 2,
    ships: bool = False,
) -> dict[str, Any]:
    """Run the Reality Check protocol, as an honest forecast and in full.

    The honest forecast learns from second-last baskets: nothing is taken from anyone's last
    basket. The full protocol also learns from the last baskets of the train customers.

    Parameters
    ----------
    seeds : sequence of int
    protocols : sequence of str
        Of `honest` and `full`.
    processes : int
    ships : bool
        Learn from no more rows and customers than `models/affinity.yaml` says (those of all its
        cut-offs together), without cornac.
    """
    found: dict[str, Any] = {}
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for protocol in protocols:
            runs = list(pool.map(_one_seed, [(protocol, seed, ships) for seed in seeds]))
            found[protocol] = {
                part: _over_seeds([{name: run[name][part] for name in run} for run in runs])
                for part in ("test", "validation")
            }
    return {"protocols": found, "seeds": list(seeds), "bars": BARS}


def _one_seed(task: tuple[str, int, bool]) -> dict[str, Any]:
    """Return method → part → metric for one protocol and seed."""
    protocol, seed, ships = task
    log = tafeng_log()
    catalogue = Catalogue.build(log.product_ids, None)
    train, validation, test = reality_check_split(log.n_customers, seed)
    ranking_task = RankingTask(
        log, catalogue, 0, 1, train, test | validation, 1, knowledge=PROTOCOLS[protocol]
    )
    # cornac takes what is before the cut-off only, so it stands beside the honest forecast.
    others = {} if PROTOCOLS[protocol] or ships else cornac_methods(ranking_task)
    small = shipped_affinity()
    # one cut-off has to teach what the file learns at several
    learned = small.learn_customers * len(small.cutoff_days)
    sizes = {"learn_rows": small.learn_rows, "learn_customers": learned}
    config = ORDER_ONLY.model_copy(update=sizes if ships else {})
    _, raw = compare(ranking_task, config, seed=seed, others=others)
    in_test = test[ranking_task.rows()]
    found = {
        name: {
            part: {metric: float(np.nanmean(values[mask])) for metric, values in metrics.items()}
            for part, mask in (("test", in_test), ("validation", ~in_test))
        }
        for name, metrics in raw.items()
    }
    print(protocol, "seed", seed, short(found["two_stage"]["test"]), flush=True)
    return found


def _over_seeds(runs: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Return mean and standard deviation over seeds per method and metric."""
    spread = 1 if len(runs) > 1 else 0
    return {
        method: {
            metric: [
                round(float(np.mean(values)), 4),
                round(float(np.std(values, ddof=spread)), 4),
            ]
            for metric in runs[0][method]
            for values in [[run[method][metric] for run in runs]]
        }
        for method in runs[0]
    }
