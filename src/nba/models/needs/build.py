"""The needs of each customer, from feature views and affinity scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.models.base import ModelInputs
from nba.models.needs.rhythm import EVERYTHING, Rhythm, chance_without
from nba.models.needs.words import NEED_SCHEMA, Need
from nba.schema.words import SERVICE_CATEGORY

#: Days over which a purchase without a contact counts.
WINDOW_DAYS: Final = 14.0
#: A product launched at most so many days ago is new.
NEW_DAYS: Final = 45
#: A purchase at most so many days ago has companions.
RECENT_DAYS: Final = 21
#: A category is not due before so much of the personal gap has passed.
LEAST_DUE: Final = 0.35
#: Categories that are due per customer, products per need, at most.
MOST_DUE: Final = 4
MOST_PRODUCTS: Final = 3
#: Width of the curve by which due categories are put in order: log-normal around one gap.
DUE_SPREAD: Final = 0.7


@dataclass(frozen=True)
class Shop:
    """What can be brought: `product_id, category, launched_days`, nothing retired or sold out."""

    products: pl.DataFrame

    @classmethod
    def of(cls, inputs: ModelInputs) -> Shop:
        """Return what the product view says can be brought."""
        table = inputs["product"]
        columns = {
            "category": pl.String,
            "is_retired": pl.Boolean,
            "on_hand": pl.Float64,
            "launched_days": pl.Float64,
            "buyers_90d": pl.Float64,
        }
        absent = [
            pl.lit(None, kind).alias(n) for n, kind in columns.items() if n not in table.columns
        ]
        known = table.with_columns(absent)
        able = pl.col("is_retired").fill_null(False).not_() & (pl.col("on_hand").fill_null(1.0) > 0)
        return cls(
            known.filter(able).select(
                "product_id",
                pl.col("category").cast(pl.String),
                pl.col("launched_days").cast(pl.Float64),
                pl.col("buyers_90d").cast(pl.Float64).fill_null(0.0),
            )
        )

    def favourites(self) -> pl.DataFrame:
        """Return the product of each category that most customers bought lately."""
        return (
            self.products.sort(
                "category", "buyers_90d", "product_id", descending=[False, True, False]
            )
            .unique("category", keep="first", maintain_order=True)
            .select("category", product_id="product_id")
        )


def rhythm_of(inputs: ModelInputs) -> Rhythm:
    """Return the typical gaps and margins of the shop of `inputs`."""
    return Rhythm.of(inputs["customer_category"], _everything(inputs))


def build_needs(inputs: ModelInputs, rhythm: Rhythm) -> pl.DataFrame:
    """Return the needs of every customer of `customer_behaviour` and `customer_state`.

    Parameters
    ----------
    inputs : ModelInputs
        `customer_category`, `customer_product`, `customer_behaviour`, `product`; `affinity` where
        it is scored (then also what is new, what goes along, and what is to be discovered).
    rhythm : Rhythm
        The shop's typical values, as of the fit.

    Returns
    -------
    DataFrame
        As in `NEED_SCHEMA`, sorted by customer and need.
    """
    shop, states = Shop.of(inputs), category_states(inputs, rhythm)
    whole = _with_state(_everything(inputs).sort("customer_id"), rhythm)
    overall = whole.select("customer_id", overall_due="due")
    parts = [
        _due(inputs, states, shop),
        *_goods(inputs, states, shop, rhythm),
        *_bare(inputs, states, rhythm),
    ]
    table = pl.concat(
        _conform(part.join(overall, on="customer_id", how="left"))
        for part in parts
        if part.height or part.columns
    )
    return table.sort("customer_id", "need_id")


def category_states(inputs: ModelInputs, rhythm: Rhythm) -> pl.DataFrame:
    """Return how due each category that a customer bought is."""
    rows = inputs["customer_category"].filter(pl.col("category") != SERVICE_CATEGORY)
    return _with_state(rows.sort("customer_id", "category"), rhythm)


def _with_state(rows: pl.DataFrame, rhythm: Rhythm) -> pl.DataFrame:
    """Add times, days_since, gap_days, usual_gap_days, due, order_margin, p_without."""

    def numbers(name: str) -> Floats:
        column = rows[name].cast(pl.Float64).fill_null(float("nan"))
        return np.asarray(column.to_numpy(), dtype=np.float64)

    times = np.nan_to_num(numbers("purchase_days"))
    since = numbers("days_since_purchase")
    span = numbers("days_since_first_purchase") - since
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_gap = np.where(times > 1, span / (times - 1.0), np.nan)
    gap = rhythm.gaps(rows["category"], times, mean_gap)
    usual = rhythm.usual_gaps(rows["category"])
    due = since / gap
    return rows.select("customer_id", pl.col("category").cast(pl.String)).with_columns(
        pl.Series("category_kind", rhythm.kinds(rows["category"].cast(pl.String))),
        times=pl.Series(times),
        days_since=pl.Series(since, nan_to_null=True),
        gap_days=pl.Series(gap),
        usual_gap_days=pl.Series(usual),
        due=pl.Series(due, nan_to_null=True),
        order_margin=pl.Series(rhythm.margins(rows["category"], times, numbers("margin_amount"))),
        p_without=pl.Series(chance_without(np.nan_to_num(due, nan=9.0), gap, WINDOW_DAYS)),
    )


def due_worth(states: pl.DataFrame) -> pl.Expr:
    """Return the order of due categories: margin of an order x how close to one gap."""
    far = pl.col("due").clip(lower_bound=0.02).log() / DUE_SPREAD
    return pl.col("order_margin") * (-0.5 * far.pow(2)).exp()


def _due(inputs: ModelInputs, states: pl.DataFrame, shop: Shop) -> pl.DataFrame:
    """Return the categories that are due, with the product bought last in each."""
    rows = states.filter(pl.col("due") >= LEAST_DUE).with_columns(worth=due_worth(states))
    rows = rows.sort("customer_id", "worth", "category", descending=[False, True, False])
    rows = rows.filter(pl.int_range(pl.len()).over("customer_id") < MOST_DUE)
    own = _own_products(inputs, shop).join(
        rows.select("customer_id", "category"), on=["customer_id", "category"], how="semi"
    )
    brought = own.group_by("customer_id", "category", maintain_order=True).agg(
        product_ids=pl.col("product_id").head(MOST_PRODUCTS),
        share=pl.col("share").first(),
    )
    popular = shop.favourites().select("category", other=pl.concat_list("product_id"))
    known = pl.col("product_ids").is_not_null()
    return (
        rows.join(brought, on=["customer_id", "category"], how="left", maintain_order="left")
        .join(popular, on="category", how="left", maintain_order="left")
        .with_columns(
            need=pl.lit(str(Need.DUE)),
            need_id=pl.format("due:{}", "category"),
            product_ids=pl.coalesce("product_ids", "other"),
            is_known=known,
            relevance=pl.when(known).then(pl.col("share")).otherwise(0.1) * pl.col("p_without"),
        )
        .filter(pl.col("product_ids").is_not_null())
    )


def _own_products(inputs: ModelInputs, shop: Shop) -> pl.DataFrame:
    """Return what each customer bought and can be brought, the last bought first, per category.

    `share` is the chance that an order in the category is of this product: how often it was
    bought, one order of doubt added.
    """
    table = inputs["customer_product"]
    back = pl.col("days_since_return") if "days_since_return" in table.columns else pl.lit(None)
    gave_back = (back <= pl.col("days_since_purchase")).fill_null(False)
    bought = table.filter((pl.col("purchase_days") > 0) & ~gave_back)
    total = pl.col("purchase_days").sum().over("customer_id", "category").cast(pl.Float64)
    return (
        bought.with_columns(share=pl.col("purchase_days").cast(pl.Float64) / (total + 1.0))
        .drop("category")
        .join(shop.products.select("product_id", "category"), on="product_id")
        .sort(
            "customer_id", "category", "days_since_purchase", "purchase_days", "product_id",
            descending=[False, False, False, True, False], nulls_last=True,
        )
        .select("customer_id", "category", "product_id", "share")
    )  # fmt: skip


def _goods(
    inputs: ModelInputs, states: pl.DataFrame, shop: Shop, rhythm: Rhythm
) -> list[pl.DataFrame]:
    """Return what affinity finds among things never bought: new, going along, to be discovered."""
    if "affinity" not in inputs or inputs["affinity"].is_empty():
        return []
    rows = inputs["affinity"].filter(pl.col("source") != "repeat")
    if "times_bought" in rows.columns:
        rows = rows.filter(pl.col("times_bought").fill_null(0) == 0)
    behaviour = inputs["customer_behaviour"].select("customer_id", recent="days_since_purchase")
    rows = (
        rows.select("customer_id", "product_id", "relevance")
        .join(shop.products, on="product_id")
        .join(states, on=["customer_id", "category"], how="left")
        .join(behaviour, on="customer_id", how="left")
    )
    bought = pl.col("times").is_not_null()
    new = bought & (pl.col("launched_days") <= NEW_DAYS)
    just = bought & (pl.col("days_since") <= pl.col("recent"))
    along = (pl.col("recent") <= RECENT_DAYS) & ~just
    rows = rows.with_columns(
        need=pl.when(new)
        .then(pl.lit(str(Need.NEW)))
        .when(along)
        .then(pl.lit(str(Need.COMPANION)))
        .when(~bought)
        .then(pl.lit(str(Need.DISCOVERY)))
    ).filter(pl.col("need").is_not_null() & pl.col("category").is_not_null())
    rows = rows.sort(
        "customer_id", "need", "relevance", "product_id",
        descending=[False, False, True, False], nulls_last=True,
    )  # fmt: skip
    best = rows.group_by("customer_id", "need", maintain_order=True).agg(
        pl.all().exclude("product_id").first(),
        product_ids=pl.col("product_id").first().implode(),
    )
    return [_never_bought(best, rhythm)]


def _never_bought(rows: pl.DataFrame, rhythm: Rhythm) -> pl.DataFrame:
    """Fill in what is typical of a category that the customer never bought."""
    nothing = np.zeros(rows.height)
    typical = pl.Series(rhythm.usual_gaps(rows["category"]))
    margin = rhythm.margins(rows["category"], nothing, nothing)
    return rows.with_columns(
        pl.Series("category_kind", rhythm.kinds(rows["category"])),
        pl.col("times").fill_null(0.0),
        pl.col("gap_days").fill_null(typical),
        pl.col("usual_gap_days").fill_null(typical),
        pl.col("order_margin").fill_null(pl.Series(margin)),
        pl.col("p_without").fill_null(0.01),
        need_id=pl.format("{}:{}", "need", pl.col("product_ids").list.first()),
        is_known=pl.lit(False),
    )


def _everything(inputs: ModelInputs) -> pl.DataFrame:
    """Return customers as if all that they buy were one category."""
    table = inputs["customer_behaviour"]
    return table.select(
        "customer_id",
        pl.lit(EVERYTHING).alias("category"),
        purchase_days=pl.col("purchase_days"),
        days_since_purchase="days_since_purchase",
        days_since_first_purchase="days_since_first_purchase",
        margin_amount="margin_amount",
        main_kind="main_category_kind",
    )


def _bare(inputs: ModelInputs, states: pl.DataFrame, rhythm: Rhythm) -> list[pl.DataFrame]:
    """Return the needs that every customer may have: their state is that of all they buy."""
    people = _everything(inputs)
    if "customer_state" in inputs:
        everybody = inputs["customer_state"].select("customer_id")
        people = everybody.join(people, on="customer_id", how="full", coalesce=True).with_columns(
            pl.col("category").fill_null(EVERYTHING)
        )
    people = people.sort("customer_id")
    mixed = states.group_by("customer_id").agg(
        order_margin=(pl.col("order_margin") * pl.col("times")).sum() / pl.col("times").sum()
    )
    state = (
        _with_state(people, rhythm)
        .rename({"order_margin": "typical"})
        .join(mixed, on="customer_id", how="left", maintain_order="left")
        .with_columns(pl.coalesce("order_margin", "typical"))
    )
    state = state.with_columns(
        category_kind=people["main_kind"].cast(pl.String).fill_null("short"),
        category=pl.lit(None, pl.String),
        product_ids=pl.lit([], pl.List(pl.String)),
        is_known=pl.lit(True),
        relevance=pl.lit(None, pl.Float64),
    )
    return [
        state.with_columns(need=pl.lit(str(need)), need_id=pl.lit(str(need)))
        for need in (Need.CONTENT, Need.EVENT, Need.GIFT)
    ]


def _conform(part: pl.DataFrame) -> pl.DataFrame:
    return part.with_columns(goods=pl.lit(1)).select(
        pl.col(name).cast(kind) for name, kind in NEED_SCHEMA.items()
    )
