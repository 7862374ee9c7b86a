"""What the rankers learn from: past cut-offs, thinned examples, the two passes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tests.models.affinity import shop
from tests.models.affinity.test_parts import LOG
from tests.models.affinity.test_two_stage import CONFIG, bought, model

from nba.models.affinity.candidates.fitted import fit_sources
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.history.customers import history
from nba.models.affinity.history.state import pair_state, popular_now, product_state
from nba.models.affinity.ranking.examples import _drawn, examples_at, past_cutoffs, past_examples
from nba.models.affinity.ranking.features import feature_names
from nba.models.affinity.ranking.ranker import Examples, Ranker
from nba.models.purchases import PurchaseLog, day_number

NOW = day_number(shop.AS_OF)


def shop_log() -> tuple[PurchaseLog, Catalogue]:
    log = PurchaseLog.from_purchases(bought())
    return log, Catalogue.build(log.product_ids, shop.products())


def test_cutoffs_go_back_and_to_this_season_a_year_ago() -> None:
    config = TwoStageConfig(cutoff_days=(15, 60), cutoff_step=30, year_ago_cutoffs=2)
    long = LOG.where(np.ones(len(LOG), dtype=bool))
    assert past_cutoffs(long, 600, config) == [585, 540, 235, 265]
    assert past_cutoffs(long, 500, config) == [485, 440], "the log is too short for a year ago"


def test_what_was_bought_next_is_the_label_and_nothing_after_the_cutoff_is_seen() -> None:
    log, catalogue = shop_log()
    moment = NOW - 30
    full = examples_at(log, catalogue, moment, CONFIG, 1)
    assert full is not None
    target = log.next_baskets(moment, CONFIG.horizon)
    assert full.label.sum() <= len(target)
    other = replace(log, product=np.where(log.day < moment, log.product, 7))
    blind = examples_at(other, catalogue, moment, CONFIG, 1)
    assert blind is not None
    both = np.intersect1d(blind.customer, full.customer)
    assert len(both) > 10
    mine, theirs = (part.features[np.isin(part.customer, both)] for part in (blind, full))
    assert np.array_equal(mine, theirs, equal_nan=True)
    shuffled = log.where(log.day < moment + 10)
    fewer = examples_at(shuffled, catalogue, moment, CONFIG, 1)
    assert fewer is not None
    assert not fewer.whole
    assert full.whole


def test_thinning_keeps_what_was_bought_and_says_its_share() -> None:
    generator = np.random.default_rng(2)
    customer = np.repeat(np.arange(50), 40)
    label = generator.random(2000) < 0.1
    part = Examples(customer, generator.random((2000, 3)), label, generator.random(2000))
    thin = part.thinned(700, seed=1)
    assert thin.label.sum() == label.sum()
    assert len(thin.label) == pytest.approx(700, rel=0.1)
    assert thin.share == pytest.approx((700 - label.sum()) / (~label).sum())
    assert part.thinned(5000, seed=1) is part


def test_all_cutoffs_share_the_rows() -> None:
    log, catalogue = shop_log()
    config = CONFIG.model_copy(update={"learn_rows": 3000})
    parts = past_examples(log, catalogue, NOW, config, 1)
    assert len(parts) == 3
    assert sum(len(part.label) for part in parts) < 3600


def learned_alone(ranker: Ranker) -> Ranker:
    """Return the ranker with its learned order alone, whatever the backtest said."""
    assert ranker.booster is not None
    return replace(ranker, backtest=replace(ranker.backtest, share=1.0))


def test_the_first_pass_keeps_the_best_and_the_full_scores() -> None:
    fitted = model()
    log, catalogue = shop_log()
    part = examples_at(log, catalogue, NOW - 30, CONFIG, 3)
    assert part is not None
    ranker = learned_alone(fitted.ranker)
    whole = ranker.predict(part.features, part.plain)
    given = (part.customer, part.features, part.plain)
    tie = np.arange(len(part.customer))
    kept, score = ranker.best(*given, tie=tie, trees=5, keep=10)
    assert score == pytest.approx(whole[kept])
    assert np.bincount(part.customer[kept]).max() == 10
    everything, _ = ranker.best(*given, tie=tie, trees=5, keep=10_000)
    assert len(everything) == len(whole)


def test_both_passes_score_alike_beside_each_other() -> None:
    """LightGBM mixes up the trees that threads ask one booster for."""
    ranker = learned_alone(model().ranker)
    log, catalogue = shop_log()
    part = examples_at(log, catalogue, NOW - 30, CONFIG, 3)
    assert part is not None

    def scores(_: int) -> list[float]:
        tie = np.arange(len(part.customer))
        given = (part.customer, part.features, part.plain)
        return ranker.best(*given, tie=tie, trees=5, keep=10)[1].tolist()

    alone = scores(0)
    with ThreadPoolExecutor(4) as pool:
        assert all(found == alone for found in pool.map(scores, range(100)))


def test_relevance_is_right_on_average_though_examples_were_thinned() -> None:
    log, catalogue = shop_log()
    part = examples_at(log, catalogue, NOW - 60, CONFIG, 3)
    assert part is not None
    names = feature_names(fit_sources(log, catalogue, NOW - 60, CONFIG, 3))
    thin = part.thinned(len(part.label) // 2, seed=1)
    ranker = Ranker.fit([thin], names, CONFIG, 1)
    told = ranker.relevance(ranker.predict(part.features, part.plain)).mean()
    assert told == pytest.approx(part.label.mean(), rel=0.25)


def test_ones_own_best_and_the_next_basket_by_hand() -> None:
    pairs = pair_state(LOG, 40, (10.0, 20.0, 30.0, 40.0))
    products = product_state(LOG, pairs, 40, windows=(10, 20, 40), season=(365, 60), new_days=5)
    share = products.values[:, products.names.index("product_next_share")]
    # x is followed by x once in three chances, y never in one; all together 1 of 4.
    assert share == pytest.approx([(1 + 2.5) / 13, 2.5 / 11, 0.25], rel=1e-5)
    config = TwoStageConfig(als_factors=2)
    catalogue = Catalogue.build(LOG.product_ids, None)
    past = history(LOG, 40, fit_sources(LOG, catalogue, 40, config, 1), config)
    of_a = past.pairs.customer == 0
    assert past.own_of_best[of_a].max() == 1
    assert past.own_share[of_a].sum() == pytest.approx(1)
    assert past.own_products.tolist() == [3, 2]


def test_popular_now_looks_back_as_far_as_foretells_best() -> None:
    """Fashions that pass in two weeks are told by two weeks, steady sales by all of them."""
    rng = np.random.default_rng(3)
    day = np.repeat(np.arange(240), 30)
    steady = rng.choice(40, len(day), p=np.arange(40, 0, -1) / 820)
    fashion = (day // 20) % 12 * 3 + rng.integers(0, 3, len(day))

    def log_of(product: np.ndarray) -> PurchaseLog:
        return PurchaseLog.from_purchases(
            pl.DataFrame(
                {
                    "customer_id": rng.integers(0, 200, len(day)).astype(str),
                    "product_id": [f"p{i:02d}" for i in product],
                    "day": day,
                }
            )
        )

    fashions = popular_now(log_of(fashion), 235, (14, 30, 90, 180))
    assert set(np.argsort(-fashions)[:3]) == {33, 34, 35}
    assert fashions[33:36].sum() > 0.8
    true = np.arange(40, 0, -1) / 820
    found = popular_now(log_of(steady), 240, (14, 30, 90, 180))
    assert found.sum() == pytest.approx(1.0)
    assert np.abs(found - true).sum() < 0.1
    assert popular_now(log_of(steady), 0, (14, 30, 90, 180)) == pytest.approx(1 / 40)


def test_sources_of_past_cutoffs_are_fitted_on_a_sample() -> None:
    rng = np.random.default_rng(5)
    log = PurchaseLog.from_purchases(
        pl.DataFrame(
            {
                "customer_id": rng.integers(0, 60, 900).astype(str),
                "product_id": rng.integers(0, 9, 900).astype(str),
                "day": rng.integers(0, 200, 900),
            }
        )
    )
    drawn = _drawn(log, 20, seed=1)
    assert drawn.n_customers == 20
    assert set(drawn.customer) == set(range(20))
    for code, name in enumerate(drawn.customer_ids):
        mine = log.where(log.customer == log.customer_ids.to_list().index(name))
        assert drawn.day[drawn.customer == code].tolist() == mine.day.tolist()
    assert _drawn(log, 60, seed=1) is log
