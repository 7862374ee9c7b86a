"""Purchases as columns, the one form in which every model reads them.

What was bought is kept at two grains, each sorted by who and when, so that all history before a
cut-off is a prefix, and features and labels at many past cut-offs cost a binary search and not a
pass over the data:

- `PurchaseLog` (`log`): a row per customer, day and product, in integer codes. It answers *what*:
  baskets, products bought together, the next basket.
- `PurchaseDays` (`days`): a row per entity (a customer, or a customer in a category) and day, with
  the sums of that day. It answers *when*: gaps, recency, the time to the next purchase (`spans`).

Days are whole numbers since 1970-01-01 (`calendar`); where a log has order but no time, the
position from the end stands in for the day.
"""

from __future__ import annotations

from typing import Final

from nba.models.purchases.calendar import day_number, day_numbers
from nba.models.purchases.days import (
    CUSTOMER,
    CUSTOMER_CATEGORY,
    PurchaseDays,
    purchases_of,
    read_log,
)
from nba.models.purchases.log import PurchaseLog
from nba.models.purchases.spans import (
    FollowUp,
    PurchaseSummary,
    follow_up,
    gap_medians,
    purchases_between,
    summarise_purchases,
)

#: The table of purchases among the inputs of a model: a row per customer, product and day.
PURCHASES: Final = "purchases"

__all__ = [
    "CUSTOMER",
    "CUSTOMER_CATEGORY",
    "PURCHASES",
    "FollowUp",
    "PurchaseDays",
    "PurchaseLog",
    "PurchaseSummary",
    "day_number",
    "day_numbers",
    "follow_up",
    "gap_medians",
    "purchases_between",
    "purchases_of",
    "read_log",
    "summarise_purchases",
]
