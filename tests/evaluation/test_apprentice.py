"""What following the lists would be worth: found where planted, never made of clerks' choices."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from experiments.apprentice.run import play
from nba.evaluation.impact.apprentice import follow_rows, followed_lists, once_in_days
from nba.settings import ArmShares

MONDAY = dt.date(2026, 1, 5)


def test_a_customer_is_counted_once_a_week() -> None:
    days = [MONDAY + dt.timedelta(days=n) for n in range(9)]
    rows = pl.DataFrame({"customer_id": "A", "day": days, "p_listed": 0.4})
    counted = once_in_days(rows)["p_listed"].to_list()
    assert counted == pytest.approx([0.4, 0.4, 0.2, 0, 0, 0, 0, 0.4, 0.4])


def test_the_day_itself_and_open_outcomes_do_not_count() -> None:
    """Clerks write to those who have just bought: such a day says nothing."""
    day = MONDAY
    open_ = pl.DataFrame(
        {
            "day": [day, day, day + dt.timedelta(days=20)],
            "customer_id": ["A", "B", "A"],
            "clerk_id": "K",
            "p_listed": 0.5,
            "best_value": 1.0,
        }
    )
    sales = pl.DataFrame(
        {
            "customer_id": ["A", "B", "B"],
            "day": [day - dt.timedelta(days=10), day, day + dt.timedelta(days=14)],
            "orders": 1,
            "amount": 20.0,
            "margin": 9.0,
        }
    )
    contacts = pl.DataFrame({"customer_id": ["A"], "ts": [dt.datetime(2026, 1, 5, 11)]})
    last = day + dt.timedelta(days=14)
    rows = follow_rows(open_, sales, contacts, last=last, outcome_days=14)
    assert rows["customer_id"].to_list() == ["A"]
    row = rows.row(0, named=True)
    assert (row["contacted"], row["margin"], row["days_since_purchase"]) == (True, 0.0, 10)
    assert (row["margin_30"], row["days_since_contact"]) == (9.0, 999)


def test_a_planted_gain_is_held_and_none_is_made_of_choice() -> None:
    for kind in ("null", "gain"):
        played = play(kind, 1500, 8, np.random.default_rng(3))
        found = followed_lists(played.rows, seed=0)
        assert found.lower < played.truth < found.upper, kind
        assert found.verdict in ("gain", "open")
        assert found.contacts > 1000


def test_too_few_contacts_say_nothing() -> None:
    rows = play("null", 300, 2, np.random.default_rng(3)).rows
    few = rows.with_columns(contacted=pl.lit(False))
    found = followed_lists(few, seed=0)
    assert found.verdict == "open"
    assert not np.isfinite(found.per_week)


def test_lists_of_people_whom_clerks_never_contact_are_not_judged() -> None:
    rows = play("null", 1500, 4, np.random.default_rng(3)).rows
    never = pl.col("best_value") > rows["best_value"].quantile(0.7)
    asked = rows.with_columns(
        contacted=pl.col("contacted") & ~never, p_listed=pl.when(never).then(0.2).otherwise(0.0)
    )
    assert followed_lists(asked, seed=0).verdict == "no_overlap"


def test_watching_alone_needs_no_share_held_out() -> None:
    assert ArmShares(observe=1.0).holdout == 0.0
    assert ArmShares(observe=0.5).holdout == 0.1
    assert ArmShares(observe=0.5, holdout=0.3).own_habit == 0.5
    with pytest.raises(ValueError, match="add up"):
        ArmShares(observe=1.0, holdout=0.1)
