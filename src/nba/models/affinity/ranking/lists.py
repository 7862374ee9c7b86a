"""From ranked candidates to lists: exploration beside the best, and diversity.

The ranker's order stands from the top. The last places of every list are kept for the best of
the products that are new to the customer and not yet listed, so that exploration takes nothing
from what is most likely to be bought.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nba.arrays import Bools, Ints, Reals


def rank_within(group: Ints, key: Reals, tie: Ints | None = None) -> Ints:
    """Return each row's rank, from 0, among the rows of its group by falling `key`.

    Parameters
    ----------
    group, tie : arrays of int
        Equal keys are ordered by `tie`; without it, as they stand.
    key : array of float
    """
    order = np.argsort(-key, kind="stable") if tie is None else np.lexsort((tie, -key))
    order = order[np.argsort(_short(group)[order], kind="stable")]
    ranks = np.empty(len(group), dtype=np.int64)
    sizes = np.bincount(group, minlength=int(group.max(initial=-1)) + 1)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    ranks[order] = np.arange(len(group)) - starts[group[order]]
    return ranks


def _short(codes: Ints) -> npt.NDArray[np.integer[Any]]:
    """Return the codes in 16 bits where they fit: numpy sorts those in one pass per byte."""
    fits = codes.min(initial=0) >= 0 and codes.max(initial=0) < 1 << 16
    return codes.astype(np.uint16) if fits else codes


def blend_places(
    customer: Ints,
    tie: Ints,
    is_repeat: Bools,
    *,
    score: Reals,
    explore_score: Reals,
    share: float | None,
    top_n: int,
) -> tuple[Reals, Bools]:
    """Return the place that each candidate wants, smaller first, and who has it by exploration.

    Parameters
    ----------
    customer : array of int of shape (candidates,)
    tie : array of int of shape (candidates,)
        What orders equal scores, smaller first.
    is_repeat : array of bool of shape (candidates,)
    score, explore_score : arrays of float of shape (candidates,)
        From the ranker of all candidates and from the ranker of new ones.
    share : float or None
        Share of each list, at its end, kept for new products; None for the order of `score`.
    top_n : int
        Length of a list.
    """
    rank = rank_within(customer, score, tie)
    kept = 0 if share is None else round(share * top_n)
    top = rank < top_n - kept
    at = np.flatnonzero(~top & ~is_repeat & np.isfinite(explore_score))
    at = at[rank_within(customer[at], explore_score[at], tie[at]) < kept]
    place = np.where(top, rank, top_n + rank).astype(np.float64)
    place[at] = top_n - kept + rank_within(customer[at], explore_score[at], tie[at])
    explored = np.zeros(len(customer), dtype=bool)
    explored[at] = True
    return place, explored


def diversify(customer: Ints, product: Ints, category: Ints, place: Reals, largest: int) -> Reals:
    """Return the places, with what exceeds `largest` of one category sent to the end.

    Products without a category are never too many.

    Parameters
    ----------
    customer, product : arrays of int
        Shape (candidates,).
    category : array of int
        Shape (candidates,), -1 for none.
    place : array of float
        Shape (candidates,): where each wants to stand, smaller first.
    largest : int
        Products of one category in a list.
    """
    known = category >= 0
    if not known.any():
        return place
    line = customer - (customer.min() if len(customer) else 0)
    group = line * (int(category.max(initial=0)) + 1) + np.maximum(category, 0)
    crowded = known & (rank_within(group, -place, product) >= largest)
    return place + np.where(crowded, 1e9, 0.0)


def top_lists(customer: Ints, product: Ints, place: Reals, top_n: int) -> tuple[Ints, Ints]:
    """Return which candidates are listed, and the rank of each from 0.

    Parameters
    ----------
    customer, product : arrays of int
        Shape (candidates,); ties go to the smaller product.
    place : array of float
        Shape (candidates,): where each wants to stand, smaller first.
    top_n : int
        Length of a list.
    """
    rank = rank_within(customer, -place, product)
    listed = np.flatnonzero(rank < top_n)
    listed = listed[np.lexsort((rank[listed], customer[listed]))]
    return listed, rank[listed]
