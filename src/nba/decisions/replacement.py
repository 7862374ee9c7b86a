"""Who takes a free place on a clerk's list during the day: laid ready at night, drawn when needed.

The night lays a reserve ready for each clerk: the best customers who were not drawn, with their
best action in each mode, written out. When minutes fall free, `draw_replacements` gives them away
as the night gave away the day: the same programme, floors, arms and rounding, on the few who are
left. Each draw is a decision of its own with a seed of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats
from nba.decisions.allocation import EPSILON, Programme
from nba.decisions.assignment import Day, arm_places, assign
from nba.decisions.inputs import DecisionInputs
from nba.decisions.log import none_probability
from nba.decisions.modes import MODES, Averages
from nba.decisions.next_actions import OpenBook, next_actions
from nba.decisions.ordering import is_priced, placed
from nba.decisions.policy import ContactPolicy
from nba.decisions.pool import CHUNK
from nba.decisions.rules import DecisionRules
from nba.decisions.settings import DecisionSettings
from nba.decisions.when import reachable_hours
from nba.decisions.writing import ACTION_SCHEMA
from nba.schema.words import UNLISTED_ARMS, Arm

#: Customers of each clerk's reserve.
RESERVE_SIZE: Final = 20


def write_reserve(
    inputs: Mapping[str, pl.DataFrame],
    log: pl.DataFrame,
    clerks: pl.DataFrame,
    rules: DecisionRules,
    *,
    as_of: datetime,
    averages: Averages | None = None,
) -> pl.DataFrame:
    """Return the actions that wait for a free place, best customers first within each clerk.

    Parameters
    ----------
    inputs : mapping of str to DataFrame
        What `decide` had.
    log : DataFrame
        The decision log.
    clerks : DataFrame
        The clerks' ledger.
    rules : DecisionRules
    as_of : datetime
    averages : Averages, optional
        As `decide` had them.

    Returns
    -------
    DataFrame
        The columns of `nba actions export`; `rank` is the customer's place in the reserve, and the
        same for each of their modes; `value` as the customer's list scores, money or not. Nothing
        was drawn: `propensity` is null.
    """
    waiting = _waiting(log, clerks)
    book = OpenBook.of(inputs, clerks, averages)
    parts = [pl.DataFrame(schema=dict(ACTION_SCHEMA))]
    for start in range(0, waiting.height, CHUNK):
        ids = waiting["customer_id"][start : start + CHUNK].to_list()
        parts.append(next_actions(book, ids, rules, as_of=as_of, as_scored=True))
    place = waiting.select("customer_id", place="place")
    return (
        pl.concat(parts)
        .join(place, on="customer_id")
        .with_columns(rank=pl.col("place").cast(ACTION_SCHEMA["rank"]))
        .select(list(ACTION_SCHEMA))
        .sort("clerk_id", "rank", "mode")
    )


def _waiting(log: pl.DataFrame, clerks: pl.DataFrame) -> pl.DataFrame:
    """Return the best customers of each working clerk who were not drawn: customer_id, place."""
    price = clerks.select("clerk_id", price="price_per_minute")
    planned = ~pl.col("arm").is_in([str(arm) for arm in UNLISTED_ARMS])
    rows = (
        log.filter(planned & pl.col("action_type").is_null())
        .select("customer_id", "clerk_id", "arm", "alternatives")
        .join(price, on="clerk_id")
        .explode("alternatives")
        .unnest("alternatives")
        .filter(pl.col("action_type").is_not_null() & (pl.col("value") > 0))
    )
    price_of_arm = pl.when(is_priced()).then(pl.col("price").clip(0.0)).otherwise(0.0)
    gain = pl.col("value") - price_of_arm * pl.col("minutes")
    best = rows.group_by("customer_id", "clerk_id", "arm").agg(gain=gain.max())
    ranked = placed(best.with_columns(service=pl.lit(False)), -pl.col("gain"))
    return (
        ranked.select("customer_id", "clerk_id", place="rank")
        .filter(pl.col("place") <= RESERVE_SIZE)
        .sort("clerk_id", "place")
    )


def shift_ends(inputs: DecisionInputs, policy: ContactPolicy, *, as_of: datetime) -> pl.DataFrame:
    """Return clerk_id and closes_at: when the last contact of the day must be over.

    By the project's clocks.
    """
    hours = reachable_hours(inputs["clerk"], policy).join(
        inputs["clocks"].select("clerk_id", "ahead_minutes"), on="clerk_id", how="left"
    )
    minutes = pl.col("closes") * 60 - pl.col("ahead_minutes").fill_null(0.0)
    closes = pl.lit(as_of) + pl.duration(minutes=minutes.round().cast(pl.Int64))
    return hours.select("clerk_id", closes_at=closes)


@dataclass(frozen=True)
class Draw:
    """What one decision of the day came to.

    Parameters
    ----------
    decided : DataFrame
        A row per customer who stood for the place, sorted by customer_id: customer_id, arm,
        mode drawn (null where left alone), propensity of that, explored, and `alternatives`: the
        open ones with their probability, `none` last.
    """

    decided: pl.DataFrame

    @property
    def drawn(self) -> pl.DataFrame:
        """The customers who got a place."""
        return self.decided.filter(pl.col("mode").is_not_null())


def draw_replacements(
    options: pl.DataFrame, minutes: float, settings: DecisionSettings, *, seed: str
) -> Draw:
    """Draw who gets a clerk's free minutes, under the floors and arms of the night.

    Parameters
    ----------
    options : DataFrame
        customer_id, arm, mode, value, minutes: one row per customer and mode that is open now.
    minutes : float
        The clerk's free minutes.
    settings : DecisionSettings
        Of the night's plan.
    seed : str
        Names the decision; the same seed and options give the same draw.

    Notes
    -----
    An arm with rules of its own stands with the engine's: its customers and the engine's compete
    for the minutes by what each one's own rules say that the contact is worth.
    """
    people = options.select("customer_id", "arm").unique("customer_id").sort("customer_id")
    as_engine = pl.col("arm").is_in(list(settings.variants))
    planner = people.select(pl.when(as_engine).then(pl.lit(str(Arm.ENGINE))).otherwise("arm"))
    settings, _ = settings.within()
    value, length, is_open = _arrays(people, options)
    day = Day(
        programme=Programme(
            clerk=np.zeros(people.height, dtype=np.int64),
            value=value,
            minutes=length,
            open=is_open,
            budget=np.array([_whole_budget(minutes, settings)]),
        ),
        arm=arm_places(planner.to_series()),
        customers=people["customer_id"],
        clerks=pl.Series(["place"]),
        seed=seed,
    )
    found = assign(day, settings)
    names = np.array([*(str(mode) for mode in MODES), None], dtype=object)
    none = none_probability(found.marginal)
    at = np.maximum(found.drawn, 0)[:, None]
    picked = np.take_along_axis(found.marginal, at, 1)[:, 0]
    decided = people.with_columns(
        mode=pl.Series(names[found.drawn].tolist(), dtype=pl.String),
        propensity=pl.Series(np.where(found.drawn >= 0, picked, none)),
        explored=pl.Series(found.explored),
        alternatives=pl.Series(_alternatives(value, length, is_open, found.marginal)),
    )
    return Draw(decided)


def _whole_budget(minutes: float, settings: DecisionSettings) -> float:
    """Return the day's minutes of which the planned arms' share is `minutes`."""
    working = max(1.0 - settings.arms.holdout, 1e-9)
    planned = 1.0 - settings.arms.own_habit / working
    return minutes / planned + EPSILON if planned > 0 else 0.0


def _arrays(people: pl.DataFrame, options: pl.DataFrame) -> tuple[Floats, Floats, Bools]:
    """Return value, minutes and whether it is open, each of shape (customers, modes)."""
    shape = (people.height, len(MODES))
    value, length = np.zeros(shape), np.zeros(shape)
    is_open = np.zeros(shape, dtype=bool)
    rows = people["customer_id"].search_sorted(options["customer_id"]).to_numpy()
    columns = [MODES.index(mode) for mode in options["mode"]]
    value[rows, columns] = options["value"].to_numpy()
    length[rows, columns] = options["minutes"].to_numpy()
    is_open[rows, columns] = True
    return value, length, is_open


def _alternatives(
    value: Floats, minutes: Floats, is_open: Bools, marginal: Floats
) -> list[list[dict[str, Any]]]:
    """Return the open alternatives of each customer with their probability, `none` last."""
    none = none_probability(marginal)
    return [
        [
            {
                "mode": str(mode),
                "value": float(value[row, column]),
                "minutes": float(minutes[row, column]),
                "probability": float(marginal[row, column]),
            }
            for column, mode in enumerate(MODES)
            if is_open[row, column]
        ]
        + [{"mode": "none", "value": 0.0, "minutes": 0.0, "probability": float(none[row])}]
        for row in range(len(value))
    ]
