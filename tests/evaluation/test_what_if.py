"""What another policy would have earned: found where the log can say, refused where it cannot."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from nba.errors import ModelError, UsageError
from nba.evaluation.impact.listings import PAST
from nba.evaluation.impact.what_if import moved, replanned, what_if

EFFECTS = {"good": 6.0, "bad": -4.0}
CHANCES = {"good": 0.2, "bad": 0.3}


def log(customers: int = 3000, *, seed: int = 1) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A day on which two action types of two modes were drawn with known chances."""
    rng = np.random.default_rng(seed)
    ids = [f"C{i}" for i in range(customers)]
    drawn = rng.choice(["good", "bad", "none"], customers, p=[0.2, 0.3, 0.5])
    past = rng.gamma(2.0, 5.0, customers)
    effect = np.array([EFFECTS.get(one, 0.0) for one in drawn])
    rows = pl.DataFrame(
        {
            "day": [dt.date(2026, 1, 1)] * customers,
            "customer_id": ids,
            "mode": [f"{one}_mode" if one != "none" else one for one in drawn],
            "action_type": [one if one != "none" else None for one in drawn],
            "p_none": 0.5,
            "margin": past + effect + rng.normal(0, 5, customers),
            **{name: past if name.startswith("margin") else 1.0 for name in PAST},
        }
    )
    chances = pl.concat(
        rows.select("day", "customer_id").with_columns(
            mode=pl.lit(f"{name}_mode"), action_type=pl.lit(name), probability=pl.lit(chance)
        )
        for name, chance in CHANCES.items()
    )
    return rows, chances


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("leave_alone", 0.0 - (0.2 * 6.0 - 0.3 * 4.0)),
        ("only good_mode", 0.5 * 6.0 - (0.2 * 6.0 - 0.3 * 4.0)),
        ("without bad", 0.3 * 4.0),
        ("times 2", 0.0),
    ],
)
def test_a_known_difference_is_found(policy: str, expected: float) -> None:
    found = what_if(*log(), policy).difference
    assert found.lower <= expected <= found.upper
    assert found.upper - found.lower < 2.0


def test_intervals_hold_the_difference_as_often_as_they_say() -> None:
    expected = 0.3 * 4.0
    found = [what_if(*log(2000, seed=seed), "without bad").difference for seed in range(100)]
    held = np.mean([one.lower <= expected <= one.upper for one in found])
    assert 0.88 <= held <= 1.0


def test_a_log_that_cannot_say_is_refused() -> None:
    with pytest.raises(ModelError, match="refused"):
        what_if(*log(150), "only good_mode")


def test_chances_stay_chances() -> None:
    _, chances = log(50)
    for policy in ("only good_mode", "times 9", "leave_alone", "without good"):
        total = moved(chances, policy).group_by("customer_id").agg(pl.col("target").sum())
        assert total["target"].is_between(0, 1 + 1e-9).all()


def test_unknown_policies_are_refused_with_what_there_is() -> None:
    _, chances = log(50)
    for policy in ("only nobody", "more", "times much"):
        with pytest.raises(UsageError):
            moved(chances, policy)


def planned_anew(chances: pl.DataFrame, good: float, bad: float) -> pl.DataFrame:
    """The same day under rules that draw the two action types with other chances."""
    new = {"good": good, "bad": bad}
    return chances.with_columns(
        probability=pl.col("action_type").replace_strict(new, return_dtype=pl.Float64)
    )


def test_rules_that_plan_a_day_otherwise_are_valued() -> None:
    expected = (0.35 - 0.2) * 6.0 - (0.1 - 0.3) * 4.0
    held = []
    for seed in range(60):
        rows, chances = log(2000, seed=seed)
        found = replanned(rows, chances, planned_anew(chances, 0.35, 0.1), name="draft")
        held.append(found.difference.lower <= expected <= found.difference.upper)
        assert (found.rows, found.days, found.unseen_share) == (2000, 1, 0.0)
        assert found.estimate.effective_rows > 500
    assert 0.88 <= np.mean(held) <= 1.0


def test_the_same_plan_differs_by_nothing() -> None:
    rows, chances = log()
    found = replanned(rows, chances, chances, name="same").difference
    assert found.value == pytest.approx(0.0, abs=1e-12)
    assert (found.lower, found.upper) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_contacts_that_were_never_open_are_refused_by_name() -> None:
    rows, chances = log()
    other = chances.with_columns(pl.col("action_type").replace("bad", "brand_new"))
    with pytest.raises(ModelError, match="never open") as refused:
        replanned(rows, chances, other, name="draft")
    assert "brand_new" in str(refused.value)
    some = planned_anew(chances, 0.2, 0.28)
    few = chances.filter(pl.col("action_type") == "bad").with_columns(
        action_type=pl.lit("brand_new"), probability=pl.lit(0.02)
    )
    found = replanned(rows, chances, pl.concat([some, few]), name="draft")
    assert found.unseen_share == pytest.approx(0.04)


@pytest.mark.parametrize("factor", ["-1", "nan", "inf", "half", ""])
def test_times_takes_no_other_number(factor: str) -> None:
    chances = pl.DataFrame({"day": [1], "customer_id": ["a"], "probability": [0.5]})
    with pytest.raises(UsageError, match="not negative"):
        moved(chances, f"times {factor}")
