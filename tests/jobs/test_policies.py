"""Simple lists beside the engine: what is kept of each night, and how shares move."""

from __future__ import annotations

import polars as pl
import pytest

from nba.evaluation.impact.arms import against_lists
from nba.evaluation.impact.cohort import Cohort
from nba.jobs.policies import shares_by_chance

GIVEN = {"engine": 0.7, "due_worth": 0.1, "most_overdue": 0.1}


def earned(**estimates: float) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "arm": list(estimates),
            "estimate": list(estimates.values()),
            "standard_error": [1.0] * len(estimates),
        }
    )


def test_shares_follow_what_earned_more_and_keep_their_sum_and_floor() -> None:
    alike = shares_by_chance(
        GIVEN, earned(engine=5, due_worth=5, most_overdue=5), floor=0.05, seed=1
    )
    assert alike == pytest.approx(GIVEN, abs=0.03)
    better = shares_by_chance(
        GIVEN, earned(engine=1, due_worth=9, most_overdue=1), floor=0.05, seed=1
    )
    assert better["due_worth"] == pytest.approx(0.8, abs=1e-6)
    assert better["engine"] == better["most_overdue"] == 0.05
    for shares in (alike, better):
        assert sum(shares.values()) == pytest.approx(0.9, abs=1e-5)


@pytest.mark.parametrize(
    "table",
    [
        pl.DataFrame(schema={"arm": pl.String}),
        earned(engine=1.0),
        earned(engine=1.0, due_worth=float("nan"), most_overdue=2.0),
    ],
)
def test_without_evidence_the_configured_shares_stay(table: pl.DataFrame) -> None:
    assert shares_by_chance(GIVEN, table, floor=0.05, seed=1) == GIVEN


def cohort(rows: int = 400, lift: float = 8.0) -> Cohort:
    arms = ["engine", "due_worth", "most_overdue", "holdout"]
    base = {"engine": lift, "due_worth": 3.0, "most_overdue": 1.0, "holdout": 0.0}
    table = pl.DataFrame(
        {
            "customer_id": [f"c{i}" for i in range(rows)],
            "unit": [f"c{i}" for i in range(rows)],
            "arm": [arms[i % 4] for i in range(rows)],
            "margin": [base[arms[i % 4]] + (i * 7919 % 13) / 13 for i in range(rows)],
        }
    )
    names = ("margin_before", "margin_quarter_before", "orders_before", "days_counted")
    zero = [pl.lit(0.0).alias(name) for name in names]
    nobody = [pl.lit(None, dtype=pl.String).alias(name) for name in ("drawn_by", "unit_arm")]
    return Cohort(table.with_columns(*zero, *nobody))


def test_the_engine_stands_against_the_list_that_earned_most() -> None:
    found = against_lists(cohort())
    assert found is not None
    best, effect = found
    assert best == "due_worth"
    assert effect.lower < 5.0 < effect.upper
    assert effect.proven
    only = cohort().table.filter(pl.col("arm").is_in(["engine", "holdout"]))
    assert against_lists(Cohort(only)) is None
