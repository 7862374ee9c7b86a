"""Which order answers: the learned one where it wins, the simple rule where it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from tests.models.affinity import shop
from tests.models.affinity.test_two_stage import CONFIG, frames, model, score

from nba.models.affinity.ranking.backtest import Backtest, Scale, compare
from nba.models.affinity.ranking.ranker import Ranker
from nba.models.affinity.two_stage import TwoStageAffinity
from nba.models.base import ModelInputs


def scored(customers: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return customer, truth, noise and what was bought, of twenty candidates each."""
    rng = np.random.default_rng(1)
    customer = np.repeat(np.arange(customers), 20)
    truth, noise = rng.random(len(customer)), rng.random(len(customer))
    return customer, truth, noise, truth > 0.9


def test_who_knows_more_answers() -> None:
    customer, truth, noise, label = scored()
    assert compare(customer, truth, noise, label).share == 1.0
    assert compare(customer, noise, truth, label).share == 0.0
    found = compare(customer, truth, noise, label)
    some = len(np.unique(customer[label])) / 200
    assert found.learned == pytest.approx(some), "the order of the truth is the best one"
    assert found.mixed == found.learned > found.simple
    assert found.sentence().startswith("learned order (NDCG@10")


def test_half_of_each_answers_where_each_knows_a_part() -> None:
    customer, truth, noise, _ = scored(600)
    label = (truth + noise) > 1.7
    found = compare(customer, truth, noise * 2, label)
    assert found.share == 0.5
    assert found.mixed > max(found.learned, found.simple)


def test_popularity_is_the_floor_of_what_is_new() -> None:
    customer, truth, noise, label = scored(600)
    assert compare(customer, truth, noise, label, floor=True).share >= 0.75
    assert compare(customer, noise, truth, label, floor=True).share == 0.0
    other = np.random.default_rng(2).random(len(noise))
    found = compare(customer, other, noise, label, floor=True)
    assert found.share == 0.0, "who knows no more than chance does not replace popularity"
    assert found.mixed == found.simple
    mixed = compare(customer, truth, noise * 2, (truth + noise) > 1.7, floor=True)
    assert 0.0 < mixed.share < 1.0
    assert "learned order" in mixed.sentence()


def test_too_few_or_nothing_learned_is_the_simple_rule() -> None:
    customer, truth, noise, label = scored(20)
    assert compare(customer, truth, noise, label) == Backtest()
    assert compare(customer, None, noise, label).sentence().startswith("simple rule, too few")


def test_relevance_falls_with_the_worth_before_anything_is_learned() -> None:
    ranker = Ranker(None)
    plain = np.array([2.0, 1.0, 0.4, 0.0])
    relevance = ranker.relevance(ranker.predict(np.zeros((4, 3)), plain))
    assert relevance[1] == pytest.approx(1 / (1 + np.exp(2.0)), abs=0.001)
    assert (np.diff(relevance) < 0).all()
    assert Scale().mix(None, plain, 0.0) == pytest.approx(np.log(plain + 1e-3))


def test_a_booster_without_a_split_counts_as_none_and_ties_go_by_popularity() -> None:
    stumps = CONFIG.model_copy(update={"min_data_in_leaf": 10**6})
    fitted = TwoStageAffinity(stumps).fit(frames(), as_of=shop.AS_OF, seed=3)
    assert fitted.ranker.booster is None
    assert fitted.explorer.booster is None
    assert "simple rule" in fitted.finding()
    found = score(frames(), fitted)
    ids = found.group_by("customer_id", maintain_order=True).agg("product_id")["product_id"]
    assert any(listed.to_list() != sorted(listed.to_list()) for listed in ids)


def test_new_things_by_the_simple_rule_are_the_popular_ones() -> None:
    simple = TwoStageAffinity(CONFIG)
    fitted = simple.fit(frames(), as_of=shop.AS_OF, seed=3)
    fitted.explorer = replace(fitted.explorer, booster=None)
    found = score(frames(), fitted).filter(pl.col("source") != "repeat")
    assert fitted.fitted is not None
    share = dict(zip(fitted.product_ids, fitted.fitted.popular_share, strict=True))
    tail = found.filter(pl.col("rank") > 3).with_columns(
        pl.col("product_id").replace_strict(share, return_dtype=pl.Float64).alias("share")
    )
    steps = tail.select(pl.col("share").diff().over("customer_id"))["share"].drop_nulls()
    assert (steps <= 0).all()


def test_a_catalogue_without_names_and_a_log_of_no_days() -> None:
    bare = shop.products().select("product_id")
    found = score(frames(product=bare), TwoStageAffinity(CONFIG).fit(
        frames(product=bare), as_of=shop.AS_OF, seed=3
    ))  # fmt: skip
    assert found.height > 0
    none = ModelInputs({"purchases": frames()["purchases"].clear(), "product": bare})
    empty = TwoStageAffinity(CONFIG).fit(none, as_of=shop.AS_OF, seed=3)
    assert score(none, empty).is_empty()


def test_codes_that_all_changed_yesterday() -> None:
    last = pl.col("ts") > shop.AS_OF - timedelta(days=20)
    changed = pl.when(last).then(pl.lit("z") + pl.col("product_id")).otherwise(pl.col("product_id"))
    tables = frames(purchases=frames()["purchases"].with_columns(changed.alias("product_id")))
    alike = tables["product"].with_columns(product_id="z" + pl.col("product_id"))
    inputs = ModelInputs({**tables, "product": alike})
    found = score(inputs, TwoStageAffinity(CONFIG).fit(inputs, as_of=shop.AS_OF, seed=3))
    assert found["product_id"].str.starts_with("z").all()
    assert found["customer_id"].n_unique() == 120


def test_what_was_found_is_saved(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model().save(tmp_path / "m")
    assert TwoStageAffinity.load(tmp_path / "m").finding() == model().finding()
    assert model().figures().keys() >= {"backtest_share_learned", "new_backtest_share_learned"}
