"""Simple lists beside the engine: what is kept of each night, and how shares move."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from nba.evaluation.impact.arms import against_lists
from nba.evaluation.impact.cohort import Cohort, build_cohort
from nba.evaluation.impact.inputs import ImpactInputs
from nba.jobs.policies import idle_auto, last_move, shares_by_chance
from nba.settings import Settings

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
        earned(engine=1.0, due_worth=float("nan"), most_overdue=float("nan")),
    ],
)
def test_without_evidence_the_configured_shares_stay(table: pl.DataFrame) -> None:
    assert shares_by_chance(GIVEN, table, floor=0.05, seed=1) == GIVEN


def test_an_arm_without_evidence_keeps_its_share_and_holds_up_no_other() -> None:
    for table in (
        earned(engine=1.0, due_worth=9.0),
        earned(engine=1.0, due_worth=9.0, most_overdue=float("nan")),
    ):
        shares = shares_by_chance(GIVEN, table, floor=0.05, seed=1)
        assert shares == pytest.approx({"engine": 0.05, "due_worth": 0.75, "most_overdue": 0.1})


def test_shares_move_once_a_week_by_what_the_arm_period_has_seen() -> None:
    start = date(1970, 1, 1) + timedelta(days=182 * 112)
    moves = [last_move(start + timedelta(days=day), 182) for day in range(182)]
    assert moves[:7] == [start] * 7
    assert sorted(set(moves)) == [start + timedelta(weeks=week) for week in range(26)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"arms": {"holdout": 0.0}, "policies": {"due_worth": 0.2, "auto": True}}, "holdout"),
        ({"policies": {"auto": True}}, "no list runs"),
        ({"policies": {"due_worth": 0.2, "auto": True}}, ""),
        ({"arms": {"holdout": 0.0}, "policies": {"due_worth": 0.2}}, ""),
    ],
)
def test_shares_that_can_never_move_are_warned_of(given: dict[str, Any], said: str) -> None:
    found = idle_auto(Settings.model_validate(given))
    assert len(found) == bool(said)
    assert all(said in line for line in found)


def log_of(arms: dict[str, list[str]]) -> ImpactInputs:
    """Return the inputs of a report of customers by the arms of their days; nobody bought."""
    start = date(2026, 5, 4)
    log = pl.DataFrame(
        [
            (start + timedelta(days=day), customer, "k1", arm)
            for customer, days in arms.items()
            for day, arm in enumerate(days)
        ],
        schema=["day", "customer_id", "clerk_id", "arm"],
        orient="row",
    )
    none = pl.DataFrame()
    memberships = {"customer_id": pl.String, "group_id": pl.String, "joined_at": pl.Datetime}
    days = {"customer_id": pl.String, "day": pl.Date, "orders": pl.Int64, "amount": pl.Float64,
            "margin": pl.Float64}  # fmt: skip
    return ImpactInputs(
        first=start, last=start + timedelta(days=9), outcome_days=14, arm_period_days=182,
        shares={}, log=log, chances=none, days=pl.DataFrame(schema=days), actions=none,
        ledger=none, interactions=none, responses=none, feedback=none,
        memberships=pl.DataFrame(schema=memberships), friendships=none,
        clerks=pl.DataFrame({"clerk_id": ["k1"], "store_id": ["s1"]}), stores=none, content=none,
    )  # fmt: skip


def test_who_changed_arms_as_shares_moved_is_not_compared() -> None:
    inputs = log_of({"a": ["engine"] * 2, "b": ["most_overdue", "due_worth"], "c": ["holdout"]})
    assert build_cohort(inputs).table["customer_id"].to_list() == ["a", "b", "c"]
    stayed = build_cohort(replace(inputs, stayed=True))
    assert stayed.table["customer_id"].to_list() == ["a", "c"]


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
