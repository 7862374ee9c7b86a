"""Affinity on a purchase log: every method on the same customers, cut-off and target.

The target of a customer is their first basket on or after the cut-off, within the horizon;
everything is learned strictly before. Lists are not filtered by what rests (returned, just
bought), because the published protocols do not filter either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from nba.arrays import Ints, Reals
from nba.evaluation.pace import Pace
from nba.evaluation.ranking import (
    EMPTY,
    coverage,
    fold_interval,
    novelty,
    paired_interval,
    price_fit,
    ranking_metrics,
    targets_matrix,
)
from nba.models.affinity.candidates.fitted import Fitted
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.affinity.candidates.sources import top_columns
from nba.models.affinity.candidates.tifu import (
    TifuParameters,
    frequency_vectors,
    nearest,
    neighbour_mean,
)
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.history.customers import History, history
from nba.models.affinity.history.state import CUSTOMER_FEATURES
from nba.models.affinity.ranking.lists import rank_within
from nba.models.affinity.two_stage import TwoStageAffinity
from nba.models.purchases import PurchaseLog

#: Rules that need no learning beyond counting; the bar for a learned model is the best of them.
SIMPLE_RULES = (
    "popular",
    "personal_top",
    "personal_filled",
    "personal_filled_decayed",
)
LIST_LENGTH = 20
#: The simple rule that `two_stage` carries, and the kind that it is alone.
SIMPLE = "decayed_counts"
#: Simple rules, which cost next to nothing.
_PLAIN = ("popular", "personal_top", "personal_filled", "personal_filled_decayed", SIMPLE)
Scores = Callable[[Ints], Reals]


@dataclass(frozen=True)
class RankingTask:
    """What is asked: a log, a moment, and whose next basket is to be forecast.

    Parameters
    ----------
    log : PurchaseLog
        With what was bought after the cut-off too: the targets are taken from it.
    catalogue : Catalogue
    cutoff, horizon : int
        Days.
    learners : array of bool
        Customers whose purchases may be learned from.
    asked : array of bool
        Customers whose next basket is forecast, where they have at least `min_baskets` before
        the cut-off and bought in the horizon.
    min_baskets : int
    knowledge : int
        Days of the learners' purchases that may be used, past the cut-off; 0 for a forecast.
    """

    log: PurchaseLog
    catalogue: Catalogue
    cutoff: int
    horizon: int
    learners: np.ndarray[Any, np.dtype[np.bool_]]
    asked: np.ndarray[Any, np.dtype[np.bool_]]
    min_baskets: int
    knowledge: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Customers and products of the log."""
        return self.log.n_customers, self.log.n_products

    def targets(self) -> sp.csr_matrix:
        """Return the next baskets, customers × products."""
        following = self.log.next_baskets(self.cutoff, self.horizon)
        return targets_matrix(following.customer, following.product, self.shape)

    def rows(self) -> Ints:
        """Return the customers that are asked about and can be answered for."""
        enough = self.log.before(self.cutoff).basket_counts() >= self.min_baskets
        return np.flatnonzero(self.asked & enough & (np.diff(self.targets().indptr) > 0))


@dataclass(frozen=True)
class Recommendations:
    """Lists of one method: of all products, and of products new to the customer."""

    lists: Ints
    explore_lists: Ints


def lists_of(scores: Reals, k: int = LIST_LENGTH) -> Ints:
    """Return the `k` best columns per row, best first; ties by column; nothing without a score."""
    top = top_columns(scores, k)
    values = np.take_along_axis(scores, top, axis=1)
    order = np.lexsort((top, -values), axis=1)
    top, values = np.take_along_axis(top, order, 1), np.take_along_axis(values, order, 1)
    return np.where(values > 0, top, EMPTY)


