"""The second stage: LightGBM LambdaRank over the candidates of past cut-offs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.log import Bools, Floats, Ints


@dataclass(frozen=True)
class Examples:
    """Candidates of one past cut-off with what was bought next, grouped by customer.

    Parameters
    ----------
    customer : array of int, rising
    features : (rows, features) array; the last feature says whether it was bought before
    label : array of bool
    """

    customer: Ints
    features: Floats
    label: Bools

    @classmethod
    def keep_informative(cls, customer: Ints, features: Floats, label: Bools) -> Self:
        """Keep the customers with a bought candidate: a list without one teaches no order."""
        bought = np.bincount(customer[label], minlength=int(customer.max(initial=-1)) + 1) > 0
        kept = bought[customer]
        return cls(customer[kept], features[kept], label[kept])

    def new_only(self) -> Self:
        """Return the examples that were new to the customer."""
        new = self.features[:, -1] == 0
        return self.keep_informative(self.customer[new], self.features[new], self.label[new])

    @property
    def groups(self) -> Ints:
        """Return the rows per customer, in order."""
        return np.unique(self.customer, return_counts=True)[1]


def fit_ranker(
    examples: Sequence[Examples], names: Sequence[str], config: TwoStageConfig, seed: int
) -> Any:
    """Return the booster fitted on all cut-offs, None where nothing was bought."""
    import lightgbm as lgb

    features = np.vstack([part.features for part in examples])
    if not len(features):
        return None
    labels = np.concatenate([part.label for part in examples]).astype(np.float32)
    groups = np.concatenate([part.groups for part in examples])
    data = lgb.Dataset(features, labels, group=groups, feature_name=list(names))
    parameters = {
        "objective": "lambdarank",
        "lambdarank_truncation_level": config.truncation,
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.min_data_in_leaf,
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
    return lgb.train(parameters, data, num_boost_round=config.trees)


def fit_relevance(ranker: Any, examples: Examples) -> tuple[float, float]:
    """Return slope and level of the logistic curve from ranker score to P(bought next).

    Fitted on the newest cut-off, which the ranker has seen: a little too sure of itself.
    """
    from sklearn.linear_model import LogisticRegression

    if ranker is None or len(np.unique(examples.label)) < 2:
        return 0.0, 0.0
    score = ranker.predict(examples.features)[:, None]
    curve = LogisticRegression(C=1e6).fit(score, examples.label)
    return float(curve.coef_[0, 0]), float(curve.intercept_[0])
