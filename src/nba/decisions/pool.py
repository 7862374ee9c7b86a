"""The customers of a day with their arm and their best action in each mode."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints
from nba.decisions.candidates import (
    MODES,
    Averages,
    Stage,
    build_candidates,
    keep_preferred,
    may_contact,
    mode_averages,
    preferred_modes,
)
from nba.decisions.catalogue import ActionType
from nba.decisions.hashing import draw_arms
from nba.decisions.inputs import DecisionInputs
from nba.decisions.policy import ContactPolicy, Levers
from nba.decisions.settings import DecisionSettings

#: Customers worked on at once; bounds memory.
CHUNK: Final = 100_000


@dataclass(frozen=True)
class Rules:
    """What decides, beside the tables."""

    actions: tuple[ActionType, ...]
    policy: ContactPolicy
    levers: Levers
    settings: DecisionSettings
    as_of: datetime


@dataclass(frozen=True)
class Pool:
    """All eligible customers, sorted by id, with their best action per mode.

    Parameters
    ----------
    people : DataFrame
        customer_id, clerk_id, arm, closed (why no action is open, else null).
    action : array of int, shape (customers, modes)
        Position of the action type in the catalogue's enabled ones; -1: none open.
    value, uplift : array of float, same shape
    preferred : array of int, shape (customers,)
        The preferred mode from now on.
    """

    people: pl.DataFrame
    action: Ints
    value: Floats
    uplift: Floats
    preferred: Ints

    def minutes(self, actions: tuple[ActionType, ...]) -> Floats:
        """Return the minutes of each best action."""
        length = np.array([action.minutes for action in actions])
        minutes: Floats = np.where(self.action >= 0, length[np.maximum(self.action, 0)], 0.0)
        return minutes


def eligible_customers(
    tables: DecisionInputs,
    actions: tuple[ActionType, ...],
    settings: DecisionSettings,
    as_of: datetime,
) -> pl.DataFrame:
    """Return customer_id, clerk_id and arm of whom some action may reach, sorted by id."""
    state = tables["customer_state"].filter(may_contact())
    if all(action.needs_friend or action.eligible == "is_friend" for action in actions):
        state = state.filter(pl.col("is_friend"))
    return with_arms(tables, state.select("customer_id", "clerk_id"), settings, as_of)


def with_arms(
    tables: DecisionInputs, people: pl.DataFrame, settings: DecisionSettings, as_of: datetime
) -> pl.DataFrame:
    """Add the arm of each customer; members of a group share that of the first they joined."""
    first_group = (
        tables["memberships"]
        .sort("customer_id", "joined_at", "group_id")
        .unique("customer_id", keep="first", maintain_order=True)
        .select("customer_id", "group_id")
    )
    units = (
        people.join(first_group, on="customer_id", how="left")
        .with_columns(unit=pl.coalesce(pl.concat_str(pl.lit("group:"), "group_id"), "customer_id"))
        .sort("customer_id")
    )
    arms = draw_arms(
        units["unit"],
        salt=settings.salt,
        day=as_of.date(),
        shares=settings.arms,
        period_days=settings.arm_period_days,
    )
    return units.select(people.columns).with_columns(arms)


def evaluate(tables: DecisionInputs, rules: Rules) -> Pool:
    """Price every eligible customer, a chunk at a time."""
    people = eligible_customers(tables, rules.actions, rules.settings, rules.as_of)
    averages = mode_averages(tables)
    parts = [
        _chunk(tables.of_customers(people["customer_id"][start : start + CHUNK]), rules, averages)
        for start in range(0, people.height, CHUNK)
    ]
    width = len(MODES)
    if not parts:
        empty = np.zeros((0, width))
        closed = pl.Series("closed", [], dtype=pl.String)
        none = np.zeros(0, dtype=np.int64)
        return Pool(people.with_columns(closed), empty.astype(np.int64), empty, empty, none)
    closed = pl.concat([part[0] for part in parts]).alias("closed")
    return Pool(
        people.with_columns(closed),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
        np.concatenate([part[3] for part in parts]),
        np.concatenate([part[4] for part in parts]),
    )


def _chunk(
    tables: DecisionInputs, rules: Rules, averages: Averages
) -> tuple[pl.Series, Ints, Floats, Floats, Ints]:
    found = build_candidates(
        tables,
        rules.actions,
        rules.policy,
        rules.levers,
        averages,
        as_of=rules.as_of,
        settings=rules.settings,
    )
    best = found.best_per_mode()
    at = np.maximum(best, 0)
    gain = found.factors.uplift * found.factors.relevance
    value = np.where(best >= 0, np.take_along_axis(found.value, at, 1), 0.0)
    uplift = np.where(best >= 0, np.take_along_axis(gain, at, 1), 0.0)
    scores, lower = _mode_table(tables, found.facts)
    _, preferred = keep_preferred(scores, lower, preferred_modes(tables, found.facts))
    return closed_by(found.stage, found.rest), best, value, uplift, preferred


def closed_by(stage: np.ndarray, rest: pl.Series) -> pl.Series:
    """Return why nothing is open for each customer: the furthest stage reached, or null."""
    reached = stage.max(axis=1, initial=Stage.NOT_ELIGIBLE)
    names = np.array([member.name.lower() for member in Stage], dtype=object)
    closed = pl.Series(names[reached], dtype=pl.String)
    frame = pl.DataFrame({"closed": closed, "rest": rest})
    return frame.select(
        pl.when(pl.col("closed") == "policy")
        .then(pl.coalesce("rest", "closed"))
        .when(pl.col("closed") != "open")
        .then("closed")
    ).to_series()


def _mode_table(tables: DecisionInputs, facts: pl.DataFrame) -> tuple[Floats, Floats]:
    """Return uplift and its lower bound as scored, shape (customers, modes)."""
    frame = facts.select("customer_id")
    for mode in MODES:
        of_mode = tables["mode"].filter(pl.col("mode") == str(mode)).unique("customer_id")
        frame = frame.join(
            of_mode.select(
                "customer_id",
                pl.col("uplift_amount").alias(f"u_{mode}"),
                pl.col("uplift_lower").alias(f"l_{mode}"),
            ),
            on="customer_id",
            how="left",
            maintain_order="left",
        )
    filled = frame.with_columns(pl.exclude("customer_id").fill_null(0.0))
    uplift = filled.select([f"u_{mode}" for mode in MODES]).to_numpy()
    lower = filled.select([f"l_{mode}" for mode in MODES]).to_numpy()
    return uplift, lower
