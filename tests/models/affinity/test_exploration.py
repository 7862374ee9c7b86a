"""The share of a list for new things, learned from what was taken up."""

from __future__ import annotations

from datetime import datetime, timedelta

import ibis
import numpy as np
import polars as pl
import pytest

from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.exploration import (
    Exploration,
    brought_products,
    learn_exploration,
    usual_takes,
)
from nba.models.affinity.ranking.ranker import Examples

AS_OF = datetime(2026, 3, 1)
CONFIG = TwoStageConfig()


def shop(new_taken: int, known_taken: int, brought: int = 200) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what was brought 30 days ago, half of it new, and purchases with so many taken up."""
    contact = AS_OF - timedelta(days=30)
    rows, bought = [], []
    for number in range(brought):
        for product, taken in (("new", new_taken), ("known", known_taken)):
            rows.append((f"c{number}", product, contact))
            if product == "known":
                bought.append((f"c{number}", product, contact - timedelta(days=50)))
            if number < taken:
                bought.append((f"c{number}", product, contact + timedelta(days=5)))
    names = ["customer_id", "product_id", "ts"]
    return (
        pl.DataFrame(rows, schema=names, orient="row"),
        pl.DataFrame(bought, schema=names, orient="row"),
    )


def learned(new_taken: int, known_taken: int, usual: float = 0.25) -> Exploration:
    return learn_exploration(*shop(new_taken, known_taken), usual, CONFIG, as_of=AS_OF)


def test_the_share_follows_what_was_taken_up_beta_binomial() -> None:
    # 40 of 200 known ones lead one to expect 10 of the new: (10 + 20) / (10 + 20) keeps the share
    assert learned(10, 40).share == pytest.approx(0.1)
    assert learned(40, 40).share == pytest.approx(0.1 * (40 + 20) / (10 + 20))
    assert learned(200, 40).share == pytest.approx(0.3)  # bounded
    assert learned(0, 200).share == pytest.approx(0.1 * max(20 / (50 + 20), 0.5))


def test_it_says_what_it_saw_and_measures_it() -> None:
    found = learned(40, 60)
    assert found.sentence().startswith("17% of each list for new things")
    assert "40 of 200 new products" in found.sentence()
    assert found.figures()["taken_up_known"] == pytest.approx(0.3)


@pytest.mark.parametrize("usual", [0.25, float("nan"), 0.0])
def test_without_enough_the_share_is_as_configured(usual: float) -> None:
    known_taken = 29 if usual == 0.25 else 40
    found = learned(40, known_taken, usual)
    assert found == Exploration(0.1)
    assert found.sentence() == ""
    assert learn_exploration(None, shop(1, 1)[1], 0.25, CONFIG, as_of=AS_OF) == Exploration(0.1)
    off = CONFIG.model_copy(update={"explore_share": None})
    assert learn_exploration(*shop(40, 40), 0.25, off, as_of=AS_OF) == Exploration(None)


def test_contacts_whose_days_have_not_passed_and_first_purchases_of_that_day_do_not_count() -> None:
    brought, purchases = shop(40, 40)
    late = brought.with_columns(pl.lit(AS_OF - timedelta(days=10)).alias("ts"))
    assert learn_exploration(late, purchases, 0.25, CONFIG, as_of=AS_OF) == Exploration(0.1)
    same = brought.filter(pl.col("product_id") == "new").head(50)
    more = pl.concat([purchases, same])
    found = learn_exploration(brought, more, 0.25, CONFIG, as_of=AS_OF)
    assert (found.new, found.new_taken) == (150, 0)  # the 40 taken are among the 50 left out


def test_a_range_of_one_keeps_the_share() -> None:
    fixed = CONFIG.model_copy(update={"explore_range": (1.0, 1.0)})
    found = learn_exploration(*shop(150, 40), 0.25, fixed, as_of=AS_OF)
    assert found.share == pytest.approx(0.1)


def test_what_is_usual_is_a_ratio_of_rates_also_of_thinned_examples() -> None:
    rng = np.random.default_rng(1)
    customer = np.repeat(np.arange(400), 20)
    known = np.tile(np.arange(20) < 10, 400)
    label = rng.random(8000) < np.where(known, 0.2, 0.05)
    features = np.column_stack([np.zeros(8000), known])
    examples = Examples(customer, features, label, rng.random(8000))
    assert usual_takes([examples]) == pytest.approx(0.25, abs=0.05)
    assert usual_takes([examples.thinned(4000, 1)]) == pytest.approx(0.25, abs=0.08)
    assert np.isnan(usual_takes([]))


def test_products_of_contacts_are_read_from_the_contract() -> None:
    made = pl.DataFrame(
        {
            "customer_id": ["a", "a", "b", "c", "d"],
            "ts": [AS_OF - timedelta(days=days) for days in (5, 400, 6, 7, -1)],
            "mode": ["topic_expert", "topic_expert", "none", "private_partner", "topic_expert"],
            "product_ids": [["p", "q"], ["p"], ["p"], [], ["p"]],
        },
        schema_overrides={"product_ids": pl.List(pl.String)},
    )
    found = brought_products({"interactions": ibis.memtable(made)}, AS_OF, window_days=365)
    assert found.select("customer_id", "product_id").rows() == [("a", "p"), ("a", "q")]
