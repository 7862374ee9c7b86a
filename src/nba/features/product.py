"""Product: what it is, how it sells, how much is there. One row per product."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import ibis
from ibis.expr import types as ir

from nba.features import prepare
from nba.features.exact import total, units
from nba.features.view import Feature, Tables, View
from nba.schema.words import CATEGORY, CUSTOMER_ID, PRODUCT_ID, STORE_ID

#: A first sale within so many days of the first of all tells nothing of a launch.
UNTOLD_DAYS: Final = 60


def _sales(tables: Tables, as_of: datetime) -> ir.Table:
    lines = prepare.sales_lines(tables, as_of)
    today = prepare.day_number(as_of)
    sold = lines.quantity > 0
    recent = lines.day >= today - 90
    return lines.group_by(sold_key=PRODUCT_ID).agg(
        quantity=total(lines.quantity_units, sold),
        returned=-total(lines.quantity_units, ~sold),
        sales_30d=total(lines.quantity_units, sold & (lines.day >= today - 30)),
        sales_90d=total(lines.quantity_units, sold & recent),
        sales_previous_90d=total(lines.quantity_units, sold & ~recent & (lines.day >= today - 180)),
        spend_90d_amount=total(lines.amount_units, sold & recent),
        first_day=lines.day.min(where=sold),
        last_day=lines.day.max(where=sold),
    )


def _buyers(tables: Tables, as_of: datetime) -> ir.Table:
    days = prepare.customer_product_days(tables, as_of)
    today = prepare.day_number(as_of)
    pairs = days.group_by([PRODUCT_ID, CUSTOMER_ID]).agg(
        times=days.bought.sum(),
        late=(days.bought & (days.day >= today - 90)).any(),
    )
    return pairs.group_by(buyer_key=PRODUCT_ID).agg(
        buyers=(pairs.times > 0).sum(),
        repeat_buyers=(pairs.times > 1).sum(),
        buyers_90d=pairs.late.sum(),
    )


def store_stock(tables: Tables, as_of: datetime) -> ir.Table:
    """Return, per product and store that told it, what is there and since when it is again.

    Returns
    -------
    ibis table
        `product_id, store_id`; `on_hand`, the last count before `as_of`; `days_since_restock`,
        null where it never ran out there.
    """
    counts, back = _latest_stock(tables, as_of), _restocked(tables, as_of)
    joined = counts.left_join(
        back, [counts.product_id == back.restock_product, counts.store_id == back.restock_store]
    )
    return joined.select(
        PRODUCT_ID,
        STORE_ID,
        "on_hand",
        days_since_restock=prepare.age_days(joined.restocked_at, as_of),
    )


def _latest_stock(tables: Tables, as_of: datetime) -> ir.Table:
    """Return the last stock count before `as_of` per product and store."""
    rows = tables["stock"]
    rows = rows.filter(prepare.before(rows.ts, as_of))
    window = ibis.window(group_by=[PRODUCT_ID, STORE_ID], order_by=ibis.desc("ts"))
    ranked = rows.mutate(place=ibis.row_number().over(window))
    return ranked.filter(ranked.place == 0).select(PRODUCT_ID, STORE_ID, "on_hand")


def _restocked(tables: Tables, as_of: datetime) -> ir.Table:
    """Return, per product and store, when it was there again after there was none."""
    rows = tables["stock"]
    rows = rows.filter(prepare.before(rows.ts, as_of))
    window = ibis.window(group_by=[PRODUCT_ID, STORE_ID], order_by="ts")
    counts = rows.mutate(previous=rows.on_hand.lag().over(window))
    back = counts.filter((counts.on_hand > 0) & (counts.previous <= 0))
    return back.group_by(restock_product=PRODUCT_ID, restock_store=STORE_ID).agg(
        restocked_at=back.ts.max()
    )


def build(tables: Tables, as_of: datetime) -> ir.Table:
    """Return every product with its sales and stock at `as_of`."""
    products = tables["products"]
    facts = prepare.product_facts(tables, as_of)
    sales, buyers, counts = (
        _sales(tables, as_of),
        _buyers(tables, as_of),
        store_stock(tables, as_of),
    )
    stock = counts.group_by(stock_key=PRODUCT_ID).agg(
        on_hand=total(units(counts.on_hand.clip(lower=0))),
        stores_in_stock=(counts.on_hand > 0).sum(),
        days_since_restock=counts.days_since_restock.min(),
    )
    kinds = tables["categories"].select(
        kind_key=CATEGORY, category_kind="kind", replenishable="replenishable"
    )
    table = (
        products.drop(CATEGORY)
        .left_join(facts, products.product_id == facts.product_key)
        .left_join(sales, products.product_id == sales.sold_key)
        .left_join(buyers, products.product_id == buyers.buyer_key)
        .left_join(stock, products.product_id == stock.stock_key)
    )
    table = table.left_join(kinds, table.category == kinds.kind_key)
    today = prepare.day_number(as_of)
    zero = {
        name: table[name].fill_null(0)
        for name in (
            "sales_30d",
            "sales_90d",
            "sales_previous_90d",
            "spend_90d_amount",
            "buyers",
            "buyers_90d",
        )
    }
    launched = prepare.age_days(table.launched_at, as_of)
    return table.mutate(
        **zero,
        is_retired=prepare.before(table.retired_at, as_of),
        launched_days=launched.fill_null(_days_since_debut(table, today)),
        days_since_sale=(today - table.last_day).cast("float64"),
        repeat_buyer_share=table.repeat_buyers / table.buyers.cast("float64").nullif(0.0),
        return_share=(table.returned / table.quantity.nullif(0.0)).clip(upper=1.0),
        sales_trend=(zero["sales_90d"] + 1.0) / (zero["sales_previous_90d"] + 1.0),
        replenishable=table.replenishable.fill_null(False),
    )


def _days_since_debut(table: ir.Table, today: int) -> ir.FloatingValue:
    """Return the days since a product's first sale, null where that tells nothing of its launch.

    What sold as soon as the records begin may have been on the shelf for years.
    """
    begin = table.first_day.min().over(ibis.window())
    told = table.first_day - begin >= UNTOLD_DAYS
    return told.ifelse((today - table.first_day).cast("float64"), None)


_NOT_GIVEN = "null where the source does not say"

VIEW = View(
    "product",
    (PRODUCT_ID,),
    build,
    (
        Feature("name", "string", "name", null_rule=_NOT_GIVEN),
        Feature(CATEGORY, "string", "category; `unknown` where not given"),
        Feature("category_kind", "string", "short, group or premium", null_rule=_NOT_GIVEN),
        Feature("replenishable", "bool", "whether its category is used up and bought again"),
        Feature("brand", "string", "brand", null_rule=_NOT_GIVEN),
        Feature("price", "float64", "list price", "amount", "now", _NOT_GIVEN),
        Feature("cost", "float64", "unit cost", "amount", "now", _NOT_GIVEN),
        Feature("margin_rate", "float64", "gross margin over price", "share", "now"),
        Feature(
            "price_level", "float64", "price over its category's mean", "ratio", "now", _NOT_GIVEN
        ),
        Feature("link", "string", "link into the shop", null_rule=_NOT_GIVEN),
        Feature("is_retired", "bool", "no longer sold", window="now"),
        Feature(
            "launched_days",
            "float64",
            "days since launch, else since the first sale",
            "days",
            null_rule="null without a launch date where the first sale lies within 60 days of the "
            "first of all, or there is none",
        ),
        Feature(
            "sales_30d", "float64", "items sold in 30 days, anonymous sales too", "count", "30d"
        ),
        Feature("sales_90d", "float64", "items sold in 90 days", "count", "90d"),
        Feature(
            "sales_previous_90d", "float64", "items sold in the 90 days before", "count", "180d"
        ),
        Feature(
            "sales_trend", "float64", "(sales_90d + 1) / (sales_previous_90d + 1)", "ratio", "180d"
        ),
        Feature("spend_90d_amount", "float64", "money taken in 90 days", "amount", "90d"),
        Feature("buyers", "int64", "customers who ever bought it", "count"),
        Feature("buyers_90d", "int64", "customers who bought it in 90 days", "count", "90d"),
        Feature(
            "repeat_buyer_share",
            "float64",
            "share of buyers with two days or more",
            "share",
            null_rule="null without a buyer",
        ),
        Feature(
            "return_share",
            "float64",
            "returned over sold quantity, at most 1",
            "share",
            null_rule="null without a sale",
        ),
        Feature(
            "days_since_sale",
            "float64",
            "days since the last sale",
            "days",
            null_rule="null without a sale",
        ),
        Feature(
            "on_hand",
            "float64",
            "items in stock over all stores",
            "count",
            "now",
            "null where no stock is reported",
        ),
        Feature(
            "stores_in_stock",
            "int64",
            "stores that have it",
            "count",
            "now",
            "null where no stock is reported",
        ),
        Feature(
            "days_since_restock",
            "float64",
            "days since a store had it again after it had none",
            "days",
            null_rule="null where it never ran out",
        ),
    ),
    "What a product is and how it sells.",
)
