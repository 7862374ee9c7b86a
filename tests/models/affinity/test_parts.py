"""The parts of the two stages, each against a case that can be worked out."""

import tracemalloc

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

from nba.models.affinity.candidates.highest import LEAST_SCORE, highest, mark_highest
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.affinity.candidates.sources import Factors, cosine_neighbours, fit_als, keep_top
from nba.models.affinity.candidates.tifu import TifuParameters, frequency_vectors, nearest
from nba.models.affinity.history.state import customer_state, pair_state, product_log_price
from nba.models.affinity.history.views import decayed_evenly
from nba.models.affinity.ranking.lists import blend_places, diversify, rank_within, top_lists
from nba.models.blas import one_blas_thread
from nba.models.purchases import PurchaseLog


def log(*rows: tuple[str, str, int]) -> PurchaseLog:
    table = pl.DataFrame(rows, schema=["customer_id", "product_id", "day"], orient="row")
    return PurchaseLog.from_purchases(table)


LOG = log(
    ("a", "x", 0), ("a", "y", 0), ("a", "x", 10), ("a", "z", 20),
    ("b", "x", 5), ("b", "x", 5), ("b", "y", 30),
)  # fmt: skip


def test_pairs_are_what_was_bought_before_the_cutoff() -> None:
    pairs = pair_state(LOG, 20, (10.0, 20.0))
    assert list(zip(pairs.customer, pairs.product, pairs.times, strict=True)) == [
        (0, 0, 2), (0, 1, 1), (1, 0, 1),
    ]  # fmt: skip
    assert pairs.since_last.tolist() == [10, 20, 15]
    assert pairs.baskets_since.tolist() == [0, 1, 0]
    assert pairs.gap[0] == 10
    assert pairs.decayed[0, 0] == 0.25 + 0.5


def test_customers_are_counted_by_baskets() -> None:
    state = customer_state(LOG, 40, product_log_price(LOG))
    assert state[:, 0].tolist() == [3, 2]
    assert state[0, 5:9].tolist() == [20, 40, 10, 2]


def test_next_basket_is_the_first_in_the_horizon() -> None:
    following = LOG.next_baskets(10, 15)
    assert list(zip(following.customer, following.day, strict=True)) == [(0, 10)]


def test_tifu_weights_by_hand() -> None:
    # Three baskets, two groups: the first holds one basket, the second two.
    parameters = TifuParameters(within_decay=0.5, group_decay=0.1, groups=2, neighbours=1)
    vectors = frequency_vectors(log(("a", "x", 1), ("a", "y", 2), ("a", "z", 3)), parameters)
    expected = [0.5**2 * 0.1 / 1 / 2, 0.5 * 1 / 2 / 2, 1 * 1 / 2 / 2]
    assert vectors.toarray()[0] == pytest.approx(expected)


def test_nearest_is_by_euclidean_distance() -> None:
    points = sp.csr_matrix(np.array([[1.0, 0.0], [0.9, 0.0], [0.0, 1.0]]))
    assert nearest(points, points, 1, np.arange(3))[:, 0].tolist() == [1, 0, 1]


def test_cosine_neighbours_by_hand_in_any_blocks() -> None:
    bought = sp.csr_matrix(np.array([[1.0, 1, 0], [1, 1, 1], [1, 0, 0]]))
    found = cosine_neighbours(bought, 2).toarray()
    assert found[0, 1] == pytest.approx(2 / np.sqrt(3 * 2))
    assert found[0, 0] == 0
    assert np.array_equal(found, cosine_neighbours(bought, 2, block=1).toarray())


@pytest.mark.parametrize("k", [0, 1, 3, 12, 40])
@pytest.mark.parametrize("filled", [0.0, 0.1, 0.9, 1.0])
def test_the_top_of_a_row_is_the_same_sparse_and_dense(k: int, filled: float) -> None:
    draw = np.random.default_rng(k)
    dense = draw.integers(1, 6, (30, 25)) * (draw.random((30, 25)) < filled) / np.float32(8)
    first = np.argsort(-dense, axis=1, kind="stable")[:, :k]
    expected = np.zeros_like(dense)
    np.put_along_axis(expected, first, np.take_along_axis(dense, first, axis=1), axis=1)
    shuffled = sp.csr_matrix(dense[:, ::-1])[:, ::-1]
    by_size = np.sort(keep_top(dense, k).toarray(), axis=1)
    assert np.array_equal(by_size, np.sort(expected, axis=1))
    for given in sp.csr_matrix(dense), shuffled:
        found = keep_top(given, k)
        assert np.array_equal(found.toarray(), expected)
        assert found.nnz == np.count_nonzero(expected)
    assert np.array_equal(shuffled.toarray(), dense), "what is given stays"


