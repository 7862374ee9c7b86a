"""What came of each assignment: gross margin in the outcome window, and whether a friend was lost.

The unit is the assignment: a customer on a day was listed for a mode, or left alone, with a logged
propensity. Where only sent contacts are known (history before the engine), these are the unit,
beside sampled moments without a contact, and propensities are estimated. A logged propensity is
never kept for rows that were filtered on sent: clerks choose what they send.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import numpy as np
import polars as pl

from nba.features.prepare import answers, sales_lines
from nba.schema.words import Arm, EndedBy, Mode

#: The columns of an assignment before its outcome is known.
ASSIGNMENT_SCHEMA: Final = pl.Schema(
    {
        "assignment_id": pl.String(),
        "customer_id": pl.String(),
        "ts": pl.Datetime("us"),
        "mode": pl.String(),
        "propensity": pl.Float64(),
        "sent": pl.Boolean(),
        "source": pl.String(),
    }
)


class Source(StrEnum):
    """How an assignment came to be known, from the most to the least reliable."""

    #: A policy or a test drew it and logged its propensity.
    LOGGED = "logged"
    #: A contact that a clerk made by habit, or a moment sampled without one.
    HISTORY = "history"


def recorded_assignments(interactions: pl.DataFrame) -> pl.DataFrame:
    """Return one assignment per interaction: logged where it has a propensity, else history.

    Recorded decisions to leave a customer alone (mode `none`) are assignments like any other.
    Interactions that carry out an action of the engine (`action_id`) are left out: there the
    assignment is the row of the decision log, whether it was sent or not.
    """
    rows = interactions.filter(pl.col("action_id").is_null())
    logged = pl.col("propensity").is_not_null()
    return rows.select(
        assignment_id=pl.col("interaction_id"),
        customer_id=pl.col("customer_id"),
        ts=pl.col("ts").cast(pl.Datetime("us")),
        mode=pl.col("mode").cast(pl.String),
        propensity=pl.col("propensity").cast(pl.Float64),
        sent=pl.col("mode") != str(Mode.NONE),
        source=pl.when(logged)
        .then(pl.lit(str(Source.LOGGED)))
        .otherwise(pl.lit(str(Source.HISTORY))),
    ).cast(ASSIGNMENT_SCHEMA)


def engine_assignments(log: pl.DataFrame, interactions: pl.DataFrame) -> pl.DataFrame:
    """Return one assignment per row of the engine's decision log, sent or not.

    Parameters
    ----------
    log : DataFrame
        `as_of, customer_id, mode` (of the drawn action, `none` included), `propensity` (marginal
        over all draws) and `action_id` (null with `none`).
    interactions : DataFrame
        `action_id` tells which actions were sent.
    """
    sent = interactions.filter(pl.col("action_id").is_not_null()).select("action_id").unique()
    known = log.join(sent.with_columns(sent=pl.lit(True)), on="action_id", how="left")
    day = pl.col("as_of").cast(pl.Datetime("us"))
    name = pl.concat_str(pl.col("customer_id"), day.dt.strftime("%Y%m%d"), separator="@")
    return known.select(
        assignment_id=name,
        customer_id=pl.col("customer_id"),
        ts=day,
        mode=pl.col("mode").cast(pl.String),
        propensity=pl.col("propensity").cast(pl.Float64),
        sent=pl.col("sent").fill_null(False),
        source=pl.lit(str(Source.LOGGED)),
    ).cast(ASSIGNMENT_SCHEMA)


def decision_rows(log: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Return a plan's decision log as `engine_assignments` reads it.

    The propensity is that of the drawn **mode**: the sum over its action types. Customers to whom
    nothing was open have no alternative and teach nothing; arms without draws (holdout, business
    as usual) are left out, since their propensity is not that of the draw.

    Parameters
    ----------
    log : DataFrame
        `as_of, customer_id, arm, mode, alternatives` (list of structs with `mode` and
        `probability`, `none` included), one row per eligible customer.
    actions : DataFrame
        `customer_id, mode, action_id` of the same plan.
    """
    drawn = log.filter(pl.col("arm").cast(pl.String).is_in([str(Arm.ENGINE), str(Arm.RANDOM)]))
    chance = (
        drawn.select("customer_id", "mode", "alternatives")
        .explode("alternatives")
        .with_columns(
            other=pl.col("alternatives").struct.field("mode").cast(pl.String),
            probability=pl.col("alternatives").struct.field("probability"),
        )
        .filter(pl.col("other") == pl.col("mode").cast(pl.String))
        .group_by("customer_id")
        .agg(propensity=pl.col("probability").sum())
    )
    listed = actions.filter(pl.col("mode").cast(pl.String) != str(Mode.NONE))
    return (
        drawn.select("as_of", "customer_id", "mode")
        .join(chance, on="customer_id")
        .filter(pl.col("propensity").is_between(0, 1 - 1e-9, closed="right"))
        .join(listed.select("customer_id", "action_id"), on="customer_id", how="left")
        .sort("customer_id")
    )


