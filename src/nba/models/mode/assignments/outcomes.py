"""What came of each assignment: gross margin in the outcome window, and lost friends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from nba.features.prepare import answers, sales_lines
from nba.models.mode.assignments.exposure import purchase_days, with_before, with_exposure
from nba.models.mode.assignments.records import (
    AssignmentSource,
    engine_assignments,
    recorded_assignments,
    sampled_moments,
    thinned,
)
from nba.schema.words import EndedBy, Mode

#: Days in which an assignment's margin counts, and of the longer window that shows what was only
#: pulled forward.
OUTCOME_DAYS: Final = 14
CHECK_DAYS: Final = 28
#: What a lost friend still buys is counted over so many days, and compared with friends who had
#: bought as much in so many days before.
AFTER_DAYS: Final = 90
BEFORE_DAYS: Final = 180
#: Contacts of those who stayed, at most.
MAX_STAYED: Final = 50_000
#: Rows of the engine's log that were left alone, kept per listed one.
NONE_PER_LISTED: Final = 2.0


def with_outcomes(
    assignments: pl.DataFrame,
    sales: pl.DataFrame,
    churned: pl.DataFrame,
    *,
    as_of: datetime,
    outcome_days: int = OUTCOME_DAYS,
    check_days: int = CHECK_DAYS,
) -> pl.DataFrame:
    """Add what followed each assignment whose outcome window has closed by `as_of`.

    Parameters
    ----------
    assignments : DataFrame
        As in `ASSIGNMENT_SCHEMA`.
    sales : DataFrame
        `customer_id, ts, margin`; returns are negative.
    churned : DataFrame
        `customer_id, ts` of blocks, complaints and friendships that the customer ended.
    outcome_days, check_days : int
        Length of the outcome window, and of the longer one that shows what was only pulled
        forward.

    Returns
    -------
    DataFrame
        With `margin_amount`, `margin_check_amount` (null while its window is open),
        `purchase_days` and `is_lost`, sorted by assignment_id.
    """
    closed = assignments.filter(pl.col("ts") + pl.duration(days=outcome_days) <= pl.lit(as_of))
    running = (
        sales.filter(pl.col("customer_id").is_not_null())
        .select("customer_id", pl.col("ts").cast(pl.Datetime("us")), pl.col("margin").fill_null(0))
        .sort("ts", "margin")
        .with_columns(total=pl.col("margin").cum_sum().over("customer_id"))
    )
    gone = churned.select("customer_id", pl.col("ts").cast(pl.Datetime("us"))).sort("ts")
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
    checked = pl.col("ts") + pl.duration(days=check_days) <= pl.lit(as_of)
    return closed.with_columns(
        pl.col("is_lost") > 0, margin_check_amount=pl.when(checked).then("margin_check_amount")
    ).sort("assignment_id")


def purchases_between(rows: pl.DataFrame, days: pl.DataFrame, first: int, last: int) -> pl.Series:
    """Return how often each row's customer bought from `first` to `last` days after its `ts`.

    Parameters
    ----------
    rows : DataFrame
        `customer_id, ts`.
    days : DataFrame
        As from `purchase_days`.
    """
    counted = days.sort("ts").with_columns(total=pl.col("ts").cum_count().over("customer_id"))
    return _total_before(rows, counted, last) - _total_before(rows, counted, first)


def _total_before(rows: pl.DataFrame, running: pl.DataFrame, days: int) -> pl.Series:
    """Return each customer's running total of what happened before `ts` plus `days`."""
    ends = (
        rows.select("customer_id", end=pl.col("ts") + pl.duration(days=days))
        .with_row_index("position")
        .sort("end")
    )
    totals = ends.join_asof(
        running.select("customer_id", "ts", "total"),
        left_on="end",
        right_on="ts",
        by="customer_id",
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    return totals.sort("position")["total"].fill_null(0.0)


def sales_of(tables: Mapping[str, Any], as_of: datetime) -> pl.DataFrame:
    """Return the visible lines of known customers: id, product, ts, quantity, margin."""
    lines = sales_lines(tables, as_of)
    wanted = lines.filter(lines.customer_id.notnull()).select(
        "customer_id", "product_id", "ts", "quantity", "margin"
    )
    sales: pl.DataFrame = wanted.to_polars()
    return sales


def churn_of(tables: Mapping[str, Any], as_of: datetime) -> pl.DataFrame:
    """Return `customer_id, ts` of every visible block, complaint or friendship ended by them."""
    responses = answers(tables, as_of)
    negative = responses.filter(responses.negative).select("customer_id", "ts").to_polars()
    ended = tables["friendships"].select("customer_id", "ended_at", "ended_by").to_polars()
    left = ended.filter(
        (pl.col("ended_by") == str(EndedBy.CUSTOMER)) & (pl.col("ended_at") < pl.lit(as_of))
    ).select("customer_id", ts="ended_at")
    times = pl.col("ts").cast(pl.Datetime("us"))
    churned: pl.DataFrame = pl.concat([negative.with_columns(times), left.with_columns(times)])
    return churned


def friends_of(tables: Mapping[str, Any], as_of: datetime) -> pl.DataFrame:
    """Return `customer_id, friend_since, friend_until` of whoever could be written to.

    Friends since the customer's record or the first friendship says so; without either, since the
    first contact. Until the last friendship ended, or the customer blocked or complained.
    """
    time = pl.Datetime("us")
    customers: pl.DataFrame = tables["customers"].select("customer_id", "friend_since").to_polars()
    ties = tables["friendships"].select("customer_id", "since", "ended_at").to_polars()
    ended = pl.col("ended_at").cast(time)
    ties = (
        ties.filter(pl.col("since") < pl.lit(as_of))
        .with_columns(ended=pl.when(ended < pl.lit(as_of)).then(ended))
        .group_by("customer_id")
        .agg(
            tied=pl.col("since").min().cast(time),
            untied=pl.when(pl.col("ended").is_not_null().all()).then(pl.col("ended").max()),
        )
    )
    contacts = tables["interactions"].select("customer_id", "ts", "mode").to_polars()
    contacted = (
        contacts.filter(pl.col("mode") != str(Mode.NONE))
        .group_by("customer_id")
        .agg(contacted=pl.col("ts").min().cast(time))
    )
    lost = churn_of(tables, as_of).group_by("customer_id").agg(lost=pl.col("ts").min())
    return (
        customers.join(ties, on="customer_id", how="left")
        .join(contacted, on="customer_id", how="left")
        .join(lost, on="customer_id", how="left")
        .select(
            "customer_id",
            friend_since=pl.coalesce(pl.col("friend_since").cast(time), "tied", "contacted"),
            friend_until=pl.min_horizontal("untied", "lost"),
        )
        .filter(pl.col("friend_since").is_not_null())
        .sort("customer_id")
    )


def assignments_of(
    tables: Mapping[str, Any],
    as_of: datetime,
    *,
    log: pl.DataFrame | None = None,
    window_days: int = 365,
    outcome_days: int = OUTCOME_DAYS,
    check_days: int = CHECK_DAYS,
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
        known = known.filter(pl.col("source") == str(AssignmentSource.LOGGED))
    elif (known["source"] == str(AssignmentSource.HISTORY)).any():
        moments = sampled_moments(
            friends_of(tables, as_of),
            interactions,
            begin=begin,
            end=as_of - timedelta(days=outcome_days),
            per_customer=moments_per_customer,
            clear_days=0,
            seed=seed,
        )
        known = pl.concat([known, moments])
    sales = sales_of(tables, as_of)
    outcomes = with_outcomes(
        known,
        sales,
        churn_of(tables, as_of),
        as_of=as_of,
        outcome_days=outcome_days,
        check_days=check_days,
    )
    responses = tables["responses"].select("interaction_id", "ts", "kind").to_polars()
    exposed = with_exposure(outcomes, interactions, responses, sales, outcome_days=outcome_days)
    return with_before(exposed, purchase_days(sales))


def followed_contacts(tables: Mapping[str, Any], as_of: datetime, *, seed: int) -> pl.DataFrame:
    """Return moments of churn and contacts of those who stayed, with purchases before and after.

    Purchases are counted, not valued: a few large ones would decide what a hundred lost friends
    say.

    Parameters
    ----------
    tables : mapping of str to ibis.Table
        The tables of the contract, as loaded at `as_of`.
    seed : int
        Of the sample of contacts, where there are more than `MAX_STAYED`.

    Returns
    -------
    DataFrame
        `customer_id, ts, is_lost, before_purchases, after_purchases`; only moments followed for
        `AFTER_DAYS` by `as_of`.
    """
    lost = (
        churn_of(tables, as_of)
        .filter(pl.col("customer_id").is_not_null())
        .group_by("customer_id")
        .agg(pl.col("ts").min())
        .sort("customer_id")
    )
    made: pl.DataFrame = tables["interactions"].select("customer_id", "ts", "mode").to_polars()
    until = pl.col("ts") + pl.duration(days=AFTER_DAYS)
    stayed = (
        made.filter(pl.col("customer_id").is_not_null() & (pl.col("mode") != str(Mode.NONE)))
        .select("customer_id", pl.col("ts").cast(pl.Datetime("us")))
        .filter(until <= pl.lit(as_of))
        .join(lost.rename({"ts": "left_at"}), on="customer_id", how="left")
        .filter(pl.col("left_at").is_null() | (pl.col("left_at") > until))
        .sort("customer_id", "ts")
    )
    if stayed.height > MAX_STAYED:
        stayed = stayed.sample(MAX_STAYED, seed=seed).sort("customer_id", "ts")
    rows = pl.concat(
        [
            lost.filter(until <= pl.lit(as_of)).with_columns(is_lost=pl.lit(True)),
            stayed.select("customer_id", "ts", is_lost=pl.lit(False)),
        ]
    )
    days = purchase_days(sales_of(tables, as_of))
    return rows.with_columns(
        before_purchases=purchases_between(rows, days, -BEFORE_DAYS, 0),
        after_purchases=purchases_between(rows, days, 0, AFTER_DAYS),
    )
