"""Cold start: what is known before the first purchase, and what is known before the first sale."""

from datetime import timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest
from tests.models.affinity import shop
from tests.models.affinity.test_two_stage import CONFIG, bought

from nba.models.affinity.candidates.fitted import fit_sources
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.affinity.two_stage import TwoStageAffinity
from nba.models.base import ModelInputs
from nba.models.purchases import PurchaseLog

NEW = pl.DataFrame(
    {
        "customer_id": ["new-tea", "new-toys", "tagged", "stranger", "private"],
        "store_id": ["s0", "s1", None, None, "s1"],
        "consent_profiling": [True, True, True, True, False],
    }
)


def state() -> pl.DataFrame:
    """Tea drinkers go to store s0, toy buyers to s1."""
    known = bought().select("customer_id").unique().sort("customer_id")
    taste = pl.col("customer_id").str.slice(1).cast(pl.Int64) % 2
    return pl.concat(
        [
            known.with_columns(
                store_id=pl.lit("s") + taste.cast(pl.String), consent_profiling=pl.lit(True)
            ),
            NEW,
        ]
    )


def tags() -> pl.DataFrame:
    known = state().filter(pl.col("store_id") == "s1").select("customer_id").head(60)
    lovers = pl.concat([known, pl.DataFrame({"customer_id": ["tagged"]})])
    return lovers.with_columns(tag=pl.lit("collector"))


def frames() -> ModelInputs:
    return ModelInputs(
        {
            "purchases": bought(),
            "product": shop.products(),
            "customer_state": state(),
            "customer_tags": tags(),
        }
    )


@cache
def lists() -> pl.DataFrame:
    model = TwoStageAffinity(CONFIG).fit(frames(), as_of=shop.AS_OF, seed=3)
    return model.score(frames(), as_of=shop.AS_OF)


def toys(customer: str) -> float:
    mine = lists().filter(pl.col("customer_id") == customer)
    assert len(mine) == CONFIG.top_n
    return float((mine["category"] == "toys").mean())


@pytest.mark.parametrize(("customer", "most"), [("new-tea", 0), ("new-toys", 1), ("tagged", 1)])
def test_store_and_tags_speak_for_a_new_customer(customer: str, most: int) -> None:
    assert toys(customer) == pytest.approx(most, abs=0.2)


def test_a_stranger_gets_what_is_popular_and_so_does_who_refused() -> None:
    stranger, private = (
        lists().filter(pl.col("customer_id") == one)["product_id"].to_list()
        for one in ("stranger", "private")
    )
    assert private == stranger


def test_relevance_of_a_cold_list_is_a_share_of_baskets() -> None:
    cold = lists().filter(pl.col("customer_id").is_in(NEW["customer_id"].implode()))
    assert cold["relevance"].is_between(0, 1).all()
    assert (cold["source"] == "popular").all()


def test_a_new_product_has_its_list_price() -> None:
    products = shop.products().with_columns(
        price=pl.when(pl.col("product_id") == "n00").then(100.0)
    )
    log = PurchaseLog.from_purchases(bought(), product_ids=products["product_id"])
    catalogue = Catalogue.build(log.product_ids, products)
    day = (shop.AS_OF - timedelta(days=1)).toordinal() - 719163
    fitted = fit_sources(log, catalogue, day, CONFIG, 1)
    place = log.product_ids.to_list().index("n00")
    assert fitted.log_price[place] == pytest.approx(np.log(100))
    assert not fitted.products.sold[place]


def test_a_store_trend_reaches_its_customers() -> None:
    """Two stores, one of which sells something that the other does not."""
    own = bought().with_columns(
        store_id=pl.lit("s")
        + (pl.col("customer_id").str.slice(1).cast(pl.Int64) % 2).cast(pl.String)
    )
    log = PurchaseLog.from_purchases(own).with_homes(own.select("customer_id", "store_id").unique())
    day = shop.AS_OF.toordinal() - 719163
    fitted = fit_sources(log, Catalogue.build(log.product_ids, shop.products()), day, CONFIG, 1)
    trend = fitted.store_trend.toarray()
    assert trend.sum(axis=1) == pytest.approx(1)
    assert trend[0, :25].sum() > 0.8, "store s0 is where tea is bought"
    assert fitted.category_trend.toarray()[1, 25:].sum() == pytest.approx(1)


def test_fewer_products_than_places_unknown_ids_and_an_empty_history() -> None:
    """What `implicit` answers with arbitrary products of score zero, or an `IndexError`."""
    known = {"p00": "a", "p01": "a", "p02": "b"}
    few = bought().filter(pl.col("product_id").is_in(list(known)))
    products = pl.DataFrame({"product_id": list(known), "category": list(known.values())})
    tables = {"purchases": few, "product": products}
    model = TwoStageAffinity(CONFIG).fit(ModelInputs(tables), as_of=shop.AS_OF, seed=1)
    strange = pl.DataFrame(
        {
            "customer_id": ["stranger", "nobody"],
            "product_id": ["ghost", "p00"],
            "ts": [shop.AS_OF - timedelta(days=50), shop.AS_OF + timedelta(days=50)],
            "quantity": [1.0, 1.0],
            "amount": [1.0, 1.0],
        },
        schema_overrides={"ts": pl.Datetime("us")},
    )
    people = pl.DataFrame({"customer_id": ["c000", "nobody", "stranger"]})
    found = model.score(
        ModelInputs(tables | {"purchases": pl.concat([few, strange]), "customer_state": people}),
        as_of=shop.AS_OF,
    )
    lists = dict(found.group_by("customer_id").agg("product_id").rows())
    assert set(lists) == {"c000", "nobody", "stranger"}
    assert all(set(one) <= set(known) and len(set(one)) == len(one) for one in lists.values())
    assert len(lists["nobody"]) == 3
    assert found["product_id"].null_count() == 0


def test_one_customer_and_one_product_are_enough_to_answer() -> None:
    one = bought().head(1)
    model = TwoStageAffinity(CONFIG).fit(ModelInputs({"purchases": one}), as_of=shop.AS_OF, seed=1)
    found = model.score(ModelInputs({"purchases": one}), as_of=shop.AS_OF)
    assert found["product_id"].to_list() == one["product_id"].to_list()
