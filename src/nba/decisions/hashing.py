"""Stable hashes of ids: the same on every machine, version and day.

Arms and day draws must never move because a library changed its hash, so the hash is
written out: FNV-1a over the bytes, finished by the mixer of splitmix64 (Steele, Lea and
Flood 2014), vectorised over the rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date

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
    units: pl.Series, *, salt: str, day: date, shares: Mapping[str, float], period_days: int
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
    """
    u = uniform(units, f"arm/{salt}/{arm_period(day, period_days)}")
    own = sorted(set(shares) - {*ARM_ORDER, Arm.ENGINE})
    order = [str(arm) for arm in (*ARM_ORDER, *own, Arm.ENGINE)]
    edges = np.cumsum([shares[arm] for arm in order])[:-1]
    names = np.array(order, dtype=object)
    return pl.Series("arm", names[np.searchsorted(edges, u, side="right")], dtype=pl.String)
