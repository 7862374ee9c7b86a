"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

import polars as pl

from nba.decisions.settings import UnitDraw
from nba.schema.words import Mode

#: Days before the period that tell what a customer would do anyway.
HISTORY_DAYS: Final = 365
#: Days in which an earlier contact makes a sequence with the next.
SEQUENCE_DAYS: Final = 30
LOG_COLUMNS: Final = (
    "as_of",
    "customer_id",
    "clerk_id",
    "arm",
    "closed",
    "alternatives",
    "action_type",
    "mode",
    "propensity",
)


@dataclass(frozen=True)
class ImpactInputs:
    """The tables of a report; times are naive and local.

    Parameters
    ----------
    first, last : date
        The days of the report, both in it.
    outcome_days : int
        Days in which what follows a listing is counted.
    arm_period_days : int
        After how many days arms are drawn anew.
    shares : mapping of str to float
        Share of customers that each arm should have.
    log : DataFrame
        A row per eligible customer and day: see `day_of_log`.
    chances : DataFrame
        A row per open alternative: day, customer_id, mode, action_type, probability.
    days : DataFrame
        customer_id, day, orders, amount, margin; from `HISTORY_DAYS` before `first`.
    actions : DataFrame
        Listed actions: day, action_id, customer_id, clerk_id, mode, action_type, arm, minutes.
    ledger : DataFrame
        The clerks' minutes: day, clerk_id, store_id, minutes, minutes_planned, price_per_minute.
    interactions, responses, feedback, memberships, friendships, clerks, stores, content : DataFrame
        The lake's tables.
    watched : DataFrame
        Whom the watching engine could have listed: day, customer_id, clerk_id, p_listed,
        best_value; empty where it did not watch.
    changes : mapping of str to sequence of str
        What arms with rules of their own change, by arm.
    by_units : UnitDraw or None
        Where clerks, stores or groups drew the arms of a test in this period, how they did.
    stayed : bool
        Compare only customers who kept their arm in an arm period: shares moved, by a hash.
    """

    first: date
    last: date
    outcome_days: int
    arm_period_days: int
    shares: Mapping[str, float]
    log: pl.DataFrame
    chances: pl.DataFrame
    days: pl.DataFrame
    actions: pl.DataFrame
    ledger: pl.DataFrame
    interactions: pl.DataFrame
    responses: pl.DataFrame
    feedback: pl.DataFrame
    memberships: pl.DataFrame
    friendships: pl.DataFrame
    clerks: pl.DataFrame
    stores: pl.DataFrame
    content: pl.DataFrame
    watched: pl.DataFrame = field(default_factory=pl.DataFrame)
    changes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    by_units: UnitDraw | None = None
    stayed: bool = False

    @property
    def known_from(self) -> date | None:
        """The day on which the first outcome is known, where that is after the period."""
        known = self.first + timedelta(days=self.outcome_days)
        return known if known > self.last + timedelta(days=1) else None

    @property
    def weeks(self) -> float:
        """The length of the period in weeks."""
        return ((self.last - self.first).days + 1) / 7

    @property
    def contacts_and_before(self) -> pl.DataFrame:
        """The contacts of the period and of the weeks before it."""
        return self.interactions.filter(pl.col("mode") != str(Mode.NONE))

    @property
    def contacts(self) -> pl.DataFrame:
        """The contacts of the period; a recorded `none` is a decision, not a contact."""
        day = pl.col("ts").dt.date()
        return self.interactions.filter(
            (pl.col("mode") != str(Mode.NONE)) & day.is_between(self.first, self.last)
        )


def day_of_log(log: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return one day's decision log without its lists, and the lists in rows.

    Returns
    -------
    log : DataFrame
        day, customer_id, clerk_id, arm, closed, mode, action_type, propensity; `p_none`, the
        chance of being left alone, and `best_value`, both null where nothing was open.
    chances : DataFrame
        day, customer_id, mode, action_type, probability: the open alternatives but `none`.
    """
    lean = log.select(*LOG_COLUMNS).with_columns(day=pl.col("as_of").dt.date()).drop("as_of")
    lists = (
        lean.filter(pl.col("alternatives").list.len() > 1)
        .select("day", "customer_id", "alternatives")
        .explode("alternatives", empty_as_null=False, keep_nulls=False)
        .unnest("alternatives")
    )
    none = pl.col("mode") == str(Mode.NONE)
    summary = lists.group_by("customer_id").agg(
        p_none=pl.col("probability").filter(none).sum(),
        best_value=pl.col("value").filter(~none).max(),
    )
    chances = lists.filter(~none).select("day", "customer_id", "mode", "action_type", "probability")
    rows = lean.drop("alternatives").join(summary, on="customer_id", how="left")
    return rows.select("day", pl.exclude("day")), chances


def watched_day(log: pl.DataFrame) -> pl.DataFrame:
    """Return whom the list of a watching engine could have named, with the chance of it."""
    lean, _ = day_of_log(log)
    return lean.filter(pl.col("p_none").is_not_null()).select(
        "day",
        "customer_id",
        "clerk_id",
        p_listed=1.0 - pl.col("p_none"),
        best_value=pl.col("best_value").fill_null(0.0),
    )
