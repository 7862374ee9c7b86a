"""The best strict plan of a day's programme: what plans that explore fall short of."""

from __future__ import annotations

import numpy as np

from nba.arrays import Bools, Floats, Ints
from nba.decisions.allocation import EPSILON, Programme, Solution
from nba.decisions.integer import Knapsacks, appeal, cells_up, fill_knapsacks, grid_of, pad


def integer_plan(programme: Programme, relaxed: Solution, *, core: int = 64) -> Ints:
    """Return the best plan that never runs over, one alternative per customer or -1.

    Parameters
    ----------
    relaxed : Solution
        The optimum of the linear programme.
    core : int
        Customers per clerk that are considered: those who gain most, or lose least, at
        the clerk's price of a minute. Items far from that price are settled by it.
    """
    clerks = len(programme.budget)
    rows = core_rows(programme, relaxed.price, relaxed.x.sum(axis=1) > 0, core)
    table = pad(programme.clerk, rows, clerks)
    grid = grid_of(programme.minutes[programme.open])
    at = np.maximum(table, 0)
    is_open = programme.open[at] & (table >= 0)[:, :, None]
    sacks = Knapsacks(
        value=np.where(is_open, programme.value[at], -np.inf),
        cells=cells_up(programme.minutes[at], grid),
        owner=np.arange(clerks),
        free=table >= 0,
        budget=np.floor(programme.budget / grid + EPSILON).astype(np.int64),
    )
    picked = fill_knapsacks(sacks)
    plan = np.full(len(programme.clerk), -1, dtype=np.int64)
    plan[table[table >= 0]] = picked[table >= 0]
    return plan


def core_rows(programme: Programme, price: Floats, taken: Bools, core: int) -> Ints:
    """Return the customers that matter to an integer plan, sorted by clerk, best first.

    Parameters
    ----------
    programme : Programme
    price : array of float
        Shape (clerks,), money per minute.
    taken : array of bool
        Shape (customers,): who is in the plan of the relaxed programme; they always matter.
    core : int
        Customers per clerk besides.
    """
    gain = appeal(programme, price)
    rows = np.flatnonzero(programme.open.any(axis=1) & (taken | np.isfinite(gain)))
    clerk = programme.clerk[rows]
    # Who is far below the price never enters; cut each clerk's list before sorting it.
    key = np.where(taken[rows], np.inf, gain[rows])
    order = np.lexsort((-key, clerk))
    rows, clerk = rows[order], clerk[order]
    place = np.arange(len(rows)) - np.searchsorted(clerk, clerk)
    return rows[(place < core) | taken[rows]]
