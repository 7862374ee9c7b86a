"""Customers rescored by the current plan's models and rules, made ready in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from nba.logs import log
from nba.pipeline.rescore import Rescorer
from nba.serving.cards import ProjectCards
from nba.serving.shapes import ProductScore


class LiveRescoring:
    """The `LiveScores` of one project: follows the current plan.

    Parameters
    ----------
    current : callable
        Returns the header of the current plan, or None before the first.
    make : callable
        Makes the rescorer of the plan of a day; takes seconds.
    cards : ProjectCards
        Knows names and prices of products.
    fresh : callable
        Returns what models read of a customer now, by table; nothing where the night's stands.
    is_fresh : callable
        Returns whether a customer's features are newer than the night's.

    Notes
    -----
    A new plan is made ready in a thread of its own, once; until it is, and where that fails,
    answers are None and the service answers from the published plan.
    """

    def __init__(
        self,
        current: Callable[[], Mapping[str, Any] | None],
        make: Callable[[date], Rescorer],
        cards: ProjectCards,
        fresh: Callable[[str], Mapping[str, pl.DataFrame]] = lambda customer_id: {},
        is_fresh: Callable[[str], bool] = lambda customer_id: False,
    ) -> None:
        self._is_fresh = is_fresh
        self._fresh = fresh
        self._current = current
        self._make = make
        self._cards = cards
        self._plan: object = None
        self._rescorer: Rescorer | None = None
        self._maker: threading.Thread | None = None
        #: Boosters give one thread another's answers; and a plan is made once.
        self._lock = threading.Lock()

    def actions(self, customer_id: str) -> list[dict[str, Any]] | None:
        """Return the next best actions, best first; None while no rescorer is ready."""
        rescorer = self._ready()
        if rescorer is None:
            return None
        fresh = self._fresh(customer_id)
        with self._lock:
            return rescorer.customer(customer_id, fresh).to_dicts()

    def knows_today(self, customer_id: str) -> bool:
        """Return whether the customer's features are newer than the night's."""
        return self._is_fresh(customer_id)

    def why(self, customer_id: str) -> list[dict[str, Any]] | None:
        """Return every action type with why it is closed; None while no rescorer is ready."""
        rescorer = self._ready()
        if rescorer is None:
            return None
        fresh = self._fresh(customer_id)
        with self._lock:
            return rescorer.why(customer_id, fresh).to_dicts()

    def products(self, customer_id: str) -> Sequence[ProductScore] | None:
        """Return ranked products; None while no rescorer is ready."""
        rescorer = self._ready()
        if rescorer is None:
            return None
        fresh = self._fresh(customer_id)
        with self._lock:
            ranked = rescorer.scores([customer_id], fresh)["affinity"].sort("rank")
        return self._cards.product_scores(ranked.to_dicts())

    def wait(self) -> None:
        """Begin to make the current plan ready if it is not, and wait for it."""
        self._ready()
        maker = self._maker
        if maker is not None:
            maker.join()

    def _ready(self) -> Rescorer | None:
        header = self._current()
        if header is None:
            return None
        plan = (header["as_of"], header["digest"])
        with self._lock:
            if self._plan == plan:
                return self._rescorer
            if self._maker is None or not self._maker.is_alive():
                arguments = (plan, header["as_of"])
                self._maker = threading.Thread(target=self._prepare, args=arguments, daemon=True)
                self._maker.start()
        return None

    def _prepare(self, plan: object, day: date) -> None:
        rescorer = None
        try:
            rescorer = self._make(day)
        except Exception as error:
            log().error("rescoring is not available", day=str(day), error=type(error).__name__)
        with self._lock:
            self._plan, self._rescorer = plan, rescorer
