"""What several views share: lines, orders and days of purchase; contacts and responses.

Each function is pure. An engine may keep a result under its name among the tables, and the
views then read it instead of computing it again (`PREPARED` lists what is worth keeping, in
the order in which one builds on the other).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import ibis
from ibis.expr import types as ir

from nba.features.exact import LEVEL_UNITS, MONEY_UNITS, total, total_units, units
from nba.features.view import Builder, Tables
from nba.schema.defaults import MARGIN_RATE
from nba.schema.words import (
    CATEGORY,
    CLERK_ID,
    CLOCK,
    CUSTOMER_ID,
    ENGAGED_RESPONSES,
    FEED_CHANNELS,
    NEGATIVE_RESPONSES,
    PRODUCT_ID,
    UNKNOWN_CATEGORY,
    Mode,
)

DAY_SECONDS: Final = 86_400


def day_number(moment: datetime) -> int:
    """Return the days from 1970-01-01 to the date of `moment`."""
    return (moment.replace(tzinfo=None) - datetime(1970, 1, 1)).days


def days_of(column: ir.TimestampColumn) -> ir.IntegerColumn:
    """Return the days from 1970-01-01 to each timestamp's date."""
    return (column.epoch_seconds().cast("int64") // DAY_SECONDS).cast("int64")


def age_days(column: ir.TimestampColumn, as_of: datetime) -> ir.FloatingColumn:
    """Return the calendar days from each timestamp's date to the date of `as_of`."""
    return (day_number(as_of) - days_of(column)).cast("float64")


def before(column: ir.TimestampColumn, as_of: datetime) -> ir.BooleanColumn:
    """Return whether a timestamp is visible at `as_of`; an empty one is not."""
    return (column < ibis.timestamp(as_of)).fill_null(False)


def clock_of(table: ir.Table) -> ir.TimestampColumn:
    """Return the times of a table by the clock of the store, where it has one of its own."""
    return table[CLOCK] if CLOCK in table.columns else table.ts


def product_facts(tables: Tables, as_of: datetime) -> ir.Table:
    """Return per product its category, price, margin rate, and price level.

    The margin rate comes from the cost, else from the category; the level is the price over
    the mean price of the category.
    """
    if "product_facts" in tables:
        return tables["product_facts"]
    products, categories = tables["products"], tables["categories"]
    priced = products.filter(products.price > 0)
    means = priced.group_by(level_category=CATEGORY).agg(
        category_price=total(units(priced.price)) / priced.count()
    )
    rates = categories.select(category_key=CATEGORY, rate="margin_rate")
    joined = products.left_join(rates, products.category == rates.category_key)
    joined = joined.left_join(means, joined.category == means.level_category)
    is_priced = (joined.price > 0).fill_null(False)
    return joined.select(
        product_key=joined.product_id,
        category=joined.category.fill_null(UNKNOWN_CATEGORY),
        list_price=joined.price,
        unit_cost=joined.cost,
        margin_rate=ibis.ifelse(
            joined.cost.notnull() & is_priced,
            (joined.price - joined.cost) / joined.price,
            joined.rate.fill_null(MARGIN_RATE),
        ),
        price_level=ibis.ifelse(is_priced, joined.price / joined.category_price, None),
    )


def sales_lines(tables: Tables, as_of: datetime) -> ir.Table:
    """Return every visible line with day, category, money and margin; anonymous ones too.

    A return has a negative quantity and a negative amount. Columns that end in `_units` are
    whole ten-thousandths, see `nba.features.exact`.
    """
    if "sales_lines" in tables:
        return tables["sales_lines"]
    lines = tables["transactions"]
    lines = lines.filter(before(lines.ts, as_of))
    facts = product_facts(tables, as_of)
    joined = lines.left_join(facts, lines.product_id == facts.product_key)
    price = joined.unit_price.fill_null(joined.list_price).fill_null(0.0)
    discount = joined.discount.abs().fill_null(0.0)
    amount = joined.quantity * price - joined.quantity.sign() * discount
    margin = ibis.ifelse(
        joined.unit_cost.notnull(),
        amount - joined.quantity * joined.unit_cost,
        amount * joined.margin_rate.fill_null(MARGIN_RATE),
    )
    return joined.select(
        customer_id=joined.customer_id,
        order_id=joined.order_id,
        product_id=joined.product_id,
        category=joined.category.fill_null(UNKNOWN_CATEGORY),
        store_id=joined.store_id,
        clerk_id=joined.clerk_id,
        channel=joined.channel,
        ts=joined.ts,
        clock=clock_of(joined),
        day=days_of(joined.ts),
        quantity=joined.quantity,
        amount=amount,
        margin=margin,
        discount=discount,
        quantity_units=units(joined.quantity),
        amount_units=units(amount),
        margin_units=units(margin),
        discount_units=units(discount),
        price_level=joined.price_level,
    )


def customer_product_days(tables: Tables, as_of: datetime) -> ir.Table:
    """Return one row per customer, product and day of purchase or return, in whole units."""
    if "customer_product_days" in tables:
        return tables["customer_product_days"]
    lines = sales_lines(tables, as_of).filter(ibis._.customer_id.notnull())
    bought = lines.quantity > 0
    level = units(lines.price_level * lines.quantity, LEVEL_UNITS)
    return lines.group_by([CUSTOMER_ID, PRODUCT_ID, CATEGORY, "day"]).agg(
        quantity=total_units(lines.quantity_units, bought),
        returned_quantity=-total_units(lines.quantity_units, ~bought),
        amount=total_units(lines.amount_units, bought),
        margin=total_units(lines.margin_units, bought),
        returned_amount=-total_units(lines.amount_units, ~bought),
        level_quantity=total_units(level, bought),
        levelled=total_units(lines.quantity_units, bought & lines.price_level.notnull()),
        bought=bought.any(),
    )


def purchases(tables: Tables, as_of: datetime, *, window_days: int) -> ir.Table:
    """Return what the models learn rhythms and tastes from, `window_days` back from `as_of`.

    One row per customer, product and day of purchase (returns left out).
    """
    days = customer_product_days(tables, as_of)
    days = days.filter(days.bought, days.day >= day_number(as_of) - window_days)
    money = {
        name: days[name].cast("float64") / MONEY_UNITS for name in ("quantity", "amount", "margin")
    }
    return days.select(CUSTOMER_ID, PRODUCT_ID, CATEGORY, "day", **money).order_by(
        CUSTOMER_ID, PRODUCT_ID, "day"
    )


def customer_category_days(tables: Tables, as_of: datetime) -> ir.Table:
    """Return one row per customer, category and day of purchase (returns left out)."""
    if "customer_category_days" in tables:
        return tables["customer_category_days"]
    days = customer_product_days(tables, as_of).filter(ibis._.bought)
    return days.group_by([CUSTOMER_ID, CATEGORY, "day"]).agg(
        quantity=total_units(days.quantity),
        amount=total_units(days.amount),
        margin=total_units(days.margin),
        level_quantity=total_units(days.level_quantity),
        levelled=total_units(days.levelled),
    )


def customer_orders(tables: Tables, as_of: datetime) -> ir.Table:
    """Return one row per customer, order and day of purchase (returns left out)."""
    if "customer_orders" in tables:
        return tables["customer_orders"]
    lines = sales_lines(tables, as_of).filter(ibis._.customer_id.notnull() & (ibis._.quantity > 0))
    return lines.group_by([CUSTOMER_ID, "order_id", "day"]).agg(
        hour=lines.clock.hour().min().cast("int64"),
        weekday=((days_of(lines.clock) + 3) % 7).min(),
        lines=lines.count(),
        items=total_units(lines.quantity_units),
        amount=total_units(lines.amount_units),
        margin=total_units(lines.margin_units),
        discount=total_units(lines.discount_units),
        channel=lines.channel.min(),
    )


def customer_days(tables: Tables, as_of: datetime) -> ir.Table:
    """Return one row per customer and day of purchase."""
    if "customer_days" in tables:
        return tables["customer_days"]
    orders = customer_orders(tables, as_of)
    return orders.group_by([CUSTOMER_ID, "day"]).agg(
        orders=orders.count(),
        lines=total_units(orders.lines),
        items=total_units(orders["items"]),
        amount=total_units(orders.amount),
        margin=total_units(orders.margin),
        discount=total_units(orders.discount),
    )


def in_feed(channel: ir.StringColumn) -> ir.BooleanColumn:
    """Return whether each contact was a post in a feed, which asks nobody for an answer."""
    return channel.isin([str(one) for one in FEED_CHANNELS]).fill_null(False)


def contacts(tables: Tables, as_of: datetime) -> ir.Table:
    """Return every visible contact; a recorded `none` is a decision, not a contact."""
    if "contacts" in tables:
        return tables["contacts"]
    rows = tables["interactions"]
    rows = rows.filter(before(rows.ts, as_of) & (rows.mode != str(Mode.NONE)))
    return rows.select(
        "interaction_id",
        CUSTOMER_ID,
        CLERK_ID,
        "ts",
        "mode",
        "channel",
        "group_id",
        in_feed=in_feed(rows.channel),
        day=days_of(rows.ts),
        minutes=units(rows.minutes.fill_null(0.0)),
    )


def answers(tables: Tables, as_of: datetime) -> ir.Table:
    """Return every visible response with its customer and the mode it answers."""
    if "answers" in tables:
        return tables["answers"]
    rows = tables["responses"]
    rows = rows.filter(before(rows.ts, as_of))
    sent = tables["interactions"]
    sent = sent.filter(before(sent.ts, as_of)).select(
        answered_id="interaction_id",
        contacted=CUSTOMER_ID,
        mode="mode",
        group_id="group_id",
        channel="channel",
        contact_clerk=CLERK_ID,
    )
    joined = rows.left_join(sent, rows.interaction_id == sent.answered_id)
    return joined.select(
        response_id=joined.response_id,
        interaction_id=joined.interaction_id,
        customer_id=joined.customer_id.fill_null(joined.contacted),
        clerk_id=joined.clerk_id.fill_null(joined.contact_clerk),
        mode=joined.mode,
        group_id=joined.group_id,
        in_feed=in_feed(joined.channel),
        ts=joined.ts,
        hour=clock_of(joined).hour().cast("int64"),
        day=days_of(joined.ts),
        kind=joined.kind,
        engaged=joined.kind.isin([str(kind) for kind in ENGAGED_RESPONSES]),
        negative=joined.kind.isin([str(kind) for kind in NEGATIVE_RESPONSES]),
    ).filter(ibis._.customer_id.notnull())


#: Worth keeping once per build, each built on those before it.
PREPARED: Final[Mapping[str, Builder]] = {
    "product_facts": product_facts,
    "customer_product_days": customer_product_days,
    "customer_category_days": customer_category_days,
    "customer_orders": customer_orders,
    "customer_days": customer_days,
    "contacts": contacts,
    "answers": answers,
}


def gap_statistics(
    days: ir.Table,
    keys: list[str],
    aggregates: Callable[[ir.Table], Mapping[str, ir.Value]],
) -> ir.Table:
    """Return per key the gaps in days between successive days of purchase.

    Parameters
    ----------
    days : ibis table
        One row per `keys` and `day`.
    keys : list of str
    aggregates : callable
        From the same rows to further columns, so that they are read once.

    Returns
    -------
    ibis table
        The keys; `last_day`, `first_day` and `purchase_days`; `gap_days_mean`, `gap_days_median`,
        `gap_days_std` (population), `gap_days_max`; and the further columns.
    """
    window = ibis.window(group_by=keys, order_by="day")
    steps = days.mutate(gap=days.day - days.day.lag().over(window))
    table = steps.group_by(keys).agg(
        first_day=steps.day.min(),
        last_day=steps.day.max(),
        purchase_days=steps.count(),
        gap_days_median=steps.gap.median().cast("float64"),
        gap_days_max=steps.gap.max().cast("float64"),
        gap_squares=(steps.gap * steps.gap).sum().cast("int64"),
        **aggregates(steps),
    )
    # From whole numbers, so that the order of rows does not show in the last digits.
    n = (table.purchase_days - 1).nullif(0)
    span = table.last_day - table.first_day
    variance = (n * table.gap_squares - span * span).cast("float64") / (n * n).cast("float64")
    return table.mutate(
        gap_days_mean=span.cast("float64") / n.cast("float64"),
        gap_days_std=variance.sqrt(),
    )