def recommend_by_scores(
    scores: Scores, owned: sp.csr_matrix, rows: Ints, chunk: int = 500
) -> Recommendations:
    """Return the lists of a method that scores all products for a block of customers.

    Parameters
    ----------
    scores : Scores
        From rows to their scores, shape (rows, products); 0 for no score.
    owned : scipy.sparse.csr_matrix
        Customers × products: what the customer bought before; left out of `explore_lists`.
    rows : array of int
        The customers to recommend to.
    chunk : int
        Customers at a time, for a bound on memory.
    """
    lists, explore = [], []
    for start in range(0, len(rows), chunk):
        block = rows[start : start + chunk]
        dense = np.asarray(scores(block), dtype=np.float64)
        lists.append(lists_of(dense))
        dense[owned[block].toarray() > 0] = 0
        explore.append(lists_of(dense))
    return Recommendations(np.vstack(lists), np.vstack(explore))


def simple_recommendations(
    task: RankingTask, fitted: Fitted, past: History, config: TwoStageConfig, pace: Pace
) -> dict[str, Recommendations]:
    """Return the recommendations of the baselines that share the model's sources.

    Parameters
    ----------
    task : RankingTask
    fitted : Fitted
    past : History
    config : TwoStageConfig
    pace : Pace
        Methods that are no simple rule are left out when its time is up.
    """
    n = task.log.n_customers
    popularity = fitted.products.popularity / max(fitted.products.popularity.max(), 1e-9)
    times = past.pairs.matrix(past.pairs.times, task.shape)
    owned, rows = times > 0, task.rows()
    # The third half-life is 180 days by default, or 8 baskets where a log has no time.
    decayed = past.pairs.matrix(past.pairs.decayed[2], task.shape)
    share, weight = fitted.popular_share, config.popularity_weight
    confidence, factors = past.confidence, fitted.factors
    methods: dict[str, Scores] = {
        "popular": lambda block: np.tile(popularity, (len(block), 1)),
        "personal_top": lambda block: times[block].toarray(),
        "personal_filled": lambda block: times[block].toarray() + 1e-3 * popularity,
        "personal_filled_decayed": lambda block: decayed[block].toarray() + 1e-6 * popularity,
        SIMPLE: lambda block: decayed[block].toarray() + weight * share,
        "item_to_item": lambda block: (past.vectors[block] @ fitted.item).toarray(),
        "als": lambda block: np.maximum(factors.fold_in(confidence[block]) @ factors.products.T, 0),
    }
    assert times.shape[0] == n
    found = {
        name: recommend_by_scores(scores, owned, rows)
        for name, scores in methods.items()
        if name in _PLAIN or pace.allows(name)
    }
    if pace.allows("tifu_knn"):
        found["tifu_knn"] = recommend_by_scores(_tifu(task), owned, rows)
    return found


def _tifu(task: RankingTask) -> Scores:
    parameters = TifuParameters()
    vectors = frequency_vectors(task.log.before(task.cutoff), parameters)
    known = np.flatnonzero(task.learners & (np.diff(vectors.indptr) > 0))
    position = np.full(task.log.n_customers, -1)
    position[known] = np.arange(len(known))
    reference = vectors[known]

    def scores(block: Ints) -> Reals:
        near = nearest(vectors[block], reference, parameters.neighbours, position[block])
        mean = neighbour_mean(near, reference)
        return np.asarray(
            (parameters.alpha * vectors[block] + (1 - parameters.alpha) * mean).todense()
        )

    return scores


def model_recommendations(
    task: RankingTask, model: TwoStageAffinity
) -> tuple[Recommendations, History]:
    """Return the lists of the two-stage model, ordered by its rankers alone."""
    fitted = model.fitted
    assert fitted is not None
    past = history(task.log, task.cutoff, fitted, model.config)
    rows = task.rows()
    reference = model.positions(task.log.customer_ids)
    parts = list(model.rank(past, rows, reference, fitted.products.sold))
    customer = np.concatenate([part.candidates.customer for part in parts])
    product = np.concatenate([part.candidates.product for part in parts])
    score = np.concatenate([part.score for part in parts])
    explore = np.concatenate([part.explore_score for part in parts])
    new = np.concatenate([part.candidates.features[:, -1] for part in parts]) == 0
    return (
        Recommendations(
            _lists(customer, product, score, len(rows)),
            _lists(customer[new], product[new], explore[new], len(rows)),
        ),
        past,
    )


