"""The purchases of the customers to score, reduced to what sources and features read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from nba.arrays import Ints, Reals
from nba.models.affinity.candidates.fitted import Fitted
from nba.models.affinity.candidates.sources import unit_rows
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.history.state import Pairs, customer_state, pair_state
from nba.models.affinity.ranking.lists import rank_within
from nba.models.purchases import PurchaseLog


@dataclass(frozen=True)
class History:
    """The purchases of the customers to score, reduced at the cut-off.

    Parameters
    ----------
    own_rank, own_share, own_of_best : arrays over the pairs
        Rank of the pair among the customer's own by decayed count, its share of their sum, and
        its ratio to the largest.
    own_products : array of float
        Products bought per customer.
    home : array of int
        The customer's store, -1 where it is not known.
    """

    pairs: Pairs
    own_rank: Ints
    own_share: Reals
    own_of_best: Reals
    own_products: Reals
    categories: Pairs
    category_index: sp.csr_matrix
    category_vectors: sp.csr_matrix
    customers: Reals
    home: Ints
    vectors: sp.csr_matrix
    recent: sp.csr_matrix
    last: sp.csr_matrix
    confidence: sp.csr_matrix
    index: sp.csr_matrix


def history(log: PurchaseLog, cutoff: int, fitted: Fitted, config: TwoStageConfig) -> History:
    """Reduce the purchases before `cutoff` of the customers in `log`.

    Parameters
    ----------
    log : PurchaseLog
        The purchases of the customers to score.
    cutoff : int
        Day number.
    fitted : Fitted
        Names categories and prices.
    config : TwoStageConfig
    """
    past = log.before(cutoff)
    pairs = pair_state(past, cutoff, config.half_lives, (config.season_days, config.horizon))
    categories = pair_state(past.by_category(fitted.category), cutoff, config.half_lives)
    features = customer_state(past, cutoff, fitted.log_price)
    return assemble_history(pairs, categories, features, log.home, fitted)


def assemble_history(
    pairs: Pairs, categories: Pairs, customers: Reals, home: Ints, fitted: Fitted
) -> History:
    """Return the history with the vectors that the sources read.

    Parameters
    ----------
    pairs, categories : Pairs
        Purchases per customer × product, and per customer × category.
    customers : array of float
        Shape (customers, features), in the order of `CUSTOMER_FEATURES`.
    home : array of int
        Shape (customers,): code of the store, -1 where it is not known.
    fitted : Fitted
    """
    n = len(customers)
    shape = (n, len(fitted.category))
    by_category = (n, fitted.category_trend.shape[0])
    decayed = pairs.decayed[2]
    total, best = np.bincount(pairs.customer, decayed, minlength=n), np.full(n, 1e-12)
    np.maximum.at(best, pairs.customer, decayed)
    return History(
        pairs=pairs,
        own_rank=rank_within(pairs.customer, decayed, pairs.product),
        own_share=decayed / np.maximum(total[pairs.customer], 1e-12),
        own_of_best=decayed / best[pairs.customer],
        own_products=np.bincount(pairs.customer, minlength=n).astype(np.float64),
        categories=categories,
        category_index=_positions(categories, by_category),
        category_vectors=unit_rows(categories.matrix(categories.decayed[2], by_category), order=1),
        customers=customers,
        home=home,
        vectors=unit_rows(pairs.matrix(decayed, shape)),
        recent=unit_rows(pairs.matrix(pairs.decayed[0], shape)),
        last=unit_rows(pairs.matrix((pairs.baskets_since == 0).astype(float), shape)),
        confidence=pairs.matrix(1 + pairs.decayed[3], shape),
        index=_positions(pairs, shape),
    )


def _positions(pairs: Pairs, shape: tuple[int, int]) -> sp.csr_matrix:
    """Return where each pair stands, one too high, so that a sparse zero means "never"."""
    values = np.arange(1, len(pairs.times) + 1)
    return sp.csr_matrix((values, (pairs.customer, pairs.product)), shape)
