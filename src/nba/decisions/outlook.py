"""The coming days: for whom which day is best, and how full the clerks' days will be.

Only today's actions are drawn and logged; the days after are an outlook that every night
makes anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats
from nba.decisions.inputs import DecisionInputs, conform_inputs
from nba.decisions.policy import ContactPolicy
from nba.decisions.policy_state import policy_state
from nba.decisions.pool import eligible_customers
from nba.decisions.rules import DecisionRules
from nba.decisions.substitution import with_substitutes
from nba.schema.words import Arm

#: Days ahead that the timing curve covers.
_CURVE_DAYS = 90


def purchase_probabilities(timing: pl.DataFrame, horizon: int, window: int) -> Floats:
    """Return P(purchase in the `window` days after day d | none before), shape (rows, horizon).

    From the survival curve where the timing scores have one, else from P(7, 14, 30, 90)
    with a constant hazard between these days.
    """
    survival = _survival(timing)
    at = np.arange(horizon)
    end = np.minimum(at + window, _CURVE_DAYS)
    before = np.maximum(survival[:, at], 1e-9)
    probabilities: Floats = np.clip(1.0 - survival[:, end] / before, 0.0, 1.0)
    return probabilities


def _survival(timing: pl.DataFrame) -> Floats:
    if "survival" in timing.columns and timing.height:
        curves = timing["survival"]
        if curves.null_count() == 0 and (curves.list.len() > _CURVE_DAYS).all():
            flat = curves.list.head(_CURVE_DAYS + 1).explode().to_numpy()
            return flat.reshape(timing.height, _CURVE_DAYS + 1).astype(np.float64)
    days = (7, 14, 30, 90)
    columns = [f"p_purchase_{day}d" for day in days]
    p = timing.select(pl.col(columns).fill_null(0.0).clip(0.0, 1 - 1e-9)).to_numpy()
    hazard = -np.log1p(-np.maximum.accumulate(p, axis=1)) if len(p) else np.zeros((0, 4))
    grid = np.arange(_CURVE_DAYS + 1)
    knots = np.concatenate([np.zeros((len(hazard), 1)), hazard], axis=1)
    left = np.searchsorted(days, grid, side="left").clip(0, len(days) - 1)
    start, end = np.array((0, *days))[left], np.array(days)[left]
    part = (grid - start) / (end - start)
    total = knots[:, left] * (1 - part) + knots[:, left + 1] * part
    curve: Floats = np.exp(-total)
    return curve


def outlook(
    inputs: Mapping[str, pl.DataFrame], rules: DecisionRules, *, as_of: datetime
) -> pl.DataFrame:
    """Return each engine customer's best day within the horizon.

    Returns
    -------
    DataFrame
        customer_id, clerk_id, best_day (date; null where the policy leaves no day),
        p_purchase (the probability of a purchase in the outcome window after that day) and
        p_purchase_today.

    Notes
    -----
    The policy is asked for every day as if nobody were contacted before it; the day of a
    customer without `consent_profiling` is the first that the policy leaves.
    """
    settings = rules.settings
    tables = with_substitutes(conform_inputs(inputs))
    people = eligible_customers(tables, rules, as_of=as_of)
    people = people.filter(pl.col("arm") == str(Arm.ENGINE)).select("customer_id", "clerk_id")
    state = tables["customer_state"].select("customer_id", "consent_profiling", "friend_since")
    rows = people
    for part in (tables["timing"], state):
        rows = rows.join(part, on="customer_id", how="left", maintain_order="left")
    probabilities = purchase_probabilities(rows, settings.horizon_days, settings.outcome_days)
    profiled = rows["consent_profiling"].to_numpy()[:, None]
    probabilities = np.where(profiled, probabilities, 0.0)
    days = [as_of + timedelta(days=ahead) for ahead in range(settings.horizon_days)]
    free = _free_days(tables, rows, days, rules.policy)
    best = np.where(free, probabilities, -1.0).argmax(axis=1)
    best_day = pl.Series([days[day].date() for day in best], dtype=pl.Date)
    return people.with_columns(
        best_day=best_day.set(pl.Series(~free.any(axis=1)), None),
        p_purchase=pl.Series(probabilities[np.arange(len(best)), best]),
        p_purchase_today=pl.Series(probabilities[:, 0]),
    )


def _free_days(
    tables: DecisionInputs, customers: pl.DataFrame, days: list[datetime], policy: ContactPolicy
) -> Bools:
    """Return (customers, days): whether the policy leaves the day to a contact."""
    columns = [
        policy_state(tables, customers, as_of=day, policy=policy)["stopped_by"].is_null().to_numpy()
        for day in days
    ]
    return np.stack(columns, axis=1)
