"""Customer behaviour: recency, frequency, money, rhythm, habits, taste. One row per buyer."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import ibis
from ibis.expr import types as ir

from nba.features import prepare
from nba.features.exact import (
    LEVEL_UNITS,
    MONEY_UNITS,
    WEIGHT_UNITS,
    total,
    total_units,
    units,
)
from nba.features.view import Feature, Tables, View
from nba.schema.words import CATEGORY, CUSTOMER_ID, PRODUCT_ID, SalesChannel

WINDOWS: Final = (30, 90, 365)
CHANNELS: Final = tuple(str(channel) for channel in SalesChannel)
#: Part of the day → its hours.
DAY_PARTS: Final = {
    "morning": range(6, 12),
    "afternoon": range(12, 18),
    "evening": range(18, 22),
}
#: Upper bounds of the price tiers 1 to 4, as price over the usual price of the category.
PRICE_TIER_BOUNDS: Final = (0.6, 0.9, 1.2, 1.8)


def price_tier(level: ir.NumericColumn) -> ir.IntegerColumn:
    """Return the tier 1 (cheap) to 5 (dear) of a price level; the usual price is tier 3."""
    first, second, third, fourth = PRICE_TIER_BOUNDS
    return ibis.cases(
        (level.isnull(), ibis.literal(3)),
        (level < first, ibis.literal(1)),
        (level < second, ibis.literal(2)),
        (level < third, ibis.literal(3)),
        (level < fourth, ibis.literal(4)),
        else_=ibis.literal(5),
    ).cast("int64")


def price_level(sums: ir.Table) -> ir.FloatingColumn:
    """Return the mean price level from the units of level × quantity and of quantity."""
    level = sums.level_quantity.cast("float64") / LEVEL_UNITS
    return level / (sums.levelled.cast("float64") / MONEY_UNITS).nullif(0.0)


def regularity(mean: ir.NumericColumn, std: ir.NumericColumn) -> ir.FloatingColumn:
    """Return 1 for clockwork, 1/2 for purchases at random, towards 0 for bursts."""
    variation = std / mean.nullif(0.0)
    return 1.0 / (1.0 + variation * variation)


def _within(days: ir.Table, as_of: datetime, length: int, offset: int = 0) -> ir.BooleanColumn:
    today = prepare.day_number(as_of)
    late = days.day < today - offset if offset else ibis.literal(True)
    return (days.day >= today - offset - length) & late


def _money(days: ir.Table, as_of: datetime) -> dict[str, ir.Value]:
    """Return what is summed over a customer's days of purchase."""
    sums: dict[str, ir.Value] = {}
    for length in WINDOWS:
        within = _within(days, as_of, length)
        sums[f"spend_{length}d_amount"] = total(days.amount, within)
        sums[f"margin_{length}d_amount"] = total(days.margin, within)
        sums[f"purchase_days_{length}d"] = within.sum()
    age = (prepare.day_number(as_of) - days.day).cast("float64")
    weight = units(ibis.literal(0.5) ** (age / 90.0), WEIGHT_UNITS)
    return {
        **sums,
        "orders": days.orders.sum(),
        "lines": days.lines.sum(),
        "items": total(days["items"]),
        "spend_amount": total(days.amount),
        "margin_amount": total(days.margin),
        "discount_amount": total(days.discount),
        "max_day_amount": days.amount.max().cast("float64") / MONEY_UNITS,
        "previous_90d": _within(days, as_of, 90, offset=90).sum(),
        "decayed_purchase_days": total(weight, per_one=WEIGHT_UNITS),
    }


def _rhythm_and_money(tables: Tables, as_of: datetime) -> ir.Table:
    days = prepare.customer_days(tables, as_of)
    table = prepare.gap_statistics(days, [CUSTOMER_ID], lambda rows: _money(rows, as_of))
    today = prepare.day_number(as_of)
    since = (today - table.last_day).cast("float64")
    return table.mutate(
        days_since_purchase=since,
        days_since_first_purchase=(today - table.first_day).cast("float64"),
        gap_regularity=regularity(table.gap_days_mean, table.gap_days_std),
        overdue_ratio=since / table.gap_days_median,
    )


def _habits(tables: Tables, as_of: datetime) -> ir.Table:
    orders = prepare.customer_orders(tables, as_of)
    weekday = orders.weekday
    total = orders.count().cast("float64")
    by_weekday = {f"weekday_{i + 1}_share": (weekday == i).sum() / total for i in range(7)}
    by_part = {
        f"{name}_share": orders.hour.isin(list(hours)).sum() / total
        for name, hours in DAY_PARTS.items()
    }
    by_channel = {
        f"channel_{name}_share": (orders.channel == name).fill_null(False).sum() / total
        for name in CHANNELS
    }
    return orders.group_by(CUSTOMER_ID).agg(
        weekend_share=(weekday >= 5).sum() / total,
        night_share=((orders.hour >= 22) | (orders.hour < 6)).sum() / total,
        **by_weekday,
        **by_part,
        **by_channel,
    )


