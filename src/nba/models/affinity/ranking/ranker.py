"""The second stage: LightGBM LambdaRank over the candidates of past cut-offs, or a simple rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from nba.arrays import Bools, Ints, Reals
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.ranking.backtest import Backtest, Scale, compare, has_splits
from nba.models.affinity.ranking.lists import rank_within
from nba.models.affinity.scores import BELIEVED_LEVEL

#: Lists of candidates from which an order is learned at all.
_FEWEST_LISTS = 20
#: Values of a feature are looked at in so many rows to set its bins.
_BINNED_ROWS = 50_000


@dataclass(frozen=True)
class Examples:
    """Candidates of one past cut-off with what was bought next, grouped by customer.

    Parameters
    ----------
    customer : array of int, rising
    features : (rows, features) array; the last feature says whether it was bought before
    label : array of bool
    plain : array of float
        The simple rule's score.
    whole : bool
        Whether the whole horizon after the cut-off had passed.
    share : float
        The share that was kept of what was not bought.
    found : float
        The share of next baskets that held any candidate.
    """

    customer: Ints
    features: Reals
    label: Bools
    plain: Reals
    whole: bool = True
    share: float = 1.0
    found: float = 1.0

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
            plain=self.plain[used],
        )

    def new_only(self) -> Self:
        """Return the examples that were new to the customer."""
        return self.of(self.features[:, -1] == 0)

    def fold(self, number: int) -> Self:
        """Return the examples of every other customer: 0 or 1."""
        return self.of(self.customer % 2 == number)

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
    """A learned order and the simple rule, how much each counts, and the curve to relevance.

    Parameters
    ----------
    booster : lightgbm.Booster or None
        None where there was nothing to learn from, or nothing was found in it.
    backtest : Backtest
        Which of them answers, and why.
    scale : Scale
    slope, level, found : float
        P(bought next) is `found` times the logistic curve of the score.
    """

    booster: Any
    backtest: Backtest = field(default_factory=Backtest)
    scale: Scale = field(default_factory=Scale)
    slope: float = 1.0
    level: float = BELIEVED_LEVEL
    found: float = 1.0
    _splits: dict[int, tuple[Any, Any]] = field(default_factory=dict, init=False, compare=False)

    @classmethod
    def fit(
        cls,
        examples: Sequence[Examples],
        names: Sequence[str],
        config: TwoStageConfig,
        seed: int,
        *,
        floor: bool = False,
    ) -> Ranker:
        """Fit on all cut-offs, the newest first, after a backtest on one of them.

        Parameters
        ----------
        examples : sequence of Examples
        names : sequence of str
            Names of the features.
        config : TwoStageConfig
        seed : int
        floor : bool
            Whether the simple rule stands unless the learned order is better.
        """
        examples = [part for part in examples if part.label.any()]
        if not examples:
            return cls(None)
        newest = next((part for part in examples if part.whole), examples[0])
        unseen = _unseen_scores(examples, newest, names, config, seed)
        backtest = compare(newest.customer, unseen, newest.plain, newest.label, floor=floor)
        booster = _booster(examples, names, config, seed) if backtest.share else None
        if booster is None or unseen is None:
            backtest, unseen = replace(backtest, share=0.0, mixed=backtest.simple), None
        scored = Scale.of(unseen, newest.plain).mix(unseen, newest.plain, backtest.share)
        slope, level = _relevance(scored, newest)
        learned = None if booster is None else _predict(booster, newest.features)
        scale = Scale.of(learned, newest.plain)
        return cls(booster, backtest, scale, slope, level, newest.found)

    @property
    def share(self) -> float:
        """Share of the learned order in the answer."""
        return 0.0 if self.booster is None else self.backtest.share

    def predict(self, features: Reals, plain: Reals) -> Reals:
        """Return the scores by all trees and the simple rule."""
        learned = _predict(self.booster, features) if self.share else None
        return self.scale.mix(learned, plain, self.share)

    def best(
        self,
        customer: Ints,
        features: Reals,
        plain: Reals,
        *,
        tie: Ints,
        trees: int,
        keep: int,
    ) -> tuple[Ints, Reals]:
        """Return the best `keep` rows per customer by the first trees, with their full scores.

        Most candidates are far from any list, and a few trees tell. Where the simple rule counts
        too, its own best `keep` stay beside them.

        Parameters
        ----------
        customer : array of int of shape (rows,)
        features : array of shape (rows, features)
        plain : array of float of shape (rows,)
            The simple rule's score.
        tie : array of int of shape (rows,)
            What orders equal scores, smaller first.
        trees, keep : int
        """
        crowded = np.bincount(customer).max(initial=0) > keep
        if not crowded or self.share == 0.0:
            score = self.predict(features, plain)
            best = np.flatnonzero(rank_within(customer, score, tie) < keep)
            return best, score[best]
        first, others = self._split(trees)
        start = _predict(first, features)
        hopeful = rank_within(customer, start, tie) < keep
        if self.share < 1.0:
            hopeful |= rank_within(customer, plain, tie) < keep
        best = np.flatnonzero(hopeful)
        learned = start[best] + _predict(others, features[best])
        return best, self.scale.mix(learned, plain[best], self.share)

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
        return np.asarray(self.found / (1 + np.exp(-(self.slope * score + self.level))))


def _predict(booster: Any, features: Reals) -> Reals:
    if not booster.num_trees():
        return np.zeros(len(features))
    return np.asarray(booster.predict(features, num_threads=1), dtype=np.float64)


def _unseen_scores(
    examples: Sequence[Examples],
    newest: Examples,
    names: Sequence[str],
    config: TwoStageConfig,
    seed: int,
) -> Reals | None:
    """Return scores of `newest` by boosters that have not seen its customers; None without any.

    They learn from older cut-offs, whose customers knew less of what was to come; where there is
    none, from the same one.
    """
    place = next(i for i, part in enumerate(examples) if part is newest)
    older = examples[place + 1 :] or [newest]
    config = _coarser(config)
    scores = np.zeros(len(newest.label))
    for number in (0, 1):
        learned = [part for part in (one.fold(1 - number) for one in older) if part.label.any()]
        booster = _booster(learned, names, config, seed) if learned else None
        if booster is None:
            return None
        asked = newest.customer % 2 == number
        scores[asked] = _predict(booster, newest.features[asked])
    return scores


def _coarser(config: TwoStageConfig) -> TwoStageConfig:
    """Return the parameters of a booster that learns as much in half as many trees."""
    half = {"trees": -(-config.trees // 2), "learning_rate": 2.0 * config.learning_rate}
    return config.model_copy(update=half)


def _booster(
    examples: Sequence[Examples], names: Sequence[str], config: TwoStageConfig, seed: int
) -> Any:
    groups = np.concatenate([part.groups for part in examples])
    if len(groups) < _FEWEST_LISTS:
        return None
    import lightgbm as lgb

    features = np.vstack([part.features for part in examples])
    labels = np.concatenate([part.label for part in examples]).astype(np.float32)
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
        "num_threads": config.workers,
        "seed": seed,
        "bin_construct_sample_cnt": _BINNED_ROWS,
        "verbosity": -1,
    }
    data = lgb.Dataset(features, labels, group=groups, feature_name=list(names), params=parameters)
    booster = lgb.train(parameters, data, num_boost_round=config.trees)
    return booster if has_splits(booster) else None


def _relevance(score: Reals, examples: Examples) -> tuple[float, float]:
    """Return slope and level of the logistic curve from a score to P(bought next).

    The score is of those who had not seen these customers, so that the curve is not too sure.
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(examples.label)) < 2:
        return 1.0, BELIEVED_LEVEL
    curve = LogisticRegression(C=1e6).fit(score[:, None], examples.label)
    # What was thinned out would have lowered the odds by the share that was kept.
    level = float(curve.intercept_[0] + np.log(max(examples.share, 1e-6)))
    return max(float(curve.coef_[0, 0]), 1e-3), level


def read_ranker(path: Path, head: Mapping[str, Any]) -> Ranker:
    """Return the ranker that `ranker_head` and the booster at `path` describe."""
    import lightgbm as lgb

    return Ranker(
        lgb.Booster(model_file=str(path)) if path.exists() else None,
        Backtest(**head["rehearsal"]),
        Scale(**head["scale"]),
        *head["curve"],
    )


def ranker_head(ranker: Ranker) -> dict[str, Any]:
    """Return all but the booster of a ranker, for `read_ranker`."""
    return {
        "rehearsal": asdict(ranker.backtest),
        "scale": asdict(ranker.scale),
        "curve": [ranker.slope, ranker.level, ranker.found],
    }
