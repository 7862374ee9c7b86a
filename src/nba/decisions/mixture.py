"""The strict draw, a mixture of plans: one of N integer plans per clerk, each within the minutes.

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
#: How often a shortlist that does not fit is shortened.
_SHRINKS = 24
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
    forcing = _Forcing(items, slot_plan, cells_up(slot_minutes, grid), plans, explore)
    fitted = _fit(forcing, cells, keep=(table >= 0).sum(axis=1), few=np.full(clerks, slots))
    sacks = Knapsacks(
        value=items.value,
        cells=items.cells,
        owner=np.repeat(np.arange(clerks), plans),
        free=(fitted.state == _FREE).reshape(clerks * plans, table.shape[1]),
        budget=np.maximum(cells - fitted.load, 0).ravel(),
    )
    filled = fill_knapsacks(sacks).reshape(fitted.state.shape)
    forced = fitted.state != _FREE
    within = np.arange(table.shape[1])[None, :] < fitted.keep[:, None]
    return PlanMixture(
        table=np.where(within, table, -1),
        plan=np.where(forced, fitted.state, filled),
        forced=forced & within[:, None, :],
        slot_plan=slot_plan,
        few=fitted.few,
    )


@dataclass(frozen=True)
class _Items:
    """The customers of each clerk's table: value, cells and what is open."""

    value: Floats
    cells: Ints
    is_open: Bools

    @classmethod
    def of(cls, programme: Programme, table: Ints, grid: float) -> _Items:
        at = np.maximum(table, 0)
        is_open = programme.open[at] & (table >= 0)[:, :, None]
        value = np.where(is_open, programme.value[at], -np.inf)
        return cls(value, cells_up(programme.minutes[at], grid), is_open)


@dataclass(frozen=True)
class _Forcing:
    """What has to stand in some plan: each action of the shortlist, and of the random few."""

    items: _Items
    slot_plan: Ints
    slot_cells: Ints
    plans: int
    explore: bool


@dataclass(frozen=True)
class _Fitted:
    """What is forced per (clerk, plan, item), the cells it takes per plan, and for how many."""

    state: npt.NDArray[np.int8]
    load: Ints
    keep: Ints
    few: Ints


def _fit(forcing: _Forcing, cells: Ints, *, keep: Ints, few: Ints) -> _Fitted:
    """Force actions into plans; where they do not fit, shrink the shortlist from below."""
    state, load = _force(forcing, keep, few)
    for _ in range(_SHRINKS):
        crowded = (load > cells).any(axis=1) | (load.sum(axis=1) > FORCED_SHARE * cells.sum(axis=1))
        if not forcing.explore or not (crowded & ((keep > 0) | (few > 0))).any():
            break
        few = np.where(crowded, few // 2, few)
        keep = np.where(crowded & (few == 0), (keep * 4) // 5, keep)
        state, load = _force(forcing, keep, few)
    return _Fitted(state, load, keep, few)


def _stride(plans: int) -> int:
    """Return a step that visits all plans before it repeats one, and spreads neighbours."""
    step = max(1, round(plans * 0.382))
    while np.gcd(step, plans) != 1:
        step += 1
    return step


def _force(forcing: _Forcing, keep: Ints, few: Ints) -> tuple[npt.NDArray[np.int8], Ints]:
    """Force the first `keep` items of each clerk and `few` slots; return state and load."""
    items, plans = forcing.items, forcing.plans
    clerks, count, _ = items.value.shape
    state = np.full((clerks, plans, count), _FREE, dtype=np.int8)
    outside = np.arange(count)[None, :] >= keep[:, None]
    state[np.broadcast_to(outside[:, None, :], state.shape)] = _ALONE
    load = np.zeros((clerks, plans), dtype=np.int64)
    if not forcing.explore:
        return state, load
    for slot, mode in np.ndindex(forcing.slot_plan.shape):
        cells = np.where(few > slot, forcing.slot_cells[:, mode], 0)
        load[:, forcing.slot_plan[slot, mode]] += cells
    _force_items(forcing, outside, state, load)
    return state, load


def _force_items(
    forcing: _Forcing, outside: Bools, state: npt.NDArray[np.int8], load: Ints
) -> None:
    """Force each open alternative of an item, and leaving it alone, into one plan of its own.

    Entries run customer by customer; a customer's own never meet in one plan.
    """
    items, plans = forcing.items, forcing.plans
    alternatives = items.value.shape[2]
    clerk, item = np.nonzero(~outside & items.is_open.any(axis=2))
    first = forcing.slot_plan.size + item * (alternatives + 1)
    for alternative in range(alternatives):
        plan = ((first + alternative) * _stride(plans)) % plans
        here = items.is_open[clerk, item, alternative]
        who, where, what = clerk[here], plan[here], item[here]
        state[who, where, what] = alternative
        np.add.at(load, (who, where), items.cells[who, what, alternative])
    state[clerk, ((first + alternatives) * _stride(plans)) % plans, item] = _ALONE
