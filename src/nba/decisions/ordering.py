"""The order of a clerk's list, and which values are money.

Simple lists score by what they go by: how overdue a customer is, a rank, a probability. Such scores
order their own list; they are no money, and are never held against the engine's.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from nba.decisions.hashing import uniform
from nba.schema.words import SIMPLE_ARMS, Arm

#: Simple lists whose score is the expected margin of a contact.
_IN_MONEY: Final = (Arm.DUE_WORTH,)
#: Simple lists whose score is no money.
UNPRICED_ARMS: Final = tuple(arm for arm in SIMPLE_ARMS if arm not in _IN_MONEY)


def is_priced() -> pl.Expr:
    """Return whether the value of a row of this `arm` is money."""
    return ~pl.col("arm").is_in([str(arm) for arm in UNPRICED_ARMS])


def in_money(actions: pl.DataFrame) -> pl.DataFrame:
    """Return actions with `value` where it is money, null elsewhere."""
    return actions.with_columns(value=pl.when(is_priced()).then("value"))


def placed(rows: pl.DataFrame, best_first: pl.Expr) -> pl.DataFrame:
    """Return rows with their `rank` on the clerk's list: services, then all lists interleaved.

    Parameters
    ----------
    rows : DataFrame
        clerk_id, customer_id, arm, service, and what `best_first` reads.
    best_first : Expr
        A number that orders the rows of one list, the least first; of services too.

    Notes
    -----
    Each simple list, and all others together, are spread evenly over the clerk's day, each in its
    own order: where a customer stands depends on no unit, and no list comes before another.
    """
    rest = ~pl.col("service") & pl.col("arm").is_in([str(arm) for arm in SIMPLE_ARMS])
    lists = rows.with_columns(
        _list=pl.when(rest).then("arm").otherwise(pl.lit("")),
        _best=best_first,
        _tie=pl.Series(uniform(rows["customer_id"], "place")),
    )
    mine = ["clerk_id", "service", "_list"]
    own = pl.struct("_best", "customer_id").rank("ordinal").over(mine)
    spread = lists.with_columns(_place=(own - 0.5) / pl.len().over(mine))
    order = pl.struct(~pl.col("service"), "_place", "_tie", "customer_id")
    ranked = spread.with_columns(rank=order.rank("ordinal").over("clerk_id").cast(pl.Int64))
    return ranked.drop("_list", "_best", "_tie", "_place")
