"""cornac's next-basket models, the library that a user would pick, on the same ranking task.

cornac is needed for development only. Its models score one customer at a time; TIFU-KNN holds
dense vectors of all customers and is left out where they would not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import scipy.sparse as sp

from nba.arrays import Ints, Reals
from nba.evaluation.affinity import RankingTask, Recommendations, recommend_by_scores

#: Cells of the dense vectors of cornac's TIFU-KNN, at most.
_LARGEST: Final = 60_000_000


def cornac_methods(task: RankingTask) -> dict[str, Callable[[RankingTask], Recommendations]]:
    """Return cornac's models that can run here, none where it is not installed."""
    if find_spec("cornac") is None:
        return {}
    from cornac.models import TIFUKNN, GPTop

    methods = {"cornac_gptop": _method(lambda: GPTop())}
    if find_spec("similaripy") is not None:
        from cornac.models import UPCF

        methods["cornac_upcf"] = _method(lambda: UPCF())
    if task.log.n_customers * task.log.n_products <= _LARGEST:
        near = min(300, int(task.learners.sum()))
        methods["cornac_tifuknn"] = _method(lambda: TIFUKNN(n_neighbors=near))
    return methods


def _method(make: Callable[[], Any]) -> Callable[[RankingTask], Recommendations]:
    def recommended(task: RankingTask) -> Recommendations:
        from cornac.data import BasketDataset

        past = task.log.before(task.cutoff)
        known = task.log.before(task.cutoff + task.knowledge).of(task.learners)
        known = known.where(known.day < task.cutoff + task.knowledge)
        rows = np.column_stack([known.customer, known.basket_of_row(), known.product])
        data = BasketDataset.build([tuple(row) for row in rows.tolist()], fmt="UBI")
        model = make().fit(data)
        codes = np.array(list(data.iid_map), dtype=np.int64)
        of_product = np.full(task.log.n_products, -1)
        of_product[codes] = np.arange(len(codes))
        baskets = _baskets(past.customer, past.basket_of_row(), of_product[past.product])
        users = data.uid_map

        def scores(block: Ints) -> Reals:
            found = np.zeros((len(block), task.log.n_products))
            for line, customer in enumerate(block.tolist()):
                mine = baskets.get(customer, [])
                found[line, codes] = np.ravel(model.score(users.get(customer, -1), mine))
            return found

        owned = sp.csr_matrix(
            (np.ones(len(past), np.float32), (past.customer, past.product)), task.shape
        )
        return recommend_by_scores(scores, owned, task.rows())

    return recommended


def _baskets(customer: Ints, basket: Ints, item: Ints) -> dict[int, list[list[int]]]:
    """Return each customer's baskets in order, as lists of cornac's item codes."""
    known = item >= 0
    customer, basket, item = customer[known], basket[known], item[known]
    starts = np.flatnonzero(np.diff(basket, prepend=-1))
    baskets: dict[int, list[list[int]]] = {}
    for one, items in zip(customer[starts], np.split(item, starts[1:]), strict=True):
        baskets.setdefault(int(one), []).append(items.tolist())
    return baskets
