"""A reason per listed product that a clerk can say aloud."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np
import polars as pl
import scipy.sparse as sp

from nba.models.affinity.frame import Source
from nba.models.affinity.log import Ints, PurchaseLog, day_number
from nba.models.affinity.state import pair_state
from nba.models.affinity.two_stage import PURCHASES, TwoStageAffinity
from nba.models.base import ModelInputs


class Reason(StrEnum):
    """Why a product is brought, as a code."""

    RHYTHM = "rhythm"
    BOUGHT_BEFORE = "bought_before"
    BOUGHT_WITH = "bought_with"
    NEW_IN_CATEGORY = "new_in_category"
    POPULAR = "popular"


_ENGLISH: Final = {
    Reason.RHYTHM: "bought {times} times, every {gap} days, last {since} days ago",
    Reason.BOUGHT_BEFORE: "bought {since} days ago",
    Reason.BOUGHT_WITH: "often bought with {other}",
    Reason.NEW_IN_CATEGORY: "new in {category}, which this customer buys",
    Reason.POPULAR: "popular now",
}
_CHINESE: Final = {
    Reason.RHYTHM: "买过{times}次，约每{gap}天一次，上次是{since}天前",
    Reason.BOUGHT_BEFORE: "{since}天前买过",
    Reason.BOUGHT_WITH: "常与{other}一起购买",
    Reason.NEW_IN_CATEGORY: "常买的{category}里的新品",
    Reason.POPULAR: "近期热销",
}


def with_reasons(
    scores: pl.DataFrame, model: TwoStageAffinity, inputs: ModelInputs, *, as_of: datetime
) -> pl.DataFrame:
    """Return the score frame with `reason`, `reason_product_id`, `reason_en`, `reason_zh`.

    Parameters
    ----------
    scores : polars.DataFrame
        Rows of the model's score frame.
    inputs : ModelInputs
        With `purchases` of these customers; `product` gives names where it is there.
    """
    fitted = model.fitted
    assert fitted is not None
    people = scores["customer_id"].unique().sort()
    log = PurchaseLog.from_purchases(
        inputs.require(PURCHASES, ["customer_id", "product_id", "ts"]).filter(pl.col("ts") < as_of),
        customer_ids=people,
        product_ids=model.product_ids,
    )
    pairs = pair_state(log, day_number(as_of), model.config.half_lives)
    own = pairs.matrix(pairs.decayed[2], (log.n_customers, log.n_products))
    line = _places(scores["customer_id"], log.customer_ids)
    product = _places(scores["product_id"], model.product_ids)
    other = _bought_with(own, fitted.item, line, product)
    ids = model.product_ids.extend_constant(None, 1)
    loved = log.by_category(fitted.category)
    loved_keys = np.unique(loved.customer * (len(fitted.category) + 1) + loved.product)
    category = fitted.category[product]
    loves = (category >= 0) & np.isin(line * (len(fitted.category) + 1) + category, loved_keys)
    told = scores.with_columns(
        pl.Series("reason_product_id", ids.gather(np.where(other < 0, len(ids) - 1, other))),
        pl.Series("loves", loves),
        pl.Series("is_new", fitted.products.is_new[product] | ~fitted.products.sold[product]),
    ).with_columns(_reason().alias("reason"))
    told = told.with_columns(
        pl.when(pl.col("reason") == str(Reason.BOUGHT_WITH)).then("reason_product_id")
    )
    return _tell(told, inputs).drop("loves", "is_new")


def _reason() -> pl.Expr:
    bought = pl.col("source") == str(Source.REPEAT)
    return (
        pl.when(bought & (pl.col("times_bought") > 1) & pl.col("gap_days").is_not_null())
        .then(pl.lit(str(Reason.RHYTHM)))
        .when(bought)
        .then(pl.lit(str(Reason.BOUGHT_BEFORE)))
        .when(pl.col("loves") & pl.col("is_new"))
        .then(pl.lit(str(Reason.NEW_IN_CATEGORY)))
        .when(pl.col("reason_product_id").is_not_null())
        .then(pl.lit(str(Reason.BOUGHT_WITH)))
        .otherwise(pl.lit(str(Reason.POPULAR)))
    )


def _bought_with(own: sp.csr_matrix, item: sp.csr_matrix, line: Ints, product: Ints) -> Ints:
    """Return per row the own product that speaks most for it, -1 for none."""
    shares = own[line].multiply(item.T.tocsr()[product]).tocsr()
    best = np.asarray(shares.argmax(axis=1)).ravel()
    found = np.asarray(shares.max(axis=1).todense()).ravel() > 0
    return np.where(found, best, -1)


def _places(ids: pl.Series, known: pl.Series) -> Ints:
    places = ids.replace_strict(known, np.arange(len(known)), return_dtype=pl.Int64)
    return np.asarray(places.to_numpy(), dtype=np.int64)


def _tell(told: pl.DataFrame, inputs: ModelInputs) -> pl.DataFrame:
    """Return the rows with both texts."""
    name = pl.col("reason_product_id")
    if "product" in inputs and "name" in inputs["product"].columns:
        names = inputs["product"].drop_nulls(["product_id", "name"]).unique("product_id")
        name = name.replace_strict(
            names["product_id"].cast(pl.String), names["name"], default=name, return_dtype=pl.String
        )
    parts = {
        "{times}": pl.col("times_bought").cast(pl.String),
        "{gap}": pl.col("gap_days").round().cast(pl.Int64).cast(pl.String),
        "{since}": pl.col("days_since_purchase").round().cast(pl.Int64).cast(pl.String),
        "{other}": name,
        "{category}": pl.col("category"),
    }
    columns = []
    for column, texts in (("reason_en", _ENGLISH), ("reason_zh", _CHINESE)):
        text = pl.col("reason").replace_strict({str(code): said for code, said in texts.items()})
        for mark, value in parts.items():
            text = text.str.replace(mark, value.fill_null(""), literal=True)
        columns.append(text.alias(column))
    return told.with_columns(columns)