def peak(rows: ir.Table, key: str, value: str, size: int) -> ir.Table:
    """Return per `key` the most frequent `value` in 0..size-1, the smallest on a tie.

    Parameters
    ----------
    rows : ibis.Table
    key, value : str
        Columns of `rows`.
    size : int
        How many values there are.
    """
    counts = rows.group_by([key, value]).agg(n=rows.count())
    code = (counts.n * size + (size - 1 - counts[value])).max()
    best = counts.group_by(key).agg(code=code)
    return best.select(key, peak=(size - 1 - best.code % size).cast("int64"))


def _taste(tables: Tables, as_of: datetime) -> ir.Table:
    days = prepare.customer_category_days(tables, as_of)
    sums = days.group_by([CUSTOMER_ID, CATEGORY]).agg(
        days=days.count(),
        level_quantity=total_units(days.level_quantity),
        levelled=total_units(days.levelled),
    )
    # Ordered by days, then by name: whole numbers, so that every engine breaks ties alike.
    order = [ibis.desc("days"), CATEGORY]
    ranked = sums.mutate(
        place=ibis.row_number().over(ibis.window(group_by=CUSTOMER_ID, order_by=order)),
        n=sums["days"].cast("float64"),
    )
    taste = ranked.group_by(CUSTOMER_ID).agg(
        category_count=ranked.count(),
        main_category=ranked.category.max(where=ranked.place == 0),
        main_days=ranked.n.max(where=ranked.place == 0),
        total=ranked.n.sum(),
        logs=total(units(ranked.n * ranked.n.ln(), LEVEL_UNITS), per_one=LEVEL_UNITS),
        level_quantity=ranked.level_quantity.sum(),
        levelled=ranked.levelled.sum(),
    )
    level = price_level(taste)
    kinds = tables["categories"].select(kind_key=CATEGORY, main_category_kind="kind")
    table = taste.select(
        CUSTOMER_ID,
        "category_count",
        "main_category",
        price_level=level,
        price_tier=price_tier(level),
        main_category_share=taste.main_days / taste.total,
        # One category leaves nothing but the last digits of two equal terms.
        category_entropy=ibis.ifelse(
            taste.category_count > 1,
            (taste.total.ln() - taste.logs / taste.total).clip(lower=0.0),
            0.0,
        ),
    )
    return table.left_join(kinds, table.main_category == kinds.kind_key).drop("kind_key")


def _goods(tables: Tables, as_of: datetime) -> ir.Table:
    rows = prepare.customer_product_days(tables, as_of)
    products = rows.group_by([CUSTOMER_ID, PRODUCT_ID]).agg(
        bought_days=rows.bought.sum(),
        quantity=total_units(rows.quantity),
        returned_quantity=total_units(rows.returned_quantity),
        returned_amount=total_units(rows.returned_amount),
        last_return=rows.day.max(where=rows.returned_quantity > 0),
    )
    goods = products.group_by(CUSTOMER_ID).agg(
        product_count=(products.bought_days > 0).sum(),
        repeated=(products.bought_days > 1).sum(),
        quantity=total(products.quantity),
        returned_quantity=total(products.returned_quantity),
        return_amount=total(products.returned_amount),
        last_return=products.last_return.max(),
    )
    return goods.select(
        CUSTOMER_ID,
        "product_count",
        "return_amount",
        repeat_product_share=goods.repeated / goods.product_count.cast("float64").nullif(0.0),
        return_share=(goods.returned_quantity / goods.quantity.nullif(0.0)).clip(upper=1.0),
        days_since_return=(prepare.day_number(as_of) - goods.last_return).cast("float64"),
    )


def build(tables: Tables, as_of: datetime) -> ir.Table:
    """Return the behaviour of every customer with a visible purchase."""
    orders = prepare.customer_orders(tables, as_of)
    hours = peak(orders, CUSTOMER_ID, "hour", 24).rename(purchase_hour_peak="peak")
    table = _rhythm_and_money(tables, as_of)
    for part in (
        _habits(tables, as_of),
        _taste(tables, as_of),
        _goods(tables, as_of),
        hours,
        peak(orders, CUSTOMER_ID, "weekday", 7).rename(weekday_peak="peak"),
    ):
        table = table.left_join(part, CUSTOMER_ID).drop("customer_id_right")
    gross = table.spend_amount + table.discount_amount
    return table.mutate(
        weekday_peak=table.weekday_peak + 1,
        average_order_amount=table.spend_amount / table.orders,
        items_per_order=table["items"] / table.orders,
        average_item_amount=table.spend_amount / table["items"].nullif(0.0),
        discount_share=(table.discount_amount / gross.nullif(0.0)).clip(lower=0.0, upper=1.0),
        trend_ratio=(table.purchase_days_90d.cast("float64") + 1.0)
        / (table.previous_90d.cast("float64") + 1.0),
    )


