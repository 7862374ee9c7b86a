"""What came of each assignment: gross margin in the outcome window, and lost friends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from nba.features.prepare import answers, sales_lines
from nba.models.mode.assignments import (
    Source,
    engine_assignments,
    recorded_assignments,
    sampled_moments,
    thinned,
)
from nba.models.mode.exposure import purchase_days, with_before, with_exposure
from nba.schema.words import EndedBy

#: Rows of the engine's log that were left alone, kept per listed one.
NONE_PER_LISTED: Final = 2.0


def with_outcomes(
    assignments: pl.DataFrame,
    sales: pl.DataFrame,
    losses: pl.DataFrame,
    *,
    as_of: datetime,
    outcome_days: int = 14,
    check_days: int = 28,
) -> pl.DataFrame:
    """Add what followed each assignment whose check window has closed by `as_of`.

    Parameters
    ----------
    assignments : DataFrame
        As in `ASSIGNMENT_SCHEMA`.
    sales : DataFrame
        `customer_id, ts, margin`; returns are negative.
    losses : DataFrame
        `customer_id, ts` of blocks, complaints and friendships that the customer ended.
    outcome_days, check_days : int
        Length of the outcome window, and of the longer one that shows what was only pulled
        forward.

    Returns
    -------
    DataFrame
        With `margin_amount`, `margin_check_amount`, `purchase_days` and `is_lost`, sorted by
        assignment_id.
    """
    closed = assignments.filter(pl.col("ts") + pl.duration(days=check_days) <= pl.lit(as_of))
    running = (
        sales.filter(pl.col("customer_id").is_not_null())
        .select("customer_id", pl.col("ts").cast(pl.Datetime("us")), pl.col("margin").fill_null(0))
        .sort("ts", "margin")
        .with_columns(total=pl.col("margin").cum_sum().over("customer_id"))
    )
    gone = losses.select("customer_id", pl.col("ts").cast(pl.Datetime("us"))).sort("ts")
    gone = gone.with_columns(total=pl.col("ts").cum_count().over("customer_id"))
    days = purchase_days(sales.with_columns(quantity=pl.lit(1.0)) if "quantity" not in
                         sales.columns else sales)  # fmt: skip
    counted = days.with_columns(total=pl.col("ts").cum_count().over("customer_id"))
    ends = {
        "purchase_days": (counted, outcome_days),
        "margin_amount": (running, outcome_days),
        "margin_check_amount": (running, check_days),
        "is_lost": (gone, outcome_days),
    }
    for name, (table, length) in ends.items():
        before = _total_before(closed, table, 0)
        after = _total_before(closed, table, length)
        closed = closed.with_columns((after - before).alias(name))
    return closed.with_columns(pl.col("is_lost") > 0).sort("assignment_id")


def _total_before(rows: pl.DataFrame, running: pl.DataFrame, days: int) -> pl.Series:
    """Return each customer's running total of what happened before `ts` plus `days`."""
    ends = (
        rows.select("customer_id", end=pl.col("ts") + pl.duration(days=days))
        .with_row_index("position")
        .sort("end")
    )
    found = ends.join_asof(
        running.select("customer_id", "ts", "total"),
        left_on="end",
        right_on="ts",
        by="customer_id",
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    return found.sort("position")["total"].fill_null(0.0)


def sales_of(tables: Mapping[str, Any], as_of: datetime) -> pl.DataFrame:
    """Return the visible lines of known customers: id, product, ts, quantity, margin."""
    lines = sales_lines(tables, as_of)
    wanted = lines.filter(lines.customer_id.notnull()).select(
        "customer_id", "product_id", "ts", "quantity", "margin"
    )
    frame: pl.DataFrame = wanted.to_polars()
    return frame


def losses_of(tables: Mapping[str, Any], as_of: datetime) -> pl.DataFrame:
    """Return `customer_id, ts` of every visible block, complaint or friendship ended by them."""
    said = answers(tables, as_of)
    negative = said.filter(said.negative).select("customer_id", "ts").to_polars()
    ended = tables["friendships"].select("customer_id", "ended_at", "ended_by").to_polars()
    left = ended.filter(
        (pl.col("ended_by") == str(EndedBy.CUSTOMER)) & (pl.col("ended_at") < pl.lit(as_of))
    ).select("customer_id", ts="ended_at")
    times = pl.col("ts").cast(pl.Datetime("us"))
    found: pl.DataFrame = pl.concat([negative.with_columns(times), left.with_columns(times)])
    return found


def assignments_of(
    tables: Mapping[str, Any],
    as_of: datetime,
    *,
    log: pl.DataFrame | None = None,
    window_days: int = 365,
    outcome_days: int = 14,
    check_days: int = 28,
    moments_per_customer: int = 6,
    history: bool = False,
    seed: int = 0,
) -> pl.DataFrame:
    """Return the assignments of the last `window_days` with their outcomes.

    Logged ones: a test, a pilot, the engine's `log`. With `history` also contacts by habit and
    sampled moments, whose propensities must be estimated.

    Parameters
    ----------
    tables : mapping of str to ibis.Table
        The tables of the contract, as loaded at `as_of`.
    log : DataFrame, optional
        The engine's decision log, see `engine_assignments`.
    history : bool
        Off by default: only a model that allows for how clerks choose may read it.
    """
    begin = as_of - timedelta(days=window_days)
    interactions: pl.DataFrame = tables["interactions"].to_polars()
    interactions = interactions.filter(pl.col("ts").is_between(begin, as_of, closed="left"))
    parts = [recorded_assignments(interactions)]
    if log is not None and log.height:
        few = thinned(log, per_listed=NONE_PER_LISTED, seed=seed)
        parts.append(engine_assignments(few, interactions))
    known = pl.concat(parts)
    if not history:
        known = known.filter(pl.col("source") == str(Source.LOGGED))
    elif (known["source"] == str(Source.HISTORY)).any():
        customers = tables["customers"].select("customer_id", "friend_since").to_polars()
        moments = sampled_moments(
            customers.with_columns(pl.col("friend_since").cast(pl.Datetime("us"))),
            interactions,
            begin=begin,
            end=as_of - timedelta(days=check_days),
            per_customer=moments_per_customer,
            clear_days=0,
            seed=seed,
        )
        known = pl.concat([known, moments])
    sales = sales_of(tables, as_of)
    found = with_outcomes(
        known,
        sales,
        losses_of(tables, as_of),
        as_of=as_of,
        outcome_days=outcome_days,
        check_days=check_days,
    )
    responses = tables["responses"].select("interaction_id", "kind").to_polars()
    reached = with_exposure(found, interactions, responses, sales)
    return with_before(reached, purchase_days(sales))
