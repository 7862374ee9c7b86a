"""From candidates to a drawn plan: shortlist, probabilities, and the draw of the day.

The random few of a clerk's shortlist are drawn uniformly among all customers who are not
among the best, and get exactly the floor. Their minutes are set aside for the longest that
could be drawn, so the probabilities of the best never depend on who was drawn, and the
probability over both draws is a plain product.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.decisions.allocation import EPSILON, Programme, Solution, affordable_floor, solve
from nba.decisions.floors import owed_first
from nba.decisions.hashing import hash_ids, uniform
from nba.decisions.integer import appeal
from nba.decisions.mixture import PlanMixture, make_plans
from nba.decisions.ordering import UNPRICED_ARMS
from nba.decisions.rounding import draw
from nba.decisions.settings import DecisionSettings, Rounding
from nba.schema.words import LISTED_ARMS, OWN_HABIT_ARMS, SIMPLE_ARMS, Arm

#: Clerks worked on at once; bounds memory.
BLOCK = 250
#: The most of a clerk's minutes that floors may take where minutes hold on average.
_FLOOR_SHARE = 0.25


@dataclass(frozen=True)
class Assignment:
    """Probabilities and the draw for every customer of the programme.

    Parameters
    ----------
    marginal : array, shape (customers, alternatives)
        Probability over both draws, the shortlist and the plan.
    p_shortlist, listed : array, shape (customers,)
        The probability of being on the shortlist, and who was drawn onto it.
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
        With all open alternatives of customers in the arms that are listed; nothing is open for
        others.
    arm : array of int, shape (customers,)
        Position of each customer's arm in `LISTED_ARMS`.
    customers, clerks : Series of str
        The ids, in the order of the programme.
    seed : str
        Seed and day; decides every draw.
    owed : array of bool, shape (customers,), optional
        Whose contact comes before what is worth most; without it nobody's.
    """

    programme: Programme
    arm: Ints
    customers: pl.Series
    clerks: pl.Series
    seed: str
    owed: Bools | None = None

    def is_of(self, arm: Arm) -> Bools:
        """Return who is in an arm."""
        mine: Bools = self.arm == LISTED_ARMS.index(arm)
        return mine

    @property
    def is_money(self) -> Bools:
        """Whose values are money: all but those of simple lists that score by something else."""
        unpriced = [LISTED_ARMS.index(arm) for arm in UNPRICED_ARMS]
        return ~np.isin(self.arm, unpriced)

    def in_money(self, settings: DecisionSettings) -> tuple[Programme, float]:
        """Return the programme of those whose values are money, and their share of the minutes."""
        shares = settings.shares
        unpriced = sum(shares[arm] for arm in UNPRICED_ARMS)
        listed = sum(shares[arm] for arm in LISTED_ARMS)
        share = 1.0 - unpriced / max(listed, EPSILON)
        if share <= EPSILON or not unpriced:
            return self.programme, 1.0
        programme = self.programme
        is_open = programme.open & self.is_money[:, None]
        return replace(programme, open=is_open, budget=programme.budget * share), share

    def of_arm(self, arm: Arm, budget: Floats | None = None) -> Day:
        """Return the day with nothing open but for one arm, and its minutes."""
        programme = self.programme
        is_open = programme.open & self.is_of(arm)[:, None]
        minutes = programme.budget if budget is None else budget
        return replace(self, programme=replace(programme, open=is_open, budget=minutes))


def arm_places(arm: pl.Series) -> Ints:
    """Return the position of each arm in `LISTED_ARMS`; -1 where it is not listed."""
    names = {str(name): place for place, name in enumerate(LISTED_ARMS)}
    places = arm.replace_strict(names, default=-1, return_dtype=pl.Int64).fill_null(-1)
    return np.asarray(places.to_numpy(), dtype=np.int64)


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
        day.arm[rows],
        day.customers[rows],
        day.clerks[first : first + BLOCK],
        day.seed,
        None if day.owed is None else day.owed[rows],
    )


def _assign_block(day: Day, settings: DecisionSettings) -> Assignment:
    shared = day.programme
    fits = shared.minutes <= shared.budget[shared.clerk][:, None] + EPSILON
    is_open = shared.open & fits
    plans = max(1, round(1 / settings.exploration_floor)) if settings.exploration_floor else 100
    plan_index = np.floor(uniform(day.clerks, f"plan/{day.seed}") * plans).astype(np.int64)
    shares = settings.shares
    working = max(1.0 - shares[Arm.HOLDOUT], 1e-9)
    habit = sum(shares[arm] for arm in OWN_HABIT_ARMS)
    own = shared.budget * (1.0 - habit / working)
    day = replace(day, programme=replace(shared, open=is_open))
    random = day.of_arm(Arm.RANDOM)
    sample = _random_arm(random, own, plan_index, plans=plans, share=shares[Arm.RANDOM] / working)
    lists = [arm for arm in SIMPLE_ARMS if shares[arm] > 0]
    left = own[:, None] - sample.minutes
    whole = max(1.0 - shares[Arm.RANDOM] - habit - shares[Arm.HOLDOUT], 1e-9)
    parts = [(sample.assignment(), day.is_of(Arm.RANDOM))]
    for arm in (*lists, Arm.ENGINE):
        minutes = shares[arm] / whole
        of_arm = day.of_arm(arm, own * minutes)
        planned = _planned(of_arm, left * minutes, plan_index, settings)
        if arm in UNPRICED_ARMS:
            planned = replace(planned, bound=np.zeros_like(planned.bound))
        parts.append((planned, day.is_of(arm)))
    return _joined(parts)


def _joined(parts: list[tuple[Assignment, Bools]]) -> Assignment:
    """Return the assignments of several arms as one; bounds add up, the price is the engine's."""
    result = parts[-1][0]
    for part, mine in parts[:-1]:
        result = Assignment(
            marginal=np.where(mine[:, None], part.marginal, result.marginal),
            p_shortlist=np.where(mine, part.p_shortlist, result.p_shortlist),
            listed=np.where(mine, part.listed, result.listed),
            drawn=np.where(mine, part.drawn, result.drawn),
            explored=np.where(mine, part.explored, result.explored),
            bound=result.bound + part.bound,
            price=result.price,
        )
    return result


