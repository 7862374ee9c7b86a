"""Simple lists beside the engine: what each earned so far, and how `auto` shares out customers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final, cast

import numpy as np
import polars as pl

from nba.decisions.hashing import arm_period
from nba.decisions.rules import DecisionRules
from nba.evaluation.impact.arms import arms_table
from nba.evaluation.impact.cohort import build_cohort
from nba.jobs.impact.gather import gather
from nba.jobs.impact.live_record import arms_of_day, policies_of_day, units_of_day
from nba.jobs.impact.live_tests import guard
from nba.pipeline.context import RunContext
from nba.pipeline.partitions import plan_night
from nba.pipeline.plan import WARNINGS, rules_of_day
from nba.pipeline.shadow import shadow_plans
from nba.schema.words import Arm
from nba.settings import PolicyShares, Settings, arm_shares
from nba.wiring import Wiring

#: What is kept of every night on which another arm plans beside the engine.
STANDING: Final = "policies/standing"
#: Shares move once in so many days.
MOVE_DAYS: Final = 7
DRAWS: Final = 4000


#: Plans a day by its rules.
Planner = Callable[[RunContext, DecisionRules], dict[str, Any]]


def plan_with_lists(context: RunContext, planner: Planner = plan_night) -> dict[str, Any]:
    """Plan; where other arms plan too, keep what each earned, and move shares with `auto`.

    What nobody is served, a challenger's plan and that of an engine that watches, is kept beside.
    """
    wiring, day = cast(Wiring, context.ports), context.as_of.date()
    ended = guard(wiring, day)
    report = planned(context, planner)
    report[WARNINGS] = [*report[WARNINGS], *ended, *idle_auto(wiring.settings)]
    shadows = shadow_plans(context)
    return {**report, "shadows": shadows} if shadows else report


def planned(context: RunContext, planner: Planner) -> dict[str, Any]:
    """Plan under the shares of simple lists that stand today."""
    wiring = cast(Wiring, context.ports)
    today = context.as_of.date()
    policies, arms = policies_of_day(wiring, today), arms_of_day(wiring, today)
    if not policies.running and not arms:
        return planner(context, rules_of_day(context))
    context.folder.write(STANDING, standing(wiring, today))
    rules = rules_of_day(context, policies, arms, units_of_day(wiring, today))
    if policies.auto:
        earned = standing(wiring, last_move(today, rules.settings.arm_period_days))
        rules = rules.with_policies(moved_shares(wiring, earned), policies)
    return planner(context, rules)


def idle_auto(settings: Settings) -> list[str]:
    """Return a warning where `policies.auto` can never move a share."""
    policies, holdout = settings.policies, settings.arms.holdout
    if not policies.auto or (holdout > 0 and policies.running):
        return []
    missing = "no list runs" if holdout > 0 else "`arms.holdout` is 0, so nothing can be compared"
    return [
        f"WARN `policies.auto` moves nothing: {missing}; set a share in nba.yaml, or auto: false"
    ]


def last_move(day: date, period_days: int) -> date:
    """Return the day on which shares moved last: the weeks of the arm period begin with it."""
    start = date(1970, 1, 1) + timedelta(days=arm_period(day, period_days) * period_days)
    return day - timedelta(days=(day - start).days % MOVE_DAYS)


def standing(wiring: Wiring, before: date) -> pl.DataFrame:
    """Return what each arm earned over the holdout since its period began.

    Customers who changed their arm within the period are left out: who changes when shares move is
    decided by a hash, so those who stayed are as good as drawn.

    Parameters
    ----------
    wiring : Wiring
    before : date
        The first day that does not count.

    Returns
    -------
    DataFrame
        As `nba.evaluation.impact.arms.arms_table`; empty where no plan is kept.
    """
    days = wiring.decision_settings.arm_period_days
    now = arm_period(before, days)
    planned = [d for d in wiring.runs.planned_days() if d < before and arm_period(d, days) == now]
    if not planned:
        return pl.DataFrame(schema={"arm": pl.String, "customers": pl.Int64})
    inputs = gather(wiring, planned[0], before - timedelta(days=1))
    return arms_table(build_cohort(replace(inputs, stayed=True)))


def moved_shares(wiring: Wiring, earned: pl.DataFrame) -> PolicyShares:
    """Return the shares of the lists, moved towards what earned more.

    See `shares_by_chance`.
    """
    settings = wiring.settings
    shares = arm_shares(settings.arms, settings.policies)
    arms = (Arm.ENGINE, *settings.policies.running)
    given = {str(arm): shares[arm] for arm in arms}
    moved = shares_by_chance(given, earned, floor=settings.policies.floor, seed=settings.seed)
    lists = {str(arm): moved[str(arm)] for arm in settings.policies.running}
    return settings.policies.model_copy(update=lists)


def shares_by_chance(
    given: Mapping[str, float], earned: pl.DataFrame, *, floor: float, seed: int
) -> dict[str, float]:
    """Return shares by the chance of each arm to be the one that earns most (Thompson 1933).

    Parameters
    ----------
    given : mapping of str to float
        The configured shares; their sum stays, and so does the share of an arm of which nothing
        can be told yet.
    earned : DataFrame
        arm, estimate, standard_error, per customer.
    floor : float
        No share falls below it, or below the configured one where that is smaller.
    seed : int

    Examples
    --------
    >>> earned = pl.DataFrame({"arm": ["a", "b"], "estimate": [9.0, 1.0],
    ...                        "standard_error": [0.5, 0.5]})
    >>> shares_by_chance({"a": 0.5, "b": 0.4}, earned, floor=0.1, seed=0)
    {'a': 0.8, 'b': 0.1}
    """
    names = list(given)
    if not {"estimate", "standard_error"} <= set(earned.columns):
        return dict(given)
    rows = {row["arm"]: row for row in earned.iter_rows(named=True)}
    mean = np.array([rows.get(name, {}).get("estimate") for name in names], dtype=np.float64)
    error = np.array([rows.get(name, {}).get("standard_error") for name in names], dtype=np.float64)
    known = np.isfinite(mean) & np.isfinite(error)
    if known.sum() < 2:
        return dict(given)
    told = [name for name, is_known in zip(names, known, strict=True) if is_known]
    draws = np.random.default_rng(seed).normal(mean[known], error[known], (DRAWS, len(told)))
    best = np.bincount(draws.argmax(axis=1), minlength=len(told)) / DRAWS
    share = np.array([given[name] for name in told])
    least = np.minimum(floor, share)
    weight = share * best
    moved = np.maximum(share.sum() * weight / max(float(weight.sum()), 1e-12), least)
    above = moved - least
    moved = moved - (moved.sum() - share.sum()) * above / max(float(above.sum()), 1e-12)
    shares = {name: round(float(value), 6) for name, value in zip(told, moved, strict=True)}
    return {**given, **shares}