def sampled_moments(
    friends: pl.DataFrame,
    interactions: pl.DataFrame,
    *,
    begin: datetime,
    end: datetime,
    per_customer: int,
    clear_days: int,
    seed: int,
) -> pl.DataFrame:
    """Sample moments at which a friend was not contacted: the `none` arm of plain history.

    Parameters
    ----------
    friends : DataFrame
        `customer_id, friend_since` (null: always).
    interactions : DataFrame
        `customer_id, ts, mode`.
    begin, end : datetime
        Moments lie in between, at noon.
    per_customer : int
        Moments drawn per friend; those within `clear_days` after a contact, or on the day of
        one, are dropped.
    """
    days = max((end - begin).days, 0)
    friends = friends.sort("customer_id")
    if not days or not friends.height:
        return pl.DataFrame(schema=ASSIGNMENT_SCHEMA)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, days, friends.height * per_customer)
    noon = pl.lit(begin) + pl.duration(days=pl.col("day"), hours=12)
    moments = (
        friends.select("customer_id", "friend_since")
        .select(pl.all().repeat_by(per_customer).explode())
        .with_columns(pl.Series("day", drawn))
        .with_columns(ts=noon.cast(pl.Datetime("us")))
        .unique(["customer_id", "day"], maintain_order=True)
        .filter(pl.col("friend_since").is_null() | (pl.col("friend_since") < pl.col("ts")))
        .sort("ts")
    )
    contacts = (
        interactions.filter(pl.col("mode") != str(Mode.NONE))
        .select("customer_id", contact=pl.col("ts").cast(pl.Datetime("us")))
        .with_columns(day_end=pl.col("contact").dt.truncate("1d") + pl.duration(days=1))
        .sort("contact")
    )
    last = moments.with_columns(until=pl.col("ts").dt.truncate("1d") + pl.duration(days=1)).sort(
        "until"
    )
    joined = last.join_asof(
        contacts,
        left_on="until",
        right_on="contact",
        by="customer_id",
        strategy="backward",
        check_sortedness=False,
    )
    clear = pl.col("contact").is_null() | (
        pl.col("ts") - pl.col("contact") > pl.duration(days=clear_days)
    )
    name = pl.concat_str(
        pl.col("customer_id"), pl.col("ts").dt.strftime("%Y%m%d"), separator="@"
    ).alias("assignment_id")
    return (
        joined.filter(clear)
        .select(
            name,
            "customer_id",
            "ts",
            mode=pl.lit(str(Mode.NONE)),
            propensity=pl.lit(None, pl.Float64),
            sent=pl.lit(False),
            source=pl.lit(str(Source.HISTORY)),
        )
        .cast(ASSIGNMENT_SCHEMA)
        .sort("assignment_id")
    )


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
        With `margin_amount`, `margin_check_amount` and `is_lost`, sorted by assignment_id.
    """
    closed = assignments.filter(pl.col("ts") + pl.duration(days=check_days) <= pl.lit(as_of))
    running = (
        sales.filter(pl.col("customer_id").is_not_null())
        .select("customer_id", pl.col("ts").cast(pl.Datetime("us")), pl.col("margin").fill_null(0))
        .sort("ts", "margin")
        .with_columns(total=pl.col("margin").cum_sum().over("customer_id"))
    )
    gone = losses.select("customer_id", pl.col("ts").cast(pl.Datetime("us"))).sort("ts")
    gone = gone.with_columns(total=pl.lit(1.0).cum_sum().over("customer_id"))
    ends = {
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
    """Return `customer_id, ts, margin` of every visible line of a known customer."""
    lines = sales_lines(tables, as_of)
    wanted = lines.filter(lines.customer_id.notnull()).select("customer_id", "ts", "margin")
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
    moments_per_customer: int = 2,
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
        Off by default: in the simulated world, where clerks choose by what is not all in the
        features, learning from habits was worse than the prior alone (`mode_world`).
    """
    begin = as_of - timedelta(days=window_days)
    interactions: pl.DataFrame = tables["interactions"].to_polars()
    interactions = interactions.filter(pl.col("ts").is_between(begin, as_of, closed="left"))
    parts = [recorded_assignments(interactions)]
    if log is not None and log.height:
        parts.append(engine_assignments(log, interactions))
    known = pl.concat(parts)
    if not history:
        known = known.filter(pl.col("source") == str(Source.LOGGED))
    else:
        customers = tables["customers"].select("customer_id", "friend_since").to_polars()
        moments = sampled_moments(
            customers.with_columns(pl.col("friend_since").cast(pl.Datetime("us"))),
            interactions,
            begin=begin,
            end=as_of - timedelta(days=check_days),
            per_customer=moments_per_customer,
            clear_days=outcome_days,
            seed=seed,
        )
        known = pl.concat([known.with_columns(source=pl.lit(str(Source.HISTORY))), moments])
    return with_outcomes(
        known,
        sales_of(tables, as_of),
        losses_of(tables, as_of),
        as_of=as_of,
        outcome_days=outcome_days,
        check_days=check_days,
    )
