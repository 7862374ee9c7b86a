"""A store or a server that is away for a moment does not end a night."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity import wait_exponential as exponential

from nba.errors import NbaError, UnavailableError

#: How often something is tried in all; the pauses between are 2, 4, 8, 16 and 32 seconds.
ATTEMPTS: Final = 6
FIRST_PAUSE: Final = 2.0
#: Waits; a test has no time for it.
pause: Callable[[float], None] = time.sleep

Result = TypeVar("Result")


def patiently(work: Callable[[], Result], say: Callable[[str], None]) -> Result:
    """Do some work, again after a pause where what it needs does not answer.

    Parameters
    ----------
    work : callable
        What may be done twice.
    say : callable
        Shows a line.

    Raises
    ------
    UnavailableError
        Where it does not answer after all attempts.
    """

    def told(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        seconds = state.next_action.sleep if state.next_action else 0.0
        what = error.what if isinstance(error, NbaError) else error
        say(f"{what}: tried again in {seconds:.0f} s")

    return Retrying(
        retry=retry_if_exception_type(UnavailableError),
        wait=exponential(multiplier=FIRST_PAUSE),
        stop=stop_after_attempt(ATTEMPTS),
        before_sleep=told,
        sleep=lambda seconds: pause(seconds),
        reraise=True,
    )(work)
