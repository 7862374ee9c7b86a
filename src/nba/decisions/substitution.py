"""Who serves a customer today: substitutes for absent clerks, and handovers."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from nba.decisions.hashing import uniform
from nba.decisions.inputs import DecisionInputs
from nba.decisions.policy import ContactPolicy

#: Days over which handovers of a customer are counted.
HANDOVER_DAYS = 90


def with_substitutes(tables: DecisionInputs) -> DecisionInputs:
    """Give the customers of an absent clerk to a colleague who is already their friend.

    Among several colleagues the friend of longest standing serves. A customer without such
    a friend keeps the absent clerk, and is left alone today.
    """
    state = tables["customer_state"]
    working = tables["clerk"].filter(pl.col("works_today")).select("clerk_id")
    absent = state.filter(pl.col("is_friend")).join(working, on="clerk_id", how="anti")
    substitutes = _friends_on_duty(tables, absent, working)
    state = (
        state.join(substitutes, on="customer_id", how="left", maintain_order="left")
        .with_columns(clerk_id=pl.coalesce("substitute_clerk_id", "clerk_id"))
        .drop("substitute_clerk_id")
    )
    return DecisionInputs({**tables.tables, "customer_state": state})


def stand_ins(tables: DecisionInputs) -> pl.DataFrame:
    """Return who would serve each friend if their clerk fell out today.

    Returns
    -------
    DataFrame
        customer_id, substitute_clerk_id: a working colleague who is their friend already.
    """
    working = tables["clerk"].filter(pl.col("works_today")).select("clerk_id")
    friends = tables["customer_state"].filter(pl.col("is_friend"))
    return _friends_on_duty(tables, friends, working)


def _friends_on_duty(
    tables: DecisionInputs, people: pl.DataFrame, working: pl.DataFrame
) -> pl.DataFrame:
    """Return the other working clerk who is the longest-standing friend of each customer."""
    return (
        tables["friendships"]
        .filter(pl.col("ended_at").is_null())
        .join(people.select("customer_id", own="clerk_id"), on="customer_id")
        .filter(pl.col("clerk_id").ne_missing(pl.col("own")))
        .join(working, on="clerk_id", how="semi")
        .sort("customer_id", "since", "clerk_id")
        .unique("customer_id", keep="first", maintain_order=True)
        .select("customer_id", substitute_clerk_id="clerk_id")
    )


def propose_handovers(
    tables: DecisionInputs, *, as_of: datetime, policy: ContactPolicy
) -> pl.DataFrame:
    """Propose a new clerk for each customer whose clerk has left.

    Parameters
    ----------
    tables : DecisionInputs
        `handovers` (customer_id, ts) has those that took place.

    Returns
    -------
    DataFrame
        customer_id, from_clerk_id, to_clerk_id, reason (`friend`: is a friend of that
        colleague already; `store`: a colleague of the store, spread evenly).

    Notes
    -----
    A customer is never proposed more often than `handovers_per_90_days`.
    """
    left = _left(tables, as_of)
    staff = tables["clerk"].join(left, on="clerk_id", how="anti")
    people = _left_behind(tables, left).join(
        _handed_often(tables, as_of, policy), on="customer_id", how="anti"
    ).sort("customer_id")  # fmt: skip
    friend = (
        tables["friendships"]
        .filter(pl.col("ended_at").is_null())
        .join(staff.select("clerk_id"), on="clerk_id", how="semi")
        .sort("customer_id", "since", "clerk_id")
        .unique("customer_id", keep="first", maintain_order=True)
        .select("customer_id", friend_clerk_id="clerk_id")
    )
    people = people.join(friend, on="customer_id", how="left", maintain_order="left")
    is_friend = pl.col("friend_clerk_id").is_not_null()
    proposals = people.with_columns(
        to_clerk_id=pl.coalesce("friend_clerk_id", _spread(people, staff)),
        reason=pl.when(is_friend).then(pl.lit("friend")).otherwise(pl.lit("store")),
    )
    return proposals.drop_nulls("to_clerk_id").select(
        "customer_id", "from_clerk_id", "to_clerk_id", "reason"
    )


def _left_behind(tables: DecisionInputs, left: pl.DataFrame) -> pl.DataFrame:
    """Return the reachable friends of clerks who have left, with the store."""
    leavers = tables["clerk"].join(left, on="clerk_id", how="semi")
    return (
        tables["customer_state"]
        .filter(pl.col("is_friend") & pl.col("consent_contact") & ~pl.col("is_blocked"))
        .join(leavers.select("clerk_id", from_store_id="store_id"), on="clerk_id")
        .select(
            "customer_id",
            pl.coalesce("store_id", "from_store_id").alias("store_id"),
            from_clerk_id="clerk_id",
        )
    )


def _handed_often(tables: DecisionInputs, as_of: datetime, policy: ContactPolicy) -> pl.DataFrame:
    """Return who was handed over as often as the policy allows."""
    since = as_of - timedelta(days=HANDOVER_DAYS)
    counts = tables["handovers"].filter(pl.col("ts") >= since).group_by("customer_id").len()
    return counts.filter(pl.col("len") >= policy.handovers_per_90_days)


def _left(tables: DecisionInputs, as_of: datetime) -> pl.DataFrame:
    clerk = tables["clerk"]
    gone = pl.col("left_at") < as_of
    if "has_left" in clerk.columns:
        gone = gone.fill_null(False) | pl.col("has_left").fill_null(False)
    return clerk.filter(gone.fill_null(False)).select("clerk_id")


def _spread(people: pl.DataFrame, staff: pl.DataFrame) -> pl.Series:
    """Return a colleague of the same store per customer, evenly by hash; null without one."""
    stores = staff.sort("clerk_id").group_by("store_id", maintain_order=True).agg(
        pl.col("clerk_id").alias("colleagues")
    )  # fmt: skip
    joined = people.join(stores, on="store_id", how="left", maintain_order="left")
    number = joined["colleagues"].list.len().fill_null(0).to_numpy()
    pick = np.floor(uniform(people["customer_id"], "handover") * np.maximum(number, 1))
    return joined.with_columns(at=pl.Series(pick.astype(np.int64))).select(
        pl.col("colleagues").list.get(pl.col("at"), null_on_oob=True)
    ).to_series()  # fmt: skip
