"""Ranking metrics with their denominators stated, and paired intervals.

A list is compared with a target basket. All metrics are per customer, then averaged.

- **recall@k**: hits among the first k, over the size of the whole target basket.
- **ndcg@k**: discounted hits among the first k, over the ideal of the **whole** basket (its
  length, not k): a basket of 30 products cannot reach 1 with ten places. Three definitions are
  in use, and they differ by a factor of two; this is the strictest.
- **hit_rate@k**: whether any of the first k was bought.
- **repeat_recall@k**, **explore_recall@k**: recall over the products of the target that the
  customer had, or had not, bought before; averaged over customers who have any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from nba.arrays import Ints, Reals

#: A place in a list that holds no product.
EMPTY = -1


@dataclass(frozen=True)
class Interval:
    """An estimate with a 95 % interval."""

    mean: float
    low: float
    high: float


def targets_matrix(
    rows: npt.ArrayLike, products: npt.ArrayLike, shape: tuple[int, int]
) -> sp.csr_matrix:
    """Return the target baskets as a 0/1 matrix, customers × products."""
    rows, products = np.asarray(rows), np.asarray(products)
    matrix = sp.csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, products)), shape)
    matrix.data[:] = 1.0
    return matrix


def hits(lists: Ints, targets: sp.csr_matrix) -> Reals:
    """Return 1 where the product at that place was bought; shape of `lists`.

    Parameters
    ----------
    lists : (customers, k) array of int
        Product codes, best first; `EMPTY` for a place without a product.
    targets : (customers, products) sparse matrix
    """
    rows = np.repeat(np.arange(lists.shape[0]), lists.shape[1])
    places = np.maximum(lists.ravel(), 0)
    is_hit = np.asarray(targets[rows, places]).ravel() > 0
    met: Reals = (is_hit & (lists.ravel() != EMPTY)).reshape(lists.shape).astype(np.float64)
    return met


def ranking_metrics(
    lists: Ints,
    targets: sp.csr_matrix,
    history: sp.csr_matrix | None = None,
    *,
    cuts: Sequence[int] = (10, 20),
) -> dict[str, Reals]:
    """Return each metric per customer, NaN where it is not defined for the customer.

    Parameters
    ----------
    lists : (customers, k) array of int, k at least the largest cut
    targets : (customers, products) matrix of what was bought
    history : (customers, products) matrix of what was bought before
    cuts : list lengths at which to measure
    """
    hit = hits(lists, targets)
    size = np.diff(targets.indptr).astype(np.float64)
    discount = 1.0 / np.log2(np.arange(2, max(hit.shape[1], int(size.max(initial=1))) + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[size.astype(int)]
    metrics: dict[str, Reals] = {}
    for cut in cuts:
        top = hit[:, :cut]
        metrics[f"recall@{cut}"] = _ratio(top.sum(axis=1), size)
        metrics[f"ndcg@{cut}"] = _ratio(top @ discount[: top.shape[1]], ideal)
        metrics[f"hit_rate@{cut}"] = _ratio((top.sum(axis=1) > 0).astype(np.float64), size > 0)
    if history is not None:
        metrics |= _split_recall(lists, targets, history, cuts)
    return metrics


def _split_recall(
    lists: Ints, targets: sp.csr_matrix, history: sp.csr_matrix, cuts: Sequence[int]
) -> dict[str, Reals]:
    repeated = targets.multiply(history > 0).tocsr()
    explored = (targets - repeated).tocsr()
    explored.eliminate_zeros()
    recalls = {}
    for name, part in (("repeat", repeated), ("explore", explored)):
        hit, size = hits(lists, part), np.diff(part.indptr).astype(np.float64)
        for cut in cuts:
            recalls[f"{name}_recall@{cut}"] = _ratio(hit[:, :cut].sum(axis=1), size)
    return recalls


def _ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Reals:
    top, bottom = np.asarray(numerator, float), np.asarray(denominator, float)
    ratio: Reals = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
    return ratio


def coverage(lists: Ints, n_products: int) -> float:
    """Return the share of products that stand in any list."""
    return len(np.unique(lists[lists != EMPTY])) / max(n_products, 1)


def novelty(lists: Ints, popularity: Reals) -> float:
    """Return the mean surprise −log2(share of purchases) of what is listed, in bits."""
    share = popularity / max(popularity.sum(), 1.0)
    listed = lists[lists != EMPTY]
    return float(-np.log2(np.maximum(share[listed], 1e-9)).mean()) if len(listed) else 0.0


def price_fit(lists: Ints, log_price: Reals, centre: Reals, spread: Reals) -> float:
    """Return the share of places whose price lies within two spreads of the customer's own.

    Parameters
    ----------
    lists : (customers, k) array of product codes
    log_price : (products,) array, NaN where unknown
    centre, spread : (customers,) arrays: mean and standard deviation of the log price paid
    """
    price = np.where(lists == EMPTY, np.nan, log_price[np.maximum(lists, 0)])
    distance = np.abs(price - centre[:, None]) / np.maximum(spread, 0.1)[:, None]
    known = ~np.isnan(distance)
    return float((distance[known] <= 2.0).mean()) if known.any() else float("nan")


def fold_interval(values: Reals, *, folds: int = 20, seed: int) -> Interval:
    """Return the mean of per-customer `values` with a 95 % interval over seeded folds.

    Customers are dealt into `folds` random folds; the interval is 1.96 standard errors of the
    fold means.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    order = np.random.default_rng(seed).permutation(len(values))
    means = np.array([part.mean() for part in np.array_split(values[order], folds) if len(part)])
    error = 1.96 * means.std(ddof=1) / np.sqrt(len(means)) if len(means) > 1 else float("nan")
    return Interval(
        float(values.mean()), float(values.mean() - error), float(values.mean() + error)
    )


def paired_interval(ours: Reals, theirs: Reals, *, draws: int = 2000, seed: int) -> Interval:
    """Return the mean difference per customer with a 95 % bootstrap interval over customers.

    Parameters
    ----------
    ours, theirs : arrays of float
        Shape (customers,): a metric of two methods; customers with NaN in either are left out.
    draws : int
        Resamples of the customers.
    seed : int
    """
    difference = (ours - theirs)[~np.isnan(ours - theirs)]
    if not len(difference):
        return Interval(float("nan"), float("nan"), float("nan"))
    generator = np.random.default_rng(seed)
    n = len(difference)
    means = np.array([difference[generator.integers(0, n, n)].mean() for _ in range(draws)])
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(difference.mean()), float(low), float(high))


def summarise(metrics: Mapping[str, Reals], *, seed: int) -> dict[str, Interval]:
    """Return each metric's mean and interval."""
    return {name: fold_interval(values, seed=seed) for name, values in metrics.items()}
