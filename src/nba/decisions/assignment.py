"""From candidates to a drawn plan: shortlist, probabilities, and the draw of the day.

The random few of a clerk's shortlist are drawn uniformly among all customers who are not
among the best, and get exactly the floor. Their minutes are set aside for the longest that
could be drawn, so the probabilities of the best never depend on who was drawn, and the
probability over both draws is a plain product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.decisions.allocation import Programme, affordable_floor, solve
from nba.decisions.hashing import hash_ids, uniform
from nba.decisions.integer import appeal
from nba.decisions.mixture import PlanMixture, make_plans
from nba.decisions.rounding import draw
from nba.decisions.settings import DecisionSettings, Rounding

#: Clerks worked on at once; bounds memory.
BLOCK = 250


@dataclass(frozen=True)
class Assignment:
    """Probabilities and the draw for every customer of the programme.

    Parameters
    ----------
    marginal : array, shape (customers, alternatives)
        Probability over both draws, the shortlist and the plan.
    p_shortlist, listed : array, shape (customers,)
        The chance of being on the shortlist, and who was drawn onto it.
    drawn : array of int, shape (customers,)
        The alternative; -1 is none.
    explored : array of bool, shape (customers,)
        The alternative was drawn to learn, not for its value.
    bound : array, shape (clerks,)
        The optimum of the linear programme without any floor.
    price : array, shape (clerks,)
        What one more minute would earn.
    """

    marginal: Floats
    p_shortlist: Floats
    listed: Bools
    drawn: Ints
    explored: Bools
    bound: Floats
    price: Floats


@dataclass(frozen=True)
class Day:
    """The customers of a day, sorted by clerk.

    Parameters
    ----------
    programme : Programme
        With all open alternatives of customers in the engine's and the random arm; nothing
        is open for others.
    random : array of bool, shape (customers,)
        Customers of the random arm.
    customers, clerks : Series of str
        The ids, in the order of the programme.
    seed : str
        Seed and day; decides every draw.
    """

    programme: Programme
    random: Bools
    customers: pl.Series
    clerks: pl.Series
    seed: str


def assign(day: Day, settings: DecisionSettings) -> Assignment:
    """Return probabilities and the draw of the day, a block of clerks at a time."""
    programme = day.programme
    clerks = len(programme.budget)
    edges = np.searchsorted(programme.clerk, np.arange(0, clerks + BLOCK, BLOCK))
    parts = [
        _assign_block(_block(day, block * BLOCK, rows), settings)
        for block, rows in enumerate(map(slice, edges[:-1], edges[1:]))
    ]
    if not parts:
        return _assign_block(day, settings)
    return Assignment(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in Assignment.__annotations__)
    )


def _block(day: Day, first: int, rows: slice) -> Day:
    programme = day.programme
    return Day(
        Programme(
            programme.clerk[rows] - first,
            programme.value[rows],
            programme.minutes[rows],
            programme.open[rows],
            programme.budget[first : first + BLOCK],
        ),
        day.random[rows],
        day.customers[rows],
        day.clerks[first : first + BLOCK],
        day.seed,
    )


def _assign_block(day: Day, settings: DecisionSettings) -> Assignment:
    shared = day.programme
    fits = shared.minutes <= shared.budget[shared.clerk][:, None] + 1e-9
    is_open = shared.open & fits
    plans = max(1, round(1 / settings.exploration_floor)) if settings.exploration_floor else 100
    plan_index = np.floor(uniform(day.clerks, f"plan/{day.seed}") * plans).astype(np.int64)
    arms = settings.arms
    working = max(1.0 - arms.holdout, 1e-9)
    own = shared.budget * (1.0 - arms.business_as_usual / working)
    sampled = _random_arm(
        day, is_open & day.random[:, None], own, plan_index, plans, arms.random / working
    )
    engine = Programme(
        shared.clerk, shared.value, shared.minutes, is_open & ~day.random[:, None], own
    )
    planned = _engine(engine, own[:, None] - sampled.minutes, plan_index, day, settings)
    mine = day.random
    return Assignment(
        marginal=np.where(mine[:, None], sampled.marginal, planned.marginal),
        p_shortlist=np.where(mine, sampled.chance, planned.p_shortlist),
        listed=np.where(mine, sampled.drawn >= 0, planned.listed),
        drawn=np.where(mine, sampled.drawn, planned.drawn),
        explored=np.where(mine, sampled.drawn >= 0, planned.explored),
        bound=planned.bound,
        price=planned.price,
    )


@dataclass(frozen=True)
class _Sample:
    marginal: Floats
    chance: Floats
    drawn: Ints
    minutes: Floats


def _random_arm(
    day: Day, is_open: Bools, budget: Floats, plan_index: Ints, plans: int, share: float
) -> _Sample:
    """Draw the random arm: so many customers per plan, uniform among their open actions.

    Every place is paid with the longest action of the arm, so the arm never leaves its
    share of the minutes, and how many are drawn does not depend on who is drawn.
    """
    programme = day.programme
    clerk, clerks = programme.clerk, len(programme.budget)
    able = is_open.any(axis=1)
    size = np.bincount(clerk[able], minlength=clerks)
    longest = np.zeros(clerks)
    np.maximum.at(longest, clerk, np.where(is_open, programme.minutes, 0.0).max(axis=1, initial=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(longest > 0, share * programme.budget / longest, 0.0)
        most = np.where(longest > 0, np.floor(budget / longest + 1e-9), 0.0)
    rate = np.minimum(np.minimum(rate, size), most)
    steps = np.floor(np.arange(plans + 1)[None, :] * rate[:, None] + 1e-9)
    places = np.diff(steps, axis=1).astype(np.int64)
    chance = np.where(able, (places.mean(axis=1) / np.maximum(size, 1))[clerk], 0.0)
    number = is_open.sum(axis=1)
    marginal = np.where(is_open, (chance / np.maximum(number, 1))[:, None], 0.0)
    key = uniform(day.customers, f"random/{day.seed}")
    order = rank_within(clerk, np.where(able, key, -np.inf))
    taken = able & (order < places[np.arange(clerks), plan_index][clerk])
    pick = (uniform(day.customers, f"action/{day.seed}") * number).astype(np.int64)
    drawn = np.where(taken, nth_open(is_open, pick), -1)
    return _Sample(marginal, chance, drawn, places * longest[:, None])


def nth_open(is_open: Bools, n: Ints) -> Ints:
    """Return the position of the n-th open alternative of each row."""
    position: Ints = (is_open & (np.cumsum(is_open, axis=1) == n[:, None] + 1)).argmax(axis=1)
    return position


def rank_within(clerk: Ints, key: Floats) -> Ints:
    """Return each row's place (0 first) among the rows of its clerk, by falling key."""
    order = np.lexsort((-key, clerk))
    ordered = clerk[order]
    ranks = np.empty(len(key), dtype=np.int64)
    ranks[order] = np.arange(len(key)) - np.searchsorted(ordered, ordered)
    return ranks


