"""What would change between two plans, and whether a decision repeats to the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from nba.decisions.decide import decide
from nba.decisions.plan import Plan
from nba.decisions.rules import DecisionRules
from nba.errors import NotFoundError
from nba.schema.words import Mode


@dataclass(frozen=True)
class PlanDiff:
    """What a preview would change against another plan.

    Parameters
    ----------
    customers : DataFrame
        customer_id, change (`added`, `removed`, `changed`), and action type, clerk and
        value before and after.
    clerks : DataFrame
        clerk_id with actions, minutes and value before and after.
    action_types : DataFrame
        action_type with counts before and after.
    value_before, value_after : float
    vanished : tuple of str
        Action types that were planned before and are not any more.
    """

    customers: pl.DataFrame
    clerks: pl.DataFrame
    action_types: pl.DataFrame
    value_before: float
    value_after: float
    vanished: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Return the figures as plain values, money to the hundredth."""
        counts = dict(self.customers.group_by("change").len().iter_rows())
        return {
            **{name: counts.get(name, 0) for name in ("added", "removed", "changed")},
            "value_before": round(self.value_before, 2),
            "value_after": round(self.value_after, 2),
            "vanished_action_types": list(self.vanished),
        }


def diff_plans(before: pl.DataFrame, after: pl.DataFrame) -> PlanDiff:
    """Compare two actions tables; customers who are left alone do not count as actions."""
    old, new = _contacts(before), _contacts(after)
    both = old.join(new, on="customer_id", how="full", coalesce=True, suffix="_after")
    changed = (pl.col("action_type") != pl.col("action_type_after")) | (
        pl.col("clerk_id") != pl.col("clerk_id_after")
    )
    customers = (
        both.with_columns(
            change=pl.when(pl.col("action_type").is_null())
            .then(pl.lit("added"))
            .when(pl.col("action_type_after").is_null())
            .then(pl.lit("removed"))
            .when(changed)
            .then(pl.lit("changed"))
        )
        .filter(pl.col("change").is_not_null())
        .sort("customer_id")
    )
    types = _side_by_side(old, new, "action_type")
    return PlanDiff(
        customers=customers,
        clerks=_side_by_side(old, new, "clerk_id"),
        action_types=types,
        value_before=float(old["value"].sum()),
        value_after=float(new["value"].sum()),
        vanished=tuple(
            types.filter((pl.col("actions") > 0) & (pl.col("actions_after") == 0))["action_type"]
        ),
    )


def _contacts(actions: pl.DataFrame) -> pl.DataFrame:
    return actions.filter(pl.col("mode") != str(Mode.NONE)).select(
        "customer_id", "clerk_id", "action_type", "mode", "minutes", "value"
    )


def _side_by_side(old: pl.DataFrame, new: pl.DataFrame, key: str) -> pl.DataFrame:
    def total(table: pl.DataFrame) -> pl.DataFrame:
        return table.group_by(key).agg(
            pl.len().cast(pl.Int64).alias("actions"),
            pl.col("minutes").sum(),
            pl.col("value").sum(),
        )

    joined = total(old).join(total(new), on=key, how="full", coalesce=True, suffix="_after")
    return joined.with_columns(pl.exclude(key).fill_null(0)).sort(key)


def decision_bytes(plan: Plan, action_id: str) -> bytes:
    """Return one decision, its action and its log row, in a canonical form.

    Raises
    ------
    NotFoundError
        When the plan has no such action.
    """
    row = plan.actions.filter(pl.col("action_id") == action_id)
    if not row.height:
        raise NotFoundError(
            f"there is no action {action_id!r} in this plan",
            expected="an action_id of the plan",
            found=action_id,
            next_step="look it up with `nba actions export`",
        )
    logged = plan.log.filter(pl.col("customer_id") == row["customer_id"][0])
    content = {"action": row.row(0, named=True), "log": logged.row(0, named=True)}
    return _bytes(content)


def _bytes(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, default=str, ensure_ascii=False).encode()


@dataclass(frozen=True)
class Replay:
    """One decision recomputed: the same bytes, or what differs.

    Parameters
    ----------
    action_id, digest, logged_digest : str
    same : bool
    differences : mapping
        Field to (logged, recomputed).
    erased_beside : int
        Customers of the same clerk who were erased since. The draw of a clerk depends on all of
        that clerk's customers, so a decision beside them need not repeat to the byte.
    """

    action_id: str
    same: bool
    digest: str
    logged_digest: str
    differences: Mapping[str, tuple[Any, Any]]
    erased_beside: int = 0


def replay(
    inputs: Mapping[str, pl.DataFrame],
    rules: DecisionRules,
    *,
    action_id: str,
    as_of: datetime,
    plan: Plan,
) -> Replay:
    """Recompute the plan from the inputs of its log, and compare one decision byte for byte.

    Parameters
    ----------
    inputs, rules, as_of
        What the plan was decided on.
    action_id : str
        The decision.
    plan : Plan
        The plan as it was kept.

    Raises
    ------
    NotFoundError
        When the plan has no such action.

    Notes
    -----
    The draw of a clerk depends on that clerk's customers, and averages on everyone's, so
    the whole day is decided again.
    """
    logged = decision_bytes(plan, action_id)
    again = decide(inputs, rules, as_of=as_of)
    now = decision_bytes(again, action_id) if action_id in again.actions["action_id"] else b"{}"
    return _compared(action_id, logged, now)


def compared(action_id: str, logged: Mapping[str, Any], now: Mapping[str, Any]) -> Replay:
    """Compare a decision as it was logged with the same one recomputed, byte for byte."""
    return _compared(action_id, _bytes(logged), _bytes(now))


def _compared(action_id: str, logged: bytes, now: bytes) -> Replay:
    return Replay(
        action_id=action_id,
        same=logged == now,
        digest=hashlib.sha256(now).hexdigest(),
        logged_digest=hashlib.sha256(logged).hexdigest(),
        differences=_differences(json.loads(logged), json.loads(now)),
    )


def _differences(old: Any, new: Any, place: str = "") -> dict[str, tuple[Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        differences: dict[str, tuple[Any, Any]] = {}
        for key in sorted({*old, *new}):
            differences |= _differences(old.get(key), new.get(key), f"{place}.{key}".lstrip("."))
        return differences
    return {} if old == new else {place: (old, new)}
