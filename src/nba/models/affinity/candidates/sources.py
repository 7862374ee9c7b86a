"""The sources of candidates: item-to-item, ALS, neighbours, what is popular and what is new.

Each is fitted on purchases before a cut-off and gives any customer's purchases a score per
product. Scores of a block of customers are dense, so that a candidate of one source carries
the scores of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from nba.arrays import Ints, Reals
from nba.models.affinity.candidates.tifu import nearest_columns, neighbour_mean, squared_norms
from nba.models.blas import one_blas_thread


def cosine_neighbours(matrix: sp.csr_matrix, k: int, *, block: int = 1000) -> sp.csr_matrix:
    """Return the `k` most similar products of each product, products × products.

    Parameters
    ----------
    matrix : (customers or baskets, products) sparse matrix
    k : int
    block : int
        Products compared at a time; bounds the memory to `block` × products.
    """
    if not matrix.shape[1]:
        return sp.csr_matrix((0, 0), dtype=np.float32)
    norm = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel())
    scale = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)
    columns = (matrix @ sp.diags(scale)).tocsc().astype(np.float32)
    rows = columns.T.tocsr()
    n = matrix.shape[1]
    parts = []
    for start in range(0, n, block):
        similar = (rows[start : start + block] @ columns).toarray()
        similar[np.arange(len(similar)), np.arange(start, start + len(similar))] = 0
        parts.append(keep_top(similar, k))
    return sp.vstack(parts, format="csr")


def keep_top(matrix: sp.csr_matrix | Reals, k: int) -> sp.csr_matrix:
    """Return the matrix with the `k` largest entries of each row, and nothing else.

    None may be negative. What a sparse matrix takes grows with its entries alone, and of its
    equal entries the first columns stay.
    """
    if isinstance(matrix, sp.csr_matrix):
        return _keep_top_stored(matrix, k)
    k = min(k, matrix.shape[1])
    if not k:
        return sp.csr_matrix(matrix.shape, dtype=np.float32)
    top = np.argpartition(-matrix, k - 1, axis=1)[:, :k]
    rows = np.repeat(np.arange(len(matrix)), k)
    values = np.take_along_axis(matrix, top, axis=1).ravel()
    top_k = sp.csr_matrix((values, (rows, top.ravel())), matrix.shape)
    top_k.eliminate_zeros()
    return top_k


def _keep_top_stored(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """Keep the top of a sparse matrix; only rows with more than `k` entries are looked at."""
    top = matrix.sorted_indices()
    for row in np.flatnonzero(np.diff(top.indptr) > k):
        entries = top.data[top.indptr[row] : top.indptr[row + 1]]
        bar = np.partition(entries, len(entries) - k)[len(entries) - k] if k else np.inf
        level = np.flatnonzero(entries == bar)[k - np.count_nonzero(entries > bar) :]
        entries[entries < bar] = 0
        entries[level] = 0
    top.eliminate_zeros()
    return top


def unit_rows(matrix: sp.csr_matrix, *, order: int = 2) -> sp.csr_matrix:
    """Return the matrix with rows of length one, by the Euclidean norm or (1) by their sum."""
    power = matrix.multiply(matrix) if order == 2 else matrix
    total = np.asarray(power.sum(axis=1)).ravel()
    norm = np.sqrt(total) if order == 2 else total
    return (
        sp.diags(np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)) @ matrix
    ).tocsr()


def fit_als(
    matrix: sp.csr_matrix, *, factors: int, iterations: int, regularization: float, seed: int
) -> npt.NDArray[np.float32]:
    """Return ALS product factors, shape (products, factors); zeros where nothing was sold.

    `implicit` gives a product without purchases arbitrary factors: they are set to zero.

    Parameters
    ----------
    matrix : scipy.sparse.csr_matrix
        Customers × products, confidence.
    factors : int
        Numbers per product.
    iterations : int
        Rounds of alternating least squares.
    regularization : float
        Ridge penalty of both sides.
    seed : int
    """
    from implicit.cpu.als import AlternatingLeastSquares

    if matrix.nnz == 0:
        return np.zeros((matrix.shape[1], factors), dtype=np.float32)
    with one_blas_thread():
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=regularization,
            iterations=iterations,
            random_state=seed,
            num_threads=1,
            calculate_training_loss=False,
        )
        model.fit(matrix, show_progress=False)
    items: npt.NDArray[np.float32] = np.array(model.item_factors, dtype=np.float32)
    items[np.diff(matrix.tocsc().indptr) == 0] = 0.0
    return items


@dataclass(frozen=True)
class Factors:
    """ALS product factors, with what folding a customer in needs.

    Parameters
    ----------
    products : (products, factors) array
    regularization : float
    """

    products: npt.NDArray[np.float32]
    regularization: float

    @cached_property
    def _outer(self) -> Reals:
        """The products of factors with each other, without the mirrored half."""
        wide = self.products.astype(np.float64)
        first, second = np.triu_indices(wide.shape[1])
        return wide.take(first, axis=1) * wide.take(second, axis=1)

    @cached_property
    def _place(self) -> Ints:
        """Where each entry of the whole square stands in its half."""
        width = self.products.shape[1]
        place = np.zeros((width, width), dtype=np.int64)
        first, second = np.triu_indices(width)
        place[first, second] = place[second, first] = np.arange(len(first))
        return place.ravel()

    @cached_property
    def _base(self) -> Reals:
        wide = self.products.astype(np.float64)
        return wide.T @ wide + self.regularization * np.eye(wide.shape[1])

    def fold_in(self, confidence: sp.csr_matrix) -> Reals:
        """Return customers' factors from their purchases; zeros for no purchase.

        Solves (YᵀY + Yᵀ(C − I)Y + λI) x = YᵀC1 for all customers of a block at once; each
        solution depends on the customer's own row alone. The confidence of a purchase is its
        value, as `implicit` reads it.
        """
        n, width = confidence.shape[0], self.products.shape[1]
        right = confidence.astype(np.float64) @ self.products.astype(np.float64)
        excess = confidence.astype(np.float64)
        excess.data = excess.data - 1.0
        square = np.asarray(excess @ self._outer).take(self._place, axis=1)
        left = self._base + square.reshape(n, width, width)
        return np.asarray(np.linalg.solve(left, right[:, :, None])[:, :, 0])


@dataclass(frozen=True)
class Neighbours:
    """Reference customers, by their decayed purchases."""

    vectors: sp.csr_matrix
    customers: Ints
    k: int

    def scores(self, vectors: sp.csr_matrix, own: Ints) -> Reals:
        """Return the mean vector of the nearest reference customers, dense."""
        near = nearest_columns(vectors, self._columns, self._squares, self.k, own)
        return np.asarray(neighbour_mean(near, self.vectors).toarray(), dtype=np.float32)

    @cached_property
    def _columns(self) -> sp.csr_matrix:
        return self.vectors.T.tocsr()

    @cached_property
    def _squares(self) -> Reals:
        return squared_norms(self.vectors)


def top_columns(scores: Reals, k: int) -> Ints:
    """Return per row the positions of the `k` highest scores, unordered."""
    k = min(k, scores.shape[1])
    best: Any = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k :]
    return np.asarray(best, dtype=np.int64)
