"""Small writes of several threads done at once by one of them: one transaction, one sync."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from nba.errors import UnavailableError
from nba.stores.database import may_wait

#: The most writes of one transaction.
MOST: Final = 64

#: A write that waits, and what it gave.
Work = Callable[[Any], Any]


class _Waiting:
    """One thread's work, and what became of it."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.woken = threading.Event()
        self.is_done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def end(self, result: Any, error: BaseException | None) -> None:
        """Keep the outcome; the thread is woken by itself."""
        self.result, self.error, self.is_done = result, error, True

    def outcome(self) -> Any:
        """Return the result, or raise what the work raised."""
        if self.error is not None:
            raise self.error
        return self.result


class Group:
    """Lets whoever comes first do the work of all who came meanwhile.

    Parameters
    ----------
    together : callable
        Does several works as one transaction; returns result or error of each, in order. What
        it raises is of all.

    Notes
    -----
    A commit waits for the disk. While one thread waits others come; the next commit is for all of
    them. Nobody waits for company: a thread that finds nobody at work begins at once.
    """

    def __init__(self, together: Callable[[Sequence[Work]], Sequence[Any]]) -> None:
        self._together = together
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._is_led = False

    def do(self, work: Work) -> Any:
        """Do a work, with others or alone; return its result.

        Raises
        ------
        UnavailableError
            The store does not answer: all who wait are told at once, and none waits again.
        """
        may_wait()  # before it may lead: what it waits for is the work of others too
        mine = _Waiting(work)
        with self._lock:
            self._waiting.append(mine)
            leads, self._is_led = not self._is_led, True
        if not leads:
            mine.woken.wait()
        if not mine.is_done:  # it leads: nobody was at work, or who was handed over
            self._lead()
        return mine.outcome()

    def _lead(self) -> None:
        with self._lock:
            part, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            self._work(part)
        finally:
            with self._lock:
                following = self._waiting[:1]
                self._is_led = bool(following)
            for one in (*part, *following):
                one.woken.set()

    def _work(self, part: Sequence[_Waiting]) -> None:
        try:
            found = self._together([one.work for one in part])
        except UnavailableError as error:
            with self._lock:
                behind, self._waiting = self._waiting, []
            for one in (*part, *behind):
                one.end(None, error)
                one.woken.set()
        except BaseException as error:
            if len(part) == 1:
                part[0].end(None, error)
            else:  # one of them ends the transaction of all: each by itself
                for one in part:
                    self._work([one])
        else:
            for one, result in zip(part, found, strict=True):
                failed = isinstance(result, BaseException)
                one.end(None if failed else result, result if failed else None)
