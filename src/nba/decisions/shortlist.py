"""From candidates to probabilities: who is on the shortlist, and with which chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nba.decisions.allocation import Flags, Floats, Programme, affordable_floor, solve
from nba.decisions.settings import DecisionSettings, Rounding


@dataclass(frozen=True)
class Chances:
    """Probabilities of a day.

    Parameters
    ----------
    p_shortlist : array, shape (customers,)
        The chance of being on the shortlist.
    listed : array of bool, shape (customers,)
        Who was drawn onto it.
    given_listed : array, shape (customers, alternatives)
        Probabilities once on the shortlist.
    at_floor : array of bool, same shape
        Where the probability is no more than the floor.
    bound : array, shape (clerks,)
        The optimum without any floor or reserve.
    price : array, shape (clerks,)
        What one more minute would earn.
    """

    p_shortlist: Floats
    listed: Flags
    given_listed: Floats
    at_floor: Flags
    bound: Floats
    price: Floats

    @property
    def marginal(self) -> Floats:
        """Probabilities over both draws: the shortlist and the alternative."""
        chances: Floats = self.given_listed * self.p_shortlist[:, None]
        return chances


def rank_within(clerk: np.ndarray, key: Floats) -> np.ndarray:
    """Return each row's place (0 first) among the rows of its clerk, by falling key."""
    order = np.lexsort((np.arange(len(key)), -key, clerk))
    sorted_clerk = clerk[order]
    place = np.arange(len(key)) - np.searchsorted(sorted_clerk, sorted_clerk)
    ranks = np.empty(len(key), dtype=np.int64)
    ranks[order] = place
    return ranks


def best_and_random(
    programme: Programme, taken: Flags, appeal: Floats, lottery: Floats, settings: DecisionSettings
) -> tuple[Flags, Flags, Floats]:
    """Choose who gets a floor: the best of each clerk, and a random few of the others.

    The best are at least all whom the optimum contacts, so that the solution never
    depends on which others were drawn, and marginal probabilities are exact products.
    """
    clerks = len(programme.budget)
    candidate = programme.open.any(axis=1)
    few = min(settings.shortlist_random, settings.shortlist_size)
    place = rank_within(programme.clerk, np.where(candidate, appeal, -np.inf))
    best = candidate & ((place < settings.shortlist_size - few) | taken)
    pool = candidate & ~best
    size = np.bincount(programme.clerk[pool], minlength=clerks)
    chance = np.minimum(1.0, few / np.maximum(size, 1))
    p = np.where(best, 1.0, np.where(pool, chance[programme.clerk], 0.0))
    drawn = pool & (rank_within(programme.clerk, np.where(pool, lottery, -np.inf)) < few)
    return best, drawn, p


def chances(programme: Programme, lottery: Floats, settings: DecisionSettings) -> Chances:
    """Return the probabilities of every customer of the engine arm.

    Parameters
    ----------
    lottery : array, shape (customers,)
        A number per customer, drawn for the day, that decides the random few.
    """
    free = solve(programme)
    floor = settings.exploration_floor
    appeal = _appeal(programme, free.price)
    best, drawn, p = best_and_random(programme, free.x.sum(axis=1) > 0, appeal, lottery, settings)
    pool = (p > 0) & ~best
    floors, few_minutes = _floors(programme, best, pool, p, floor)
    budget = programme.budget - few_minutes
    if settings.rounding is Rounding.STRICT:
        budget = budget - _longest(programme, best | pool)
    is_open = programme.open & best[:, None]
    reduced = Programme(
        programme.clerk, programme.value, programme.minutes, is_open, np.maximum(budget, 0.0)
    )
    scaled = np.minimum(floors, affordable_floor(reduced, floor, best)) * best
    solution = solve(reduced, scaled)
    few = np.where(pool[:, None] & programme.open, floors[:, None], 0.0)
    x = np.where(best[:, None], solution.x, few)
    return Chances(
        p_shortlist=p,
        listed=best | drawn,
        given_listed=x,
        at_floor=x <= np.where(best, scaled, floors)[:, None] * 1.001,
        bound=free.objective,
        price=solution.price,
    )


def _appeal(programme: Programme, price: Floats) -> Floats:
    """Return what the best alternative earns beyond the price of its minutes."""
    net = programme.value - price[programme.clerk][:, None] * programme.minutes
    gain: Floats = np.where(programme.open, net, -np.inf).max(axis=1, initial=-np.inf)
    return gain


def _floors(
    programme: Programme, best: Flags, pool: Flags, p: Floats, floor: float
) -> tuple[Floats, Floats]:
    """Return the floor per customer, and the minutes that the random few may need.

    Whoever of the pool is drawn, the few never need more than their number times the
    longest of them, so the budget of the others does not depend on the draw.
    """
    clerks = len(programme.budget)
    long = np.where(programme.open, programme.minutes, 0.0).sum(axis=1)
    most = np.zeros(clerks)
    np.maximum.at(most, programme.clerk[pool], long[pool])
    count = np.bincount(programme.clerk[pool], weights=p[pool], minlength=clerks)
    best_need = np.bincount(programme.clerk, weights=long * best, minlength=clerks)
    need = floor * (count * most + best_need)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(need > 0, np.minimum(1.0, 0.25 * programme.budget / need), 1.0)
    per_customer = floor * scale[programme.clerk]
    return np.where(best | pool, per_customer, 0.0), floor * scale * count * most


def _longest(programme: Programme, listed: Flags) -> Floats:
    """Return the longest open action per clerk: what a draw may overshoot at most."""
    longest = np.zeros(len(programme.budget))
    minutes = np.where(programme.open & listed[:, None], programme.minutes, 0.0)
    np.maximum.at(longest, programme.clerk, minutes.max(axis=1, initial=0.0))
    return longest
