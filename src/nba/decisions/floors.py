"""Floors of the contact policy: minutes that are kept for what is owed to customers.

Worth alone would give a whole day to goods that are due. A floor keeps a share of each clerk's
minutes for some action types: whoever is *owed* one gets that contact before the rest of the day
goes to what is worth most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.decisions.action_types import ActionType
from nba.decisions.allocation import EPSILON, Programme
from nba.decisions.hashing import uniform
from nba.decisions.policy import Floor
from nba.schema.words import LISTED_ARMS, SIMPLE_ARMS, Arm

#: The arms whose lists keep the floors; the random arm stays uniform.
_ARMS: Final = tuple(LISTED_ARMS.index(arm) for arm in (Arm.ENGINE, *SIMPLE_ARMS))


def best_of_floors(
    actions: Sequence[ActionType], is_open: Bools, value: Floats, floors: Sequence[Floor]
) -> Ints:
    """Return, per customer and floor, the open action worth most per minute, or -1.

    Parameters
    ----------
    actions : sequence of ActionType
        The candidates.
    is_open : array of bool, shape (customers, actions)
    value : array of float, same shape
    floors : sequence of Floor
        A floor that is no duty takes only what is worth more than leaving the customer alone.
    """
    minutes = np.array([action.minutes for action in actions])
    columns = []
    for floor in floors:
        of_floor = [i for i, one in enumerate(actions) if one.action_type in floor.action_types]
        if not of_floor:
            columns.append(np.full(len(value), -1, dtype=np.int64))
            continue
        may = is_open[:, of_floor] & (floor.duty | (value[:, of_floor] > 0))
        density = np.where(may, value[:, of_floor] / minutes[of_floor], -np.inf)
        best = np.array(of_floor)[density.argmax(axis=1)]
        columns.append(np.where(may.any(axis=1), best, -1))
    return np.stack(columns, axis=1) if columns else np.zeros((len(value), 0), dtype=np.int64)


def owed(
    floors: Sequence[Floor],
    programme: Programme,
    arm: Ints,
    clerks: pl.Series,
    shares: Mapping[str, float],
    *,
    forgone: Floats,
    seed: str,
) -> Ints:
    """Return the floor from which each customer is served today, -1: none.

    Parameters
    ----------
    floors : sequence of Floor
        In order: who is served from one is not served from a later one.
    programme : Programme
        With the best action of each floor as an alternative, and the clerks' minutes.
    arm : array of int, shape (customers,)
        Position of each customer's arm in `LISTED_ARMS`.
    clerks : Series of str
        Ids of the clerks, in the order of the programme.
    shares : mapping of str to float
    forgone : array of float, shape (customers,)
        What the customer's best action would earn today beyond the price of its minutes.
    seed : str
        Of the day.

    Returns
    -------
    array of int, shape (customers,)

    Notes
    -----
    The best per minute come first, after what is forgone: who would be contacted about something
    worth much today waits for another day. Whether the last contact, which does not fit wholly, is
    still made is drawn per clerk and day, so that a floor is kept on average whatever an action
    takes. The draw rests on ids and day alone, so propensities are given it.
    """
    served = np.full(len(arm), -1, dtype=np.int64)
    working = max(1.0 - shares[Arm.HOLDOUT], EPSILON)
    cell = programme.clerk * len(LISTED_ARMS) + arm
    part = np.array([shares[name] for name in LISTED_ARMS]) / working
    budget = (programme.budget[:, None] * part[None, :]).ravel()
    left = budget.copy()
    for place, floor in enumerate(floors):
        rows = np.flatnonzero((served < 0) & programme.open[:, place] & np.isin(arm, _ARMS))
        minutes = programme.minutes[rows, place]
        density = (programme.value[rows, place] - forgone[rows]) / minutes
        order = np.lexsort((rows, -density, cell[rows]))
        rows, minutes = rows[order], minutes[order]
        before = _spent_before(cell[rows], minutes)
        chance = uniform(clerks, f"floor/{place}/{seed}")[programme.clerk[rows]]
        within = before + chance * minutes < floor.minutes_share * budget[cell[rows]] - EPSILON
        taken = within & (before + minutes <= left[cell[rows]] + EPSILON)
        served[rows[taken]] = place
        left -= np.bincount(cell[rows[taken]], weights=minutes[taken], minlength=len(left))
    return served


def _spent_before(cell: Ints, minutes: Floats) -> Floats:
    """Return the minutes of the rows before each one in its cell; rows are sorted by cell."""
    total = np.concatenate([[0.0], np.cumsum(minutes)])
    before: Floats = total[:-1] - total[np.searchsorted(cell, cell)]
    return before


def owed_first(programme: Programme, is_owed: Bools | None) -> Programme:
    """Return the programme with the worth of owed contacts lifted above that of all others.

    Parameters
    ----------
    programme : Programme
    is_owed : array of bool, shape (customers,), or None
        None: nobody.
    """
    if is_owed is None or not is_owed.any():
        return programme
    density = np.where(programme.open, programme.value / programme.minutes.clip(0.5), 0.0)
    top = np.zeros(len(programme.budget))
    np.maximum.at(top, programme.clerk, density.max(axis=1, initial=0.0))
    lifted = (2.0 * top + 1.0)[programme.clerk][:, None] * programme.minutes
    value = np.where(is_owed[:, None] & programme.open, lifted + programme.value.clip(0.0), 0.0)
    return replace(programme, value=np.where(is_owed[:, None], value, programme.value))
