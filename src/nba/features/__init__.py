"""Features as pure Ibis expressions: tables and a moment in, one table per entity out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from nba.features import (
    clerk,
    customer_behaviour,
    customer_browsing,
    customer_category,
    customer_contact,
    customer_product,
    customer_state,
    customer_tags,
    product,
    store,
)
from nba.features.view import Feature, Tables, View

#: Every feature view by name, in the order in which they are built.
VIEWS: Final[Mapping[str, View]] = MappingProxyType(
    {
        module.VIEW.name: module.VIEW
        for module in (
            customer_state,
            customer_behaviour,
            customer_category,
            customer_product,
            customer_contact,
            customer_browsing,
            customer_tags,
            product,
            clerk,
            store,
        )
    }
)

__all__ = ["VIEWS", "Feature", "Tables", "View"]
