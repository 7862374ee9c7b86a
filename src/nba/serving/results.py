"""Results of clerks: counts of their own, and what contacts brought, with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import polars as pl

from nba.schema.words import Arm, FeedbackKind
from nba.serving.schemas import Coaching, Increment

#: The fewest customers left alone from whom an increment is told.
FEWEST_ALONE: Final = 8
_Z: Final = 1.96
#: Skips from which on they are worth a word, and the share sent below which it is.
MANY_SKIPS: Final = 5
LOW_ADOPTION: Final = 0.4
FEWEST_LISTED: Final = 10


def increment(arms: pl.DataFrame, sales: pl.DataFrame) -> Increment | None:
    """Return what the engine's customers spent more than those left alone, in all.

    Parameters
    ----------
    arms : DataFrame
        customer_id, arm: of one book.
    sales : DataFrame
        customer_id, amount: of the period; customers who bought nothing are absent.

    Notes
    -----
    The difference of the means with the normal interval of Welch's standard error, times the
    engine's customers: by arm, whether or not a message was sent, so that clerks' choices
    do not bend it.
    """
    spent = arms.join(sales.select("customer_id", "amount"), on="customer_id", how="left")
    spent = spent.with_columns(pl.col("amount").fill_null(0.0))
    engine = spent.filter(pl.col("arm") == str(Arm.ENGINE))["amount"]
    alone = spent.filter(pl.col("arm") == str(Arm.HOLDOUT))["amount"]
    if len(alone) < FEWEST_ALONE or len(engine) < FEWEST_ALONE:
        return None
    difference = _mean(engine) - _mean(alone)
    error = (_variance(engine) / len(engine) + _variance(alone) / len(alone)) ** 0.5
    count = len(engine)
    return Increment(
        amount=round(difference * count, 2),
        low=round((difference - _Z * error) * count, 2),
        high=round((difference + _Z * error) * count, 2),
        customers=count,
        left_alone=len(alone),
    )


def _mean(values: pl.Series) -> float:
    return float(values.sum()) / len(values)


def _variance(values: pl.Series) -> float:
    return float(((values - _mean(values)) ** 2).sum()) / (len(values) - 1)


def counts(rows: Sequence[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Return how many actions were listed, sent, and skipped or not suitable."""
    kinds = Counter(row["kind"] for row in rows)
    skipped = kinds[FeedbackKind.SKIPPED] + kinds[FeedbackKind.DISMISSED]
    return len(rows), kinds[FeedbackKind.SENT], skipped


def coaching(rows: Sequence[Mapping[str, Any]], late_cases: int) -> list[Coaching]:
    """Return where help is welcome, by what the log says.

    Parameters
    ----------
    rows : sequence of mapping
        The listed actions of past days, with what became of each.
    late_cases : int
        Service cases of the book that are open for more than two days.
    """
    found = []
    if late_cases:
        found.append(Coaching(kind="late_cases", count=late_cases))
    listed, sent, skipped = counts(rows)
    if skipped >= MANY_SKIPS:
        reasons = Counter(row["reason"] for row in rows if row["reason"])
        reason = reasons.most_common(1)[0][0] if reasons else None
        found.append(Coaching(kind="many_skips", count=skipped, reason=reason))
    if listed >= FEWEST_LISTED and sent < LOW_ADOPTION * listed:
        found.append(Coaching(kind="low_adoption", share=sent / listed))
    return found


def month_of(day: date) -> date:
    """Return the first day of a day's month."""
    return day.replace(day=1)
