"""Who takes a free place: within the minutes, by exactly the propensity that is logged."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from nba.decisions.modes import MODES
from nba.decisions.replacement import draw_replacements
from nba.decisions.settings import DecisionSettings
from nba.settings import ArmShares

MINUTES = {"shopping_assistant": 2.0, "topic_expert": 3.0, "private_partner": 6.0}
SETTINGS = DecisionSettings(arms=ArmShares(random=0.05, business_as_usual=0.1), seed=3)


def options(customers: int = 8) -> pl.DataFrame:
    rng = np.random.default_rng(5)
    rows = [
        (f"c{number}", "random" if number == 3 else "engine", str(mode), rng.gamma(2.0, 3.0))
        for number in range(customers)
        for mode in MODES
        if rng.random() < 0.8
    ]
    frame = pl.DataFrame(rows, ["customer_id", "arm", "mode", "value"], orient="row")
    return frame.with_columns(minutes=pl.col("mode").replace_strict(MINUTES))


@pytest.mark.parametrize("minutes", [2.0, 7.0, 20.0])
def test_the_minutes_are_kept_and_one_action_per_customer_drawn(minutes: float) -> None:
    given = options()
    for number in range(20):
        draw = draw_replacements(given, minutes, SETTINGS, seed=str(number)).drawn
        taken = draw.join(given, on=["customer_id", "mode"])
        assert taken.height == draw.height == draw["customer_id"].n_unique()
        assert taken["minutes"].sum() <= minutes + 1e-6


def test_drawn_as_often_as_the_propensity_says() -> None:
    """Counts of every customer and outcome lie within four standard errors of their share."""
    given, draws = options(4), 500
    first = draw_replacements(given, 7.0, SETTINGS, seed="0").decided
    expected = {
        (row["customer_id"], one["mode"]): one["probability"]
        for row in first.iter_rows(named=True)
        for one in row["alternatives"]
    }
    seen = dict.fromkeys(expected, 0)
    for number in range(draws):
        decided = draw_replacements(given, 7.0, SETTINGS, seed=str(number)).decided
        for customer, mode in decided.select("customer_id", "mode").iter_rows():
            seen[customer, mode or "none"] += 1
    for key, share in expected.items():
        error = (draws * share * (1 - share)) ** 0.5
        assert abs(seen[key] - draws * share) <= 4 * error + 1e-6, key


def test_the_same_seed_gives_the_same_draw_in_any_order_of_options() -> None:
    given = options()
    one = draw_replacements(given, 7.0, SETTINGS, seed="x").decided
    other = draw_replacements(given.reverse(), 7.0, SETTINGS, seed="x").decided
    assert one.equals(other)
