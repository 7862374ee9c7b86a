"""Customer browsing: what was looked at, searched and put in a cart. One row per customer seen."""

from __future__ import annotations

from datetime import datetime

from ibis.expr import types as ir

from nba.features import prepare
from nba.features.view import Feature, Tables, View
from nba.schema.words import CUSTOMER_ID, BehaviourKind


def build(tables: Tables, as_of: datetime) -> ir.Table:
    """Return one row per customer who did anything that is no purchase."""
    rows = tables["behaviour"]
    rows = rows.filter(prepare.before(rows.ts, as_of))
    rows = rows.mutate(day=prepare.days_of(rows.ts))
    today = prepare.day_number(as_of)

    def is_kind(kind: BehaviourKind) -> ir.BooleanColumn:
        return rows.kind == str(kind)

    def within(days: int) -> ir.BooleanColumn:
        return rows.day >= today - days

    viewed, carted = is_kind(BehaviourKind.VIEW), is_kind(BehaviourKind.CART)
    return rows.group_by(CUSTOMER_ID).agg(
        product_views_7d=(viewed & within(7)).sum(),
        product_views_30d=(viewed & within(30)).sum(),
        products_viewed_30d=rows.product_id.nunique(where=viewed & within(30)),
        searches_30d=(is_kind(BehaviourKind.SEARCH) & within(30)).sum(),
        carts_30d=(carted & within(30)).sum(),
        favourites_90d=(is_kind(BehaviourKind.FAVOURITE) & within(90)).sum(),
        shares_90d=(is_kind(BehaviourKind.SHARE) & within(90)).sum(),
        days_since_browsing=(today - rows.day.max()).cast("float64"),
        days_since_cart=(today - rows.day.max(where=carted)).cast("float64"),
    )


def _count(name: str, meaning: str, days: int) -> Feature:
    return Feature(name, "int64", f"{meaning} in the last {days} days", "count", f"{days}d")


VIEW = View(
    "customer_browsing",
    (CUSTOMER_ID,),
    build,
    (
        _count("product_views_7d", "views of products", 7),
        _count("product_views_30d", "views of products", 30),
        _count("products_viewed_30d", "different products viewed", 30),
        _count("searches_30d", "searches", 30),
        _count("carts_30d", "products put in a cart", 30),
        _count("favourites_90d", "products marked as favourites", 90),
        _count("shares_90d", "products or carts shared", 90),
        Feature(
            "days_since_browsing", "float64", "days since anything was looked at or done", "days"
        ),
        Feature(
            "days_since_cart",
            "float64",
            "days since a product was put in a cart",
            "days",
            null_rule="null without a cart",
        ),
    ),
    "What a customer did in the shop's app or site that is no purchase.",
)
