"""Kinds of need, and the columns of the table of needs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import polars as pl


class Need(StrEnum):
    """What a contact serves for one customer."""

    #: A category that is bought again and again, with its product.
    DUE = "due"
    #: What goes with a recent purchase.
    COMPANION = "companion"
    #: Something new in a category that the customer buys.
    NEW = "new"
    #: Something of a category that the customer never bought.
    DISCOVERY = "discovery"
    #: Knowledge, news, a group: nothing to buy.
    CONTENT = "content"
    #: An event in the store.
    EVENT = "event"
    #: A birthday, or a benefit that the customer holds.
    GIFT = "gift"
    #: An open service case.
    CASE = "case"


NEEDS: Final = tuple(str(need) for need in Need)
#: Needs that are served with a product of one category.
PRODUCT_NEEDS: Final = (Need.DUE, Need.COMPANION, Need.NEW, Need.DISCOVERY)
#: Needs that every customer has, whatever is bought; an action's rules say when they hold.
BARE_NEEDS: Final = (Need.CONTENT, Need.EVENT, Need.GIFT, Need.CASE)
#: One row per customer and need.
NEED_SCHEMA: Final[dict[str, Any]] = {
    "customer_id": pl.String,
    "need_id": pl.String,
    "need": pl.String,
    "category": pl.String,
    "category_kind": pl.String,
    "product_ids": pl.List(pl.String),
    "goods": pl.Int64,
    "is_known": pl.Boolean,
    "relevance": pl.Float64,
    "times": pl.Float64,
    "days_since": pl.Float64,
    "gap_days": pl.Float64,
    "usual_gap_days": pl.Float64,
    "due": pl.Float64,
    "overall_due": pl.Float64,
    "order_margin": pl.Float64,
    "p_without": pl.Float64,
}
