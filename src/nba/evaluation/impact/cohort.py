"""Who was compared: every eligible customer by the arm first drawn, and what they bought."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nba.arrays import Bools, Floats
from nba.decisions.settings import UnitDraw
from nba.decisions.units import arms_of_units
from nba.evaluation.arm_effects import Effect, difference
from nba.evaluation.impact.inputs import HISTORY_DAYS, ImpactInputs
from nba.evaluation.unit_effects import unit_difference
from nba.schema.words import Arm, DrawUnit

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
        start, end, segment, days_counted, orders, amount, margin, and the same `_before`; where
        clerks, stores or groups drew arms for all their customers, `drawn_by` (which one) and
        `unit_arm` (what it drew; also of customers who are held out), else null.
    """

    table: pl.DataFrame

    def array(self, name: str) -> Floats:
        """Return a column as numbers."""
        return self.table[name].cast(pl.Float64).to_numpy()

    def pair(self, arm: str, other: str) -> Cohort:
        """Return the customers of two arms who can be compared.

        Where units drew an arm, its customers stand beside those held out of the same units; beside
        another arm that units drew stand those of the units of either.
        """
        two = self.table.filter(pl.col("arm").is_in([arm, other]))
        of_units = [one for one in (arm, other) if one in self.table["unit_arm"]]
        if len(of_units) == 1:
            two = two.filter(pl.col("unit_arm") == of_units[0])
        elif of_units:
            two = two.filter(pl.col("drawn_by").is_not_null())
        return Cohort(two)

    def against(self, arm: str) -> Cohort:
        """Return the customers of an arm and those of the control who can be compared."""
        return self.pair(arm, CONTROL)

    @property
    def by_units(self) -> bool:
        """Whether units drew the arms of all these customers: only units are independent."""
        drawn = (pl.col("arm") == pl.col("unit_arm")) & pl.col("drawn_by").is_not_null()
        return self.table.height > 0 and bool(
            self.table.select(drawn.fill_null(False).all()).item()
        )

    def counted_units(self, arm: str) -> dict[str, int | None]:
        """Return how many units drew an arm, and how many another; None where customers did."""
        if not self.by_units:
            return {"units": None, "units_held": None}
        mine = pl.col("arm") == arm
        units = [self.table.filter(part)["drawn_by"].n_unique() for part in (mine, ~mine)]
        return dict(zip(("units", "units_held"), units, strict=True))

    def difference(self, outcome: str, treated: Bools, *, adjust: bool = True) -> Effect:
        """Return the difference of two arms per customer, over those who drew them.

        Parameters
        ----------
        outcome : str
        treated : bool array of shape (customers,)
        adjust : bool
            Take off what was foreseeable from the year before.
        """
        y, covariates = self.array(outcome), self.covariates if adjust else None
        if self.by_units:
            drawn_by = self.table["drawn_by"].rank("dense").to_numpy()
            return unit_difference(y, treated, drawn_by, covariates=covariates)
        return difference(y, treated, covariates=covariates, cluster=self.unit)

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
        return self.difference(outcome, self.treated)


def build_cohort(inputs: ImpactInputs) -> Cohort:
    """Return every customer of the log with the arm first drawn in each arm period.

    Notes
    -----
    A customer counts from the first day on which they were eligible in the period, in every arm
    alike, whatever was sent to them: intention to treat. Where shares moved (`inputs.stayed`),
    those who changed their arm are left out.
    """
    period = (pl.col("day") - pl.lit(date(1970, 1, 1))).dt.total_days() // inputs.arm_period_days
    log = inputs.log.with_columns(period=period)
    if inputs.stayed:
        log = log.filter(pl.col("arm").n_unique().over("customer_id", "period") == 1)
    first = (
        log.sort("day", "customer_id")
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
    table = _with_units_of_test(table, inputs.by_units)
    return Cohort(_with_segments(with_purchases(table, inputs.days)).sort("customer_id", "start"))


def _with_units_of_test(table: pl.DataFrame, draw: UnitDraw | None) -> pl.DataFrame:
    """Add who drew a test's arm for the customer, and what was drawn; null where nobody did."""
    if draw is None:
        none = pl.lit(None, dtype=pl.String)
        return table.with_columns(drawn_by=none, unit_arm=none)
    is_group = pl.col("unit").str.starts_with("group:")
    units = {
        DrawUnit.CLERK: pl.col("clerk_id"),
        DrawUnit.STORE: pl.col("store_id"),
        DrawUnit.GROUP: pl.when(is_group).then("unit"),
    }
    drawn = table.with_columns(drawn_by=units[draw.unit])
    return drawn.with_columns(unit_arm=arms_of_units(drawn["drawn_by"], draw))


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