def taste_correlation(task: RankingTask, model: TwoStageAffinity, truth: Reals) -> dict[str, float]:
    """Return the mean rank correlation of scores with the true probability of being bought.

    Parameters
    ----------
    truth : (customers, products) array
        In the code space of the task's log. A product that is no candidate shares the
        lowest score.
    """
    fitted = model.fitted
    assert fitted is not None
    past = history(task.log, task.cutoff, fitted, model.config)
    rows = task.rows()
    reference = model.positions(task.log.customer_ids)
    ours = np.full((len(rows), task.log.n_products), -np.inf)
    for part in model.rank(past, rows, reference, fitted.products.sold):
        ours[part.candidates.customer, part.candidates.product] = part.score
    scores = {
        "two_stage": ours,
        "als": fitted.factors.fold_in(past.confidence[rows]) @ fitted.factors.products.T,
        "item_to_item": (past.vectors[rows] @ fitted.item).toarray(),
        "popular": np.tile(fitted.products.popularity, (len(rows), 1)),
    }
    return {
        name: round(float(np.mean(_rank_correlation(values, truth[rows]))), 4)
        for name, values in scores.items()
    }


def true_shares(
    recommendations: Mapping[str, Recommendations], truth: Reals, owned: sp.csr_matrix
) -> dict[str, dict[str, float]]:
    """Return the true probability that ten places hold, free of the noise of what was drawn.

    `whole`: of the whole list; `explore`: of the list of new things, over all new things;
    `best`: what an oracle's list would hold.
    """
    new = truth * (owned.toarray() == 0)
    some = new.sum(axis=1) > 0

    def held(lists: Ints, mass: Reals) -> Reals:
        top = lists[:, :10]
        found = np.take_along_axis(mass, np.maximum(top, 0), axis=1)
        return np.asarray(np.where(top == EMPTY, 0.0, found).sum(axis=1))

    def of(lists: Ints, explore: Ints) -> dict[str, float]:
        return {
            "whole": round(float((held(lists, truth) / truth.sum(axis=1)).mean()), 4),
            "explore": round(float((held(explore, new)[some] / new.sum(axis=1)[some]).mean()), 4),
        }

    oracle = of(np.argsort(-truth, axis=1)[:, :10], np.argsort(-new, axis=1)[:, :10])
    return {name: of(one.lists, one.explore_lists) for name, one in recommendations.items()} | {
        "best": oracle
    }


def _rank_correlation(left: Reals, right: Reals) -> Reals:
    """Return Spearman's correlation per row, ties sharing their mean rank."""
    from scipy.stats import rankdata

    a, b = (rankdata(side, axis=1) for side in (left, right))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return _safe_ratio((a * b).sum(axis=1), norm)


def _safe_ratio(top: Reals, bottom: Reals) -> Reals:
    return np.divide(top, bottom, out=np.zeros(top.shape), where=bottom > 0)


def _lists(customer: Ints, product: Ints, score: Reals, n: int) -> Ints:
    rank = rank_within(customer, score, product)
    lists = np.full((n, LIST_LENGTH), EMPTY)
    listed = rank < LIST_LENGTH
    lists[customer[listed], rank[listed]] = product[listed]
    return lists


def per_customer(
    recommended: Recommendations, targets: sp.csr_matrix, owned: sp.csr_matrix
) -> dict[str, Reals]:
    """Return all metrics per customer; `explore_list_…` are those of the list of new things."""
    found = ranking_metrics(recommended.lists, targets, owned)
    apart = ranking_metrics(recommended.explore_lists, targets, owned)
    for cut in (10, 20):
        found[f"explore_list_recall@{cut}"] = apart[f"explore_recall@{cut}"]
    return found


