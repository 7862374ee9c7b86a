"""The linear programme of the multiple-choice knapsack, exactly, for all clerks at once.

Per clerk: maximise the summed value of the chosen alternatives within the minutes, at most
one alternative per customer. The optimum lies on the upper hull of each customer's
(minutes, value) points; its increments, taken by falling density until the minutes are
spent, are the solution (Sinha and Zoltners 1979; Zemel 1980). The density at which the
minutes run out is the clerk's shadow price.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nba.arrays import Bools, Floats, Ints

_BUCKETS = 256
#: Below this a probability counts as zero, and above one minus it as one.
EPSILON = 1e-9


@dataclass(frozen=True)
class Programme:
    """The alternatives of all customers, and the minutes of their clerks.

    Parameters
    ----------
    clerk : array of int, shape (customers,)
        The position of the clerk who serves the customer.
    value, minutes : array of float, shape (customers, alternatives)
        Money and clerk time of each alternative; `none` (0, 0) is implied.
    open : array of bool, same shape
        Which alternatives stand.
    budget : array of float, shape (clerks,)
    """

    clerk: Ints
    value: Floats
    minutes: Floats
    open: Bools
    budget: Floats


@dataclass(frozen=True)
class Solution:
    """Probabilities per alternative, the price of a minute, and the objective per clerk."""

    x: Floats
    price: Floats
    objective: Floats


def solve(programme: Programme, floor: Floats | float = 0.0) -> Solution:
    """Return the exact optimum with `floor` under every open alternative and `none`.

    Parameters
    ----------
    floor : float or array of shape (customers,)
        The least probability of each open alternative of a customer, and of `none`.

    Notes
    -----
    With a floor f and k open alternatives, x = f + (1 - (k + 1) f) y turns the programme
    into one without floors. Where the floors alone need more than the budget, the answer
    is the floors; the caller scales them first (see `affordable_floor`).
    """
    is_open = programme.open
    floors = np.where(is_open, np.broadcast_to(floor, is_open.shape[:1])[:, None], 0.0)
    room = 1.0 - floors.sum(axis=1) - np.broadcast_to(floor, is_open.shape[:1])
    clerks = programme.budget.shape[0]
    spent = np.bincount(
        programme.clerk,
        weights=np.where(is_open, floors * programme.minutes, 0.0).sum(axis=1),
        minlength=clerks,
    )
    y, price = _solve_free(programme, room, np.maximum(programme.budget - spent, 0.0))
    x = floors + y * room[:, None]
    gained = np.where(is_open, x * programme.value, 0.0).sum(axis=1)
    objective = np.bincount(programme.clerk, weights=gained, minlength=clerks).astype(np.float64)
    return Solution(x, price, objective)


def _solve_free(programme: Programme, scale: Floats, budget: Floats) -> tuple[Floats, Floats]:
    """Solve with increments scaled per customer; return y and the price per clerk."""
    steps = _hull(programme)
    weight = steps.minutes * scale[steps.row]
    clerk = programme.clerk[steps.row]
    keep = _contenders(clerk, steps.density, weight, budget)
    order = _by_clerk_and_density(clerk[keep], steps.density[keep])
    chosen = keep[order]
    share, price = _fill(clerk[chosen], weight[chosen], steps.density[chosen], budget)
    y = np.zeros(programme.value.shape)
    row, came, went = steps.row[chosen], steps.came[chosen], steps.went[chosen]
    y[row, went] += share
    inner = came >= 0
    y[row[inner], came[inner]] -= share[inner]
    return np.clip(y, 0.0, 1.0), price


@dataclass(frozen=True)
class _Steps:
    """Increments along the hulls: row, from (-1: none) and to alternative, minutes, density."""

    row: Ints
    came: Ints
    went: Ints
    minutes: Floats
    density: Floats


def _hull(programme: Programme) -> _Steps:
    """Return the increments of every customer's upper hull, steepest first."""
    worth = np.flatnonzero((programme.open & (programme.value > 0)).any(axis=1))
    value = np.where(programme.open, programme.value, -np.inf)[worth]
    minutes = programme.minutes[worth]
    at_value, at_minutes = np.zeros(len(worth)), np.zeros(len(worth))
    at = np.full(len(worth), -1, dtype=np.int64)
    parts: list[_Steps] = []
    for _ in range(value.shape[1]):
        ahead = minutes > at_minutes[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (value - at_value[:, None]) / (minutes - at_minutes[:, None])
        slope = np.where(ahead, slope, -np.inf)
        best = slope.max(axis=1)
        tied = slope == best[:, None]
        went = np.where(tied, minutes, -np.inf).argmax(axis=1)
        move = np.flatnonzero(best > 0)
        if not move.size:
            break
        went = went[move]
        gone = minutes[move, went]
        parts.append(_Steps(worth[move], at[move], went, gone - at_minutes[move], best[move]))
        at_value, at_minutes, at = value[move, went], gone, went
        value, minutes, worth = value[move], minutes[move], worth[move]
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return _Steps(none, none, none, np.zeros(0), np.zeros(0))
    return _Steps(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in _Steps.__annotations__
        )
    )


