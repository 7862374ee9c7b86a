"""Assignments: who was listed for a mode or left alone, when, and with which propensity.

The unit is the assignment: a customer on a day was listed for a mode, or left alone, with a logged
propensity. Where only sent contacts are known (history before the engine), these are the unit,
beside sampled moments without a contact, and propensities are estimated. A logged propensity is
never kept_share for rows that were filtered on sent: clerks choose what they send.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np
import polars as pl

from nba.schema.words import UNLISTED_ARMS, Channel, Mode

#: The columns of the full probability vector, where it was logged.
PROPENSITY_COLUMNS: Final = {str(mode): f"p_{mode}" for mode in Mode}
#: Channels that reach many at once: nobody chose the customer.
POST_CHANNELS: Final = (str(Channel.MOMENTS), str(Channel.GROUP), str(Channel.SUBSCRIPTION))
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
        "interaction_id": pl.String(),
        **{name: pl.Float64() for name in PROPENSITY_COLUMNS.values()},
    }
)


class AssignmentSource(StrEnum):
    """How an assignment came to be known, from the most to the least reliable."""

    #: A policy or a test drew it and logged its propensity.
    LOGGED = "logged"
    #: A contact that a clerk made by habit, or a moment sampled without one.
    HISTORY = "history"


def recorded_assignments(interactions: pl.DataFrame) -> pl.DataFrame:
    """Return one assignment per interaction: logged where it has a propensity, else history.

    Recorded decisions to leave a customer alone (mode `none`) are assignments like any other.
    Interactions that carry out an action of the engine (`action_id`) are left out: there the
    assignment is the row of the decision log, whether it was sent or not. Posts that reach many
    at once without a draw per customer are no assignments either.
    """
    rows = _without_posts(interactions.filter(pl.col("action_id").is_null()))
    logged = pl.col("propensity").is_not_null()
    return rows.select(
        assignment_id=pl.col("interaction_id"),
        customer_id=pl.col("customer_id"),
        ts=pl.col("ts").cast(pl.Datetime("us")),
        mode=pl.col("mode").cast(pl.String),
        propensity=pl.col("propensity").cast(pl.Float64),
        sent=pl.col("mode") != str(Mode.NONE),
        source=pl.when(logged)
        .then(pl.lit(str(AssignmentSource.LOGGED)))
        .otherwise(pl.lit(str(AssignmentSource.HISTORY))),
        interaction_id=pl.when(pl.col("mode") != str(Mode.NONE)).then("interaction_id"),
        **{name: pl.lit(None, pl.Float64) for name in PROPENSITY_COLUMNS.values()},
    ).cast(ASSIGNMENT_SCHEMA)


def _without_posts(interactions: pl.DataFrame) -> pl.DataFrame:
    """Leave out posts that reach many at once, unless a draw per customer chose whom."""
    if "channel" not in interactions.columns:
        return interactions
    post = pl.col("channel").cast(pl.String).is_in(POST_CHANNELS).fill_null(False)
    chosen = [name for name in ("propensity", "action_id") if name in interactions.columns]
    drawn = pl.any_horizontal(pl.lit(False), *(pl.col(name).is_not_null() for name in chosen))
    return interactions.filter(drawn | ~post)


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
    sent = (
        interactions.filter(pl.col("action_id").is_not_null())
        .sort("interaction_id")
        .unique("action_id", keep="first", maintain_order=True)
        .select("action_id", "interaction_id")
    )
    known = log.join(sent, on="action_id", how="left")
    absent = [name for name in PROPENSITY_COLUMNS.values() if name not in known.columns]
    known = known.with_columns(pl.lit(None, pl.Float64).alias(name) for name in absent)
    day = pl.col("as_of").cast(pl.Datetime("us"))
    name = pl.concat_str(pl.col("customer_id"), day.dt.strftime("%Y%m%d"), separator="@")
    return known.select(
        assignment_id=name,
        customer_id=pl.col("customer_id"),
        ts=day,
        mode=pl.col("mode").cast(pl.String),
        propensity=pl.col("propensity").cast(pl.Float64),
        sent=pl.col("interaction_id").is_not_null(),
        source=pl.lit(str(AssignmentSource.LOGGED)),
        interaction_id=pl.col("interaction_id"),
        **{name: pl.col(name) for name in PROPENSITY_COLUMNS.values()},
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
    unlisted = pl.col("arm").cast(pl.String).is_in([str(arm) for arm in UNLISTED_ARMS])
    drawn = log.filter(~unlisted)
    other = pl.col("alternatives").struct.field("mode").cast(pl.String)
    probability = pl.col("alternatives").struct.field("probability")
    vector = (
        drawn.select("customer_id", "alternatives")
        .explode("alternatives")
        .group_by("customer_id")
        .agg(
            probability.filter(other == mode).sum().alias(name)
            for mode, name in PROPENSITY_COLUMNS.items()
        )
    )
    if "category" in log.schema["alternatives"].inner.to_schema():  # type: ignore[attr-defined]
        vector = vector.join(_would_be_brought(drawn), on="customer_id", how="left")
    own = pl.coalesce(
        pl.when(pl.col("mode").cast(pl.String) == mode).then(pl.col(name))
        for mode, name in PROPENSITY_COLUMNS.items()
    )
    listed = actions.filter(pl.col("mode").cast(pl.String) != str(Mode.NONE))
    return (
        drawn.select("as_of", "customer_id", "mode")
        .join(vector, on="customer_id")
        .with_columns(propensity=own)
        .filter(pl.col("propensity").is_between(0, 1 - 1e-9, closed="right"))
        .join(listed.select("customer_id", "action_id"), on="customer_id", how="left")
        .sort("customer_id")
    )


def _would_be_brought(drawn: pl.DataFrame) -> pl.DataFrame:
    """Return `customer_id, category`: of what was drawn, else of what was likeliest."""
    field = pl.col("alternatives").struct.field
    rows = drawn.select("customer_id", pl.col("mode").alias("taken"), "alternatives").explode(
        "alternatives"
    )
    rows = rows.select(
        "customer_id",
        category=field("category"),
        chance=field("probability"),
        is_none=field("mode").cast(pl.String) == str(Mode.NONE),
        is_taken=field("mode").cast(pl.String) == pl.col("taken").cast(pl.String),
    )
    return (
        rows.filter(~pl.col("is_none"))
        .sort("customer_id", "is_taken", "chance", "category",
              descending=[False, True, True, False], nulls_last=True)
        .unique("customer_id", keep="first", maintain_order=True)
        .select("customer_id", pl.col("category").fill_null(""))
    )  # fmt: skip


def thinned(log: pl.DataFrame, *, per_listed: float, seed: int) -> pl.DataFrame:
    """Return all that was listed and a sample of what was left alone, with fitting propensities.

    A log holds every customer of every day, and few are listed: more than a few left alone per
    one listed teach nothing more.

    Parameters
    ----------
    log : DataFrame
        As from `decision_rows`.
    per_listed : float
        Rows of `none` kept_share per listed one.
    """
    none = pl.col("mode").cast(pl.String) == str(Mode.NONE)
    count = log.select(none.sum()).item()
    kept_share = min(1.0, per_listed * max(log.height - count, 1) / max(count, 1))
    if kept_share >= 1.0 or PROPENSITY_COLUMNS[str(Mode.NONE)] not in log.columns:
        return log
    ordered = log.sort("as_of", "customer_id")
    drawn = np.random.default_rng(seed).uniform(size=log.height) < kept_share
    p_none = pl.col(PROPENSITY_COLUMNS[str(Mode.NONE)])
    total = 1.0 - p_none * (1.0 - kept_share)
    listed = [name for mode, name in PROPENSITY_COLUMNS.items() if mode != str(Mode.NONE)]
    return ordered.filter(pl.Series(drawn) | ~none).with_columns(
        (p_none * kept_share / total).alias(PROPENSITY_COLUMNS[str(Mode.NONE)]),
        *(pl.col(name) / total for name in listed),
        propensity=pl.when(none)
        .then(pl.col("propensity") * kept_share / total)
        .otherwise(pl.col("propensity") / total),
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
        `customer_id, friend_since, friend_until` (null: still a friend).
    interactions : DataFrame
        `customer_id, ts, mode`; with `channel`, posts to many at once are no contacts.
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
        friends.select("customer_id", "friend_since", "friend_until")
        .select(pl.all().repeat_by(per_customer).explode())
        .with_columns(pl.Series("day", drawn))
        .with_columns(ts=noon.cast(pl.Datetime("us")))
        .unique(["customer_id", "day"], maintain_order=True)
        .filter(pl.col("friend_since") < pl.col("ts"))
        .filter(pl.col("friend_until").is_null() | (pl.col("ts") < pl.col("friend_until")))
        .sort("ts")
    )
    day = pl.col("ts").dt.strftime("%Y%m%d")
    name = pl.concat_str(pl.col("customer_id"), day, pl.lit("moment"), separator="@")
    return (
        _clear_of_contacts(moments, interactions, clear_days)
        .select(
            name.alias("assignment_id"),
            "customer_id",
            "ts",
            mode=pl.lit(str(Mode.NONE)),
            propensity=pl.lit(None, pl.Float64),
            sent=pl.lit(False),
            source=pl.lit(str(AssignmentSource.HISTORY)),
            interaction_id=pl.lit(None, pl.String),
            **{name: pl.lit(None, pl.Float64) for name in PROPENSITY_COLUMNS.values()},
        )
        .cast(ASSIGNMENT_SCHEMA)
        .sort("assignment_id")
    )


def _clear_of_contacts(
    moments: pl.DataFrame, interactions: pl.DataFrame, clear_days: int
) -> pl.DataFrame:
    """Return the moments without a contact on the same day or within `clear_days` before."""
    contacts = (
        _without_posts(interactions.filter(pl.col("mode") != str(Mode.NONE)))
        .select("customer_id", contact=pl.col("ts").cast(pl.Datetime("us")))
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
    gap = pl.col("ts").dt.truncate("1d") - pl.col("contact").dt.truncate("1d")
    clear = pl.col("contact").is_null() | (gap > pl.duration(days=clear_days))
    return joined.filter(clear)