@dataclass(frozen=True)
class _Shortlist:
    """Who is among the best, who is in the pool of the random few, and each one's slot."""

    best: Bools
    pool: Bools
    place: Ints
    slot: Ints


def _shortlist(
    programme: Programme, gain: Floats, taken: Bools, key: Floats, settings: DecisionSettings
) -> _Shortlist:
    able = programme.open.any(axis=1)
    few = min(settings.shortlist_random, settings.shortlist_size)
    place = rank_within(programme.clerk, np.where(able, np.where(taken, np.inf, gain), -np.inf))
    best = able & ((place < settings.shortlist_size - few) | taken)
    pool = able & ~best
    slot = rank_within(programme.clerk, np.where(pool, key, -np.inf))
    return _Shortlist(best, pool, place, np.where(pool, slot, np.iinfo(np.int64).max))


def _engine(
    programme: Programme, budget: Floats, plan_index: Ints, day: Day, settings: DecisionSettings
) -> Assignment:
    """Plan the engine's arm; `budget` has the minutes of each plan, shape (clerks, plans)."""
    mean = Programme(
        programme.clerk, programme.value, programme.minutes, programme.open, budget.mean(axis=1)
    )
    relaxed = solve(mean)
    bound = solve(programme).objective
    key = uniform(day.customers, f"few/{day.seed}")
    taken = relaxed.x.sum(axis=1) > 0
    who = _shortlist(mean, appeal(mean, relaxed.price), taken, key, settings)
    if settings.rounding is Rounding.STRICT:
        part = _strict(mean, who, budget, plan_index, settings)
    else:
        part = _expected(mean, who, budget.min(axis=1), day, settings)
    return Assignment(*part, bound=bound, price=relaxed.price)


def _sorted_rows(programme: Programme, who: _Shortlist) -> Ints:
    rows = np.flatnonzero(who.best)
    ordered: Ints = rows[np.lexsort((who.place[rows], programme.clerk[rows]))]
    return ordered


