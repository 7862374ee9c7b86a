"""Lists worked up to date in the background, within moments of what was accepted."""

from __future__ import annotations

import threading
from collections.abc import Callable

from nba.errors import UnavailableError
from nba.logs import log
from nba.serving.background import Background
from nba.serving.services import Services
from nba.stores.books import Book
from nba.stores.operational import OperationalStore

#: How often a worker looks for books that another left behind.
SWEEP_SECONDS = 5.0


def settled_book(services: Services, clerk_id: str) -> Book | None:
    """Return a clerk's book with all that was accepted worked in; None where there is none.

    While the store takes no writes the book stays as it is: what became untrue is left out of the
    list all the same, and free places wait.
    """
    book = services.store.book(clerk_id)
    if book is None or book.is_settled:
        return book
    try:
        services.store.settle(clerk_id, services.today(book.as_of))
    except UnavailableError as error:
        log().warning("a list waits to be worked up to date", error=type(error).__name__)
        return book
    return services.store.book(clerk_id)


class Settler(Background):
    """A thread that settles touched books: when it is woken, and every few seconds.

    Parameters
    ----------
    store : OperationalStore
    settle : callable
        Settles the book of one clerk.
    """

    def __init__(self, store: OperationalStore, settle: Callable[[str], object]) -> None:
        super().__init__("settler")
        self._store = store
        self._settle = settle
        self._wake = threading.Event()

    def wake(self) -> None:
        """Say that there may be something to settle."""
        self._wake.set()

    def close(self) -> None:
        """End after the book at hand."""
        self._ending.set()
        self._wake.set()
        super().close()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._wake.wait(SWEEP_SECONDS)
            self._wake.clear()
            try:
                for clerk_id in self._store.touched():
                    if self._ending.is_set():
                        return
                    self._settle(clerk_id)
            except Exception as error:  # the next round tries again
                log().error("a list could not be settled", error=type(error).__name__)