def _feature(name: str, meaning: str, unit: str, **more: str) -> Feature:
    return Feature(name, more.pop("dtype", "float64"), meaning, unit, **more)


_ONE_DAY = "null with fewer than two purchase days"
_FEATURES = (
    _feature("days_since_purchase", "days since the last purchase", "days"),
    _feature("days_since_first_purchase", "days since the first purchase", "days"),
    _feature("purchase_days", "distinct days with a purchase", "count", dtype="int64"),
    _feature("orders", "orders", "count", dtype="int64"),
    _feature("lines", "order lines", "count", dtype="int64"),
    _feature("items", "items bought, returns not deducted", "count"),
    _feature("spend_amount", "money spent after discounts, returns not deducted", "amount"),
    _feature("margin_amount", "gross margin of what was bought", "amount"),
    _feature("discount_amount", "discounts taken", "amount"),
    _feature("return_amount", "money paid back for returns", "amount"),
    *(
        feature
        for n in WINDOWS
        for feature in (
            _feature(f"spend_{n}d_amount", f"spent in the last {n} days", "amount", window=f"{n}d"),
            _feature(
                f"margin_{n}d_amount", f"margin of the last {n} days", "amount", window=f"{n}d"
            ),
            _feature(
                f"purchase_days_{n}d",
                f"purchase days in the last {n} days",
                "count",
                dtype="int64",
                window=f"{n}d",
            ),
        )
    ),
    _feature("decayed_purchase_days", "purchase days, halved for every 90 days of age", "count"),
    _feature("average_order_amount", "mean amount of an order", "amount"),
    _feature("max_day_amount", "largest amount spent on one day", "amount"),
    _feature("items_per_order", "mean items per order", "count"),
    _feature(
        "average_item_amount", "mean price paid for an item", "amount", null_rule="no items bought"
    ),
    _feature("gap_days_mean", "mean gap between purchase days", "days", null_rule=_ONE_DAY),
    _feature("gap_days_median", "median gap between purchase days", "days", null_rule=_ONE_DAY),
    _feature(
        "gap_days_std", "standard deviation of the gaps (population)", "days", null_rule=_ONE_DAY
    ),
    _feature("gap_days_max", "longest gap", "days", null_rule=_ONE_DAY),
    _feature(
        "gap_regularity",
        "1 / (1 + squared coefficient of variation): 1 clockwork, 1/2 at random",
        "share",
        null_rule=_ONE_DAY,
    ),
    _feature(
        "overdue_ratio",
        "days since the last purchase over the median gap",
        "ratio",
        null_rule=_ONE_DAY,
    ),
    _feature(
        "trend_ratio",
        "(purchase days of the last 90 days + 1) / (of the 90 before + 1)",
        "ratio",
        window="180d",
    ),
    _feature("weekday_peak", "most frequent weekday, 1 is Monday", "weekday", dtype="int64"),
    *(
        _feature(f"weekday_{i}_share", f"share of orders on weekday {i} (1 is Monday)", "share")
        for i in range(1, 8)
    ),
    _feature("weekend_share", "share of orders on Saturday and Sunday", "share"),
    _feature("purchase_hour_peak", "most frequent hour of purchase", "hour", dtype="int64"),
    *(
        _feature(
            f"{name}_share",
            f"share of orders from {hours.start}:00 to before {hours.stop}:00",
            "share",
        )
        for name, hours in DAY_PARTS.items()
    ),
    _feature("night_share", "share of orders from 22:00 to before 6:00", "share"),
    *(
        _feature(f"channel_{name}_share", f"share of orders through {name}", "share")
        for name in CHANNELS
    ),
    _feature(
        "price_level",
        "mean price bought over the usual price of the category, by quantity",
        "ratio",
        null_rule="no price known",
    ),
    _feature("price_tier", "price level in tiers 1 (cheap) to 5 (dear)", "tier", dtype="int64"),
    _feature(
        "discount_share",
        "discounts over the amount before discounts",
        "share",
        null_rule="nothing paid",
    ),
    _feature(
        "return_share",
        "returned quantity over bought quantity, at most 1",
        "share",
        null_rule="no items bought",
    ),
    _feature("days_since_return", "days since the last return", "days", null_rule="no return"),
    _feature("category_count", "categories bought", "count", dtype="int64"),
    _feature("category_entropy", "entropy of purchase days over categories", "nats"),
    _feature("main_category", "category with the most purchase days", "", dtype="string"),
    _feature("main_category_share", "its share of purchase days by category", "share"),
    _feature(
        "main_category_kind",
        "short, group or premium",
        "",
        dtype="string",
        null_rule="the category has no kind",
    ),
    _feature("product_count", "different products bought", "count", dtype="int64"),
    _feature("repeat_product_share", "share of them bought on more than one day", "share"),
)

VIEW = View(
    "customer_behaviour",
    (CUSTOMER_ID,),
    build,
    _FEATURES,
    "How a customer buys: recency, frequency, money, rhythm, habits, taste.",
)