def test_the_top_of_a_large_sparse_matrix_takes_what_its_entries_take() -> None:
    draw = np.random.default_rng(1)
    places = draw.integers(0, 20_000, (2, 50_000))
    places[0, :5_000] = 7
    sales = sp.csr_matrix((np.ones(50_000, np.float32), tuple(places)), (20_000, 20_000))
    tracemalloc.start()
    try:
        kept = keep_top(sales, 100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.diff(kept.indptr)[7] == 100
    assert peak < 5e6


def test_als_guards_an_empty_history_and_a_product_that_nobody_bought() -> None:
    bought = sp.csr_matrix(np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]]))
    factors = fit_als(bought, factors=2, iterations=5, regularization=0.1, seed=1)
    assert not factors[3].any()
    folded = Factors(factors, 0.1).fold_in(sp.csr_matrix(np.array([[1.0, 0, 0, 0], [0] * 4])))
    assert not folded[1].any(), "no purchase, no taste"
    scores = folded @ factors.T
    assert scores[0, 1] > scores[0, 2]
    nothing = fit_als(sp.csr_matrix((3, 4)), factors=2, iterations=1, regularization=0.1, seed=1)
    assert not nothing.any()


def test_fold_in_equals_the_factors_that_implicit_fits() -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    generator = np.random.default_rng(4)
    bought = sp.csr_matrix((generator.random((30, 12)) < 0.3) * 2.0)
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=3, regularization=0.5, iterations=3, random_state=1, num_threads=1,
            use_cg=False,
        )  # fmt: skip
        model.fit(bought, show_progress=False)
        expected = model.recalculate_user(np.arange(30), bought)
    found = Factors(np.array(model.item_factors), 0.5).fold_in(bought)
    assert found == pytest.approx(np.asarray(expected), abs=1e-4)


def test_products_are_alike_by_words_in_any_script() -> None:
    ids = pl.Series(["a", "b", "c", "d"])
    names = pl.DataFrame(
        {"product_id": ids, "name": ["red lunch bag", "blue lunch bag", "绿茶礼盒", "红茶礼盒"]}
    )
    similar = Catalogue.build(ids, names).similar.toarray()
    assert similar[0, 1] > 0.2
    assert similar[2, 3] > 0.2
    assert similar[0, 2] == 0


def test_evenly_spaced_purchases_decay_as_they_would_one_by_one() -> None:
    days = np.array([5.0, 15.0, 25.0])
    found = decayed_evenly(np.array([3.0]), np.array([5.0]), np.array([10.0]), (7.0,))
    assert found[0, 0] == pytest.approx((0.5 ** (days / 7)).sum())


def test_exploration_takes_the_last_places() -> None:
    customer = np.zeros(6, dtype=np.int64)
    product = np.arange(6)
    repeat = np.array([True] * 3 + [False] * 3)
    score = np.array([9.0, 8, 7, 3, 2, 1])
    new = np.where(repeat, -np.inf, score[::-1])

    def listed(share: float | None) -> tuple[list[int], list[bool]]:
        place, explored = blend_places(
            customer, product, repeat, score=score, explore_score=new, share=share, top_n=4
        )
        at, rank = top_lists(customer, product, place, 4)
        assert rank.tolist() == [0, 1, 2, 3]
        return at.tolist(), explored[at].tolist()

    assert listed(0.5) == ([0, 1, 5, 4], [False, False, True, True])
    assert listed(0.25) == ([0, 1, 2, 5], [False, False, False, True])
    assert listed(None) == ([0, 1, 2, 3], [False] * 4)


def test_a_crowded_category_goes_to_the_end() -> None:
    customer = np.zeros(4, dtype=np.int64)
    place = diversify(customer, np.arange(4), np.array([5, 5, 5, -1]), np.arange(4.0), 2)
    assert top_lists(customer, np.arange(4), place, 4)[0].tolist() == [0, 1, 3, 2]


def test_rank_within_breaks_ties_by_the_tie() -> None:
    group = np.array([0, 0, 1, 0])
    assert rank_within(group, np.array([1.0, 1, 5, 2]), np.array([4, 3, 0, 9])).tolist() == [
        2, 1, 0, 0,
    ]  # fmt: skip


def _blas_threads() -> set[int]:
    return {found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"}


def test_one_blas_thread_until_the_last_has_left() -> None:
    with threadpool_limits(3, "blas"):
        before = _blas_threads()
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert _blas_threads() == {1}
        second.__exit__(None, None, None)
        assert _blas_threads() == before


@pytest.mark.parametrize(
    ("columns", "k", "filled"), [(2_000, 60, 1.0), (700, 40, 0.02), (9, 20, 1.0)]
)
def test_the_highest_scores_are_those_of_a_whole_partition(
    columns: int, k: int, filled: float
) -> None:
    draw = np.random.default_rng(1)
    scores = draw.random((50, columns)).round(3) * (draw.random((50, columns)) < filled)
    scores[0] = 0.0
    chosen = np.zeros(scores.shape, dtype=bool)
    mark_highest(chosen, scores.astype(np.float32), k)
    bar = -np.sort(-scores, axis=1)[:, [min(k, columns) - 1]]
    assert np.array_equal(chosen, scores >= np.maximum(bar, LEAST_SCORE))
    line, column, place = highest(scores, k)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    rows, places = np.nonzero(np.take_along_axis(scores, best, axis=1) > 0)
    assert np.array_equal(line, rows)
    assert np.array_equal(place, places)
    assert np.array_equal(column, best[rows, places])
