"""Customer × category: how often, how much and in which rhythm. One row per pair bought."""

from __future__ import annotations

from datetime import datetime

from ibis.expr import types as ir

from nba.features import prepare
from nba.features.customer_behaviour import price_level, price_tier, regularity
from nba.features.exact import total
from nba.features.view import Feature, Tables, View
from nba.schema.words import CATEGORY, CUSTOMER_ID

KEYS = [CUSTOMER_ID, CATEGORY]


def build(tables: Tables, as_of: datetime) -> ir.Table:
    """Return the purchases of every customer by category."""
    today = prepare.day_number(as_of)

    def sums(days: ir.Table) -> dict[str, ir.Value]:
        recent = days.day >= today - 365
        return {
            "quantity": total(days.quantity),
            "spend_amount": total(days.amount),
            "margin_amount": total(days.margin),
            "spend_365d_amount": total(days.amount, recent),
            "purchase_days_365d": recent.sum(),
            "level_quantity": days.level_quantity.sum(),
            "levelled": days.levelled.sum(),
        }

    kinds = tables["categories"].select(
        kind_key=CATEGORY, kind="kind", replenishable="replenishable"
    )
    table = prepare.gap_statistics(prepare.customer_category_days(tables, as_of), KEYS, sums)
    table = table.left_join(kinds, table.category == kinds.kind_key)
    since = (today - table.last_day).cast("float64")
    return table.mutate(
        days_since_purchase=since,
        days_since_first_purchase=(today - table.first_day).cast("float64"),
        gap_regularity=regularity(table.gap_days_mean, table.gap_days_std),
        overdue_ratio=since / table.gap_days_median,
        price_tier=price_tier(price_level(table)),
        replenishable=table.replenishable.fill_null(False),
    )


_ONE_DAY = "null with fewer than two purchase days"

VIEW = View(
    "customer_category",
    (CUSTOMER_ID, CATEGORY),
    build,
    (
        Feature("purchase_days", "int64", "distinct days with a purchase in it", "count"),
        Feature("purchase_days_365d", "int64", "of these in the last year", "count", "365d"),
        Feature("quantity", "float64", "items bought", "count"),
        Feature("spend_amount", "float64", "money spent in it", "amount"),
        Feature("spend_365d_amount", "float64", "of this in the last year", "amount", "365d"),
        Feature("margin_amount", "float64", "gross margin made in it", "amount"),
        Feature("days_since_purchase", "float64", "days since the last purchase in it", "days"),
        Feature("days_since_first_purchase", "float64", "days since the first one", "days"),
        Feature("gap_days_mean", "float64", "mean gap", "days", null_rule=_ONE_DAY),
        Feature("gap_days_median", "float64", "median gap", "days", null_rule=_ONE_DAY),
        Feature("gap_days_std", "float64", "deviation of the gaps", "days", null_rule=_ONE_DAY),
        Feature(
            "gap_regularity", "float64", "1 clockwork, 1/2 at random", "share", null_rule=_ONE_DAY
        ),
        Feature(
            "overdue_ratio",
            "float64",
            "days since over the median gap",
            "ratio",
            null_rule=_ONE_DAY,
        ),
        Feature("price_tier", "int64", "price level in it, 1 (cheap) to 5 (dear)", "tier"),
        Feature("kind", "string", "short, group or premium", null_rule="no kind known"),
        Feature("replenishable", "bool", "whether it is used up and bought again"),
    ),
    "How a customer buys in one category.",
)
