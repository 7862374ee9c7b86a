"""cornac's models solve the same ranking task, in the same code space."""

import numpy as np
import polars as pl
import pytest

from experiments.common.affinity_cornac import cornac_methods
from nba.evaluation.affinity import RankingTask, true_shares
from nba.evaluation.ranking import EMPTY
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.purchases import PurchaseLog

ROWS = [
    ("a", "x", 1), ("a", "y", 1), ("a", "x", 2), ("a", "x", 9),
    ("b", "y", 1), ("b", "z", 2), ("b", "z", 3), ("b", "z", 9),
    ("c", "x", 1), ("c", "z", 9),
]  # fmt: skip


@pytest.fixture
def task() -> RankingTask:
    table = pl.DataFrame(ROWS, schema=["customer_id", "product_id", "day"], orient="row")
    log = PurchaseLog.from_purchases(table)
    everyone = np.ones(3, dtype=bool)
    catalogue = Catalogue.build(log.product_ids, None)
    return RankingTask(log, catalogue, 5, 10, everyone, everyone, 1)


def test_personal_favourites_come_first(task: RankingTask) -> None:
    pytest.importorskip("cornac")
    methods = cornac_methods(task)
    assert {"cornac_gptop", "cornac_tifuknn"} <= set(methods)
    for method in methods.values():
        recommended = method(task)
        assert recommended.lists[:2, 0].tolist() == [0, 2]
        assert 0 not in recommended.explore_lists[0]


def test_true_shares_by_hand(task: RankingTask) -> None:
    from nba.evaluation.affinity import Recommendations

    truth = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])
    owned = PurchaseLog.from_purchases(
        pl.DataFrame({"customer_id": ["a"], "product_id": ["x"], "day": [1]}),
        customer_ids=pl.Series(["a", "b"]),
        product_ids=pl.Series(["x", "y", "z"]),
    ).baskets()
    owned.resize((2, 3))
    recommended = Recommendations(
        np.array([[0, EMPTY], [2, 1]]), np.array([[1, EMPTY], [0, EMPTY]])
    )
    found = true_shares({"one": recommended}, truth, owned)
    assert found["one"] == {"whole": 0.75, "explore": 0.25}
    assert found["best"] == {"whole": 1.0, "explore": 1.0}
