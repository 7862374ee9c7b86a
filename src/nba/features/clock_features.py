"""Features of data whose days only stand for an order: weekday and hour say nothing there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

import ibis
from ibis.expr import types as ir

from nba.features import customer_behaviour
from nba.features.view import Tables, View

#: Features of a view that read the clock or the weekday.
CLOCK_FEATURES: Final[Mapping[str, tuple[str, ...]]] = {
    customer_behaviour.VIEW.name: (
        "weekday_peak",
        *(f"weekday_{number}_share" for number in range(1, 8)),
        "weekend_share",
        "purchase_hour_peak",
        *(f"{part}_share" for part in customer_behaviour.DAY_PARTS),
        "night_share",
    )
}


def without_clock_features(views: Mapping[str, View]) -> dict[str, View]:
    """Return the views with the features of weekday and hour empty."""
    return {
        name: replace(view, builder=_without(view.builder, CLOCK_FEATURES[name]))
        if name in CLOCK_FEATURES
        else view
        for name, view in views.items()
    }


def _without(
    builder: Callable[[Tables, datetime], ir.Table], features: tuple[str, ...]
) -> Callable[[Tables, datetime], ir.Table]:
    def build(tables: Tables, as_of: datetime) -> ir.Table:
        table = builder(tables, as_of)
        return table.mutate(**{name: ibis.null(table[name].type()) for name in features})

    return build
