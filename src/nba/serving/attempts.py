"""Wrong keys counted by address, so that guessing is slow and seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final

#: So many wrong keys of one address within so many seconds are answered as wrong keys.
MOST_WRONG_KEYS: Final = 30
WINDOW_SECONDS: Final = 60.0
_MOST_ADDRESSES: Final = 10_000


@dataclass(frozen=True)
class TooMany:
    """An address is over the limit: for how long, and whether this is the first time."""

    seconds: int
    first: bool


class WrongKeys:
    """Counts wrong keys by address in windows of `WINDOW_SECONDS`; each process by itself.

    Parameters
    ----------
    clock : callable
        Returns seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}

    def note(self, address: str) -> TooMany | None:
        """Count one wrong key; return None while there are not too many.

        >>> attempts = WrongKeys(clock=lambda: 7.5)
        >>> [attempts.note("192.0.2.1") for _ in range(MOST_WRONG_KEYS)] == [None] * 30
        True
        >>> attempts.note("192.0.2.1"), attempts.note("192.0.2.2")
        (TooMany(seconds=60, first=True), None)
        """
        now = self._clock()
        with self._lock:
            began, count = self._windows.get(address, (now, 0))
            if now - began >= WINDOW_SECONDS:
                began, count = now, 0
            count += 1
            self._windows[address] = (began, count)
            if len(self._windows) > _MOST_ADDRESSES:
                self._forget(now)
        if count <= MOST_WRONG_KEYS:
            return None
        return TooMany(ceil(began + WINDOW_SECONDS - now), first=count == MOST_WRONG_KEYS + 1)

    def _forget(self, now: float) -> None:
        """Keep the addresses whose window runs, and of those the latest half at most."""
        running = [
            (address, window)
            for address, window in self._windows.items()
            if now - window[0] < WINDOW_SECONDS
        ]
        running.sort(key=lambda entry: entry[1][0])
        self._windows = dict(running[-_MOST_ADDRESSES // 2 :])