@dataclass(frozen=True)
class _Sample:
    """The random arm: see `Assignment`; `minutes` of each plan, shape (clerks, plans)."""

    marginal: Floats
    p_shortlist: Floats
    drawn: Ints
    minutes: Floats

    def assignment(self) -> Assignment:
        """Return the draw: whoever is drawn explores; without a bound and a price."""
        drawn, none = self.drawn >= 0, np.zeros(len(self.minutes))
        return Assignment(self.marginal, self.p_shortlist, drawn, self.drawn, drawn, none, none)


def _random_arm(day: Day, budget: Floats, plan_index: Ints, *, plans: int, share: float) -> _Sample:
    """Draw the random arm: so many customers per plan, uniform among their open actions.

    Every place is paid with the longest action of the arm, so the arm never leaves its
    share of the minutes, and how many are drawn does not depend on who is drawn.
    """
    programme = day.programme
    clerk, clerks, is_open = programme.clerk, len(programme.budget), programme.open
    able = is_open.any(axis=1)
    size = np.bincount(clerk[able], minlength=clerks)
    longest = _longest(programme).max(axis=1, initial=0)
    places = _places(longest, size, budget, share * programme.budget, plans)
    p_drawn = np.where(able, (places.mean(axis=1) / np.maximum(size, 1))[clerk], 0.0)
    number = is_open.sum(axis=1)
    key = uniform(day.customers, f"random/{day.seed}")
    order = rank_within(clerk, np.where(able, key, -np.inf))
    taken = able & (order < places[np.arange(clerks), plan_index][clerk])
    pick = (uniform(day.customers, f"action/{day.seed}") * number).astype(np.int64)
    return _Sample(
        marginal=np.where(is_open, (p_drawn / np.maximum(number, 1))[:, None], 0.0),
        p_shortlist=p_drawn,
        drawn=np.where(taken, nth_open(is_open, pick), -1),
        minutes=places * longest[:, None],
    )


