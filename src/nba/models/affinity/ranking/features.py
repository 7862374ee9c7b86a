"""The features of candidates: of pair, product, customer, sources, category, moment and price.

A feature that does not apply is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from nba.arrays import Ints, Reals
from nba.models.affinity.candidates.fitted import Fitted
from nba.models.affinity.history.customers import History
from nba.models.affinity.history.state import CUSTOMER_FEATURES
from nba.models.affinity.ranking.lists import rank_within

SOURCE_NAMES = (
    "item",
    "item_recent",
    "item_last",
    "neighbour",
    "content",
    "category_trend",
    "store_trend",
)
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
    "pair_own_rank",
    "pair_own_share",
    "pair_own_of_best",
)
CATEGORY_FEATURES = (
    "category_times",
    "category_share",
    "days_since_category",
    "category_gap_days",
    "category_due_ratio",
)
CROSS_FEATURES = (
    "own_products",
    "price_distance",
    "price_z",
    "blend",
    "blend_rank",
    "als",
    "is_repeat",
)


def feature_names(fitted: Fitted) -> tuple[str, ...]:
    """Return the names of the candidate features, in order; the last says "bought before"."""
    return (
        *PAIR_FEATURES,
        *fitted.products.names,
        *CUSTOMER_FEATURES,
        *SOURCE_NAMES,
        *CATEGORY_FEATURES,
        *CROSS_FEATURES,
    )


@dataclass(frozen=True)
class CandidateRows:
    """Candidates of a block, before their features.

    Parameters
    ----------
    line : array of int
        The customer's place in the block.
    row : array of int
        The customer's place in the history.
    product, pair : arrays of int
        The product, and the place of the pair in the history, -1 for never bought.
    blend, als : arrays of float
        The blended score of all sources, and that of ALS.
    """

    line: Ints
    row: Ints
    product: Ints
    pair: Ints
    blend: Reals
    als: Reals


def features_of(
    candidates: CandidateRows, past: History, fitted: Fitted, scores: dict[str, Reals], rows: Ints
) -> npt.NDArray[np.float32]:
    """Return the features of the candidates, shape (candidates, features).

    Parameters
    ----------
    candidates : CandidateRows
    past, fitted : History, Fitted
        Of the same cut-off.
    scores : dict of str to array of float
        By source, shape (rows, products).
    rows : array of int
        The customers of the block: rows of `past`.
    """
    blocks = (
        _pair_features(candidates, past, fitted),
        fitted.products.values.take(candidates.product, axis=0),
        past.customers.take(candidates.row, axis=0),
        _source_features(candidates, scores),
        _category_features(candidates, past, fitted, rows),
        _cross_features(candidates, past, fitted),
    )
    width = sum(block.shape[1] for block in blocks)
    table = np.empty((len(candidates.line), width), dtype=np.float32)
    start = 0
    for block in blocks:
        table[:, start : start + block.shape[1]] = block
        start += block.shape[1]
    return table


def _pair_features(candidates: CandidateRows, past: History, fitted: Fitted) -> Reals:
    pairs, bought = past.pairs, candidates.pair >= 0
    at, product = candidates.pair[bought], candidates.product[bought]
    columns = np.full((len(candidates.row), len(PAIR_FEATURES)), np.nan, dtype=np.float32)
    product_gap = fitted.products.values[:, fitted.products.names.index("product_gap_days")]
    baskets = past.customers[candidates.row[bought], CUSTOMER_FEATURES.index("customer_baskets")]
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
                pairs.since_last[at] / product_gap[product],
                pairs.season[at],
                past.own_rank[at],
                past.own_share[at],
                past.own_of_best[at],
            ]
        )
    columns[~bought, :1] = 0
    columns[~bought, 4:8] = 0
    return columns


def _source_features(candidates: CandidateRows, scores: dict[str, Reals]) -> Reals:
    columns = np.full((len(candidates.line), len(SOURCE_NAMES)), np.nan, dtype=np.float32)
    for place, name in enumerate(SOURCE_NAMES):
        if name in scores:
            columns[:, place] = taken(scores[name], candidates.line, candidates.product)
    return columns


def _category_features(
    candidates: CandidateRows, past: History, fitted: Fitted, rows: Ints
) -> Reals:
    """Return what the customer bought of the product's category, and whether it is due."""
    columns = np.full((len(candidates.line), len(CATEGORY_FEATURES)), np.nan, dtype=np.float32)
    category = fitted.category[candidates.product]
    known = category >= 0
    if not known.any():
        return columns
    place = _lookup(past.category_index[rows], candidates.line, np.maximum(category, 0)) - 1
    bought = known & (place >= 0)
    columns[known, :2] = 0
    at, categories = place[bought], past.categories
    baskets = past.customers[candidates.row[bought], CUSTOMER_FEATURES.index("customer_baskets")]
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


def _lookup(matrix: sp.csr_matrix, line: Ints, column: Ints) -> Ints:
    return taken(matrix.toarray(), line, column).astype(np.int64)


def taken(block: npt.NDArray[Any], line: Ints, column: Ints) -> npt.NDArray[Any]:
    """Return `block[line, column]`, faster: numpy looks up one number instead of two."""
    return np.asarray(block.ravel().take(line * block.shape[1] + column))


def _cross_features(candidates: CandidateRows, past: History, fitted: Fitted) -> Reals:
    centre = past.customers[:, CUSTOMER_FEATURES.index("customer_log_price")][candidates.row]
    spread = past.customers[:, CUSTOMER_FEATURES.index("customer_log_price_sd")][candidates.row]
    distance = fitted.log_price[candidates.product] - centre
    bought = candidates.pair >= 0
    columns = (
        past.own_products[candidates.row],
        distance,
        distance / np.maximum(spread, 0.1),
        candidates.blend,
        rank_within(candidates.line * 2 + bought, candidates.blend),
        candidates.als,
        bought,
    )
    return np.column_stack([column.astype(np.float32) for column in columns])
