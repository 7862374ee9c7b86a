"""What another policy would have earned, from the engine's own log; or that it cannot say.

A policy is described by how it would have moved the logged chances of each day, or by the chances
that the same days have when they are planned anew under other rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.errors import ModelError, UsageError
from nba.evaluation.impact.listings import NONE, PAST
from nba.evaluation.off_policy import Difference, Estimate, Log, paired_difference, policy_value

#: Weights above are cut; the estimate says which share was.
MAX_WEIGHT: Final = 50.0
#: Where a larger share of the wanted contacts was never open in the log, the log cannot say.
MAX_UNSEEN: Final = 0.1
_KEY: Final = ("day", "customer_id")


@dataclass(frozen=True)
class WhatIf:
    """What a policy would have earned per customer and day with an open action.

    Parameters
    ----------
    policy : str
    estimate, logged : Estimate
        Margin of the outcome days under the policy, and under what was done.
    difference : Difference
        Of the two, on the same rows.
    rows : int
    days : int
        Of the log that the rows are of.
    unseen_share : float
        Share of the contacts of changed rules that were never open in the log, and count as none.
    """

    policy: str
    estimate: Estimate
    logged: Estimate
    difference: Difference
    rows: int
    days: int
    unseen_share: float = 0.0

    @property
    def a_week(self) -> float:
        """How many customer days with an open action a week has: turns a difference into money."""
        return self.rows / max(self.days, 1) * 7


def _leave_alone(table: pl.DataFrame, _: str) -> pl.Expr:
    return pl.lit(0.0)


def _only(table: pl.DataFrame, mode: str) -> pl.Expr:
    """Every contact in one mode, where one is open; as many contacts as before there."""
    own = pl.when(pl.col("mode") == mode).then("probability").otherwise(0.0)
    inside = own.sum().over(_KEY)
    total = pl.col("probability").sum().over(_KEY)
    return pl.when(inside > 0).then(own / inside * total).otherwise(0.0)


def _without(table: pl.DataFrame, action_type: str) -> pl.Expr:
    return pl.when(pl.col("action_type") == action_type).then(0.0).otherwise("probability")


def _times(table: pl.DataFrame, share: str) -> pl.Expr:
    """So many times the chance of every contact, as far as chances go."""
    try:
        factor = float(share)
    except ValueError:
        factor = math.nan
    if not (math.isfinite(factor) and factor >= 0):
        raise UsageError(
            "`times` takes a number that is not negative", expected="times 0.5", found=share
        )
    total = pl.col("probability").sum().over(_KEY)
    room = pl.min_horizontal(pl.lit(factor), 1 / total)
    return pl.col("probability") * room


#: How each policy moves the chances of contacts; what is left goes to `none`.
POLICIES: Final[Mapping[str, Callable[[pl.DataFrame, str], pl.Expr]]] = MappingProxyType(
    {"leave_alone": _leave_alone, "only": _only, "without": _without, "times": _times}
)


def moved(chances: pl.DataFrame, policy: str) -> pl.DataFrame:
    """Return the chances with `target`: those of the policy.

    Parameters
    ----------
    chances : DataFrame
        day, customer_id, mode, action_type, probability.
    policy : str
        `leave_alone`, `only MODE`, `without ACTION_TYPE`, `times NUMBER`.

    Raises
    ------
    UsageError
        For another policy, or a mode or action type that was never open.
    """
    name, _, detail = policy.partition(" ")
    column = {"only": "mode", "without": "action_type"}.get(name)
    known = sorted(chances[column].unique().to_list()) if column else []
    if name not in POLICIES or (column and detail not in known):
        raise UsageError(
            f"there is no policy {policy!r}",
            expected="leave_alone, only MODE, without ACTION_TYPE or times NUMBER",
            found=policy if name not in POLICIES else f"{detail!r}, not one of {', '.join(known)}",
        )
    return chances.with_columns(target=POLICIES[name](chances, detail))


def what_if(rows: pl.DataFrame, chances: pl.DataFrame, policy: str) -> WhatIf:
    """Estimate what a policy would have earned.

    Parameters
    ----------
    rows : DataFrame
        Of `listing_rows`.
    chances : DataFrame
        day, customer_id, mode, action_type, probability.
    policy : str
        See `moved`.

    Raises
    ------
    ModelError
        When the log cannot say: too few rows stand for the policy.
    """
    return _valued(rows, moved(chances, policy), policy)


def replanned(
    rows: pl.DataFrame, chances: pl.DataFrame, wanted: pl.DataFrame, *, name: str
) -> WhatIf:
    """Estimate what other rules would have earned, from the days planned anew under them.

    Parameters
    ----------
    rows : DataFrame
        Of `listing_rows`.
    chances, wanted : DataFrame
        day, customer_id, mode, action_type, probability: as logged, and of the same customers and
        days planned anew. An action type of the same name counts as the same contact.
    name : str
        What the rules are called.

    Raises
    ------
    ModelError
        When the log cannot say: too few rows stand for the rules, or they make contacts that were
        never open.
    """
    key = [*_KEY, "mode", "action_type"]
    days = rows["day"].unique().implode()
    chances, wanted = (
        table.filter(pl.col("day").is_in(days)).group_by(key).agg(pl.col("probability").sum())
        for table in (chances, wanted)
    )
    open_ = chances.filter(pl.col("probability") > 0)
    unseen = wanted.join(open_, on=key, how="anti", nulls_equal=True)
    total = float(wanted["probability"].sum())
    share = float(unseen["probability"].sum()) / total if total > 0 else 0.0
    if share > MAX_UNSEEN:
        most = unseen.group_by("action_type").agg(pl.col("probability").sum())
        most = most.sort("probability", "action_type", descending=[True, False])
        raise ModelError(
            "the log cannot say: these rules make contacts that were never open in it",
            expected=f"at most {MAX_UNSEEN:.0%} of the contacts new to the log",
            found=f"{share:.0%}, most of them {', '.join(most['action_type'].head(3))}",
            next_step="let a test tell: `nba experiment start NAME --spec FILE`",
        )
    target = wanted.rename({"probability": "target"})
    moved_ = open_.join(target, on=key, how="left", nulls_equal=True)
    found = _valued(rows, moved_.with_columns(pl.col("target").fill_null(0.0)), name)
    return replace(found, unseen_share=share)


def challenged(rows: pl.DataFrame, chances: pl.DataFrame, wanted: pl.DataFrame) -> WhatIf:
    """Estimate what a challenger's plans would have earned, from the champion's log.

    Parameters
    ----------
    rows : DataFrame
        Of `listing_rows`.
    chances, wanted : DataFrame
        day, customer_id, mode, action_type, probability: of the plans served, and of the
        challenger's on the same days. A contact counts by its mode, since which action type
        is the best of a mode differs between the two.

    Raises
    ------
    ModelError
        When the log cannot say: too few rows stand for the challenger's plans.
    """
    by_mode = [*_KEY, "mode"]
    target = wanted.group_by(by_mode).agg(target=pl.col("probability").sum())
    served = chances.group_by(by_mode).agg(pl.col("probability").sum())
    moved_ = served.join(target, on=by_mode, how="left").with_columns(
        pl.col("target").fill_null(0.0), action_type=pl.lit(None, pl.String)
    )
    alike = rows.with_columns(action_type=pl.lit(None, pl.String))
    return _valued(alike, moved_, "challenger")


def _valued(rows: pl.DataFrame, moved_chances: pl.DataFrame, policy: str) -> WhatIf:
    if rows.is_empty():
        raise ModelError(
            "the log cannot say: no outcome of these days is known yet",
            expected="days whose outcome days are over, with actions that were drawn",
            next_step="ask again when they are, or name earlier days",
        )
    open_ = moved_chances.join(rows.select(_KEY), on=_KEY, how="semi")
    drawn = (
        rows.join(
            open_.group_by(*_KEY, "mode", "action_type").agg(pl.col("probability", "target").sum()),
            on=[*_KEY, "mode", "action_type"],
            how="left",
            nulls_equal=True,
        )
        .join(open_.group_by(_KEY).agg(target_all=pl.col("target").sum()), on=_KEY)
        .sort("customer_id", "day")
    )
    alone = pl.col("mode") == NONE
    drawn = drawn.with_columns(
        logged=pl.when(alone).then("p_none").otherwise("probability"),
        wanted=pl.when(alone).then(1 - pl.col("target_all")).otherwise("target"),
    ).filter(pl.col("logged") > 0)
    group = drawn["customer_id"].rank("dense").cast(pl.Int64).to_numpy()
    y = drawn["margin"].to_numpy()
    log = Log(
        arm=np.zeros(len(y), dtype=np.int64),
        outcome=y,
        propensity=drawn["logged"].to_numpy(),
        group=group,
        max_weight=MAX_WEIGHT,
    )
    foreseen = _foreseen(drawn, y)
    wanted = np.clip(drawn["wanted"].fill_null(0.0).to_numpy(), 0.0, 1.0)
    estimate = _value(log, wanted, foreseen).trusted()
    logged = _value(log, log.propensity, foreseen)
    gap = paired_difference(estimate, logged, group=group)
    return WhatIf(policy, estimate, logged, gap, len(y), drawn["day"].n_unique())


def _value(log: Log, wanted: Floats, foreseen: Floats) -> Estimate:
    """Return the value by weights on what the customers' past does not foresee.

    What is foreseen is the same for every action, so a policy keeps it whatever it does: the first
    column is the action drawn, the second all others.
    """
    policy = np.column_stack([wanted, 1 - wanted])
    return policy_value(log, policy, predicted=np.column_stack([foreseen, foreseen]))


def _foreseen(drawn: pl.DataFrame, y: Floats) -> Floats:
    x = np.column_stack([np.ones(len(y)), *(drawn[name].to_numpy() for name in PAST)])
    slope, *_ = np.linalg.lstsq(x, y, rcond=None)
    result: Floats = x @ slope
    return result
