"""The strict draw: one of N integer plans per clerk, each of them within the minutes.

With a floor of 1/N under every open action, N plans are made for each clerk. Every action
of the shortlist, and leaving its customer alone, is forced in one of them; what remains of
the minutes is filled optimally. One plan is drawn, each with probability 1/N, so the
probability of an action is the share of the plans that hold it: exact, at least the
floor, and no draw ever runs over. (A convex combination of integer points of the knapsack,
where rounding of the linear programme's optimum would have to keep one action's minutes
in reserve.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nba.arrays import Bools, Floats, Ints
from nba.decisions.allocation import EPSILON, Programme
from nba.decisions.integer import Knapsacks, cells_up, fill_knapsacks, grid_of, pad

#: The most of a clerk's minutes that forced actions may take, over all plans.
FORCED_SHARE = 0.12
_FREE, _ALONE = -2, -1


@dataclass(frozen=True)
class PlanMixture:
    """The plans of all clerks.

    Parameters
    ----------
    table : array of int, shape (clerks, items)
        The customers (rows of the programme) among whom each clerk's plans choose; -1
        where a clerk has fewer.
    plan : array of int, shape (clerks, plans, items)
        The alternative of each customer in each plan; -1 is none.
    forced : array of bool, same shape
        Where the alternative was forced.
    slot_plan : array of int, shape (slots, modes)
        The plan in which the customer drawn into a slot of the random few gets the
        alternative of a mode.
    few : array of int, shape (clerks,)
        Slots that each clerk has.
    """

    table: Ints
    plan: Ints
    forced: Bools
    slot_plan: Ints
    few: Ints

    def shares(self, customers: int, alternatives: int) -> Floats:
        """Return the probability of each alternative of the customers in `table`."""
        x = np.zeros((customers, alternatives))
        plans = self.plan.shape[1]
        known = self.table >= 0
        for alternative in range(alternatives):
            count = (self.plan == alternative).sum(axis=1)
            x[self.table[known], alternative] = count[known] / plans
        return x

    def draw(self, plan_index: Ints, customers: int) -> tuple[Ints, Bools]:
        """Return each customer's alternative in the plan drawn for the clerk, and if forced."""
        drawn = np.full(customers, -1, dtype=np.int64)
        forced = np.zeros(customers, dtype=bool)
        clerks = np.arange(len(plan_index))
        known = self.table >= 0
        drawn[self.table[known]] = self.plan[clerks, plan_index][known]
        forced[self.table[known]] = self.forced[clerks, plan_index][known]
        return drawn, forced


def make_plans(
    programme: Programme,
    best: Ints,
    budget: Floats,
    *,
    floor: float,
    slots: int,
    slot_minutes: Floats,
) -> PlanMixture:
    """Make the plans of every clerk.

    Parameters
    ----------
    best : array of int
        The customers of the shortlist, sorted by clerk, the best first.
    budget : array of float, shape (clerks, plans)
        Minutes of each plan; their number is 1 / `floor`, or 1 without exploration.
    slots : int
        Places for the random few.
    slot_minutes : array of float, shape (clerks, modes)
        The most minutes that a customer of the pool may need in each mode.
    """
    clerks, plans = budget.shape
    table = pad(programme.clerk, best, clerks)
    grid = grid_of(np.append(programme.minutes[programme.open], slot_minutes))
    cells = np.floor(budget / grid + EPSILON).astype(np.int64)
    items = _Items.of(programme, table, grid)
    modes = slot_minutes.shape[1]
    explore = floor > 0 and plans > 1
    slots = slots if explore else 0
    slot_plan = (np.arange(slots * modes).reshape(slots, modes) * _stride(plans)) % plans
    state, load, keep, few = _fit(
        items, table, cells, slots, slot_plan, cells_up(slot_minutes, grid), explore
    )
    sacks = Knapsacks(
        value=items.value,
        cells=items.cells,
        owner=np.repeat(np.arange(clerks), plans),
        free=(state == _FREE).reshape(clerks * plans, table.shape[1]),
        budget=np.maximum(cells - load, 0).ravel(),
    )
    picked = fill_knapsacks(sacks).reshape(state.shape)
    forced = state != _FREE
    within = np.arange(table.shape[1])[None, :] < keep[:, None]
    return PlanMixture(
        table=np.where(within, table, -1),
        plan=np.where(forced, state, picked),
        forced=forced & within[:, None, :],
        slot_plan=slot_plan,
        few=few,
    )


def _fit(
    items: _Items,
    table: Ints,
    cells: Ints,
    slots: int,
    slot_plan: Ints,
    slot_cells: Ints,
    explore: bool,
) -> tuple[npt.NDArray[np.int8], Ints, Ints, Ints]:
    """Force actions into plans; where they do not fit, shrink the shortlist from below."""
    clerks, plans = cells.shape
    keep = (table >= 0).sum(axis=1)
    few = np.full(clerks, slots)
    state, load = _force(items, keep, few, slot_plan, slot_cells, plans, explore)
    for _ in range(24):
        crowded = (load > cells).any(axis=1) | (load.sum(axis=1) > FORCED_SHARE * cells.sum(axis=1))
        if not explore or not (crowded & ((keep > 0) | (few > 0))).any():
            break
        few = np.where(crowded, few // 2, few)
        keep = np.where(crowded & (few == 0), (keep * 4) // 5, keep)
        state, load = _force(items, keep, few, slot_plan, slot_cells, plans, explore)
    return state, load, keep, few


@dataclass(frozen=True)
class _Items:
    value: Floats
    cells: Ints
    is_open: Bools

    @classmethod
    def of(cls, programme: Programme, table: Ints, grid: float) -> _Items:
        at = np.maximum(table, 0)
        is_open = programme.open[at] & (table >= 0)[:, :, None]
        value = np.where(is_open, programme.value[at], -np.inf)
        return cls(value, cells_up(programme.minutes[at], grid), is_open)


def _stride(plans: int) -> int:
    """Return a step that visits all plans before it repeats one, and spreads neighbours."""
    step = max(1, round(plans * 0.382))
    while np.gcd(step, plans) != 1:
        step += 1
    return step


def _force(
    items: _Items,
    keep: Ints,
    few: Ints,
    slot_plan: Ints,
    slot_cells: Ints,
    plans: int,
    explore: bool,
) -> tuple[npt.NDArray[np.int8], Ints]:
    """Return what is forced per (clerk, plan, item), and the cells it takes per plan."""
    clerks, count, alternatives = items.value.shape
    state = np.full((clerks, plans, count), _FREE, dtype=np.int8)
    load = np.zeros((clerks, plans), dtype=np.int64)
    outside = np.arange(count)[None, :] >= keep[:, None]
    state[np.broadcast_to(outside[:, None, :], state.shape)] = _ALONE
    if not explore:
        return state, load
    for slot in range(slot_plan.shape[0]):
        for mode in range(slot_plan.shape[1]):
            load[:, slot_plan[slot, mode]] += np.where(few > slot, slot_cells[:, mode], 0)
    # Entries run customer by customer; a customer's own never meet in one plan.
    wide = alternatives + 1
    first = slot_plan.size
    clerk, item = np.nonzero(~outside & items.is_open.any(axis=2))
    for alternative in range(wide):
        plan = ((first + item * wide + alternative) * _stride(plans)) % plans
        if alternative == alternatives:
            state[clerk, plan, item] = _ALONE
            continue
        here = items.is_open[clerk, item, alternative]
        who, where, what = clerk[here], plan[here], item[here]
        state[who, where, what] = alternative
        np.add.at(load, (who, where), items.cells[who, what, alternative])
    return state, load
