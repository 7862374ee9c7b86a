"""What an arm earned is set against the hours that only its customers took."""

from __future__ import annotations

import math
from datetime import date

import polars as pl
import pytest

from nba.evaluation.arm_effects import Effect
from nba.evaluation.impact.cohort import COVARIATES, Cohort
from nba.evaluation.impact.report import Headline
from nba.evaluation.impact.restraint import minutes_beyond

FIRST, LAST = date(2026, 3, 2), date(2026, 3, 29)
ARMS = {"engine": 40, "holdout": 20, "other": 40}


def cohort() -> Cohort:
    arm = [name for name, count in ARMS.items() for _ in range(count)]
    table = pl.DataFrame({"customer_id": [f"c{i:03d}" for i in range(len(arm))], "arm": arm})
    return Cohort(
        table.with_columns(
            pl.lit(FIRST).alias("start"),
            pl.lit(LAST).alias("end"),
            pl.lit(None, pl.String).alias("drawn_by"),
            pl.lit(None, pl.String).alias("unit_arm"),
            pl.col("customer_id").alias("unit"),
            *(pl.lit(0.0).alias(name) for name in COVARIATES),
        )
    )


def contacts(minutes: dict[str, float], day: date = FIRST) -> pl.DataFrame:
    """Return a contact of so many minutes with every customer of an arm."""
    rows = cohort().table.select("customer_id", "arm").filter(pl.col("arm").is_in(list(minutes)))
    return rows.select(
        "customer_id",
        day=pl.lit(day),
        minutes=pl.col("arm").replace_strict(minutes, return_dtype=pl.Float64),
    )


def test_hours_of_habit_and_of_other_arms_are_left_out() -> None:
    made = pl.concat(
        [
            contacts({"engine": 6.0, "other": 30.0}),
            contacts({"engine": 4.0, "holdout": 4.0, "other": 4.0}, LAST),
            contacts({"engine": 50.0}, date(2026, 4, 2)),
        ]
    )
    found = minutes_beyond(cohort().against("engine"), made)
    assert found.estimate == pytest.approx(6.0)
    assert found.treated == ARMS["engine"]


def headline(hours: float) -> Headline:
    effect = Effect(-30.0, 5.0, -40.0, -20.0, 10.0, 40.0, 40, 20)
    return Headline("engine", effect, -1200.0, -1600.0, -800.0, 3.0, 0.0, 1.0, hours=hours)


def test_what_an_hour_earned_needs_hours_that_can_be_told() -> None:
    assert headline(20.0).per_hour == -60.0
    assert math.isnan(headline(math.nan).per_hour)
