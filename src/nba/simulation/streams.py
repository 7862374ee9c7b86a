"""Counter-based random numbers: a draw depends on its name, day and index alone.

The value that customer 17 meets on day 40 in stream `need` is the same whatever else was
drawn before, in whatever order and on however many cores. Two policies in the same world
therefore share every draw, and differ only by what their contacts change.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
from scipy.special import ndtri

from nba.arrays import Floats, Ints

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@cache
def _key(seed: int, stream: str, day: int) -> np.uint64:
    digest = hashlib.blake2b(f"{seed}/{stream}/{day}".encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


class Streams:
    """Named streams of random numbers under one seed.

    Parameters
    ----------
    seed : int

    Notes
    -----
    SplitMix64 (Steele, Lea and Flood 2014) over the counter `index`, started at a BLAKE2b
    digest of seed, stream and day.

    Examples
    --------
    >>> draws = Streams(7).uniform("need", np.arange(3), day=4)
    >>> bool((draws[1:] == Streams(7).uniform("need", np.arange(1, 3), day=4)).all())
    True
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def uniform(self, stream: str, index: Ints, *, day: int = 0) -> Floats:
        """Return one draw in the open interval (0, 1) for each index."""
        z = index.astype(np.uint64)
        z *= _GAMMA
        z += _key(self.seed, stream, day)
        z ^= z >> np.uint64(30)
        z *= _FIRST
        z ^= z >> np.uint64(27)
        z *= _SECOND
        z ^= z >> np.uint64(31)
        z >>= np.uint64(11)
        result: Floats = (z.astype(np.float64) + 0.5) * 2.0**-53
        return result

    def normal(self, stream: str, index: Ints, *, day: int = 0) -> Floats:
        """Return one standard normal draw for each index."""
        result: Floats = ndtri(self.uniform(stream, index, day=day))
        return result

    def lognormal(self, stream: str, index: Ints, spread: float, *, day: int = 0) -> Floats:
        """Return draws of mean 1 whose logarithm has standard deviation `spread`.

        Parameters
        ----------
        stream : str
            The name of what is drawn; draws of two names are independent.
        index : array of int
            Whatever tells the draws of a day apart.
        spread : float
        day : int
            Days since the start.
        """
        result: Floats = np.exp(spread * self.normal(stream, index, day=day) - spread**2 / 2)
        return result

    def choice(self, stream: str, index: Ints, shares: Floats, *, day: int = 0) -> Ints:
        """Return a position in `shares` for each index, drawn in proportion to them.

        Parameters
        ----------
        stream : str
            The name of what is drawn; draws of two names are independent.
        index : array of int
            Whatever tells the draws of a day apart.
        shares : array of float
            Weights, of any sum.
        day : int
            Days since the start.
        """
        edges = np.cumsum(shares) / np.sum(shares)
        edges[-1] = 1.0
        return np.searchsorted(edges, self.uniform(stream, index, day=day), side="right").astype(
            np.int64
        )

    def gumbel(self, stream: str, index: Ints, *, day: int = 0) -> Floats:
        """Return one standard Gumbel draw for each index (argmax of logit + Gumbel is softmax)."""
        result: Floats = -np.log(-np.log(self.uniform(stream, index, day=day)))
        return result
