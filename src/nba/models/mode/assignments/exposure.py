"""What reached the customer: read or not, something known or not, and what went before.

An unread message cannot work, and one that brings what the customer never bought works less: among
contacts that clerks chose, those left unread show what the choice alone looks like.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from nba.schema.words import ResponseKind

#: Responses that only somebody who has read the message gives. A purchase is no sign of reading:
#: it is the outcome.
READ_KINDS: Final = tuple(
    str(kind)
    for kind in (
        ResponseKind.READ,
        ResponseKind.REPLIED,
        ResponseKind.CLICKED,
        ResponseKind.JOINED,
        ResponseKind.ATTENDED,
    )
)
#: Purchase days are counted over so many days before an assignment.
BEFORE_DAYS: Final = (14, 28, 90)


def with_exposure(
    assignments: pl.DataFrame,
    interactions: pl.DataFrame,
    responses: pl.DataFrame,
    sales: pl.DataFrame,
    *,
    outcome_days: int = 14,
) -> pl.DataFrame:
    """Add whether the contact of each assignment was read, and brought something known.

    Parameters
    ----------
    assignments : DataFrame
        With `interaction_id` (null where nothing was sent).
    interactions : DataFrame
        `interaction_id, product_ids`.
    responses : DataFrame
        `interaction_id, ts, kind`.
    sales : DataFrame
        `customer_id, product_id, ts, quantity`.

    Returns
    -------
    DataFrame
        With `is_read`: within the outcome window (false where nothing was sent), and `is_known`:
        something was brought that the customer had bought before; null where nothing is recorded.
    """
    contacts = assignments.select("interaction_id", made="ts").drop_nulls()
    read = (
        responses.filter(pl.col("kind").cast(pl.String).is_in(READ_KINDS))
        .select("interaction_id", pl.col("ts").cast(pl.Datetime("us")))
        .join(contacts, on="interaction_id")
        .filter(pl.col("ts") < pl.col("made") + pl.duration(days=outcome_days))
        .select(pl.col("interaction_id").unique(), is_read=pl.lit(True))
    )
    first = (
        sales.filter(pl.col("customer_id").is_not_null() & (pl.col("quantity") > 0))
        .group_by("customer_id", "product_id")
        .agg(first=pl.col("ts").min().cast(pl.Datetime("us")))
    )
    sent = assignments.filter(pl.col("interaction_id").is_not_null())
    known = (
        sent.select("interaction_id", "customer_id", "ts")
        .join(interactions.select("interaction_id", "product_ids"), on="interaction_id")
        .explode("product_ids")
        .rename({"product_ids": "product_id"})
        .filter(pl.col("product_id").is_not_null())
        .join(first, on=["customer_id", "product_id"], how="left")
        .group_by("interaction_id")
        .agg(is_known=(pl.col("first") < pl.col("ts")).fill_null(False).any())
    )
    joined = assignments.join(read, on="interaction_id", how="left")
    return (
        joined.join(known, on="interaction_id", how="left")
        .with_columns(pl.col("is_read").fill_null(False))
        .sort("assignment_id")
    )


def with_before(assignments: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """Add how long ago, and how often, the customer had bought at the moment of the assignment.

    Features are up to some days old; clerks choose by what they saw yesterday.

    Parameters
    ----------
    assignments : DataFrame
    days : DataFrame
        `customer_id, ts` of purchase days, see `purchase_days`.
    """
    running = days.sort("ts").with_columns(total=pl.col("ts").cum_count().over("customer_id"))
    known = assignments
    for length in (0, *BEFORE_DAYS):
        at = _latest(assignments, running, length)
        if not length:
            since = (pl.col("ts") - at["seen"]).dt.total_seconds() / 86400
            known = known.with_columns(before_days_since=since)
            now = at["total"]
        else:
            known = known.with_columns((now - at["total"]).alias(f"before_purchases_{length}d"))
    return known


def _latest(rows: pl.DataFrame, running: pl.DataFrame, days: int) -> pl.DataFrame:
    """Return the last purchase day and the count of them before `ts` minus `days`."""
    ends = (
        rows.select("customer_id", end=pl.col("ts") - pl.duration(days=days))
        .with_row_index("position")
        .sort("end")
    )
    latest = ends.join_asof(
        running.select("customer_id", "ts", "total", seen=pl.col("ts")),
        left_on="end",
        right_on="ts",
        by="customer_id",
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    ).sort("position")
    return latest.select(pl.col("total").fill_null(0).cast(pl.Float64), "seen")


def purchase_days(sales: pl.DataFrame) -> pl.DataFrame:
    """Return `customer_id, ts` of the first purchase of each customer and day (no returns)."""
    return (
        sales.filter(pl.col("customer_id").is_not_null() & (pl.col("quantity") > 0))
        .select("customer_id", pl.col("ts").cast(pl.Datetime("us")))
        .group_by("customer_id", pl.col("ts").dt.truncate("1d").alias("day"))
        .agg(pl.col("ts").min())
        .drop("day")
        .sort("ts", "customer_id")
    )
