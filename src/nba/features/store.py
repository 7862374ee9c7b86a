"""Store: people and sales. One row per store."""

from __future__ import annotations

from datetime import datetime

from ibis.expr import types as ir

from nba.features import prepare
from nba.features.exact import total
from nba.features.view import Feature, Tables, View
from nba.schema.words import STORE_ID


def build(tables: Tables, as_of: datetime) -> ir.Table:
    """Return every store with its people and sales at `as_of`."""
    stores, clerks, customers = tables["stores"], tables["clerks"], tables["customers"]
    staff = clerks.filter(~prepare.before(clerks.left_at, as_of))
    known = customers.filter(
        customers.joined_at.isnull() | prepare.before(customers.joined_at, as_of)
    )
    lines = prepare.sales_lines(tables, as_of)
    late = (lines.day >= prepare.day_number(as_of) - 90) & (lines.quantity > 0)
    sales = lines.group_by(sales_key=STORE_ID).agg(
        sales_90d_amount=total(lines.amount_units, late),
        anonymous_90d_amount=total(lines.amount_units, late & lines.customer_id.isnull()),
    )
    people = staff.group_by(staff_key=STORE_ID).agg(clerks=staff.count())
    served = known.group_by(served_key=STORE_ID).agg(customers=known.count())
    table = (
        stores.left_join(people, stores.store_id == people.staff_key)
        .left_join(served, stores.store_id == served.served_key)
        .left_join(sales, stores.store_id == sales.sales_key)
    )
    amount = table.sales_90d_amount.fill_null(0.0)
    return table.mutate(
        clerks=table.clerks.fill_null(0),
        customers=table.customers.fill_null(0),
        sales_90d_amount=amount,
        anonymous_share=table.anonymous_90d_amount / amount.nullif(0.0),
    )


_NOT_GIVEN = "null where the source does not say"

VIEW = View(
    "store",
    (STORE_ID,),
    build,
    (
        Feature("name", "string", "name", null_rule=_NOT_GIVEN),
        Feature("region", "string", "region", null_rule=_NOT_GIVEN),
        Feature("timezone", "string", "time zone", null_rule=_NOT_GIVEN),
        Feature("clerks", "int64", "clerks who have not left", "count", "now"),
        Feature("customers", "int64", "customers at home here", "count", "now"),
        Feature("sales_90d_amount", "float64", "sales of 90 days", "amount", "90d"),
        Feature(
            "anonymous_share",
            "float64",
            "share of them without a customer",
            "share",
            "90d",
            "null without a sale",
        ),
    ),
    "The people and the sales of a store.",
)
