"""Customer × product: how often, how lately, how much. One row per pair bought or returned."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import ibis
from ibis.expr import types as ir

from nba.features import prepare
from nba.features.exact import WEIGHT_UNITS, total, units
from nba.features.view import Feature, Tables, View
from nba.schema.words import CATEGORY, CUSTOMER_ID, PRODUCT_ID

#: Days after which a purchase counts half.
HALF_LIFE_DAYS: Final = 180.0


def build(tables: Tables, as_of: datetime) -> ir.Table:
    """Return the purchases of every customer by product."""
    days = prepare.customer_product_days(tables, as_of)
    today = prepare.day_number(as_of)
    age = (today - days.day).cast("float64")
    weight = units(ibis.literal(0.5) ** (age / HALF_LIFE_DAYS), WEIGHT_UNITS)
    table = days.group_by([CUSTOMER_ID, PRODUCT_ID]).agg(
        category=days.category.max(),
        purchase_days=days.bought.sum(),
        quantity=total(days.quantity),
        spend_amount=total(days.amount),
        returned_quantity=days.returned_quantity.sum(),
        decayed_count=total(weight, days.bought, per_one=WEIGHT_UNITS),
        last_day=days.day.max(where=days.bought),
        first_day=days.day.min(where=days.bought),
        last_return=days.day.max(where=days.returned_quantity > 0),
    )
    steps = (table.purchase_days - 1).nullif(0).cast("float64")
    span = (table.last_day - table.first_day).cast("float64")
    return table.mutate(
        days_since_purchase=(today - table.last_day).cast("float64"),
        days_since_first_purchase=(today - table.first_day).cast("float64"),
        days_since_return=(today - table.last_return).cast("float64"),
        returned=table.returned_quantity > 0,
        gap_days_mean=ibis.ifelse(table.purchase_days > 1, span / steps, None),
    )


_NEVER_BOUGHT = "null where only a return is known"

VIEW = View(
    "customer_product",
    (CUSTOMER_ID, PRODUCT_ID),
    build,
    (
        Feature(CATEGORY, "string", "the product's category"),
        Feature("purchase_days", "int64", "distinct days on which it was bought", "count"),
        Feature("quantity", "float64", "items bought", "count"),
        Feature("spend_amount", "float64", "money spent on it", "amount"),
        Feature("decayed_count", "float64", "purchase days, halved every 180 days", "count"),
        Feature(
            "days_since_purchase",
            "float64",
            "days since it was last bought",
            "days",
            null_rule=_NEVER_BOUGHT,
        ),
        Feature(
            "days_since_first_purchase",
            "float64",
            "days since it was first bought",
            "days",
            null_rule=_NEVER_BOUGHT,
        ),
        Feature(
            "gap_days_mean",
            "float64",
            "mean gap between purchases of it",
            "days",
            null_rule="null with fewer than two purchase days",
        ),
        Feature("returned", "bool", "whether it was ever returned"),
        Feature(
            "days_since_return",
            "float64",
            "days since it was last returned",
            "days",
            null_rule="null without a return",
        ),
    ),
    "How a customer buys one product.",
)
