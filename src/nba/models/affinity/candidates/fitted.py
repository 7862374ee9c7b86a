"""The sources as fitted at a cut-off, on what was bought before it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from nba.arrays import Ints, Reals
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.affinity.candidates.sources import (
    Factors,
    Neighbours,
    cosine_neighbours,
    fit_als,
    keep_top,
    unit_rows,
)
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.history.state import Products, pair_state, product_log_price, product_state
from nba.models.purchases import PurchaseLog

#: How many products are kept per store and per category as its trend.
_TREND_PRODUCTS = 100


@dataclass(frozen=True)
class Fitted:
    """The sources as fitted on the purchases of reference customers before a cut-off.

    Parameters
    ----------
    item, basket_item, content : (products, products) sparse matrices
        Alikeness by customers, by baskets, and by text.
    category_trend, store_trend : (categories or stores, products) sparse matrices
        Shares of what was sold lately in the category or store.
    popular, season, new : arrays of int
        Products, best first.
    buyer_share : array of float
        Share of the recent baskets that hold the product.
    """

    products: Products
    log_price: Reals
    item: sp.csr_matrix
    basket_item: sp.csr_matrix
    content: sp.csr_matrix
    category_trend: sp.csr_matrix
    store_trend: sp.csr_matrix
    category: Ints
    factors: Factors
    neighbours: Neighbours
    popular: Ints
    season: Ints
    new: Ints
    buyer_share: Reals

    @cached_property
    def popular_share(self) -> Reals:
        """What sells now per product, as a share of the best seller's."""
        now = self.products.popularity
        return np.asarray(now / max(float(now.max(initial=0.0)), 1e-9))

    @cached_property
    def tie(self) -> Ints:
        """Place of each product by popularity, then by id: what orders equal scores."""
        return np.argsort(np.argsort(-self.popular_share, kind="stable"), kind="stable")


def fit_sources(
    log: PurchaseLog, catalogue: Catalogue, cutoff: int, config: TwoStageConfig, seed: int
) -> Fitted:
    """Fit all sources on the rows of `log` before `cutoff`.

    Parameters
    ----------
    log : PurchaseLog
        Rows from `cutoff` on are not read.
    catalogue : Catalogue
        What is known of the products of the log's code space without sales.
    cutoff : int
        Day number.
    config : TwoStageConfig
    seed : int
        Draws the reference customers, and the first ALS factors.
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
    recent = past.where(past.day >= cutoff - config.windows[2])
    paid = product_log_price(past)
    return Fitted(
        products=products,
        log_price=np.where(np.isnan(paid), catalogue.log_price, paid),
        item=cosine_neighbours(
            pairs.matrix(np.ones(len(pairs.times)), shape), config.item_neighbours
        ),
        basket_item=cosine_neighbours(past.baskets(), config.item_neighbours),
        content=catalogue.similar,
        category_trend=_trend(
            catalogue.category[recent.product], len(catalogue.categories), recent
        ),
        store_trend=_trend(log.home[recent.customer], len(log.store_ids), recent),
        category=catalogue.category,
        factors=Factors(factors, config.als_regularization),
        neighbours=Neighbours(unit_rows(vectors[known]), known, config.neighbours),
        popular=order,
        season=_season(products),
        new=order[products.is_new[order]],
        buyer_share=_buyer_share(past.where(past.day >= cutoff - config.horizon)),
    )


def _trend(group: Ints, n_groups: int, recent: PurchaseLog) -> sp.csr_matrix:
    """Return the shares of recent sales per group; `group` per row of `recent`, -1 for none."""
    known = group >= 0
    sales = sp.csr_matrix(
        (np.ones(int(known.sum()), np.float32), (group[known], recent.product[known])),
        (max(n_groups, 1), recent.n_products),
    )
    return keep_top(unit_rows(sales, order=1), _TREND_PRODUCTS)


def _buyer_share(recent: PurchaseLog) -> Reals:
    """Return per product the share of the baskets that hold it."""
    baskets = max(int(recent.basket_counts().sum()), 1)
    return np.bincount(recent.product, minlength=recent.n_products) / baskets


def _season(products: Products) -> Ints:
    """Return the products that sold in this season a year ago and still sell, best first."""
    sales = products.values[:, products.names.index("product_season_sales")]
    recent = products.values[:, 2] > 0
    order = np.argsort(-np.nan_to_num(sales), kind="stable")
    return order[(np.nan_to_num(sales)[order] > 0) & recent[order]]
