"""A new design of a model against the champion's and a simple one, on days held back.

All are fitted before a cut-off and asked about the days after it, about the same customers. A
difference counts when its interval over customers leaves out zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.evaluation.arm_effects import LEVEL
from nba.evaluation.calibration import calibration_error
from nba.evaluation.intervals import Interval, bootstrap
from nba.evaluation.off_policy import mean_interval
from nba.evaluation.survival import auc
from nba.models.spec import Gate

CHAMPION: Final = "champion"
BASELINE: Final = "baseline"
#: Metrics that are better when lower.
LOWER_IS_BETTER: Final = ("log_loss", "calibration_error", "miss_10", "seconds")
#: No honest model of what people buy next is this good.
TOO_GOOD: Final = {"auc": 0.99, "hit_10": 0.99}
#: A segment is large from this share, and this number, of customers on.
LARGE_SHARE, LARGE_COUNT = 0.05, 100
DRAWS: Final = 200
_CLIP: Final = 1e-4


@dataclass(frozen=True)
class Answers:
    """What one design said about the customers of a split.

    Parameters
    ----------
    loss : array of shape (n,)
        Per customer, lower is better.
    score : array of shape (n,)
        What it ranks or predicts by.
    happened : bool array of shape (n,)
    is_probability : bool
        Whether `score` is a chance of what happened: then it has an AUC and a calibration.
    seconds : float
        Of fit and score.
    """

    loss: Floats
    score: Floats
    happened: Bools
    is_probability: bool
    seconds: float = 0.0

    def figures(self, rows: Ints) -> dict[str, float]:
        """Return the metrics of some customers."""
        loss, label = float(self.loss[rows].mean()), self.happened[rows]
        if not self.is_probability:
            return {"miss_10": loss, "hit_10": 1.0 - loss}
        return {
            "auc": auc(label, self.score[rows]),
            "log_loss": loss,
            "calibration_error": calibration_error(self.score[rows], label),
        }


def timing_answers(probability: Floats, bought: Bools, seconds: float) -> Answers:
    """Return the answers of a timing model: its chances of a purchase in the split's days."""
    p = np.clip(np.nan_to_num(probability), _CLIP, 1 - _CLIP)
    loss: Floats = -np.where(bought, np.log(p), np.log1p(-p))
    return Answers(loss, p, bought, True, seconds)


def affinity_answers(hit: Bools, score: Floats, seconds: float) -> Answers:
    """Return the answers of an affinity model: whether one of its ten best was bought."""
    return Answers(1.0 - hit.astype(np.float64), score, hit, False, seconds)


@dataclass(frozen=True)
class Trial:
    """What came of a trial.

    Parameters
    ----------
    metrics : mapping of str to Interval
        `auc`, `champion/auc`, `auc-champion` (how much better, whatever its direction) …
    refusals : tuple of str
        Why the new design must not become the champion; empty: it may.
    segments : DataFrame
        segment, customers, worse, lower, upper: the loss beyond the champion's.
    customers, days : int
    reliability : DataFrame
        Predicted and observed shares in ten groups, where the design gives chances.
    by_segment : DataFrame
        segment, customers, predicted, actual: see `predicted_and_actual`.
    """

    metrics: Mapping[str, Interval]
    refusals: tuple[str, ...]
    segments: pl.DataFrame = field(repr=False)
    customers: int = 0
    days: int = 0
    reliability: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False)
    by_segment: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False)


def hold_trial(
    new: Answers,
    others: Mapping[str, Answers],
    segments: Mapping[str, pl.Series],
    gates: Sequence[Gate],
    *,
    days: int,
    seed: int,
) -> Trial:
    """Judge a new design.

    Parameters
    ----------
    new : Answers
    others : mapping of str to Answers
        `champion` and `baseline`, as far as there are any.
    segments : mapping of str to Series
        Per kind of segment, the segment of each customer.
    gates : sequence of Gate
        Of `models/NAME.yaml`.
    days : int
        Length of the split.
    seed : int
        Of the bootstrap.
    """
    metrics = _metrics(new, others, seed)
    segments_found = _segments(new, others, segments)
    refusals = [
        *_too_good(metrics),
        *(_worse(new, other, name) for name, other in others.items()),
        *_harmed(segments_found),
        *(_gate(gate, metrics) for gate in gates),
    ]
    return Trial(
        metrics,
        tuple(text for text in refusals if text),
        segments_found,
        customers=len(new.loss),
        days=days,
        by_segment=predicted_and_actual(new, segments),
    )


