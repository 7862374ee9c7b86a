"""Stable hashes of ids: the same on every machine, version and day.

Arms and day draws must never move because a library changed its hash, so the hash is
written out: FNV-1a over the bytes, finished by the mixer of splitmix64 (Steele, Lea and
Flood 2014), vectorised over the rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from nba.schema.words import SIMPLE_ARMS, Arm

_OFFSET = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
#: The order in which the arms take their share of the unit interval; arms with rules of their own
#: follow by name, and the engine is last, so that growing another arm takes customers from the
#: engine only at one end.
ARM_ORDER: tuple[Arm, ...] = (
    Arm.HOLDOUT,
    Arm.RANDOM,
    Arm.BUSINESS_AS_USUAL,
    Arm.OBSERVE,
    *SIMPLE_ARMS,
)

#: Shares that differ by less are the same.
_ALIKE: Final = 1e-9


def _mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def hash_ids(ids: pl.Series, salt: str) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash per id under `salt`."""
    start = np.uint64(
        int.from_bytes(hashlib.blake2b(salt.encode(), digest_size=8).digest(), "little")
    )
    state = np.full(len(ids), start ^ _OFFSET, dtype=np.uint64)
    if not len(ids):
        return state
    texts = [(one or "").encode() for one in ids.cast(pl.String).to_list()]
    lengths = np.fromiter(map(len, texts), dtype=np.uint32, count=len(texts))
    content = np.frombuffer(b"".join(texts), dtype=np.uint8)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    with np.errstate(over="ignore"):
        for position in range(int(lengths.max())):
            rows = np.flatnonzero(lengths > position)
            byte = content[starts[rows] + position].astype(np.uint64)
            state[rows] = (state[rows] ^ byte) * _PRIME
    return _mix(state ^ lengths.astype(np.uint64))


def uniform(ids: pl.Series, salt: str) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) per id, fixed by id and salt."""
    return (hash_ids(ids, salt) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def arm_period(day: date, period_days: int) -> int:
    """Return the number of the arm period in which `day` lies."""
    return (day - date(1970, 1, 1)).days // period_days


def draw_arms(
    units: pl.Series,
    *,
    salt: str,
    day: date,
    shares: Mapping[str, float],
    period_days: int,
    moved: Mapping[str, float] | None = None,
) -> pl.Series:
    """Return the arm of each unit: sticky within a period, drawn anew in the next.

    Parameters
    ----------
    units : Series of str
        The customer, or the group that the customer joined first: members of a group
        share their arm.
    salt : str
    day : date
    shares : mapping of str to float
        The share of every arm.
    period_days : int
        Days for which a unit keeps its arm.
    moved : mapping of str to float, optional
        The shares of today, where they moved within the period; `shares` are then those that it
        began with. An arm that grew or stayed keeps its units, one that shrank gives up some, and
        no others change their arm.
    """
    place = f"arm/{salt}/{arm_period(day, period_days)}"
    u = uniform(units, place)
    own = sorted(set(shares) - {*ARM_ORDER, Arm.ENGINE})
    order = [str(arm) for arm in (*ARM_ORDER, *own, Arm.ENGINE)]
    share = np.array([shares[arm] for arm in order], dtype=np.float64)
    ends = np.cumsum(share)
    drawn = np.searchsorted(ends[:-1], u, side="right")
    if moved is not None:
        now = np.array([moved[arm] for arm in order], dtype=np.float64)
        given_up = u - (ends - share)[drawn] >= now[drawn]
        given_up &= (now < share - _ALIKE)[drawn]
        extra = {
            arm: now[i] - share[i] for i, arm in enumerate(order) if now[i] > share[i] + _ALIKE
        }
        taken = _taken_up(units.filter(pl.Series(given_up)), place, extra)
        drawn[given_up] = [order.index(arm) for arm in taken]
    return pl.Series("arm", np.array(order, dtype=object)[drawn], dtype=pl.String)


def _taken_up(units: pl.Series, place: str, extra: Mapping[str, float]) -> list[str]:
    """Return who takes up each unit, in proportion to the shares that arms gained.

    The arm with the least exponential draw over its weight wins (weighted rendezvous hashing), so
    that who was taken up mostly stays there when the weights change.
    """
    arms = list(extra)
    weights = np.array([extra[arm] for arm in arms])
    waits = [-np.log1p(-uniform(units, f"{place}/{arm}")) for arm in arms]
    best = (np.stack(waits, axis=1) / weights).argmin(axis=1) if arms else []
    return [arms[at] for at in best]
