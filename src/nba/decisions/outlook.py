"""The coming days: for whom which day is best, and how full the clerks' days will be.

Only today's actions are drawn and logged; the days after are an outlook that every night
makes anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.decisions.catalogue import Catalogue
from nba.decisions.contact import rest
from nba.decisions.cover import with_cover
from nba.decisions.inputs import DecisionInputs, conform_inputs
from nba.decisions.policy import ContactPolicy
from nba.decisions.pool import eligible_customers
from nba.decisions.settings import DecisionSettings
from nba.schema.words import Arm

#: Days ahead that the timing curve covers.
_CURVE_DAYS = 90


def purchase_chances(timing: pl.DataFrame, horizon: int, window: int) -> Floats:
    """Return P(purchase in the `window` days after day d | none before), shape (rows, horizon).

    From the survival curve where the timing scores have one, else from P(7, 14, 30, 90)
    with a constant hazard between these days.
    """
    survival = _survival(timing)
    at = np.arange(horizon)
    end = np.minimum(at + window, _CURVE_DAYS)
    before = np.maximum(survival[:, at], 1e-9)
    chances: Floats = np.clip(1.0 - survival[:, end] / before, 0.0, 1.0)
    return chances


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
    inputs: Mapping[str, pl.DataFrame],
    catalogue: Catalogue,
    policy: ContactPolicy,
    *,
    as_of: datetime,
    settings: DecisionSettings,
) -> pl.DataFrame:
    """Return each engine customer's best day within the horizon.

    Returns
    -------
    DataFrame
        customer_id, clerk_id, best_day (date; null where the policy leaves no day),
        p_purchase (the chance of a purchase in the outcome window after that day) and
        p_purchase_today.

    Notes
    -----
    The policy is asked for every day as if nobody were contacted before it; the day of a
    customer without `consent_profiling` is the first that the policy leaves.
    """
    tables = with_cover(conform_inputs(inputs))
    people = eligible_customers(tables, catalogue.enabled, settings, as_of)
    people = people.filter(pl.col("arm") == str(Arm.ENGINE)).select("customer_id", "clerk_id")
    free = _free_days(tables, people, as_of=as_of, policy=policy, days=settings.horizon_days)
    timing = tables["timing"]
    state = tables["customer_state"].select("customer_id", "consent_profiling")
    rows = people.join(timing, on="customer_id", how="left", maintain_order="left")
    rows = rows.join(state, on="customer_id", how="left", maintain_order="left")
    chances = purchase_chances(rows, settings.horizon_days, settings.outcome_days)
    profiled = rows["consent_profiling"].to_numpy()[:, None]
    chances = np.where(profiled, chances, 0.0)
    best = np.where(free, chances, -1.0).argmax(axis=1)
    has_day = free.any(axis=1)
    days = [as_of.date() + timedelta(days=d) for d in range(settings.horizon_days)]
    line = np.arange(len(best))
    return (
        people.with_columns(
            best_day=pl.Series([days[b] for b in best], dtype=pl.Date),
            p_purchase=pl.Series(chances[line, best]),
            p_purchase_today=pl.Series(chances[:, 0]),
            has_day=pl.Series(has_day),
        )
        .with_columns(best_day=pl.when("has_day").then("best_day"))
        .drop("has_day")
    )


def _free_days(
    tables: DecisionInputs,
    people: pl.DataFrame,
    *,
    as_of: datetime,
    policy: ContactPolicy,
    days: int,
) -> np.ndarray:
    """Return (customers, days): whether the policy leaves the day to a contact."""
    friends = people.join(
        tables["customer_state"].select("customer_id", "friend_since"),
        on="customer_id",
        how="left",
        maintain_order="left",
    )
    columns = []
    for ahead in range(days):
        frame = rest(tables, friends, as_of=as_of + timedelta(days=ahead), policy=policy).frame
        joined = people.select("customer_id").join(
            frame, on="customer_id", how="left", maintain_order="left"
        )
        columns.append(joined["rest"].is_null().to_numpy())
    return np.stack(columns, axis=1)
