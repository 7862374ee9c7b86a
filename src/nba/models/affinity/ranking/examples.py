"""What the rankers learn from: candidates at past cut-offs, and what was bought next."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from nba.arrays import Ints
from nba.models.affinity.candidates.fitted import Fitted, fit_sources
from nba.models.affinity.candidates.generation import candidate_blocks
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.history.customers import history
from nba.models.affinity.ranking.ranker import Examples
from nba.models.blas import one_blas_thread
from nba.models.purchases import PurchaseLog


def past_cutoffs(log: PurchaseLog, cutoff: int, config: TwoStageConfig) -> list[int]:
    """Return the cut-offs to learn from, the newest first.

    The targets of each lie before `cutoff`: a cut-off nearer than the horizon knows the baskets
    of those who came soon. The season of now a year ago teaches what the last months cannot:
    how tastes move at this time of the year.
    """
    recent = [cutoff - days for days in config.cutoff_days]
    earliest = int(log.day.min(initial=cutoff)) + config.season_days // 2
    season = [
        cutoff - config.season_days + number * config.cutoff_step
        for number in range(config.year_ago_cutoffs)
    ]
    return recent + [moment for moment in season if earliest <= moment < recent[-1]]


def past_examples(
    log: PurchaseLog, catalogue: Catalogue, cutoff: int, config: TwoStageConfig, seed: int
) -> list[Examples]:
    """Return the examples of all past cut-offs with any, the newest first.

    Parameters
    ----------
    log : PurchaseLog
    catalogue : Catalogue
    cutoff : int
        Day number; what follows it is never looked at.
    config : TwoStageConfig
    seed : int
        Draws customers, and thins what was not bought.
    """
    moments = past_cutoffs(log, cutoff, config)
    log = _drawn(log, config.source_customers, seed)
    most = config.learn_rows // max(len(moments), 1)

    def at(moment: int) -> Examples | None:
        examples = examples_at(log, catalogue, moment, config, seed)
        return None if examples is None else examples.thinned(most, seed)

    with one_blas_thread(), ThreadPoolExecutor(config.workers) as pool:
        return [part for part in pool.map(at, moments) if part is not None and len(part.label)]


def _drawn(log: PurchaseLog, most: int, seed: int) -> PurchaseLog:
    """Return what a seeded sample of `most` customers bought, in a code space of their own."""
    bought = np.flatnonzero(np.bincount(log.customer, minlength=log.n_customers))
    if len(bought) <= most:
        return log
    drawn = np.sort(np.random.default_rng(seed).choice(bought, most, replace=False))
    chosen = np.zeros(log.n_customers, dtype=bool)
    chosen[drawn] = True
    fewer = log.of(chosen)
    return replace(
        fewer,
        customer_ids=log.customer_ids.gather(drawn),
        customer=np.searchsorted(drawn, fewer.customer),
        home=log.home[drawn],
    )


def examples_at(
    log: PurchaseLog, catalogue: Catalogue, cutoff: int, config: TwoStageConfig, seed: int
) -> Examples | None:
    """Return candidates and labels at a past cut-off, None where nobody bought.

    Parameters
    ----------
    log : PurchaseLog
    catalogue : Catalogue
    cutoff : int
        Day number, in the past: the labels are what was bought in the horizon after it.
    config : TwoStageConfig
    seed : int
        Draws the customers where there are more than `config.learn_customers`.
    """
    target = log.next_baskets(cutoff, config.horizon)
    enough = log.before(cutoff).basket_counts() >= config.min_baskets
    buys = np.bincount(target.customer, minlength=log.n_customers) > 0
    rows = np.flatnonzero(enough & buys)
    if not len(rows):
        return None
    if len(rows) > config.learn_customers:
        generator = np.random.default_rng([seed, abs(cutoff)])
        rows = np.sort(generator.choice(rows, config.learn_customers, replace=False))
    fitted = fit_sources(log, catalogue, cutoff, config, seed)
    blocks = list(
        candidate_blocks(
            history(log, cutoff, fitted, config),
            fitted,
            config,
            rows=rows,
            reference=reference_of(fitted, log.n_customers),
            open_products=fitted.products.sold,
        )
    )
    bought = np.unique(target.customer * log.n_products + target.product)
    customer = rows[np.concatenate([block.customer for block in blocks])]
    product = np.concatenate([block.product for block in blocks])
    examples = Examples(
        customer,
        np.vstack([block.features for block in blocks]),
        np.isin(customer * log.n_products + product, bought),
        np.concatenate([block.plain for block in blocks]),
        whole=bool(log.day.max(initial=cutoff) >= cutoff + config.horizon - 1),
    )
    kept = examples.of(np.ones(len(customer), dtype=bool))
    return replace(kept, found=len(np.unique(kept.customer)) / len(rows))


def reference_of(fitted: Fitted, n_customers: int) -> Ints:
    """Return the position of each customer among the fitted neighbours, -1 for none."""
    position = np.full(n_customers, -1)
    position[fitted.neighbours.customers] = np.arange(len(fitted.neighbours.customers))
    return position