def _places(longest: Floats, size: Ints, budget: Floats, share: Floats, plans: int) -> Ints:
    """Return how many customers of the random arm each plan draws, shape (clerks, plans).

    Parameters
    ----------
    longest, size, budget, share : array, shape (clerks,)
        The longest action's minutes, the customers, and the minutes: of the day and of the arm.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(longest > 0, share / longest, 0.0)
        most = np.where(longest > 0, np.floor(budget / longest + EPSILON), 0.0)
    rate = np.minimum(np.minimum(rate, size), most)
    steps = np.floor(np.arange(plans + 1)[None, :] * rate[:, None] + EPSILON)
    places: Ints = np.diff(steps, axis=1).astype(np.int64)
    return places


def _longest(programme: Programme) -> Floats:
    """Return the longest open action per clerk and alternative; zero where none is open."""
    clerks, alternatives = len(programme.budget), programme.value.shape[1]
    longest = np.zeros((clerks, alternatives))
    minutes = np.where(programme.open, programme.minutes, 0.0)
    np.maximum.at(longest, programme.clerk, minutes)
    return longest


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
    programme: Programme, relaxed: Solution, key: Floats, settings: DecisionSettings
) -> _Shortlist:
    able = programme.open.any(axis=1)
    taken = relaxed.x.sum(axis=1) > 0
    gain = appeal(programme, relaxed.price)
    few = min(settings.shortlist_random, settings.shortlist_size)
    place = rank_within(programme.clerk, np.where(able, np.where(taken, np.inf, gain), -np.inf))
    best = able & ((place < settings.shortlist_size - few) | taken)
    pool = able & ~best
    slot = rank_within(programme.clerk, np.where(pool, key, -np.inf))
    return _Shortlist(best, pool, place, np.where(pool, slot, np.iinfo(np.int64).max))


def _planned(day: Day, budget: Floats, plan_index: Ints, settings: DecisionSettings) -> Assignment:
    """Plan an arm by its values; `budget` has the minutes of each plan, shape (clerks, plans)."""
    mean = replace(owed_first(day.programme, day.owed), budget=budget.mean(axis=1))
    relaxed = solve(mean)
    key = uniform(day.customers, f"few/{day.seed}")
    shortlist = _shortlist(mean, relaxed, key, settings)
    if settings.rounding is Rounding.STRICT:
        part = _strict(mean, shortlist, budget, plan_index, settings)
    else:
        seed = seed_of(f"{day.seed}/{day.clerks[0] if len(day.clerks) else 0}")
        least = replace(mean, budget=budget.min(axis=1))
        part = _expected(least, mean.budget, shortlist, settings, np.random.default_rng(seed))
    return Assignment(*part, bound=solve(day.programme).objective, price=relaxed.price)


def _strict(
    programme: Programme,
    shortlist: _Shortlist,
    budget: Floats,
    plan_index: Ints,
    settings: DecisionSettings,
) -> tuple[Floats, Floats, Bools, Ints, Bools]:
    """Draw one of the plans that keep the minutes."""
    customers, alternatives = programme.value.shape
    of_pool = replace(programme, open=programme.open & shortlist.pool[:, None])
    floor = settings.exploration_floor
    mixture = make_plans(
        programme,
        _sorted_rows(programme, shortlist),
        budget if floor else budget.min(axis=1, keepdims=True),
        floor=floor,
        slots=min(settings.shortlist_random, settings.shortlist_size),
        slot_minutes=_longest(of_pool),
    )
    if not floor:
        plan_index = np.zeros_like(plan_index)
    x = mixture.shares(customers, alternatives)
    drawn, forced = mixture.draw(plan_index, customers)
    listed = np.zeros(customers, dtype=bool)
    listed[mixture.table[mixture.table >= 0]] = True
    few = mixture.few[programme.clerk]
    size = np.bincount(programme.clerk[shortlist.pool], minlength=len(programme.budget))
    p_slot = np.minimum(1.0, few / np.maximum(size[programme.clerk], 1))
    p_shortlist = np.where(shortlist.pool, p_slot, listed.astype(np.float64))
    x = np.where(of_pool.open, p_slot[:, None] * (1.0 / budget.shape[1]), x)
    slotted = shortlist.pool & (shortlist.slot < few)
    chosen = _slot_alternatives(programme, mixture, shortlist.slot, plan_index)
    drawn = np.where(slotted & (chosen >= 0), chosen, drawn)
    forced = forced | (slotted & (chosen >= 0))
    return x, p_shortlist, listed | slotted, drawn, forced & (drawn >= 0)


def _sorted_rows(programme: Programme, shortlist: _Shortlist) -> Ints:
    """Return the best customers sorted by clerk, the best first."""
    rows = np.flatnonzero(shortlist.best)
    ordered: Ints = rows[np.lexsort((shortlist.place[rows], programme.clerk[rows]))]
    return ordered


def _slot_alternatives(
    programme: Programme, mixture: PlanMixture, slot: Ints, plan_index: Ints
) -> Ints:
    """Return the alternative that each customer's slot has in the plan drawn; -1: none."""
    chosen = np.full(len(slot), -1, dtype=np.int64)
    within = slot < len(mixture.slot_plan)
    for alternative in range(programme.value.shape[1]):
        rows = np.flatnonzero(within & programme.open[:, alternative])
        turn = mixture.slot_plan[slot[rows], alternative]
        chosen[rows[turn == plan_index[programme.clerk[rows]]]] = alternative
    return chosen