def _squash(density: Floats) -> Floats:
    """Return densities mapped, in order, into (0, 1)."""
    middle = float(np.median(density)) if density.size else 1.0
    squashed: Floats = density / (density + middle)
    return squashed


def _contenders(clerk: Ints, density: Floats, weight: Floats, budget: Floats) -> Ints:
    """Drop increments that a histogram per clerk proves to be beyond the minutes."""
    clerks = budget.shape[0]
    if density.size <= 4 * _BUCKETS:
        return np.arange(density.size)
    bucket = np.minimum((_squash(density) * _BUCKETS).astype(np.int64), _BUCKETS - 1)
    cell = clerk * _BUCKETS + (_BUCKETS - 1 - bucket)
    spent = np.bincount(cell, weights=weight, minlength=clerks * _BUCKETS)
    before = np.cumsum(spent.reshape(clerks, _BUCKETS), axis=1)
    last = (before < budget[:, None] + EPSILON).sum(axis=1)
    return np.flatnonzero(_BUCKETS - 1 - bucket <= last[clerk])


def _by_clerk_and_density(clerk: Ints, density: Floats) -> Ints:
    """Return a stable order by clerk, then falling density."""
    order: Ints = np.lexsort((-density, clerk))
    return order


def _fill(clerk: Ints, weight: Floats, density: Floats, budget: Floats) -> tuple[Floats, Floats]:
    """Take increments in order until the minutes are spent; the last one in part."""
    clerks = budget.shape[0]
    price = np.zeros(clerks)
    if not clerk.size:
        return np.zeros(0), price
    total = np.cumsum(weight)
    first = np.searchsorted(clerk, np.arange(clerks))
    base = np.concatenate([[0.0], total])[first]
    before = total - weight - base[clerk]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip((budget[clerk] - before) / weight, 0.0, 1.0)
    share = np.where(weight <= 0, 0.0, share)
    cut = np.flatnonzero((share < 1.0) & (weight > 0))
    critical, position = np.unique(clerk[cut], return_index=True)
    price[critical] = density[cut[position]]
    return share, price


def affordable_floor(
    programme: Programme, floor: float, listed: Bools, share: float = 0.5
) -> Floats:
    """Return the floor per customer, scaled down where floors would eat the day.

    Parameters
    ----------
    listed : array of bool, shape (customers,)
        Who stands on a shortlist; the others get no floor and are never drawn.
    share : float
        The most of a clerk's minutes that floors may take.
    """
    open_minutes = np.where(programme.open & listed[:, None], programme.minutes, 0.0).sum(axis=1)
    needed = np.bincount(
        programme.clerk, weights=open_minutes * floor, minlength=programme.budget.shape[0]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(needed > 0, np.minimum(1.0, share * programme.budget / needed), 1.0)
    most = 1.0 / (programme.open.sum(axis=1) + 1)
    return np.where(listed, np.minimum(floor * scale[programme.clerk], most), 0.0)
