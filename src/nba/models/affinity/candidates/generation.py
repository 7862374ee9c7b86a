"""The first stage: the candidates of customers, from all sources, with their features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import scipy.sparse as sp

from nba.arrays import Bools, Ints, Reals
from nba.models.affinity.candidates.fitted import Fitted
from nba.models.affinity.candidates.highest import mark_highest
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.history.customers import History
from nba.models.affinity.ranking.features import CandidateRows, features_of, taken

#: The sources whose scores are blended, with that of ALS, to find what is new to a customer.
BLENDED = ("item", "item_last", "neighbour", "content", "category_trend")


@dataclass(frozen=True)
class Candidates:
    """Candidates of a block of customers, sorted by customer and product.

    Parameters
    ----------
    customer : array of int
        Positions in the customers asked for.
    product : array of int
    features : array of shape (candidates, features), float32
    plain : array of float
        The score of the simple rule: own purchases by decay, and popularity.
    """

    customer: Ints
    product: Ints
    features: Reals
    plain: Reals

    def where(self, rows: Bools) -> Self:
        """Return the candidates `rows`."""
        return type(self)(
            self.customer[rows], self.product[rows], self.features[rows], self.plain[rows]
        )


def candidate_blocks(
    past: History,
    fitted: Fitted,
    config: TwoStageConfig,
    *,
    rows: Ints,
    reference: Ints,
    open_products: Bools,
) -> Iterator[Candidates]:
    """Yield the candidates of the customers `rows`, a block at a time.

    Parameters
    ----------
    rows : array of int
        Customers, as positions in `past`.
    reference : array of int
        Per customer of `past` the position among the fitted neighbours, -1 for none.
    open_products : array of bool of shape (products,)
        Products that may be brought at all.
    """
    everybody = np.zeros(len(open_products), dtype=bool)
    for order, many in (
        (fitted.popular, config.popular_candidates),
        (fitted.season, config.season_candidates),
        (fitted.new, config.new_candidates),
    ):
        everybody[order[open_products[order]][:many]] = True
    for start in range(0, len(rows), config.chunk_customers):
        block = rows[start : start + config.chunk_customers]
        candidates = _block(
            past,
            fitted,
            config,
            rows=block,
            reference=reference,
            everybody=everybody,
            open_products=open_products,
        )
        yield replace(candidates, customer=candidates.customer + start)


def _block(
    past: History,
    fitted: Fitted,
    config: TwoStageConfig,
    *,
    rows: Ints,
    reference: Ints,
    everybody: Bools,
    open_products: Bools,
) -> Candidates:
    """Return the candidates of the customers `rows`, numbered from 0."""
    scores = source_scores(past, fitted, rows, reference)
    factors = fitted.factors.fold_in(past.confidence[rows])
    als = factors.astype(np.float32) @ fitted.factors.products.T
    own = past.index[rows]
    blend = _blend(scores, als)
    chosen = _of_stores(past.home[rows], fitted.store_trend, config.store_candidates)
    _choose(chosen, past, config, own, blend)
    chosen |= everybody
    chosen &= open_products
    line, product = np.divmod(np.flatnonzero(chosen), chosen.shape[1])
    candidates = CandidateRows(
        line=line,
        row=rows[line],
        product=product,
        pair=taken(own.toarray(), line, product).astype(np.int64) - 1,
        blend=taken(blend, line, product),
        als=np.einsum("ij,ij->i", factors[line], fitted.factors.products[product]),
    )
    decayed = np.append(past.pairs.decayed[2], 0.0)[candidates.pair]  # -1, never bought, is 0
    plain = decayed + config.popularity_weight * fitted.popular_share[product]
    features = features_of(candidates, past, fitted, scores, rows)
    return Candidates(line, product, features, plain)


def source_scores(past: History, fitted: Fitted, rows: Ints, reference: Ints) -> dict[str, Reals]:
    """Return the scores of each source, customers × products.

    Parameters
    ----------
    past : History
    fitted : Fitted
    rows : array of int
        Customers of `past`.
    reference : array of int
        Per customer of `past` the position among the fitted neighbours, -1 for none.
    """
    scores = {
        "item": (past.vectors[rows] @ fitted.item).toarray(),
        "item_recent": (past.recent[rows] @ fitted.item).toarray(),
        "item_last": (past.last[rows] @ fitted.basket_item).toarray(),
        "neighbour": fitted.neighbours.scores(past.vectors[rows], reference[rows]),
    }
    if fitted.content.nnz:
        scores["content"] = (past.vectors[rows] @ fitted.content).toarray()
    if fitted.category_trend.nnz:
        scores["category_trend"] = (past.category_vectors[rows] @ fitted.category_trend).toarray()
    if fitted.store_trend.nnz:
        scores["store_trend"] = _of_home(past.home[rows], fitted.store_trend)
    return scores


def _of_home(home: Ints, trend: sp.csr_matrix) -> Reals:
    scores = trend[np.maximum(home, 0)].toarray()
    scores[home < 0] = np.nan
    return np.asarray(scores)


def _blend(scores: dict[str, Reals], als: Reals) -> Reals:
    """Return the sum of the sources, each over its best score for the customer."""
    blend, part = np.zeros(als.shape, dtype=np.float32), np.empty(als.shape, dtype=np.float32)
    for block in (*(scores[name] for name in BLENDED if name in scores), als):
        np.multiply(block, 1.0 / np.maximum(block.max(axis=1, keepdims=True), 1e-9), out=part)
        blend += part
    return blend


def _of_stores(home: Ints, trend: sp.csr_matrix, k: int) -> Bools:
    """Return what sells best of late in each customer's store: customers × products."""
    stores, at = np.unique(home, return_inverse=True)
    best = np.zeros((len(stores), trend.shape[1]), dtype=bool)
    known = np.flatnonzero(stores >= 0)  # sorted: who has no store stands first
    highest = np.zeros((len(known), trend.shape[1]), dtype=bool)
    mark_highest(highest, trend[stores[known]].toarray(), k)
    best[known] = highest
    return best[at]


def _choose(
    chosen: Bools, past: History, config: TwoStageConfig, own: sp.csr_matrix, blend: Reals
) -> None:
    """Mark further candidates, customers × products; what was bought has its own rule alone."""
    line = np.repeat(np.arange(own.shape[0]), np.diff(own.indptr))
    new = blend.copy()
    new[line, own.indices] = 0
    mark_highest(chosen, new, config.explore_candidates)
    chosen[line, own.indices] = past.own_rank[own.data - 1] < config.repeat_candidates