def _expected(
    programme: Programme,
    mean_budget: Floats,
    shortlist: _Shortlist,
    settings: DecisionSettings,
    rng: np.random.Generator,
) -> tuple[Floats, Floats, Bools, Ints, Bools]:
    """Solve with floors, then round: minutes within the budget but for one action at most.

    Parameters
    ----------
    programme : Programme
        With the fewest minutes of any plan.
    mean_budget : array of float, shape (clerks,)
        The minutes of the mean plan, of which floors may take a quarter.
    """
    clerk, clerks = programme.clerk, len(programme.budget)
    few = min(settings.shortlist_random, settings.shortlist_size)
    size = np.bincount(clerk[shortlist.pool], minlength=clerks)
    count: Floats = np.minimum(few, size).astype(np.float64)
    all_minutes = np.where(programme.open, programme.minutes, 0.0).sum(axis=1)
    most = np.zeros(clerks)
    np.maximum.at(most, clerk, np.where(shortlist.pool, all_minutes, 0.0))
    floor = settings.exploration_floor * _floor_scale(
        np.bincount(clerk, weights=all_minutes * shortlist.best, minlength=clerks) + count * most,
        settings.exploration_floor,
        mean_budget,
    )
    inner = replace(
        programme,
        open=programme.open & shortlist.best[:, None],
        budget=np.maximum(programme.budget - floor * count * most, 0.0),
    )
    floors = np.where(shortlist.best, floor[clerk], 0.0)
    affordable = affordable_floor(inner, settings.exploration_floor, shortlist.best, 1.0)
    solution = solve(inner, np.minimum(floors, affordable))
    of_pool = np.where(shortlist.pool[:, None] & programme.open, floor[clerk][:, None], 0.0)
    x = np.where(shortlist.best[:, None], solution.x, of_pool)
    listed = shortlist.best | (shortlist.pool & (shortlist.slot < few))
    given = np.where(listed[:, None], x, 0.0)
    drawn = draw(clerk, given, programme.minutes, rng=rng, clerks=clerks)
    picked = np.take_along_axis(x, np.maximum(drawn, 0)[:, None], 1)[:, 0]
    explored = (drawn >= 0) & (picked <= floor[clerk] * 1.001)
    p_slot = np.where(shortlist.pool, (count / np.maximum(size, 1))[clerk], 0.0)
    p_shortlist = np.where(shortlist.best, 1.0, p_slot)
    return x * p_shortlist[:, None], p_shortlist, listed, drawn, explored


def _floor_scale(minutes: Floats, floor: float, budget: Floats) -> Floats:
    """Return the share of the floor that a clerk can pay, where floors would eat the day.

    Parameters
    ----------
    minutes, budget : array of float, shape (clerks,)
        What all open actions of the shortlist would take, and the clerk's day.
    """
    need = minutes * floor
    with np.errstate(divide="ignore", invalid="ignore"):
        scale: Floats = np.where(need > 0, np.minimum(1.0, _FLOOR_SHARE * budget / need), 1.0)
    return scale


def seed_of(text: str) -> int:
    """Return a seed for a generator, fixed by `text`."""
    return int(hash_ids(pl.Series([text]), "seed")[0])
