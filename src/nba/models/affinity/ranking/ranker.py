"""The second stage: LightGBM LambdaRank over the candidates of past cut-offs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from nba.arrays import Bools, Ints, Reals
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.ranking.lists import rank_within


@dataclass(frozen=True)
class Examples:
    """Candidates of one past cut-off with what was bought next, grouped by customer.

    Parameters
    ----------
    customer : array of int, rising
    features : (rows, features) array; the last feature says whether it was bought before
    label : array of bool
    whole : bool
        Whether the whole horizon after the cut-off had passed.
    share : float
        The share that was kept of what was not bought.
    """

    customer: Ints
    features: Reals
    label: Bools
    whole: bool = True
    share: float = 1.0

    def of(self, rows: Bools) -> Self:
        """Return the examples `rows`, of customers with a bought candidate among them.

        A list without one teaches no order.
        """
        label = self.label & rows
        bought = np.bincount(self.customer[label], minlength=int(self.customer.max(initial=-1)) + 1)
        used = rows & (bought > 0)[self.customer]
        return replace(
            self,
            customer=self.customer[used],
            features=self.features[used],
            label=self.label[used],
        )

    def new_only(self) -> Self:
        """Return the examples that were new to the customer."""
        return self.of(self.features[:, -1] == 0)

    def thinned(self, rows: int, seed: int) -> Self:
        """Return about `rows` examples at most: a seeded share of those that were not bought."""
        bought = int(self.label.sum())
        share = max(rows - bought, 0) / max(len(self.label) - bought, 1)
        if share >= 1:
            return self
        drawn = np.random.default_rng(seed).random(len(self.label)) < share
        return replace(self.of(self.label | drawn), share=share)

    @property
    def groups(self) -> Ints:
        """Return the rows per customer, in order."""
        return np.unique(self.customer, return_counts=True)[1]


@dataclass(frozen=True)
class Ranker:
    """A booster, and the curve from its score to relevance.

    Parameters
    ----------
    booster : lightgbm.Booster
    slope, level : float
        Of the logistic curve from score to P(bought next).
    """

    booster: Any
    slope: float = 0.0
    level: float = 0.0
    _splits: dict[int, tuple[Any, Any]] = field(default_factory=dict, init=False, compare=False)

    @classmethod
    def fit(
        cls,
        examples: Sequence[Examples],
        names: Sequence[str],
        config: TwoStageConfig,
        seed: int,
    ) -> Ranker | None:
        """Fit on all cut-offs, the newest first; None where nothing was bought.

        Parameters
        ----------
        examples : sequence of Examples
            By cut-off, the newest first; the first whole one gives the relevance curve.
        names : sequence of str
            Of the columns of the features.
        config : TwoStageConfig
        seed : int
        """
        if not any(part.label.any() for part in examples):
            return None
        booster = _booster(examples, names, config, seed)
        newest = next((part for part in examples if part.whole), examples[0])
        return cls(booster, *_relevance(booster, newest))

    def predict(self, features: Reals) -> Reals:
        """Return the scores by all trees."""
        return _predict(self.booster, features)

    def best(self, customer: Ints, features: Reals, *, trees: int, keep: int) -> tuple[Ints, Reals]:
        """Return the best `keep` rows per customer by the first trees, with their full scores.

        Most candidates are far from any list, and a few trees tell.

        Parameters
        ----------
        customer : array of int
            Shape (candidates,).
        features : array of float
            Shape (candidates, features).
        trees : int
            How many trees choose.
        keep : int
            Candidates per customer that all trees score.
        """
        if np.bincount(customer).max(initial=0) <= keep:
            return np.arange(len(customer)), self.predict(features)
        first, others = self._split(trees)
        start = _predict(first, features)
        best = np.flatnonzero(rank_within(customer, start) < keep)
        return best, start[best] + _predict(others, features[best])

    def _split(self, trees: int) -> tuple[Any, Any]:
        """Return a booster of the first trees and one of the others.

        LightGBM notes in the booster itself which trees a prediction is asked of: threads that
        ask one booster for different trees get each other's, and wrong scores
        (https://github.com/lightgbm-org/LightGBM/issues/6142).
        """
        if trees not in self._splits:
            import lightgbm as lgb

            trees_of = self.booster.model_to_string
            self._splits[trees] = (
                lgb.Booster(model_str=trees_of(num_iteration=trees)),
                lgb.Booster(model_str=trees_of(num_iteration=-1, start_iteration=trees)),
            )
        return self._splits[trees]

    def relevance(self, score: Reals) -> Reals:
        """Return the probability that a product of that score is in the next basket."""
        return np.asarray(1 / (1 + np.exp(-(self.slope * score + self.level))))


def _predict(booster: Any, features: Reals) -> Reals:
    if not booster.num_trees():
        return np.zeros(len(features))
    return np.asarray(booster.predict(features, num_threads=1), dtype=np.float64)


def _booster(
    examples: Sequence[Examples], names: Sequence[str], config: TwoStageConfig, seed: int
) -> Any:
    import lightgbm as lgb

    features = np.vstack([part.features for part in examples])
    labels = np.concatenate([part.label for part in examples]).astype(np.float32)
    groups = np.concatenate([part.groups for part in examples])
    # A leaf needs enough that was bought to say anything, however rare that is.
    leaf = max(config.min_data_in_leaf, int(config.min_bought_in_leaf / labels.mean()))
    parameters = {
        "objective": "lambdarank",
        "lambdarank_truncation_level": config.truncation,
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": leaf,
        "feature_fraction": 0.4,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "bagging_by_query": True,
        "lambda_l2": 20.0,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": config.threads,
        "seed": seed,
        "verbosity": -1,
    }
    data = lgb.Dataset(features, labels, group=groups, feature_name=list(names), params=parameters)
    return lgb.train(parameters, data, num_boost_round=config.trees)


def _relevance(booster: Any, examples: Examples) -> tuple[float, float]:
    """Return slope and level of the logistic curve from ranker score to P(bought next).

    Fitted on the newest whole cut-off, which the ranker has seen: a little too sure of itself.
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(examples.label)) < 2:
        return 0.0, 0.0
    score = np.asarray(booster.predict(examples.features))[:, None]
    curve = LogisticRegression(C=1e6).fit(score, examples.label)
    # What was thinned out would have lowered the odds by the share that was kept.
    return float(curve.coef_[0, 0]), float(curve.intercept_[0] + np.log(max(examples.share, 1e-6)))


def read_ranker(path: Path, curve: Sequence[float] | None) -> Ranker | None:
    """Return the ranker whose booster was saved at `path`, None where none was fitted."""
    import lightgbm as lgb

    return None if curve is None else Ranker(lgb.Booster(model_file=str(path)), *curve)
