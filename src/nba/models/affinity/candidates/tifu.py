"""Temporal item frequency with user neighbours (TIFU-KNN), sparse.

Hu et al., "Modeling Personalized Item Frequency Information for Next-basket
Recommendation", SIGIR 2020. A customer is a vector of item frequencies with two decays,
within a group of baskets and between groups; the forecast is a blend of the own vector with
the mean of the nearest neighbours' by Euclidean distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from nba.arrays import Ints, Reals
from nba.models.purchases import PurchaseLog


@dataclass(frozen=True)
class TifuParameters:
    """The parameters of TIFU-KNN, with the values published for Ta-Feng."""

    neighbours: int = 300
    within_decay: float = 0.9
    group_decay: float = 0.7
    alpha: float = 0.7
    groups: int = 7


def frequency_vectors(log: PurchaseLog, parameters: TifuParameters) -> sp.csr_matrix:
    """Return the decayed item frequencies, customers × products."""
    baskets = log.basket_counts()
    count = baskets[log.customer]
    index = log.basket_index()
    groups = parameters.groups
    # The first groups hold `base` baskets each, the last `extra` ones hold one more.
    base, extra = np.maximum(count // groups, 1), np.where(count >= groups, count % groups, 0)
    small = (groups - extra) * base
    group = np.where(index < small, index // base, groups - extra + (index - small) // (base + 1))
    size = np.where(index < small, base, base + 1)
    used = np.minimum(count, groups)
    weight = (
        parameters.within_decay ** (count - 1 - index)
        * parameters.group_decay ** (groups - 1 - group)
        / (size * used)
    )
    shape = (log.n_customers, log.n_products)
    return sp.csr_matrix((weight.astype(np.float32), (log.customer, log.product)), shape)


def nearest(
    vectors: sp.csr_matrix, reference: sp.csr_matrix, k: int, own: Ints | None = None
) -> Ints:
    """Return the `k` nearest rows of `reference` per row of `vectors`, by Euclidean distance.

    Parameters
    ----------
    own : array of int, optional
        Per row the position of the customer's own vector in `reference`, -1 for none; it is
        never its own neighbour.
    """
    return nearest_columns(vectors, reference.T.tocsr(), squared_norms(reference), k, own)


def squared_norms(reference: sp.csr_matrix) -> Reals:
    """Return the squared length of each row."""
    return np.asarray(reference.multiply(reference).sum(axis=1)).ravel()


def nearest_columns(
    vectors: sp.csr_matrix, columns: sp.csr_matrix, squares: Reals, k: int, own: Ints | None
) -> Ints:
    """Return what `nearest` does, from the reference's transpose and its `squared_norms`.

    Who asks for many blocks in turn prepares them once.

    Parameters
    ----------
    vectors : scipy.sparse.csr_matrix
        Shape (rows, products).
    columns : scipy.sparse.csr_matrix
        Shape (products, reference): the reference's transpose.
    squares : array of float
        Shape (reference,), from `squared_norms`.
    k : int
        Neighbours per row.
    own : array of int, optional
        As in `nearest`.
    """
    distance = (vectors @ columns).toarray()
    distance *= -2
    distance += squares
    if own is not None:
        rows = np.flatnonzero(own >= 0)
        distance[rows, own[rows]] = np.inf
    k = min(k, columns.shape[1])
    return np.argpartition(distance, k - 1, axis=1)[:, :k]


def neighbour_mean(neighbours: Ints, reference: sp.csr_matrix) -> sp.csr_matrix:
    """Return the mean vector of each row's neighbours."""
    n, k = neighbours.shape
    weights = np.full(n * k, 1.0 / k, dtype=np.float32)
    starts = np.arange(0, n * k + 1, k)
    return sp.csr_matrix((weights, neighbours.ravel(), starts), (n, reference.shape[0])) @ reference
