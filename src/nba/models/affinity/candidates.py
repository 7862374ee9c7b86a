"""The first stage: sources fitted at a cut-off, candidates of customers, and their features.

Features come in blocks: of the pair, of the product, of the customer, of the sources, and of
how the product fits the moment and the price. A feature that does not apply is NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from nba.models.affinity.catalogue import Catalogue
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.lists import rank_within
from nba.models.affinity.log import Bools, Floats, Ints, PurchaseLog
from nba.models.affinity.sources import (
    Block,
    Factors,
    Neighbours,
    cosine_neighbours,
    fit_als,
)
from nba.models.affinity.state import (
    CUSTOMER_FEATURES,
    Pairs,
    Products,
    customer_state,
    pair_state,
    product_log_price,
    product_state,
)

SOURCE_NAMES = ("item", "item_recent", "item_last", "neighbour", "content")
#: The sources whose scores are blended, with that of ALS, to find what is new to a customer.
BLENDED = ("item", "item_last", "neighbour", "content")
PAIR_FEATURES = (
    "times_bought",
    "days_since_pair",
    "days_since_pair_first",
    "baskets_since_pair",
    "decayed_0",
    "decayed_1",
    "decayed_2",
    "decayed_3",
    "pair_gap_days",
    "pair_overdue_ratio",
    "pair_basket_share",
    "pair_product_overdue",
    "pair_season_times",
)
CATEGORY_FEATURES = (
    "category_times",
    "category_share",
    "days_since_category",
    "category_gap_days",
    "category_due_ratio",
)
CROSS_FEATURES = ("price_distance", "price_z", "als", "is_repeat")


@dataclass(frozen=True)
class Fitted:
    """The sources as fitted on the purchases of reference customers before a cut-off."""

    products: Products
    log_price: Floats
    item: sp.csr_matrix
    basket_item: sp.csr_matrix
    content: sp.csr_matrix
    category: Ints
    factors: Factors
    neighbours: Neighbours
    popular: Ints
    season: Ints
    new: Ints
    buyer_share: Floats


def fit_sources(
    log: PurchaseLog, catalogue: Catalogue, cutoff: int, config: TwoStageConfig, seed: int
) -> Fitted:
    """Fit all sources on the rows of `log` before `cutoff`.

    `catalogue` says what is known of the products of the log's code space without sales.
    """
    past = log.before(cutoff)
    pairs = pair_state(past, cutoff, config.half_lives)
    shape = (log.n_customers, log.n_products)
    products = product_state(
        past,
        pairs,
        cutoff,
        windows=config.windows,
        season=(config.season_days, config.horizon),
        new_days=config.new_days,
    )
    vectors = pairs.matrix(pairs.decayed[2], shape)
    known = np.flatnonzero(np.diff(vectors.indptr))
    if len(known) > config.reference_customers:
        known = np.random.default_rng(seed).choice(known, config.reference_customers, replace=False)
        known.sort()
    order = np.argsort(-products.popularity, kind="stable")
    order = order[products.sold[order]]
    factors = fit_als(
        pairs.matrix(1 + pairs.decayed[3], shape),
        factors=config.als_factors,
        iterations=config.als_iterations,
        regularization=config.als_regularization,
        seed=seed,
    )
    return Fitted(
        products=products,
        log_price=product_log_price(past),
        item=cosine_neighbours(
            pairs.matrix(np.ones(len(pairs.times)), shape), config.item_neighbours
        ),
        basket_item=cosine_neighbours(_baskets(past), config.item_neighbours),
        content=catalogue.similar,
        category=catalogue.category,
        factors=Factors(factors, config.als_regularization),
        neighbours=Neighbours(_unit(vectors[known]), known, config.neighbours),
        popular=order,
        season=_season(products),
        new=order[products.is_new[order]],
        buyer_share=_buyer_share(past.where(past.day >= cutoff - config.horizon)),
    )


def _buyer_share(recent: PurchaseLog) -> Floats:
    """Return per product the share of the baskets that hold it."""
    baskets = max(int(recent.basket_counts().sum()), 1)
    return np.bincount(recent.product, minlength=recent.n_products) / baskets


def _season(products: Products) -> Ints:
    """Return the products that sold in this season a year ago and still sell, best first."""
    sales = products.values[:, products.names.index("product_season_sales")]
    recent = products.values[:, 2] > 0
    order = np.argsort(-np.nan_to_num(sales), kind="stable")
    return order[(np.nan_to_num(sales)[order] > 0) & recent[order]]


def _baskets(log: PurchaseLog) -> sp.csr_matrix:
    offset = np.concatenate([[0], np.cumsum(log.basket_counts())[:-1]])
    basket = offset[log.customer] + log.basket_index()
    n = int(basket.max(initial=-1)) + 1
    return sp.csr_matrix(
        (np.ones(len(log), np.float32), (basket, log.product)), (n, log.n_products)
    )


def _unit(matrix: sp.csr_matrix) -> sp.csr_matrix:
    norm = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return (
        sp.diags(np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)) @ matrix
    ).tocsr()


@dataclass(frozen=True)
class Candidates:
    """Candidates of a block of customers, sorted by customer and product.

    Parameters
    ----------
    customer : array of int
        Positions in the customers asked for.
    product : array of int
    features : array of shape (candidates, features), float32
    """

    customer: Ints
    product: Ints
    features: Floats


def feature_names(fitted: Fitted) -> tuple[str, ...]:
    """Return the names of the candidate features, in order."""
    return (
        *PAIR_FEATURES,
        *fitted.products.names,
        *CUSTOMER_FEATURES,
        *SOURCE_NAMES,
        *CATEGORY_FEATURES,
        *CROSS_FEATURES,
    )


@dataclass(frozen=True)
class History:
    """The purchases of the customers to score, reduced at the cut-off.

    `own_rank` ranks each customer's pairs by decayed count.
    """

    pairs: Pairs
    own_rank: Ints
    categories: Pairs
    category_index: sp.csr_matrix
    customers: Floats
    vectors: sp.csr_matrix
    recent: sp.csr_matrix
    last: sp.csr_matrix
    confidence: sp.csr_matrix
    index: sp.csr_matrix


def history(log: PurchaseLog, cutoff: int, fitted: Fitted, config: TwoStageConfig) -> History:
    """Reduce the purchases before `cutoff` of the customers in `log`."""
    past = log.before(cutoff)
    pairs = pair_state(past, cutoff, config.half_lives, (config.season_days, config.horizon))
    categories = pair_state(past.by_category(fitted.category), cutoff, config.half_lives)
    features = customer_state(past, cutoff, fitted.log_price)
    return assemble_history(pairs, categories, features, fitted)


def assemble_history(pairs: Pairs, categories: Pairs, customers: Floats, fitted: Fitted) -> History:
    """Return the history with the vectors that the sources read."""
    n = len(customers)
    shape = (n, len(fitted.category))
    return History(
        pairs=pairs,
        own_rank=rank_within(pairs.customer, pairs.decayed[2], pairs.product),
        categories=categories,
        category_index=_positions(categories, (n, int(fitted.category.max(initial=0)) + 1)),
        customers=customers,
        vectors=_unit(pairs.matrix(pairs.decayed[2], shape)),
        recent=_unit(pairs.matrix(pairs.decayed[0], shape)),
        last=_unit(pairs.matrix((pairs.baskets_since == 0).astype(float), shape)),
        confidence=pairs.matrix(1 + pairs.decayed[3], shape),
        index=_positions(pairs, shape),
    )


def _positions(pairs: Pairs, shape: tuple[int, int]) -> sp.csr_matrix:
    """Return where each pair stands, one too high, so that a sparse zero means "never"."""
    values = np.arange(1, len(pairs.times) + 1)
    return sp.csr_matrix((values, (pairs.customer, pairs.product)), shape)


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
    for start in range(0, len(rows), config.chunk_customers):
        block = rows[start : start + config.chunk_customers]
        found = _block(past, fitted, config, block, reference[block], open_products)
        yield Candidates(found.customer + start, found.product, found.features)


def _block(
    past: History,
    fitted: Fitted,
    config: TwoStageConfig,
    rows: Ints,
    reference: Ints,
    open_products: Bools,
) -> Candidates:
    scores = _source_scores(past, fitted, rows, reference)
    user_factors = fitted.factors.fold_in(past.confidence[rows])
    als = user_factors.astype(np.float32) @ fitted.factors.products.T
    own = past.index[rows]
    chosen = _choose(past, fitted, config, own, scores, als)
    chosen &= open_products
    customer, product = np.nonzero(chosen)
    pair = own.toarray()[customer, product].astype(np.int64) - 1
    als_exact = np.einsum(
        "ij,ij->i", user_factors[customer], fitted.factors.products[product].astype(np.float64)
    )
    features = np.hstack(
        [
            _pair_features(past, fitted, rows[customer], product, pair),
            fitted.products.values[product],
            past.customers[rows[customer]],
            np.column_stack([scores[name][customer, product] for name in SOURCE_NAMES]),
            _category_features(past, fitted, rows, customer, product),
            _cross_features(past, fitted, rows[customer], product, pair, als_exact),
        ]
    ).astype(np.float32)
    return Candidates(customer, product, features)


def _source_scores(past: History, fitted: Fitted, rows: Ints, reference: Ints) -> dict[str, Block]:
    return {
        "item": (past.vectors[rows] @ fitted.item).toarray(),
        "item_recent": (past.recent[rows] @ fitted.item).toarray(),
        "item_last": (past.last[rows] @ fitted.basket_item).toarray(),
        "neighbour": fitted.neighbours.scores(past.vectors[rows], reference),
        "content": (past.vectors[rows] @ fitted.content).toarray(),
    }


def _choose(
    past: History,
    fitted: Fitted,
    config: TwoStageConfig,
    own: sp.csr_matrix,
    scores: dict[str, Block],
    als: Block,
) -> Bools:
    """Return which products are candidates, customers × products."""
    chosen = np.zeros(own.shape, dtype=bool)
    if own.nnz:
        line = np.repeat(np.arange(own.shape[0]), np.diff(own.indptr))
        blend = np.zeros(own.shape, dtype=np.float32)
        for block in (*(scores[name] for name in BLENDED), als):
            blend += block * (1.0 / np.maximum(block.max(axis=1, keepdims=True), 1e-9))
        blend[line, own.indices] = 0
        _add(chosen, blend, config.explore_candidates)
        kept = past.own_rank[own.data - 1] < config.repeat_candidates
        chosen[line[kept], own.indices[kept]] = True
    chosen[:, fitted.popular[: config.popular_candidates]] = True
    chosen[:, fitted.season[: config.season_candidates]] = True
    chosen[:, fitted.new[: config.new_candidates]] = True
    return chosen


def _add(chosen: Bools, scores: Block, k: int) -> None:
    """Mark per row the `k` highest positive scores, and what ties with the last of them."""
    if k:
        k = min(k, scores.shape[1])
        bar = np.partition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k]
        np.logical_or(chosen, scores >= np.maximum(bar, 1e-9)[:, None], out=chosen)


def _pair_features(past: History, fitted: Fitted, row: Ints, product: Ints, pair: Ints) -> Floats:
    pairs, bought = past.pairs, pair >= 0
    at = pair[bought]
    columns = np.full((len(row), len(PAIR_FEATURES)), np.nan, dtype=np.float32)
    product_gap = fitted.products.values[:, fitted.products.names.index("product_gap_days")]
    baskets = past.customers[row[bought], CUSTOMER_FEATURES.index("customer_baskets")]
    gap = pairs.gap_of(at)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns[bought] = np.column_stack(
            [
                pairs.times[at],
                pairs.since_last[at],
                pairs.since_first[at],
                pairs.baskets_since[at],
                *(decayed[at] for decayed in pairs.decayed),
                gap,
                pairs.since_last[at] / gap,
                pairs.times[at] / baskets,
                pairs.since_last[at] / product_gap[product[bought]],
                pairs.season[at],
            ]
        )
    columns[~bought, :1] = 0
    columns[~bought, 4:8] = 0
    return columns


def _category_features(
    past: History, fitted: Fitted, rows: Ints, line: Ints, product: Ints
) -> Floats:
    """Return what the customer bought of the product's category, and whether it is due."""
    columns = np.full((len(line), len(CATEGORY_FEATURES)), np.nan, dtype=np.float32)
    category = fitted.category[product]
    known = category >= 0
    place = past.category_index[rows].toarray()[line, np.maximum(category, 0)].astype(int) - 1
    bought = known & (place >= 0)
    columns[known, :2] = 0
    at, categories = place[bought], past.categories
    baskets = past.customers[rows[line[bought]], CUSTOMER_FEATURES.index("customer_baskets")]
    gap = categories.gap_of(at)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns[bought] = np.column_stack(
            [
                categories.times[at],
                categories.times[at] / baskets,
                categories.since_last[at],
                gap,
                categories.since_last[at] / gap,
            ]
        )
    return columns


def _cross_features(
    past: History, fitted: Fitted, row: Ints, product: Ints, pair: Ints, als: Floats
) -> Floats:
    customers = past.customers[row]
    centre = customers[:, CUSTOMER_FEATURES.index("customer_log_price")]
    spread = customers[:, CUSTOMER_FEATURES.index("customer_log_price_sd")]
    distance = fitted.log_price[product] - centre
    return np.column_stack([distance, distance / np.maximum(spread, 0.1), als, pair >= 0])