def _strict(
    programme: Programme,
    who: _Shortlist,
    budget: Floats,
    plan_index: Ints,
    settings: DecisionSettings,
) -> tuple[Floats, Floats, Bools, Ints, Bools]:
    """Draw one of the plans that keep the minutes."""
    customers, modes = programme.value.shape
    clerks = len(programme.budget)
    longest = np.zeros((clerks, modes))
    np.maximum.at(
        longest,
        programme.clerk,
        np.where(programme.open & who.pool[:, None], programme.minutes, 0.0),
    )
    best = _sorted_rows(programme, who)
    floor = settings.exploration_floor
    plans = make_plans(
        programme,
        best,
        budget if floor else budget.min(axis=1, keepdims=True),
        floor=floor,
        slots=min(settings.shortlist_random, settings.shortlist_size),
        slot_minutes=longest,
    )
    if not floor:
        plan_index = np.zeros_like(plan_index)
    x = plans.shares(customers, modes)
    drawn, forced = plans.draw(plan_index, customers)
    listed = np.zeros(customers, dtype=bool)
    listed[plans.table[plans.table >= 0]] = True
    few = plans.few[programme.clerk]
    size = np.bincount(programme.clerk[who.pool], minlength=clerks)
    chance = np.minimum(1.0, few / np.maximum(size[programme.clerk], 1))
    p = np.where(who.pool, chance, listed.astype(np.float64))
    x = np.where(who.pool[:, None] & programme.open, chance[:, None] * floor_of(budget), x)
    slotted = who.pool & (who.slot < few)
    _draw_few(programme, who, plans, slotted, plan_index, drawn, forced)
    return x, p, listed | slotted, drawn, forced & (drawn >= 0)


def _draw_few(
    programme: Programme,
    who: _Shortlist,
    plans: PlanMixture,
    slotted: Bools,
    plan_index: Ints,
    drawn: Ints,
    forced: Bools,
) -> None:
    """Give the random few the alternative that their slot has in the plan drawn."""
    for mode in range(programme.value.shape[1]):
        rows = np.flatnonzero(slotted & programme.open[:, mode])
        turn = plans.slot_plan[who.slot[rows], mode] if rows.size else rows
        hit = rows[turn == plan_index[programme.clerk[rows]]]
        drawn[hit], forced[hit] = mode, True


def floor_of(budget: Floats) -> float:
    """Return the probability of one plan."""
    return 1.0 / int(budget.shape[1])


def _expected(
    programme: Programme, who: _Shortlist, budget: Floats, day: Day, settings: DecisionSettings
) -> tuple[Floats, Floats, Bools, Ints, Bools]:
    """Solve with floors, then round: minutes within the budget but for one action at most."""
    clerks = len(programme.budget)
    clerk = programme.clerk
    few = min(settings.shortlist_random, settings.shortlist_size)
    size = np.bincount(clerk[who.pool], minlength=clerks)
    count: Floats = np.minimum(few, size).astype(np.float64)
    chance = np.where(who.pool, (count / np.maximum(size, 1))[clerk], 0.0)
    long = np.where(programme.open, programme.minutes, 0.0).sum(axis=1)
    most = np.zeros(clerks)
    np.maximum.at(most, clerk, np.where(who.pool, long, 0.0))
    floor = _scaled_floor(programme, who.best, settings.exploration_floor, count * most, long)
    kept = np.maximum(budget - floor * count * most, 0.0)
    inner = Programme(
        clerk, programme.value, programme.minutes, programme.open & who.best[:, None], kept
    )
    floors = np.where(who.best, floor[clerk], 0.0)
    floors = np.minimum(floors, affordable_floor(inner, settings.exploration_floor, who.best, 1.0))
    solution = solve(inner, floors)
    x = np.where(
        who.best[:, None],
        solution.x,
        np.where(who.pool[:, None] & programme.open, floor[clerk][:, None], 0.0),
    )
    slotted = who.pool & (who.slot < few)
    listed = who.best | slotted
    rng = np.random.default_rng(seed_of(f"{day.seed}/{day.clerks[0] if clerks else 0}"))
    given = np.where(listed[:, None], x, 0.0)
    drawn = draw(clerk, given, programme.minutes, rng=rng, clerks=clerks)
    picked = np.take_along_axis(x, np.maximum(drawn, 0)[:, None], 1)[:, 0]
    explored = (drawn >= 0) & (picked <= floor[clerk] * 1.001)
    p = np.where(who.best, 1.0, chance)
    return x * p[:, None], p, listed, drawn, explored


def _scaled_floor(
    programme: Programme, best: Bools, floor: float, few_minutes: Floats, long: Floats
) -> Floats:
    """Return the floor per clerk, scaled down where floors would eat the day."""
    of_best = np.bincount(programme.clerk, weights=long * best, minlength=len(few_minutes))
    need = (of_best + few_minutes) * floor
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(need > 0, np.minimum(1.0, 0.25 * programme.budget / need), 1.0)
    scaled: Floats = floor * scale
    return scaled


def seed_of(text: str) -> int:
    """Return a seed for a generator, fixed by `text`."""
    return int(hash_ids(pl.Series([text]), "seed")[0])
