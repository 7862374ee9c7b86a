"""What features and models may read of the tables: two rules applied before any view.

Postage, fees and vouchers are sold but are no taste and no rhythm: their lines count for
products and stores, like an anonymous sale, and not for the customer. A category that states
no margin has the project's, and a product without a category stands in `unknown`.
"""

from __future__ import annotations

import ibis
from ibis.expr import types as ir

from nba.features.view import Tables
from nba.schema.words import CATEGORY, SERVICE_CATEGORY, UNKNOWN_CATEGORY


def apply_table_rules(tables: Tables, *, margin_rate: float) -> dict[str, ir.Table]:
    """Return the tables with both rules applied.

    Parameters
    ----------
    tables : mapping of str to ibis.Table
        As `nba.data.tables.load_tables` gives them.
    margin_rate : float
        The project's gross margin, as a share of the price.
    """
    products = tables["products"]
    products = products.mutate(category=products.category.fill_null(UNKNOWN_CATEGORY))
    services = products.filter(products.category == SERVICE_CATEGORY)
    lines = tables["transactions"]
    is_service = lines.product_id.isin(services.product_id)
    return {
        **tables,
        "products": products,
        "categories": _with_margins(tables["categories"], products, margin_rate),
        "transactions": lines.mutate(
            customer_id=ibis.ifelse(is_service, ibis.null("string"), lines.customer_id)
        ),
    }


def _with_margins(categories: ir.Table, products: ir.Table, margin_rate: float) -> ir.Table:
    """Return the categories, `unknown` among them where a product needs it, with margins."""
    named = products.select(CATEGORY).distinct()
    missing = named.anti_join(categories, CATEGORY)
    empty = {
        name: ibis.null(dtype) for name, dtype in categories.schema().items() if name != CATEGORY
    }
    everyone = ibis.union(categories, missing.mutate(**empty).select(*categories.columns))
    return everyone.mutate(margin_rate=everyone.margin_rate.fill_null(margin_rate))