def predicted_and_actual(new: Answers, segments: Mapping[str, pl.Series]) -> pl.DataFrame:
    """Return what a design predicted and what happened, in all and by segment.

    Parameters
    ----------
    new : Answers
    segments : mapping of str to Series
        Per kind of segment, the segment of each customer.

    Returns
    -------
    DataFrame
        segment, customers, predicted (mean chance; null where the design gives none), actual (the
        share to whom it happened).
    """
    known = new.score if new.is_probability else np.full(len(new.score), np.nan)
    told = pl.DataFrame({"predicted": known, "actual": new.happened.astype(np.float64)})
    names = {"all": pl.Series(["customers"] * told.height, dtype=pl.String), **segments}
    parts = [
        told.with_columns(segment=pl.format("{} {}", pl.lit(kind), column.cast(pl.String)))
        .drop_nulls("segment")
        .group_by("segment")
        .agg(pl.len().cast(pl.Int64).alias("customers"), pl.col("predicted", "actual").mean())
        .sort("segment")
        for kind, column in names.items()
    ]
    return pl.concat(parts).with_columns(pl.col("predicted").fill_nan(None))


def _metrics(new: Answers, others: Mapping[str, Answers], seed: int) -> dict[str, Interval]:
    def statistic(rows: Ints) -> dict[str, float]:
        own = new.figures(rows)
        values = dict(own)
        for name, other in others.items():
            for metric, value in other.figures(rows).items():
                sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
                values[f"{name}/{metric}"] = value
                values[f"{metric}-{name}"] = sign * (own[metric] - value)
        return values

    from scipy.stats import rankdata

    metrics = bootstrap(statistic, len(new.loss), draws=DRAWS, seed=seed)
    metrics["seconds"] = Interval(new.seconds, new.seconds, new.seconds)
    if CHAMPION in others:
        both = np.corrcoef(rankdata(new.score), rankdata(others[CHAMPION].score))[0, 1]
        agreement = float(np.nan_to_num(both, nan=1.0))
        metrics["agreement"] = Interval(agreement, agreement, agreement)
    return metrics


def _too_good(metrics: Mapping[str, Interval]) -> list[str]:
    return [
        f"too good to be true: {name} {metrics[name].estimate:.3f} on days held back; it looks "
        "as if the model reads what it is asked about"
        for name, limit in TOO_GOOD.items()
        if name in metrics and metrics[name].estimate > limit
    ]


def _worse(new: Answers, other: Answers, name: str) -> str:
    mean, _, low, high = mean_interval(new.loss - other.loss)
    if not low > 0:
        return ""
    return f"worse than the {name}: loss {mean:+.4f} [{low:+.4f}, {high:+.4f}] per customer"


def _segments(
    new: Answers, others: Mapping[str, Answers], segments: Mapping[str, pl.Series]
) -> pl.DataFrame:
    """Return the loss beyond the champion's in each large segment; intervals for all at once."""
    reference = others.get(CHAMPION) or others.get(BASELINE)
    rows: list[dict[str, object]] = []
    if reference is not None:
        beyond = new.loss - reference.loss
        least = max(LARGE_COUNT, LARGE_SHARE * len(beyond))
        large = [
            (f"{kind} {name}", mask)
            for kind, column in segments.items()
            for name in column.unique().drop_nulls().sort()
            if (mask := (column == name).fill_null(False).to_numpy()).sum() >= least
        ]
        level = 1 - (1 - LEVEL) / max(len(large), 1)
        for name, mask in large:
            mean, _, low, high = mean_interval(beyond[mask], level=level)
            rows.append(
                {
                    "segment": name,
                    "customers": int(mask.sum()),
                    "worse": mean,
                    "lower": low,
                    "upper": high,
                }
            )
    schema = {"segment": pl.String, "customers": pl.Int64}
    return pl.DataFrame(
        rows, schema={**schema, **dict.fromkeys(("worse", "lower", "upper"), pl.Float64)}
    )


def _harmed(segments: pl.DataFrame) -> list[str]:
    harmed = segments.filter(pl.col("lower") > 0)
    return [
        f"harms the segment {row['segment']} ({row['customers']:,} customers): loss "
        f"{row['worse']:+.4f} [{row['lower']:+.4f}, {row['upper']:+.4f}]"
        for row in harmed.iter_rows(named=True)
    ]


def _gate(gate: Gate, metrics: Mapping[str, Interval]) -> str:
    """Return why a gate is not passed, or an empty text; the interval must pass as a whole."""
    name = gate.metric if gate.margin is None else f"{gate.metric}-{gate.baseline}"
    interval = metrics.get(name)
    if interval is None:
        if gate.baseline == CHAMPION:
            return ""  # there is none yet
        return f"gate on {name}: no such metric; there are {', '.join(sorted(metrics))}"
    text = f"{name} {interval.estimate:.4g} [{interval.lower:.4g}, {interval.upper:.4g}]"
    if gate.at_least is not None and not interval.lower >= gate.at_least:
        return f"gate: {text} is not at least {gate.at_least:g} with confidence"
    if gate.at_most is not None and not interval.upper <= gate.at_most:
        return f"gate: {text} is not at most {gate.at_most:g} with confidence"
    if gate.margin is not None and not interval.lower >= gate.margin:
        return f"gate: {text} is not better by {gate.margin:g} with confidence"
    return ""
