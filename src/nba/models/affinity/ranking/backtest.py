"""Which order is used: the learned one, the simple rule, or half of each.

Both are asked about the newest cut-off that has passed whole. The learned order was fitted on
other customers, and on older cut-offs where there are any, so that it has not seen what it is
asked. Of all products it answers alone unless the simple rule, or half of each, is better by more
than the noise. Of new products popularity is the floor: the learned order gets the share with
which it is ahead of popularity by most, the noise taken off, and none where it is not ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nba.arrays import Bools, Ints, Reals
from nba.models.affinity.ranking.lists import rank_within
from nba.models.affinity.scores import LEAST_WORTH

_PLACES: Final = 10
#: Shares of the learned order that are tried; the first stands unless another is better.
SHARES: Final = (1.0, 0.5, 0.0)
#: Shares that are tried where the simple rule is the floor.
FLOOR_SHARES: Final = (1.0, 0.75, 0.5, 0.25, 0.0)
_FEWEST_CUSTOMERS: Final = 30


@dataclass(frozen=True)
class Backtest:
    """What each order found of the next baskets of a past cut-off.

    Parameters
    ----------
    customers : int
        Who was asked about; 0 where there were too few.
    learned, simple, mixed : float
        Mean NDCG@10 of the learned order, the simple rule, and what answers; NaN without any.
    share : float
        Share of the learned order in the answer.
    """

    customers: int = 0
    learned: float = float("nan")
    simple: float = float("nan")
    mixed: float = float("nan")
    share: float = 0.0

    def sentence(self) -> str:
        """Return which order answers, and why."""
        if not self.customers:
            return "simple rule, too few next baskets to learn from"
        who = {
            0.0: "simple rule",
            0.5: "half learned order, half simple rule",
            1.0: "learned order",
        }.get(self.share, f"{self.share:.0%} learned order, {1 - self.share:.0%} simple rule")
        return (
            f"{who} (NDCG@10 {self.learned:.3f} learned, {self.simple:.3f} simple, "
            f"{self.mixed:.3f} as it answers; {self.customers} customers)"
        )

    def figures(self) -> dict[str, float]:
        """Return what was measured, by name."""
        given = {"backtest_share_learned": self.share}
        if self.customers:
            given |= {
                "backtest_customers": float(self.customers),
                "backtest_ndcg_10": self.mixed,
                "backtest_ndcg_10_learned": self.learned,
                "backtest_ndcg_10_simple": self.simple,
            }
        return given


@dataclass(frozen=True)
class Scale:
    """Brings the learned score and the simple rule's to one scale: their means and spreads."""

    learned_mean: float = 0.0
    learned_spread: float = 1.0
    plain_mean: float = 0.0
    plain_spread: float = 1.0

    @classmethod
    def of(cls, learned: Reals | None, plain: Reals) -> Scale:
        """Return the scale of the candidates of a cut-off."""
        parts: list[float] = []
        for values in (np.zeros(1) if learned is None else learned, log_plain(plain)):
            parts += [float(values.mean()), float(values.std()) or 1.0]
        return cls(*parts)

    def mix(self, learned: Reals | None, plain: Reals, share: float) -> Reals:
        """Return the score that orders: a share of the learned one, the rest the simple rule's."""
        simple = (log_plain(plain) - self.plain_mean) / self.plain_spread
        if learned is None or share == 0.0:
            return np.asarray(simple)
        return np.asarray(
            share * (learned - self.learned_mean) / self.learned_spread + (1.0 - share) * simple
        )


def log_plain(plain: Reals) -> Reals:
    """Return the simple rule's score on a log scale, finite at 0."""
    return np.asarray(np.log(np.asarray(plain, dtype=np.float64) + LEAST_WORTH))


def has_splits(booster: Any) -> bool:
    """Return whether any tree of a booster splits: one without orders nothing."""
    return bool(booster.num_trees()) and bool(booster.feature_importance("split").sum() > 0)


def compare(
    customer: Ints, learned: Reals | None, plain: Reals, label: Bools, *, floor: bool = False
) -> Backtest:
    """Return which share of the learned order stands, from scores of candidates.

    Parameters
    ----------
    customer : array of int, rising
    learned : array of float or None
        Scores of the learned order by those who had not seen these customers.
    plain : array of float
        Scores of the simple rule.
    label : array of bool
        Whether it was in the next basket.
    floor : bool
        Whether the simple rule stands unless the learned order is better, rather than the reverse.
    """
    asked = len(np.unique(customer))
    if learned is None or asked < _FEWEST_CUSTOMERS:
        return Backtest()
    scale = Scale.of(learned, plain)
    shares = FLOOR_SHARES if floor else SHARES
    gains = [_ndcg(customer, scale.mix(learned, plain, share), label) for share in shares]
    best = _least_behind(gains) if floor else _first_unless_worse(gains)
    means = [float(gain.mean()) for gain in gains]
    return Backtest(asked, means[0], means[-1], means[best], shares[best])


def _first_unless_worse(gains: Sequence[Reals]) -> int:
    """Return the first of the gains per customer, or one that is better by more than the noise."""
    best = 0
    for other in range(1, len(gains)):
        better = gains[other] - gains[best]
        if better.mean() > better.std() / np.sqrt(len(better)):
            best = other
    return best


def _least_behind(gains: Sequence[Reals]) -> int:
    """Return which of the gains is ahead of the last one by most, less the noise."""
    ahead = [gain - gains[-1] for gain in gains]
    sure = [float(more.mean() - more.std() / np.sqrt(len(more))) for more in ahead[:-1]]
    return int(np.argmax([*sure, 0.0]))


def _ndcg(customer: Ints, score: Reals, label: Bools) -> Reals:
    """Return NDCG@10 per customer over the candidates."""
    people, place = np.unique(customer, return_inverse=True)
    rank = rank_within(place, score)
    discount = np.where(rank < _PLACES, 1.0 / np.log2(rank + 2.0), 0.0)
    gain = np.bincount(place, discount * label, minlength=len(people))
    hits = np.bincount(place, label, minlength=len(people)).astype(np.int64)
    ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(hits.max(initial=1)) + 2.0))])
    return np.asarray(gain / np.maximum(ideal[hits], 1e-9))
