"""The funnel: which action types stand for which customers, before the contact policy."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import polars as pl

from nba.arrays import Bools, Floats
from nba.decisions.action_types import ActionType
from nba.decisions.modes import MODES
from nba.features.expressions import parse_expression

#: The facts that say that a case is open; selling waits for it.
_OPEN_CASES = ("open_service_cases", "open_complaints", "open_questions", "open_after_sales")


class Stage(IntEnum):
    """How far an action came; the name says where it fell out."""

    NOT_ELIGIBLE = 0
    NOT_APPLICABLE = 1
    NOT_SUITABLE = 2
    POLICY = 3
    OPEN = 4


def may_contact() -> pl.Expr:
    """Return the rule that stands above every catalogue: consent given, not blocked."""
    return pl.col("consent_contact").fill_null(False) & pl.col("is_blocked").fill_null(True).not_()


def funnel_stages(
    facts: pl.DataFrame, actions: Sequence[ActionType], allowed: Bools, serves: Bools
) -> npt.NDArray[np.int8]:
    """Return the stage that each action type reached.

    Parameters
    ----------
    facts : DataFrame
        A row per customer; see `nba.decisions.facts`.
    actions : sequence of ActionType
    allowed : array of bool, shape (customers, actions)
        Where the contact policy leaves the way free.
    serves : array of bool, shape (customers, actions)
        Where there is a need that the action can serve; service serves the open case.
    """
    suitable = flags_of(facts, [action.suitable for action in actions])
    stage = np.where(allowed, np.int8(Stage.OPEN), np.int8(Stage.POLICY))
    stage[~(suitable & ~_waits_for_a_case(facts, actions))] = Stage.NOT_SUITABLE
    service = np.array([action.service for action in actions], dtype=bool)
    applicable = flags_of(facts, [action.applicable for action in actions]) & (serves | service)
    stage[~applicable] = Stage.NOT_APPLICABLE
    stage[~_eligible(facts, actions)] = Stage.NOT_ELIGIBLE
    return stage


def _eligible(facts: pl.DataFrame, actions: Sequence[ActionType]) -> Bools:
    """Return to whom each action type may go: by law, by friendship, by the clerk's modes."""
    may = facts.select(may_contact().alias("x"))["x"].to_numpy()[:, None]
    friend = facts["is_friend"].fill_null(False).to_numpy()[:, None]
    profiled = facts["consent_profiling"].to_numpy()[:, None]
    needs_friend = np.array([action.needs_friend for action in actions], dtype=bool)
    profiling = np.array([action.profiling for action in actions], dtype=bool)
    eligible: Bools = may & (friend | ~needs_friend) & (profiled | ~profiling)
    eligible = eligible & _clerk_serves(facts, actions)
    return eligible & flags_of(facts, [action.eligible for action in actions])


def _waits_for_a_case(facts: pl.DataFrame, actions: Sequence[ActionType]) -> Bools:
    """Return which action types wait until the customer's open case is closed."""
    is_open = pl.any_horizontal([pl.col(name) > 0 for name in _OPEN_CASES])
    has_case = facts.select(is_open.alias("x"))["x"].fill_null(False).to_numpy()
    service = np.array([action.service for action in actions], dtype=bool)
    waits: Bools = has_case[:, None] & ~service
    return waits


def _clerk_serves(facts: pl.DataFrame, actions: Sequence[ActionType]) -> Bools:
    """Return which action types are of a mode that the customer's clerk serves."""
    listed = pl.col("clerk_modes")
    serves = facts.select(
        (listed.is_null() | (listed.list.len() == 0) | listed.list.contains(str(mode)))
        .fill_null(True)
        .alias(str(mode))
        for mode in MODES
    ).to_numpy()
    by_action: Bools = serves[:, [MODES.index(action.mode) for action in actions]]
    return by_action


def flags_of(facts: pl.DataFrame, rules: Sequence[str]) -> Bools:
    """Return (customers, rules): where each rule holds; unknown is false."""
    return _evaluate(facts, rules, pl.Boolean(), False).astype(bool)


def numbers_of(facts: pl.DataFrame, rules: Sequence[str]) -> Floats:
    """Return (customers, rules): the number each rule gives; unknown is zero."""
    return _evaluate(facts, rules, pl.Float64(), 0.0).astype(np.float64)


def _evaluate(
    facts: pl.DataFrame, rules: Sequence[str], dtype: pl.DataType, unknown: bool | float
) -> npt.NDArray[np.generic]:
    columns = [
        parse_expression(rule).polars().cast(dtype).fill_null(unknown).alias(str(position))
        for position, rule in enumerate(rules)
    ]
    if not columns or not facts.height:
        return np.zeros((facts.height, len(columns)))
    return facts.with_columns(columns).select([str(i) for i in range(len(columns))]).to_numpy()
