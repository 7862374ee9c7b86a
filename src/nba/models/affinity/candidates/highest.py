"""The highest scores of each row, without sorting the rows: a shop may sell tens of thousands."""

from __future__ import annotations

from typing import Final

import numpy as np

from nba.arrays import Bools, Ints, Reals

#: A score below this is none.
LEAST_SCORE: Final = 1e-9
#: Columns of which only the highest score is looked at first.
GROUPED: Final = 16


def mark_highest(chosen: Bools, scores: Reals, k: int) -> None:
    """Mark per row the `k` highest positive scores, and what ties with the last of them.

    Parameters
    ----------
    chosen : bool array of shape (rows, columns)
        Is changed.
    scores : array of shape (rows, columns)
    k : int
    """
    if not k or not len(scores):
        return
    line, column, found = _above(scores, k)
    bar = _kth_highest(line, found, len(scores), k)
    kept = found >= bar[line]
    chosen[line[kept], column[kept]] = True


def highest(scores: Reals, k: int) -> tuple[Ints, Ints, Ints]:
    """Return row, column and place (from 0) of the `k` highest positive scores of each row.

    Sorted by row and place; of equal scores the first column stands first.
    """
    line, column, found = _above(scores, k)
    order = np.lexsort((column, -found, line))
    line, column = line[order], column[order]
    place = np.arange(len(line)) - np.searchsorted(line, line)
    kept = place < k
    return line[kept], column[kept], place[kept]


def _above(scores: Reals, k: int) -> tuple[Ints, Ints, Reals]:
    """Return row, column and score of all that may be among the `k` highest of its row."""
    least = np.maximum(_floor(scores, min(k, scores.shape[1])), LEAST_SCORE)
    line, column = np.divmod(np.flatnonzero(scores >= least[:, None]), scores.shape[1])
    return line, column, scores[line, column]


def _floor(scores: Reals, k: int) -> Reals:
    """Return per row a bound from below of the `k`-th highest score, tight for wide rows.

    The highest scores of groups of columns are scores too: the `k`-th of them is no higher.
    """
    groups = max(scores.shape[1] // GROUPED, k)
    whole = groups * (scores.shape[1] // groups)
    best = scores[:, :whole].reshape(len(scores), -1, groups).max(axis=1)
    return np.asarray(np.partition(best, groups - k, axis=1)[:, groups - k])


def _kth_highest(line: Ints, scores: Reals, lines: int, k: int) -> Reals:
    """Return per line its `k`-th highest score, minus infinity where it has fewer; lines rise."""
    counts = np.bincount(line, minlength=lines)
    width = max(int(counts.max(initial=0)), k)
    padded = np.full((lines, width), -np.inf, dtype=scores.dtype)
    first = np.cumsum(counts) - counts
    padded[line, np.arange(len(line)) - first[line]] = scores
    return np.asarray(np.partition(padded, width - k, axis=1)[:, width - k])
