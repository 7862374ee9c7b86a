"""Who was compared: every eligible customer by the arm first drawn, and what they bought."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nba.arrays import Bools, Floats
from nba.evaluation.arm_effects import Effect, difference
from nba.evaluation.impact.inputs import HISTORY_DAYS, ImpactInputs
from nba.schema.words import Arm

CONTROL: Final = str(Arm.HOLDOUT)
#: What was known before the arm was drawn, and takes away noise.
COVARIATES: Final = ("margin_before", "margin_quarter_before", "orders_before", "days_counted")
QUARTER_DAYS: Final = 91
#: Segments by what a customer had bought in the year before they were first planned for.
SEGMENTS: Final = ("no_purchase", "dormant", "single", "regular", "top")
DORMANT_DAYS: Final = 120
TOP_SHARE: Final = 0.8


@dataclass(frozen=True)
class Cohort:
    """Customers with their arm, what they bought, and what they had bought before.

    Parameters
    ----------
    table : DataFrame
        A row per customer and arm period: customer_id, period, unit, clerk_id, store_id, arm,
        start, end, segment, days_counted, orders, amount, margin, and the same `_before`.
    """

    table: pl.DataFrame

    def array(self, name: str) -> Floats:
        """Return a column as numbers."""
        return self.table[name].cast(pl.Float64).to_numpy()

    def against(self, arm: str) -> Cohort:
        """Return the customers of an arm and of the control."""
        return Cohort(self.table.filter(pl.col("arm").is_in([arm, CONTROL])))

    @property
    def treated(self) -> Bools:
        """Whether each customer is of another arm than the control."""
        return (self.table["arm"] != CONTROL).to_numpy()

    @property
    def unit(self) -> NDArray[Any]:
        """Numbers of the units that drew their arm together."""
        return self.table["unit"].rank("dense").to_numpy()

    @property
    def covariates(self) -> Floats:
        """What was known before, shape (customers, covariates)."""
        return np.column_stack([self.array(name) for name in COVARIATES])

    def effect(self, outcome: str) -> Effect:
        """Return what the arm changed per customer against the control."""
        return difference(
            self.array(outcome), self.treated, covariates=self.covariates, cluster=self.unit
        )


def build_cohort(inputs: ImpactInputs) -> Cohort:
    """Return every customer of the log with the arm first drawn in each arm period.

    Notes
    -----
    A customer counts from the first day on which they were eligible in the period, in every arm
    alike, whatever was sent to them: intention to treat.
    """
    period = (pl.col("day") - pl.lit(date(1970, 1, 1))).dt.total_days() // inputs.arm_period_days
    first = (
        inputs.log.with_columns(period=period)
        .sort("day", "customer_id")
        .group_by("customer_id", "period", maintain_order=True)
        .agg(pl.col("arm", "clerk_id").first(), start=pl.col("day").first())
        .with_columns(
            end=pl.col("start").shift(-1).over("customer_id", order_by="start")
            - pl.duration(days=1)
        )
        .with_columns(pl.col("end").fill_null(inputs.last))
    )
    table = (
        _with_units(first, inputs.memberships)
        .join(inputs.clerks.select("clerk_id", "store_id"), on="clerk_id", how="left")
        .with_columns(days_counted=(pl.col("end") - pl.col("start")).dt.total_days() + 1)
    )
    return Cohort(_with_segments(with_purchases(table, inputs.days)).sort("customer_id", "start"))


def _with_units(table: pl.DataFrame, memberships: pl.DataFrame) -> pl.DataFrame:
    """Add the unit that drew the arm: the first group joined before the start, or the customer."""
    joined = memberships.select("customer_id", "group_id", "joined_at")
    groups = (
        table.select("customer_id", "start")
        .join(joined, on="customer_id")
        .filter(pl.col("joined_at").dt.date() < pl.col("start"))
        .sort("joined_at", "group_id")
        .unique(["customer_id", "start"], keep="first", maintain_order=True)
        .select("customer_id", "start", unit=pl.concat_str(pl.lit("group:"), "group_id"))
    )
    return table.join(groups, on=["customer_id", "start"], how="left").with_columns(
        pl.coalesce("unit", "customer_id")
    )


def with_purchases(table: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """Add what each customer bought while counted, and in the year before."""
    spans = table.select("customer_id", "start", "end")
    rows = spans.join(days, on="customer_id").with_columns(
        ahead=(pl.col("start") - pl.col("day")).dt.total_days()
    )
    within = (pl.col("ahead") <= 0) & (pl.col("day") <= pl.col("end"))
    before = pl.col("ahead").is_between(1, HISTORY_DAYS)
    sums = [
        *(pl.col(name).filter(within).sum() for name in ("orders", "amount", "margin")),
        *(
            pl.col(name).filter(before).sum().alias(f"{name}_before")
            for name in ("orders", "amount", "margin")
        ),
        pl.col("margin")
        .filter(pl.col("ahead").is_between(1, QUARTER_DAYS))
        .sum()
        .alias("margin_quarter_before"),
        pl.col("ahead").filter(before & (pl.col("orders") > 0)).min().alias("days_since_purchase"),
    ]
    totals = rows.group_by("customer_id", "start").agg(sums)
    known = pl.exclude("customer_id", "start", "days_since_purchase")
    names = totals.select(known).columns
    return table.join(totals, on=["customer_id", "start"], how="left").with_columns(
        pl.col(names).fill_null(0)
    )


def _with_segments(table: pl.DataFrame) -> pl.DataFrame:
    """Add the segment: by what was bought in the year before the start."""
    top = table.filter(pl.col("orders_before") > 1)["margin_before"].quantile(TOP_SHARE)
    return table.with_columns(
        segment=pl.when(pl.col("orders_before") == 0)
        .then(pl.lit("no_purchase"))
        .when(pl.col("days_since_purchase") > DORMANT_DAYS)
        .then(pl.lit("dormant"))
        .when(pl.col("orders_before") == 1)
        .then(pl.lit("single"))
        .when(pl.col("margin_before") >= (top or 0.0))
        .then(pl.lit("top"))
        .otherwise(pl.lit("regular"))
    )
