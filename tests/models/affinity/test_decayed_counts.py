"""Decayed counts: the order that can be worked out by hand, and what must never be listed."""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from nba.models.affinity.decayed_counts import DecayedCountsAffinity, DecayedCountsConfig
from nba.models.affinity.scores import SCORE_SCHEMA, returned_rest_days
from nba.models.base import ModelInputs
from nba.models.contract import ModelContract

AS_OF = datetime(2026, 1, 1)


def pairs(*rows: tuple[str, str, int, float, float]) -> pl.DataFrame:
    columns = ["customer_id", "product_id", "purchase_days", "decayed_count", "days_since_purchase"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        pl.lit(False).alias("returned"), pl.lit(12.0).alias("gap_days_mean")
    )


def products(**changes: dict[str, object]) -> pl.DataFrame:
    rows = [
        {"product_id": name, "category": "tea", "buyers_90d": buyers, "on_hand": None}
        | {"is_retired": False, "replenishable": True}
        | changes.get(name, {})
        for name, buyers in [("a", 10), ("b", 8), ("c", 6), ("d", 4), ("e", 2)]
    ]
    return pl.DataFrame(rows, schema_overrides={"on_hand": pl.Float64})


BOUGHT = pairs(
    ("ann", "d", 3, 2.0, 40.0),
    ("ann", "e", 1, 0.5, 90.0),
    ("bob", "b", 1, 1.0, 5.0),
    ("bob", "c", 1, 1.0, 60.0),
)
STATE = pl.DataFrame({"customer_id": ["cat", "bob", "ann"]})


def lists(
    bought: pl.DataFrame = BOUGHT, state: pl.DataFrame = STATE, top_n: int = 4, **changes: dict
) -> dict[str, list[str]]:
    inputs = ModelInputs(
        {"customer_product": bought, "product": products(**changes), "customer_state": state}
    )
    model = DecayedCountsAffinity(DecayedCountsConfig(top_n=top_n))
    frame = model.fit(inputs, as_of=AS_OF, seed=1).score(inputs, as_of=AS_OF)
    assert dict(frame.schema) == SCORE_SCHEMA
    grouped = frame.sort("rank").group_by("customer_id", maintain_order=True).agg("product_id")
    return dict(grouped.rows())


def test_own_products_come_first_and_popular_ones_fill() -> None:
    assert lists() == {
        "ann": ["d", "e", "a", "b"],
        "bob": ["b", "c", "a", "d"],  # equal counts: the more popular first
        "cat": ["a", "b", "c", "d"],
    }


@pytest.mark.parametrize(
    "change", [{"is_retired": True}, {"on_hand": 0.0}], ids=["retired", "out of stock"]
)
def test_what_cannot_be_sold_is_never_listed(change: dict[str, object]) -> None:
    found = lists(a=change, d=change)
    assert all({"a", "d"}.isdisjoint(listed) for listed in found.values())


def test_what_was_returned_is_never_listed() -> None:
    returned = BOUGHT.with_columns((pl.col("product_id").is_in(["d", "b"])).alias("returned"))
    found = lists(returned)
    assert "d" not in found["ann"]
    assert "b" not in found["bob"]
    assert "b" in found["ann"]


def test_what_was_returned_comes_back_in_time_or_when_it_was_bought_again() -> None:
    def listed(since_return: float) -> list[str]:
        returned = BOUGHT.with_columns(
            (pl.col("product_id") == "d").alias("returned"),
            pl.lit(since_return).alias("days_since_return"),
        )
        return lists(returned)["ann"]

    assert "d" not in listed(30.0), "bought 40 days ago, sent back 30 days ago"
    assert "d" in listed(41.0), "bought again since"
    assert "d" in listed(400.0)


def test_how_long_a_return_rests_is_learned_where_enough_came_back() -> None:
    rows = [
        (f"c{i}", "p", AS_OF.replace(month=3) + timedelta(days=day), quantity)
        for i in range(25)
        for day, quantity in ((0, 1.0), (5, -1.0), (5 + 10 + i, 1.0))
    ]
    log = pl.DataFrame(rows, ["customer_id", "product_id", "ts", "quantity"], orient="row")
    assert returned_rest_days(log, 99.0) == 22.0
    assert returned_rest_days(log.head(12), 99.0) == 99.0


def test_just_bought_rests_unless_replenishable() -> None:
    durable = {"replenishable": False, "category": "kettles"}
    assert "b" not in lists(b=durable)["bob"]
    assert "b" in lists()["bob"]
    assert "c" in lists(c=durable)["bob"], "sixty days are more than thirty"


def test_who_refused_profiling_gets_what_is_popular() -> None:
    state = STATE.with_columns((pl.col("customer_id") != "ann").alias("consent_profiling"))
    assert lists(state=state)["ann"] == ["a", "b", "c", "d"]


def test_unknown_products_are_left_out_and_nothing_is_fine() -> None:
    unknown = pl.concat([BOUGHT, pairs(("ann", "ghost", 9, 9.0, 1.0))])
    assert "ghost" not in lists(unknown)["ann"]
    assert lists(BOUGHT.clear(), STATE.clear()) == {}


def test_scores_fall_with_rank_and_reload_equals(tmp_path: Path) -> None:
    inputs = ModelInputs(
        {"customer_product": BOUGHT, "product": products(), "customer_state": STATE}
    )
    model = DecayedCountsAffinity().fit(inputs, as_of=AS_OF, seed=1)
    frame = model.score(inputs, as_of=AS_OF)
    for name in ("score", "relevance"):
        steps = frame.select(pl.col(name).diff().over("customer_id"))[name].drop_nulls()
        assert (steps <= 0).all()
    assert frame["relevance"].is_between(0, 1).all()
    model.save(tmp_path / "m")
    again = DecayedCountsAffinity.load(tmp_path / "m").score(inputs, as_of=AS_OF)
    assert again.equals(frame)


class TestContract(ModelContract):
    model_class = DecayedCountsAffinity
    as_of = AS_OF

    def training(self) -> ModelInputs:
        return self.inputs()

    def inputs(self) -> ModelInputs:
        return ModelInputs(
            {"customer_product": BOUGHT, "product": products(), "customer_state": STATE}
        )
