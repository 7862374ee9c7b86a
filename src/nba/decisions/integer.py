"""Strict integer plans by dynamic programming over minutes, for many knapsacks at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from nba.arrays import Bools, Floats, Ints
from nba.decisions.allocation import EPSILON, Programme

#: Grids on which minutes may lie, coarsest first; what fits none is rounded up on the last.
GRIDS: Final = (1.0, 0.5, 0.25)
#: Cells of one table of choices; more knapsacks are solved in turns.
_CELLS: Final = 60_000_000


def grid_of(minutes: Floats) -> float:
    """Return the coarsest grid on which all `minutes` lie, else the finest."""
    known = np.unique(minutes)
    for grid in GRIDS:
        if np.all(np.abs(known / grid - np.round(known / grid)) < EPSILON):
            return grid
    return GRIDS[-1]


def cells_up(minutes: Floats, grid: float) -> Ints:
    """Return minutes in cells of the grid, rounded up: a plan never runs over."""
    cells: Ints = np.ceil(minutes / grid - EPSILON).astype(np.int64)
    return cells


@dataclass(frozen=True)
class Knapsacks:
    """Items of many knapsacks, padded to the same number.

    Parameters
    ----------
    value, cells : array, shape (owners, items, alternatives)
        A closed alternative has the value minus infinity.
    owner : array of int, shape (knapsacks,)
        Whose items a knapsack chooses from.
    free : array of bool, shape (knapsacks, items)
        Items that may be chosen; the others count as settled.
    budget : array of int, shape (knapsacks,)
        Cells.
    """

    value: Floats
    cells: Ints
    owner: Ints
    free: Bools
    budget: Ints


def fill_knapsacks(sacks: Knapsacks) -> Ints:
    """Return the alternative chosen per knapsack and item (-1: none), optimal per knapsack."""
    count, items = sacks.free.shape
    width = int(sacks.budget.max(initial=0)) + 1
    turn = max(1, _CELLS // max(items * width, 1))
    parts = [_fill(sacks, slice(at, at + turn), width) for at in range(0, count, turn)]
    return np.concatenate(parts) if parts else np.zeros((0, items), dtype=np.int64)


def _fill(sacks: Knapsacks, part: slice, width: int) -> Ints:
    owner, free, budget = sacks.owner[part], sacks.free[part], sacks.budget[part]
    count, items = free.shape
    best = np.zeros((count, width))
    chosen = np.full((items, count, width), -1, dtype=np.int8)
    column = np.arange(width)
    for item in range(items):
        rows = np.flatnonzero(free[:, item])
        if not rows.size:
            continue
        before = best[rows]
        now, pick = before.copy(), np.full(before.shape, -1, dtype=np.int8)
        for alternative in range(sacks.value.shape[2]):
            value = sacks.value[owner[rows], item, alternative]
            if not (value > 0).any():
                continue
            at = column[None, :] - sacks.cells[owner[rows], item, alternative][:, None]
            gained = np.take_along_axis(before, np.maximum(at, 0), 1) + value[:, None]
            better = (at >= 0) & (gained > now)
            now = np.where(better, gained, now)
            pick[better] = alternative
        best[rows] = now
        chosen[item, rows] = pick
    return _trace(sacks, owner, budget, chosen)


def _trace(sacks: Knapsacks, owner: Ints, budget: Ints, chosen: np.ndarray) -> Ints:
    items, count, _ = chosen.shape
    plan = np.full((count, items), -1, dtype=np.int64)
    left, rows = budget.copy(), np.arange(count)
    for item in range(items - 1, -1, -1):
        pick = chosen[item, rows, left].astype(np.int64)
        plan[:, item] = pick
        spent = sacks.cells[owner, item, np.maximum(pick, 0)]
        left = left - np.where(pick >= 0, spent, 0)
    return plan


def pad(clerk: Ints, rows: Ints, clerks: int) -> Ints:
    """Return `rows` as (clerks, most rows of a clerk), -1 where there is none.

    `rows` must be sorted by clerk.
    """
    owner = clerk[rows]
    size = np.bincount(owner, minlength=clerks)
    table = np.full((clerks, int(size.max(initial=0))), -1, dtype=np.int64)
    table[owner, np.arange(len(rows)) - np.searchsorted(owner, owner)] = rows
    return table


def appeal(programme: Programme, price: Floats) -> Floats:
    """Return what a customer's best alternative earns beyond the price of its minutes."""
    net = programme.value - price[programme.clerk][:, None] * programme.minutes
    gain: Floats = np.where(programme.open, net, -np.inf).max(axis=1, initial=-np.inf)
    return gain
