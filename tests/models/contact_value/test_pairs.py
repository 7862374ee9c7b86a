"""A contact about two needs is offered where attention divided still earns more."""

from __future__ import annotations

import polars as pl
import pytest

from nba.models.mode.scores import MODES
from nba.models.needs.base import NEED_SCORE_SCHEMA
from nba.models.needs.pairs import with_pairs


def scored(*rows: tuple[str, str, str, float]) -> pl.DataFrame:
    """Return needs of (customer, need, name, worth in every mode)."""
    made = pl.DataFrame(
        [
            {
                "customer_id": customer,
                "need_id": f"{need}:{name}",
                "need": need,
                "category": name,
                "product_ids": [f"p-{name}", f"q-{name}"],
                "goods": 1,
                **{
                    f"{kind}_{mode}": worth
                    for mode in MODES
                    for kind in ("chance", "uplift_amount", "uplift_lower", "uplift_drawn")
                },
            }
            for customer, need, name, worth in rows
        ]
    )
    absent = [pl.lit(None).alias(n) for n in NEED_SCORE_SCHEMA if n not in made.columns]
    made = made.with_columns(absent)
    return made.select(pl.col(name).cast(kind) for name, kind in NEED_SCORE_SCHEMA.items())


def test_the_two_due_needs_worth_most_make_a_pair() -> None:
    needs = scored(
        ("a", "due", "tea", 10.0),
        ("a", "due", "soap", 9.0),
        ("a", "due", "salt", 1.0),
        ("a", "discovery", "silk", 50.0),
    )
    pair = with_pairs(needs, 0.7).filter(pl.col("goods") == 2)
    assert pair["need_id"].to_list() == ["due:tea+due:soap"]
    assert pair["product_ids"].to_list() == [["p-tea", "p-soap"]]
    assert pair["category"].to_list() == ["tea"]
    assert pair[f"uplift_drawn_{MODES[0]}"].item() == pytest.approx(0.7 * 19.0)


def test_no_pair_where_the_first_alone_earns_as_much() -> None:
    needs = scored(("a", "due", "tea", 10.0), ("a", "due", "soap", 4.0), ("b", "due", "tea", 9.0))
    assert with_pairs(needs, 0.7).equals(needs.sort("customer_id", "need_id"))