def compare(
    task: RankingTask,
    config: TwoStageConfig,
    *,
    seed: int,
    others: Mapping[str, Callable[[RankingTask], Recommendations]] | None = None,
    truth: Reals | None = None,
    pace: Pace | None = None,
) -> tuple[dict[str, Any], dict[str, dict[str, Reals]]]:
    """Fit the model, recommend by every method, and return report and raw metrics.

    Parameters
    ----------
    others : mapping, optional
        Further methods: each a function from the task to `Recommendations`.
    truth : (customers, products) array, optional
        True probabilities, where the log comes from a world that is known.
    pace : Pace, optional
        Says what is done; methods that are no simple rule are left out when its time is up.
    """
    pace = pace or Pace()
    pace.begin("fitting two_stage")
    model = TwoStageAffinity(config).fit_log(
        task.log.of(task.learners),
        task.catalogue,
        task.cutoff + task.knowledge,
        seed,
    )
    assert model.fitted is not None
    pace.begin("listing by two_stage")
    recommended, past = model_recommendations(task, model)
    recommendations = simple_recommendations(task, model.fitted, past, config, pace) | {
        "two_stage": recommended
    }
    recommendations |= {
        name: method(task) for name, method in (others or {}).items() if pace.allows(name)
    }
    pace.begin("measuring")
    rows = task.rows()
    targets = task.targets()[rows]
    owned = (past.index > 0).astype(np.float32)[rows]
    raw = {name: per_customer(one, targets, owned) for name, one in recommendations.items()}
    report = {
        "customers": len(rows),
        "ceiling_recall": _ceiling(targets, owned, model.fitted),
        "methods": {
            name: _summary(recommendations[name], raw[name], model.fitted, past, rows, seed)
            for name in recommendations
        },
        "paired": paired_report(raw, seed),
        "importance": model.importance(),
    }
    if truth is not None:
        report["taste_correlation"] = taste_correlation(task, model, truth)
        report["true_share@10"] = true_shares(recommendations, truth[rows], owned)
    return report, raw


def paired_report(raw: Mapping[str, Mapping[str, Reals]], seed: int) -> dict[str, Any]:
    """Return the model against the best simple rule: difference, interval, ratio.

    The best rule is chosen per metric on the very customers of the comparison, in its favour.
    """
    found = {}
    for metric in ("recall@10", "ndcg@10", "recall@20"):
        best = max(SIMPLE_RULES, key=lambda name: np.nanmean(raw[name][metric]))
        ours, theirs = raw["two_stage"][metric], raw[best][metric]
        gain = paired_interval(ours, theirs, seed=seed)
        found[metric] = {
            "best_simple_rule": best,
            "difference": round(gain.mean, 5),
            "interval": [round(gain.low, 5), round(gain.high, 5)],
            "relative": round(float(np.nanmean(ours) / np.nanmean(theirs) - 1), 4),
        }
    return found


def _ceiling(targets: sp.csr_matrix, owned: sp.csr_matrix, fitted: Fitted) -> dict[str, float]:
    """Return the recall of an oracle with ten places: on all sold products, on repeats alone."""
    size = np.diff(targets.indptr)
    sold = np.asarray(targets @ fitted.products.sold.astype(np.float32)).ravel()
    repeated = np.asarray(targets.multiply(owned).sum(axis=1)).ravel()
    return {
        "all@10": round(float((np.minimum(sold, 10) / size).mean()), 4),
        "repeat@10": round(float((np.minimum(repeated, 10) / size).mean()), 4),
    }


def _summary(
    recommended: Recommendations,
    raw: Mapping[str, Reals],
    fitted: Fitted,
    past: History,
    rows: Ints,
    seed: int,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, values in raw.items():
        interval = fold_interval(values, seed=seed)
        found[name] = [round(x, 4) for x in (interval.mean, interval.low, interval.high)]
    top = recommended.lists[:, :10]
    centre = past.customers[rows, CUSTOMER_FEATURES.index("customer_log_price")]
    spread = past.customers[rows, CUSTOMER_FEATURES.index("customer_log_price_sd")]
    sales = fitted.products.values[:, fitted.products.names.index("product_sales")]
    found["coverage@10"] = round(coverage(top, int(fitted.products.sold.sum())), 4)
    found["novelty_bits@10"] = round(novelty(top, sales), 3)
    fit = price_fit(top, fitted.log_price, centre, spread)
    found["price_fit@10"] = None if np.isnan(fit) else round(fit, 4)
    return found
