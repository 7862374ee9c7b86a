"""The truth about customers, as tables that stay apart from what a retailer sees."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from nba.schema.words import CONTACT_MODES
from nba.simulation.config import CELLS, SECTORS
from nba.simulation.people import TYPE_FACTOR
from nba.simulation.scene import Scene

TYPES: Final = ("receptive", "indifferent", "averse")


def customer_truth(scene: Scene) -> pl.DataFrame:
    """Return one row per customer: type, response to each mode, tolerance, taste, dropout."""
    people = scene.people
    kind = pl.Series(TYPES).gather(people.kind)
    columns: dict[str, object] = {
        "customer_id": scene.customer_ids,
        "sector": pl.Series([str(s) for s in SECTORS]).gather(people.sector),
        "type": kind,
        "capture": people.capture,
        "tier": people.tier,
        "repeat": people.repeat,
        "pulled_share": people.pulled_share,
        "fatigue_weight": people.fatigue_weight,
        "tolerance": people.tolerance,
        "chat_hour": people.chat_hour,
        "dropout_day": people.dropout,
    }
    own = scene.assortment.kind[people.cell_category[:, 0]]
    for position, mode in enumerate(CONTACT_MODES):
        columns[f"strength_{mode}"] = (
            scene.effects.strength
            * scene.effects.fit[own, position]
            * people.response[:, position]
            * TYPE_FACTOR[people.kind]
        )
    return pl.DataFrame(columns)


def cell_truth(scene: Scene) -> pl.DataFrame:
    """Return one row per customer and category they buy: mean gap and regularity."""
    people = scene.people
    names = scene.assortment.category_names
    return pl.DataFrame(
        {
            "customer_id": scene.customer_ids.gather(np.repeat(np.arange(people.count), CELLS)),
            "category": names.gather(people.cell_category.reshape(-1)),
            "gap_days": people.cell_gap.reshape(-1),
            "regularity": people.cell_shape.reshape(-1),
        }
    )
