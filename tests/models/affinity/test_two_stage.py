"""Two stages: planted taste comes back, the rules hold, and the contract is kept."""

from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.models.affinity import shop

from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.scores import SCORE_SCHEMA
from nba.models.affinity.two_stage import TwoStageAffinity
from nba.models.base import ModelInputs
from nba.models.contract import ModelContract

CONFIG = TwoStageConfig(
    top_n=6,
    cutoff_days=(15, 30, 60),
    horizon=30,
    trees=20,
    min_data_in_leaf=5,
    als_factors=4,
    threads=1,
    neighbours=20,
    just_bought_days=10,
    explore_share=0.5,
    max_category_share=1.0,
)


@cache
def bought() -> pl.DataFrame:
    return shop.purchases()


def frames(**tables: pl.DataFrame) -> ModelInputs:
    return ModelInputs({"purchases": bought(), "product": shop.products()} | tables)


@cache
def model() -> TwoStageAffinity:
    return TwoStageAffinity(CONFIG).fit(frames(), as_of=shop.AS_OF, seed=3)


def score(inputs: ModelInputs, fitted: TwoStageAffinity | None = None) -> pl.DataFrame:
    return (fitted or model()).score(inputs, as_of=shop.AS_OF)


def test_planted_taste_is_found_for_repeats_and_for_new_things() -> None:
    found = score(frames()).with_columns(
        (pl.col("customer_id").str.slice(1).cast(pl.Int64) % 2).alias("taste"),
        (pl.col("category") == "toys").cast(pl.Int64).alias("kind"),
    )
    right = found.group_by("source").agg((pl.col("taste") == pl.col("kind")).mean())
    share = dict(right.rows())
    assert share["repeat"] > 0.75
    assert share["explore"] > 0.6


def test_the_dial_keeps_its_share_for_new_things() -> None:
    found = score(frames()).with_columns((pl.col("source") != "repeat").alias("new"))
    assert found.group_by("customer_id").agg(pl.col("new").sum())["new"].min() >= 3
    best = found.filter(pl.col("rank") == 1)
    assert best["new"].mean() < 0.2, "exploration stands beside the best, not in its place"


def test_what_rests_is_not_listed() -> None:
    lasting = shop.products().with_columns(
        replenishable=pl.lit(False),
        is_retired=pl.col("product_id") == "p01",
        on_hand=pl.when(pl.col("product_id") == "p11").then(0.0).otherwise(5.0),
    )
    found = score(frames(product=lasting))
    assert found.filter(pl.col("product_id").is_in(["p01", "p11"])).is_empty()
    latest = bought().group_by("customer_id", "product_id").agg(pl.col("ts").max())
    fresh = latest.filter(pl.col("ts") > shop.AS_OF - timedelta(days=10))
    assert len(fresh) > 50
    assert found.join(fresh, on=["customer_id", "product_id"]).is_empty()


def test_returned_products_are_not_listed() -> None:
    back = (
        bought()
        .filter(pl.col("product_id") == "p05")
        .with_columns(pl.lit(-9.0).alias("quantity"), pl.col("ts") + timedelta(hours=1))
        .unique(["customer_id"], keep="last")
    )
    many = back.with_columns(pl.lit(-999.0).alias("quantity"))
    found = score(frames(purchases=pl.concat([bought(), many])))
    lately = pl.col("ts") > shop.AS_OF - timedelta(days=CONFIG.returned_days)
    pair = ["customer_id", "product_id"]
    assert len(back.filter(lately)) > 5
    assert found.join(back.filter(lately), on=pair, how="semi").is_empty()
    long_ago = back.with_columns(pl.col("ts") - timedelta(days=1))
    assert model().returned_days == CONFIG.returned_days
    bought_since = pl.concat([bought(), long_ago.with_columns(pl.lit(-9.0).alias("quantity"))])
    kept = score(frames(purchases=bought_since))
    assert not kept.join(back.filter(lately), on=pair, how="semi").is_empty()


def test_new_customers_get_what_is_popular_and_new_products_reach_their_lovers() -> None:
    people = pl.DataFrame({"customer_id": ["nobody", "c000", "c001"]})
    found = score(frames(customer_state=people))
    assert found.filter(pl.col("customer_id") == "nobody")["source"].unique().to_list() == [
        "popular"
    ]
    assert len(found.filter(pl.col("customer_id") == "nobody")) == CONFIG.top_n
    long = CONFIG.model_copy(update={"top_n": 60, "explore_share": 1.0, "trees": 60})
    fits = [TwoStageAffinity(long).fit(frames(), as_of=shop.AS_OF, seed=s) for s in (3, 4, 5)]
    everything = pl.concat([score(frames(), fitted) for fitted in fits])
    new = everything.filter(pl.col("product_id") == "n00").with_columns(
        (pl.col("customer_id").str.slice(1).cast(pl.Int64) % 2).alias("taste")
    )
    rank = dict(new.group_by("taste").agg(pl.col("rank").mean()).rows())
    assert len(new) > 50
    assert rank[0] < rank[1], "tea drinkers see the new tea earlier"


