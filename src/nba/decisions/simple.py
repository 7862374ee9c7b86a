"""Simple policies: lists that need no learned effect.

They score the same needs, in the same modes, under the same policy and minutes as the engine: where
learning begins, what runs as an arm beside it, and what it must beat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.decisions.needs import CustomerNeeds
from nba.models.needs.words import Need
from nba.schema.words import CONTACT_MODES, Arm, CategoryKind, Mode

#: Rough fit of the kind of a category and a mode, as brands report it.
FIT: Final = np.array([[1.0, 0.5, 0.4], [0.55, 1.0, 0.6], [0.35, 0.55, 1.2]])
#: Chance of an order by a contact about a due category in the fitting mode: makes it money.
CHANCE: Final = 0.05
DUE_SPREAD: Final = 0.7
FATIGUE: Final = 0.3
#: Beyond so many gaps a customer counts as gone rather than late.
LONGEST: Final = 3.0
_MODES: Final = tuple(str(mode) for mode in CONTACT_MODES)
_KINDS: Final = tuple(str(kind) for kind in CategoryKind)
_ASSISTANT: Final = _MODES.index(str(Mode.SHOPPING_ASSISTANT))

#: Scores needs (rows with the facts of their customer), shape (needs, modes).
SimplePolicy = Callable[[pl.DataFrame], Floats]


def due_worth(rows: pl.DataFrame) -> Floats:
    """Margin of an order x how due x fit of mode and kind x answers in the mode x rest."""
    due = np.clip(_numbers(rows, "due", 0.0), 1e-3, None)
    curve = np.exp(-0.5 * np.square(np.log(due) / DUE_SPREAD)) * _is_due(rows)
    kind = rows["category_kind"].replace_strict(
        {name: place for place, name in enumerate(_KINDS)}, default=0, return_dtype=pl.Int64
    )
    fit = FIT[kind.fill_null(0).to_numpy()]
    answers = np.column_stack(
        [_numbers(rows, f"response_rate_{mode}", 0.2) / 0.2 for mode in _MODES]
    )
    rested = np.exp(-FATIGUE * _numbers(rows, "fatigue", 0.0))
    worth = CHANCE * _numbers(rows, "order_margin", 0.0) * curve * rested
    return np.asarray(worth[:, None] * fit * answers)


def most_overdue(rows: pl.DataFrame) -> Floats:
    """Days since the last purchase over the usual gap, with what was bought last."""
    ratio = _numbers(rows, "overdue_ratio", 0.0)
    score = np.where(ratio > LONGEST, 1.0 / np.maximum(ratio, 1.0), ratio)
    return _one_mode(score * _is_last(rows))


def recency_spend(rows: pl.DataFrame) -> Floats:
    """Recent purchases and high spend, by rank among the customers."""
    recent = -_numbers(rows, "days_since_purchase", 1e4)
    spend = _numbers(rows, "spend_365d_amount", 0.0)
    return _one_mode((_ranks(recent) + _ranks(spend)) * _is_last(rows))


def top_propensity(rows: pl.DataFrame) -> Floats:
    """The chance of a purchase within 30 days, with what was bought last."""
    return _one_mode(_numbers(rows, "p_purchase_30d", 0.0) * _is_last(rows))


def clerk_habit(rows: pl.DataFrame) -> Floats:
    """Who was contacted most so far, in the modes in which they were."""
    contacts = np.column_stack([_numbers(rows, f"contacts_{mode}_365d", 0.0) for mode in _MODES])
    recent = 1.0 / (30.0 + _numbers(rows, "days_since_purchase", 365.0))
    return np.asarray((contacts + 0.1) * (recent * _is_last(rows))[:, None])


#: The simple policies by the arm that they plan.
SIMPLE_POLICIES: Final[Mapping[Arm, SimplePolicy]] = MappingProxyType(
    {
        Arm.DUE_WORTH: due_worth,
        Arm.MOST_OVERDUE: most_overdue,
        Arm.RECENCY_SPEND: recency_spend,
        Arm.TOP_PROPENSITY: top_propensity,
        Arm.CLERK_HABIT: clerk_habit,
    }
)


def simple_scores(
    needs: CustomerNeeds, facts: pl.DataFrame, arm: pl.Series, other: Floats
) -> Floats:
    """Return what each need is worth to the policy of its customer, shape (needs + 1, modes).

    Parameters
    ----------
    needs : CustomerNeeds
        Of the customers of `facts`.
    facts : DataFrame
        A row per customer.
    arm : Series of str
        The arm of each customer.
    other : array of shape (needs + 1, modes)
        What needs are worth to customers of the other arms.
    """
    scores = other.copy()
    whose = needs.customers()
    for name, policy in SIMPLE_POLICIES.items():
        mine = (arm == str(name)).to_numpy()
        rows = np.flatnonzero(mine[whose])
        if not len(rows):
            continue
        of_customer = facts[whose[rows].tolist()]
        own = needs.rows[rows.tolist()]
        known = [column for column in of_customer.columns if column not in own.columns]
        is_pair = (own["goods"].fill_null(1) > 1).to_numpy()[:, None]
        scores[rows] = np.where(is_pair, 0.0, policy(own.hstack(of_customer.select(known))))
    return scores


def _numbers(rows: pl.DataFrame, name: str, default: float) -> Floats:
    """Return a column as numbers; `default` where it is empty or absent."""
    if name not in rows.columns:
        return np.full(rows.height, default)
    column = rows[name].cast(pl.Float64).fill_null(default).fill_nan(default)
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _is_due(rows: pl.DataFrame) -> Floats:
    found = (rows["need"] == str(Need.DUE)).cast(pl.Float64)
    return np.asarray(found.to_numpy(), dtype=np.float64)


def _is_last(rows: pl.DataFrame) -> Floats:
    """Return 1 for the due need whose category the customer bought last, else 0."""
    due = pl.col("need") == str(Need.DUE)
    first = pl.col("days_since").filter(due).min().over("customer_id")
    found = rows.select((due & (pl.col("days_since") <= first)).fill_null(False).cast(pl.Float64))
    return np.asarray(found.to_series().to_numpy(), dtype=np.float64)


def _one_mode(score: Floats) -> Floats:
    worth = np.zeros((len(score), len(_MODES)))
    worth[:, _ASSISTANT] = score
    return worth


def _ranks(values: Floats) -> Floats:
    return np.asarray(pl.Series(values).rank("average").to_numpy() / max(len(values), 1))
