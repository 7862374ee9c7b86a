"""Dependent rounding: from probabilities to a plan, each with exactly its probability.

Pivots move probability between alternatives so that the expected minutes never change:
within a customer among three alternatives, and jointly between two customers (the pivotal
method of Deville and Tille 1998, with the minutes as a second margin). What is left at the
end is one customer per clerk with two alternatives, so the minutes of a draw differ from
the expected ones by less than one action.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from nba.arrays import Bools, Floats, Ints
from nba.decisions.allocation import EPSILON


def draw(clerk: Ints, x: Floats, minutes: Floats, *, rng: np.random.Generator, clerks: int) -> Ints:
    """Draw one alternative per customer; -1 is none.

    Parameters
    ----------
    clerk : array of int, shape (customers,)
    x, minutes : array of float, shape (customers, alternatives)
        Probabilities (what is missing to one is `none`) and clerk minutes.

    Returns
    -------
    array of int, shape (customers,)
        The position of the alternative drawn, with `P(draw == a) == x[:, a]` exactly.
    """
    full = np.concatenate([1.0 - x.sum(axis=1, keepdims=True), x], axis=1)
    length = np.concatenate([np.zeros((len(x), 1)), minutes], axis=1)
    full = _snap(full)
    drawn = full.argmax(axis=1)
    rows = np.flatnonzero(full.max(axis=1) < 1.0)
    if rows.size:
        drawn[rows] = _round(clerk[rows], full[rows], length[rows], rng, clerks)
    alternative: Ints = drawn - 1
    return alternative


def _snap(x: Floats) -> Floats:
    """Clear probabilities that are zero or one but for rounding."""
    x = np.where(x < EPSILON, 0.0, x)
    snapped: Floats = np.where(x > 1.0 - EPSILON, 1.0, x)
    return snapped


def _round(clerk: Ints, x: Floats, minutes: Floats, rng: np.random.Generator, clerks: int) -> Ints:
    x = _pivot_within(x, minutes, rng)
    low, high, p = _pairs(x, minutes)
    span = np.take_along_axis(minutes, high[:, None], 1)[:, 0]
    span = span - np.take_along_axis(minutes, low[:, None], 1)[:, 0]
    up = _pivot_across(clerk, p, span, rng, clerks)
    return np.where(up, high, low)


def _pivot_within(x: Floats, minutes: Floats, rng: np.random.Generator) -> Floats:
    """Pivot among three alternatives of a customer until at most two are open."""
    x = x.copy()
    for _ in range(x.shape[1] - 2):
        inner = (x > 0) & (x < 1)
        rows = np.flatnonzero(inner.sum(axis=1) >= 3)
        if not rows.size:
            break
        triple = np.argsort(~inner[rows], axis=1, kind="stable")[:, :3]
        m = np.take_along_axis(minutes[rows], triple, 1)
        direction = np.stack([m[:, 1] - m[:, 2], m[:, 2] - m[:, 0], m[:, 0] - m[:, 1]], axis=1)
        flat = (direction == 0).all(axis=1)
        direction[flat] = np.array([1.0, -1.0, 0.0])
        here = np.take_along_axis(x[rows], triple, 1)
        there = _snap(here + _step(here, direction, rng)[:, None] * direction)
        x[rows[:, None], triple] = there
    return x


def _step(x: Floats, direction: Floats, rng: np.random.Generator) -> Floats:
    """Return a fair step along `direction` that ends on a bound of [0, 1]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        to_zero = np.where(direction < 0, -x / direction, np.inf)
        to_one = np.where(direction > 0, (1 - x) / direction, np.inf)
        back_zero = np.where(direction > 0, x / direction, np.inf)
        back_one = np.where(direction < 0, -(1 - x) / direction, np.inf)
    forth = np.minimum(to_zero, to_one).min(axis=1)
    back = np.minimum(back_zero, back_one).min(axis=1)
    go = rng.random(len(x)) * (forth + back) < back
    step: Floats = np.where(go, forth, -back)
    return step


def _pairs(x: Floats, minutes: Floats) -> tuple[Ints, Ints, Floats]:
    """Return the shorter and the longer open alternative, and the probability of the longer."""
    inner = x > 0
    low = np.where(inner, minutes, np.inf).argmin(axis=1)
    first = np.where(inner, np.arange(x.shape[1]), -1)
    masked = np.where(inner, minutes, -np.inf)
    np.put_along_axis(masked, low[:, None], -np.inf, 1)
    single = inner.sum(axis=1) == 1
    high = np.where(single, first.max(axis=1), masked.argmax(axis=1))
    p = np.take_along_axis(x, high[:, None], 1)[:, 0]
    return low, high, np.where(single, 1.0, p)


def _pivot_across(
    clerk: Ints, p: Floats, span: Floats, rng: np.random.Generator, clerks: int
) -> Bools:
    """Settle the pairs of each clerk in turn, keeping the expected minutes at each move.

    All clerks move at once: in round k each meets its k-th open customer.
    """
    p = p.copy()
    flat = span <= EPSILON
    p[flat] = (rng.random(int(flat.sum())) < p[flat]).astype(float)
    rows = np.flatnonzero((p > 0) & (p < 1))
    # The longest go first, so that what is left at the end is short.
    rows = rows[np.lexsort((-span[rows], clerk[rows]))]
    owner = clerk[rows]
    place = np.arange(len(rows)) - np.searchsorted(owner, owner)
    held = np.full(clerks, -1, dtype=np.int64)
    by_round = np.argsort(place, kind="stable")
    edges = np.searchsorted(place[by_round], np.arange(int(place.max(initial=-1)) + 2))
    for start, end in pairwise(edges):
        met = rows[by_round[start:end]]
        who = clerk[met]
        carrying = held[who]
        idle = carrying < 0
        held[who[idle]] = met[idle]
        first, second = carrying[~idle], met[~idle]
        if first.size:
            held[clerk[second]] = _meet(p, span, first, second, rng)
    last = held[held >= 0]
    p[last] = (rng.random(len(last)) < p[last]).astype(float)
    return p > 0.5


def _meet(p: Floats, span: Floats, first: Ints, second: Ints, rng: np.random.Generator) -> Ints:
    """Move two customers against each other; return who is still open (-1: neither)."""
    here = np.stack([p[first], p[second]], axis=1)
    direction = np.stack([1.0 / span[first], -1.0 / span[second]], axis=1)
    there = _snap(here + _step(here, direction, rng)[:, None] * direction)
    p[first], p[second] = there[:, 0], there[:, 1]
    first_open = (p[first] > 0) & (p[first] < 1)
    second_open = (p[second] > 0) & (p[second] < 1)
    return np.where(first_open, first, np.where(second_open, second, -1))