def test_who_refused_profiling_gets_the_same_as_everybody() -> None:
    people = pl.DataFrame(
        {"customer_id": ["c000", "c001", "c002"], "consent_profiling": [False, False, True]}
    )
    found = score(frames(customer_state=people))
    first, second = (
        found.filter(pl.col("customer_id") == one).drop("customer_id") for one in ("c000", "c001")
    )
    assert first.equals(second)
    assert first["times_bought"].sum() == 0


def test_a_category_takes_no_more_than_its_share() -> None:
    varied = TwoStageAffinity(CONFIG.model_copy(update={"max_category_share": 0.5}))
    found = varied.fit(frames(), as_of=shop.AS_OF, seed=3).score(frames(), as_of=shop.AS_OF)
    counts = found.group_by("customer_id", "category").len()["len"]
    assert counts.max() == 3


def test_without_a_dial_the_ranker_decides_and_every_score_is_finite() -> None:
    free = TwoStageAffinity(
        CONFIG.model_copy(
            update={"explore_share": None, "max_category_share": 0.3, "first_kept": 1, "top_n": 12}
        )
    )
    found = free.fit(frames(), as_of=shop.AS_OF, seed=3).score(frames(), as_of=shop.AS_OF)
    assert np.isfinite(found["score"].to_numpy()).all()
    assert found.group_by("customer_id").len()["len"].unique().to_list() == [12]


def test_feature_views_give_about_the_list_of_the_log() -> None:
    views = ModelInputs(
        {"customer_product": shop.customer_product(bought()), "product": shop.products()}
    )
    by_log, by_views = score(frames()), score(views)
    assert dict(by_views.schema) == SCORE_SCHEMA
    both = by_log.join(by_views, on=["customer_id", "product_id"])
    assert len(both) / len(by_log) > 0.7


def test_a_short_log_falls_back_to_own_purchases() -> None:
    last = bought().filter(pl.col("ts") > shop.AS_OF - timedelta(days=20))
    inputs = frames(purchases=last)
    found = score(inputs, TwoStageAffinity(CONFIG).fit(inputs, as_of=shop.AS_OF, seed=1))
    assert np.isfinite(found["score"].to_numpy()).all()
    assert "repeat" in found["source"].to_list()


class TestContract(ModelContract):
    model_class = TwoStageAffinity
    config = CONFIG
    as_of = shop.AS_OF

    def training(self) -> ModelInputs:
        return frames()

    def inputs(self) -> ModelInputs:
        people = bought().select("customer_id").unique().sort("customer_id")
        return frames(customer_state=people)


def test_threads_get_equal_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nba.models.affinity.config.cores", lambda: 4)
    fitted = TwoStageAffinity(CONFIG.model_copy(update={"part_customers": 10, "threads": 3}))
    assert fitted._part(10) == 10  # one part needs no threads
    assert fitted._part(11) == 4
    assert fitted._part(61) == 7  # nine parts, three for each thread
    two = TwoStageAffinity(CONFIG.model_copy(update={"threads": 2}))
    assert two._part(2_000) == 1_000
    assert two._part(200) >= 200  # not worth a second thread


def test_lists_are_the_same_on_one_thread_and_on_many() -> None:
    many = model().config.model_copy(update={"part_customers": 7, "threads": 4})
    one = model().config.model_copy(update={"part_customers": 7, "threads": 1})
    fitted = TwoStageAffinity(one).fit(frames(), as_of=shop.AS_OF, seed=3)
    alone = score(frames(), fitted)
    fitted.config = many
    for _ in range(3):
        together = score(frames(), fitted)
        assert together["product_id"].equals(alone["product_id"])
        assert np.allclose(together["score"], alone["score"], rtol=1e-5)


def test_a_saved_model_forgets_who_a_neighbour_was_and_scores_as_before(tmp_path: Path) -> None:
    model().save(tmp_path)
    ids = model().neighbour_ids.to_list()[:2]
    assert TwoStageAffinity.erase(tmp_path, ids) == sorted(ids)
    assert TwoStageAffinity.erase(tmp_path, ids) == []
    text = (tmp_path / "state.json").read_text()
    assert not [one for one in ids if f'"{one}"' in text]
    again = TwoStageAffinity.load(tmp_path)
    others = ~pl.col("customer_id").is_in(ids)
    assert score(frames(), again).filter(others).equals(score(frames()).filter(others))
