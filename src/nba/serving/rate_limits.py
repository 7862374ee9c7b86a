"""How many requests a key, and an address, may make."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import ceil
from typing import Any, Final

import limits
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from nba.errors import ConfigError
from nba.logs import log
from nba.serving.errors import TooManyRequestsError
from nba.settings import RateLimits

#: The longest, in seconds, that the store of the counts is waited for.
WAIT_SECONDS: Final = 0.5
#: Seconds for which a store of the counts that failed is not asked again.
REST_SECONDS: Final = 5.0


class Limiter:
    """Counts requests over sliding windows, in this process or in a Redis that several share.

    Parameters
    ----------
    settings : RateLimits
    storage_url : str
        Where counts are kept: `memory://` or `redis://…`.
    clock : callable
        Returns seconds that only grow.

    Raises
    ------
    ConfigError

    Notes
    -----
    While Redis does not answer nobody is refused: a limit protects the service, and must not be
    what stops it.
    """

    def __init__(
        self,
        settings: RateLimits,
        storage_url: str = "memory://",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        waits: dict[str, Any] = {}
        if not storage_url.startswith("memory"):
            waits = {"socket_timeout": WAIT_SECONDS, "socket_connect_timeout": WAIT_SECONDS}
        try:
            storage = storage_from_string(storage_url, wrap_exceptions=True, **waits)
        except Exception as error:  # a driver that is missing, or no URL
            raise ConfigError(
                "the counts of rate limits cannot be kept",
                expected="`rate_limits.storage_url` or NBA_RATE_LIMITS_URL as redis://HOST:PORT",
                found=type(error).__name__,
                next_step="correct it, or install nba[redis]",
            ) from error
        self._strategy = SlidingWindowCounterRateLimiter(storage)
        self._limits = {
            whose: limits.parse(text)
            for whose, text in (("key", settings.per_key), ("address", settings.per_address))
            if text
        }
        self._clock = clock
        self._lock = threading.Lock()
        self._rests_until = float("-inf")

    def count(self, whose: str, which: str) -> None:
        """Count one request of a key or of an address.

        Parameters
        ----------
        whose : str
            `key` or `address`.
        which : str
            Its name.

        Raises
        ------
        TooManyRequestsError
        """
        limit = self._limits.get(whose)
        if limit is None or self._clock() < self._rests_until:
            return
        try:
            if self._strategy.hit(limit, whose, which):
                return
            reset = self._strategy.get_window_stats(limit, whose, which).reset_time
        except StorageError as error:
            with self._lock:
                self._rests_until = self._clock() + REST_SECONDS
            log().error("rate limits are not counted", error=type(error.storage_error).__name__)
            return
        raise TooManyRequestsError(max(1, ceil(reset - time.time())), whose, str(limit))
