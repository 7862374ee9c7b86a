"""What a long comparison is doing, and what it leaves out when its time is up."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter


def _nothing(line: str) -> None:
    """Say nothing."""


class Pace:
    """Says each part as it begins, and which parts are left out once the time is up.

    Parameters
    ----------
    progress : callable
        Takes a line.
    minutes : float
        The time limit. What is asked for is always measured; other methods and intervals are
        left out when it has passed.
    clock : callable
        Returns seconds.
    """

    def __init__(
        self,
        progress: Callable[[str], None] = _nothing,
        minutes: float = math.inf,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._progress, self._seconds, self._clock = progress, 60.0 * minutes, clock
        self._started = clock()
        #: What was left out.
        self.skipped: list[str] = []

    def begin(self, part: str) -> None:
        """Say that a part begins."""
        self._progress(f"{self._clock() - self._started:6.1f} s  {part}")

    def allows(self, part: str) -> bool:
        """Begin a part that may be left out, unless the time is up; return whether it began."""
        if self._clock() - self._started < self._seconds:
            self.begin(part)
            return True
        self.skipped.append(part)
        self.begin(f"left out, the time is up: {part}")
        return False
