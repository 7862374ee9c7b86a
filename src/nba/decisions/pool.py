"""The customers of a day with their arm and their best action in each mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints, Names
from nba.decisions.candidates import Candidates, build_candidates
from nba.decisions.fatigue_cost import cost_of_fatigue, worth_ahead
from nba.decisions.floors import best_of_floors
from nba.decisions.funnel import Stage, may_contact
from nba.decisions.inputs import DecisionInputs
from nba.decisions.modes import MODES, Averages
from nba.decisions.policy import Floor
from nba.decisions.reasons import TEXT_FACTS
from nba.decisions.rules import DecisionRules
from nba.decisions.settings import DecisionSettings
from nba.decisions.units import drawn_arms, first_groups, own_draws
from nba.models.needs.base import AHEAD_DAYS
from nba.schema.words import SIMPLE_ARMS, Arm

#: Customers worked on at once; bounds memory.
CHUNK: Final = 100_000
#: The fields of a pool that hold a column per mode.
_BY_MODE: Final = ("action", "value", "uplift", "minutes", "need", "category", "ahead", "tires")


@dataclass(frozen=True)
class Pool:
    """All eligible customers, sorted by id, with their best action per mode.

    Parameters
    ----------
    people : DataFrame
        customer_id, clerk_id, arm, closed (why no action is open, else null).
    facts : DataFrame
        Of whom some action is open: the facts that texts and contact windows read.
    action : array of int, shape (customers, modes)
        Position of the action type in the catalogue's enabled ones; -1: none open.
    value, uplift, minutes : array of float, same shape
        The value by the draw, the expected uplift with what is brought, and the clerk time of
        each best action; zero where none is open.
    need, category : array of str, shape (customers, modes)
        The need that each best action serves, and its category; None where there is none.
    ahead : array of float, shape (customers, modes, days)
        What the same contact would be worth later, relative to today.
    tires : array of float, shape (customers, modes)
        By how much the cost of fatigue counts for each best action.
    fatigue_cost : array of float, shape (customers,)
        What a contact today takes from those of the coming weeks.
    preferred : array of int, shape (customers,)
        The preferred mode from now on.
    floor : array of int, shape (customers,)
        The floor of the contact policy from which the customer is served today; -1: none.

    Notes
    -----
    Until `with_floors` has decided who is owed, the best action of each floor follows those of the
    modes.
    """

    people: pl.DataFrame
    facts: pl.DataFrame
    action: Ints
    value: Floats
    uplift: Floats
    minutes: Floats
    need: Names
    category: Names
    ahead: Floats
    tires: Floats
    fatigue_cost: Floats
    preferred: Ints
    floor: Ints

    @classmethod
    def of(cls, people: pl.DataFrame, candidates: Candidates, floors: Sequence[Floor] = ()) -> Pool:
        """Return the pool of `people`, whose candidates stand in the same order.

        With `floors` the best action of each follows those of the modes.
        """
        of_floors = best_of_floors(
            candidates.actions, candidates.stage == Stage.OPEN, candidates.value, floors
        )
        best = np.concatenate([candidates.best_per_mode(), of_floors], axis=1)
        has_action = pl.Series((best >= 0).any(axis=1))

        def picked(values: Floats) -> Floats:
            """Return the values of the best; -1 picks the zero behind the last."""
            with_none = np.pad(values, ((0, 0), (0, 1)))
            return np.take_along_axis(with_none, best, 1)

        minutes = np.array([action.minutes for action in candidates.actions])
        needs, none = candidates.needs, candidates.needs.rows.height
        of_best = np.pad(candidates.effects.need, ((0, 0), (0, 1)), constant_values=none)
        need = np.take_along_axis(of_best, best, 1)
        tires = np.array([action.risk_share for action in candidates.actions]) * candidates.lever
        known = [name for name in candidates.facts.columns if name in TEXT_FACTS]
        return cls(
            people=people.with_columns(candidates.closed()),
            facts=candidates.facts.filter(has_action).select(known),
            action=best,
            value=picked(candidates.value),
            uplift=picked(candidates.effects.expected_gain),
            minutes=picked(np.broadcast_to(minutes, candidates.value.shape)),
            need=needs.names("need_id")[need],
            category=needs.names("category")[need],
            ahead=needs.ahead()[need],
            tires=picked(tires),
            fatigue_cost=np.zeros(len(best)),
            preferred=candidates.scores.preferred,
            floor=np.full(len(best), -1, dtype=np.int64),
        )

    def serving(self, floor: Ints, modes: Ints) -> Pool:
        """Return the pool of one action per mode, with what is owed alone open where it is.

        Parameters
        ----------
        floor : array of int, shape (customers,)
            The floor from which each customer is served, -1: none.
        modes : array of int, shape (actions,)
            Position of each action type's mode.
        """
        rows = np.flatnonzero(floor >= 0)
        extra = len(MODES) + floor[rows]
        mode = modes[self.action[rows, extra]]
        changed = {}
        for name in _BY_MODE:
            values = getattr(self, name)
            kept = values[:, : len(MODES)].copy()
            if name == "action":
                kept[rows] = -1
            kept[rows, mode] = values[rows, extra]
            changed[name] = kept
        return replace(self, floor=floor, **changed)

    def charged(self, cost: Floats) -> Pool:
        """Return the pool with what a contact takes from later ones deducted, (customers,)."""
        value = np.where(self.action >= 0, self.value - cost[:, None] * self.tires, 0.0)
        return replace(self, value=value, fatigue_cost=cost)

    @classmethod
    def concat(cls, parts: list[Pool]) -> Pool:
        """Return the pools of several sets of customers as one."""
        values = [[getattr(part, field.name) for part in parts] for field in fields(cls)]
        frames = [pl.concat(tables) for tables in values[:2]]
        return cls(*frames, *(np.concatenate(arrays) for arrays in values[2:]))


def eligible_customers(
    tables: DecisionInputs, rules: DecisionRules, *, as_of: datetime
) -> pl.DataFrame:
    """Return customer_id, clerk_id and arm of whom some action may reach, sorted by id."""
    state = tables["customer_state"].filter(may_contact())
    if rules.friends_only:
        state = state.filter(pl.col("is_friend"))
    people = state.select("customer_id", "clerk_id")
    return with_arms(tables, people, rules.settings, as_of=as_of)


def with_arms(
    tables: DecisionInputs, people: pl.DataFrame, settings: DecisionSettings, *, as_of: datetime
) -> pl.DataFrame:
    """Add the arm of each customer; members of a group share that of the first they joined.

    Where clerks, stores or groups draw the arms of a test, customers whom the engine would plan are
    in the arm of theirs.

    Parameters
    ----------
    tables : DecisionInputs
        `memberships` is read, and `clerk` where stores draw.
    people : polars.DataFrame
        customer_id, and what else shall stay; clerk_id where clerks or stores draw.
    settings : DecisionSettings
        The salt, shares and period of the arms.
    as_of : datetime
        Its day decides the period.
    """
    units = (
        people.join(first_groups(tables["memberships"]), on="customer_id", how="left")
        .with_columns(unit=pl.coalesce("group", "customer_id"))
        .sort("customer_id")
    )
    arms = own_draws(units["unit"], settings, day=as_of.date())
    found = units.select(people.columns).with_columns(arms)
    if settings.by_units is None:
        return found
    of_units = drawn_arms(tables, found, settings.by_units)
    is_engine = pl.col("arm") == str(Arm.ENGINE)
    return found.with_columns(arm=pl.when(is_engine).then(of_units).otherwise("arm"))


def evaluate(
    tables: DecisionInputs,
    people: pl.DataFrame,
    rules: DecisionRules,
    averages: Averages,
    *,
    as_of: datetime,
) -> Pool:
    """Price customers of whom some action may reach, a chunk at a time.

    Parameters
    ----------
    tables : DecisionInputs
    people : DataFrame
        customer_id, clerk_id and arm, sorted by id.
    rules : DecisionRules
    averages : Averages
        Stand for what is not known of a customer.
    as_of : datetime
    """
    parts = []
    for start in range(0, max(people.height, 1), CHUNK):
        chunk = people[start : start + CHUNK]
        inputs = tables.of_customers(chunk["customer_id"])
        candidates = build_candidates(
            inputs, rules.actions, averages, rules, as_of=as_of, arm=chunk["arm"]
        )
        parts.append(Pool.of(chunk, candidates, rules.policy.floors))
    return Pool.concat(parts)


def fatigue_cost(pool: Pool, price: Floats, rules: DecisionRules) -> Floats:
    """Return what a contact today takes from those of the coming weeks, shape (customers,).

    Parameters
    ----------
    pool : Pool
        Values before this cost.
    price : array of shape (customers,)
        What a minute of the customer's clerk earns today; infinite: nobody would contact them.
    """
    if not rules.settings.factors.fatigue_cost:
        return np.zeros(len(pool.value))
    is_simple = pool.people["arm"].is_in([str(arm) for arm in SIMPLE_ARMS]).to_numpy()
    price = np.where(is_simple, np.inf, price)
    value = np.where((pool.action >= 0) & np.isfinite(price)[:, None], pool.value, 0.0)
    known = np.where(np.isfinite(price), price, 0.0)
    worth = worth_ahead(value, pool.ahead, AHEAD_DAYS, known, pool.minutes)
    cool_down_days = min(spacing.any_mode for spacing in rules.policy.cool_down.values())
    return cost_of_fatigue(
        worth, rules.settings.fatigue_slope, cool_down_weeks=min(cool_down_days / 7.0, 1.0)
    )
