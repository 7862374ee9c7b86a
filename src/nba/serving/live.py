"""Customers rescored by the current plan's models and rules, made ready in the background."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import polars as pl

from nba.logs import log
from nba.pipeline.rescore import Rescorer
from nba.serving.cards import ProjectCards
from nba.serving.collector import freeze_objects
from nba.serving.shapes import ProductScore

#: Customers whose next actions a process keeps.
MOST_ASKED: Final = 5_000
#: So many customers of a book are worked out at once where nothing was heard of them.
TOGETHER: Final = 50
#: For so long next actions by the day's features are kept: what was heard stays, days pass.
KEEP_SECONDS: Final = 300.0


@dataclass(frozen=True)
class _Asked:
    """Next actions of a customer, and what they were worked out with."""

    rescorer: Rescorer
    moment: int
    until: float
    rows: list[dict[str, Any]]

    def holds(self, rescorer: Rescorer, moment: int, now: float) -> bool:
        return self.rescorer is rescorer and self.moment == moment and now < self.until


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
    moment : callable
        Returns when what is online of a customer was computed: it grows with each refresh.
    night : callable
        Returns the moment of the night's features.

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
        moment: Callable[[str], int] = lambda customer_id: 0,
        night: Callable[[], int] = lambda: 0,
    ) -> None:
        self._moment = moment
        self._night = night
        #: Next actions of customers by what they were asked with, the least used first.
        self._asked: OrderedDict[str, _Asked] = OrderedDict()
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
        moment, now = self._moment(customer_id), time.monotonic()
        with self._lock:
            known = self._asked.get(customer_id)
            if known is not None and known.holds(rescorer, moment, now):
                self._asked.move_to_end(customer_id)
                return known.rows
        fresh = self._fresh(customer_id)
        with self._lock:
            if fresh:
                found = {customer_id: rescorer.customer(customer_id, fresh)}
            else:
                found = rescorer.as_the_night(self._quiet_beside(rescorer, customer_id))
            until = now + KEEP_SECONDS if fresh else math.inf
            for one, actions in found.items():
                at = moment if one == customer_id else self._night()
                self._asked[one] = _Asked(rescorer, at, until, actions.to_dicts())
                self._asked.move_to_end(one)
            rows = self._asked[customer_id].rows
            while len(self._asked) > MOST_ASKED:
                self._asked.popitem(last=False)
        return rows

    def _quiet_beside(self, rescorer: Rescorer, customer_id: str) -> list[str]:
        """Return a customer and others of the clerk's book of whom nothing was heard either."""
        night = self._night()
        others = rescorer.beside(customer_id, TOGETHER)[1:]
        return [customer_id, *(one for one in others if self._moment(one) == night)]

    def knows_today(self, customer_id: str) -> bool:
        """Return whether the customer's features are newer than the night's."""
        return self._moment(customer_id) > self._night()

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
        freeze_objects()
