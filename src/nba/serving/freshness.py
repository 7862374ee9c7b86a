"""Features made fresh in the background, within moments of what was accepted."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Final, Protocol

from nba.errors import NbaError
from nba.logs import log
from nba.serving.background import Background
from nba.serving.collector import freeze_objects
from nba.stores.outbox import Heard

#: How often, in seconds, it is looked whether anything was accepted.
POLL_SECONDS: Final = 0.05
#: Refreshes begin no closer to each other than this: each costs the same whoever it is about, and
#: what it would take all the time is taken from those who answer.
APART_SECONDS: Final = 0.3
#: How often, in seconds, a process that does not refresh asks whether another still does.
TRY_SECONDS: Final = 2.0
#: The most customers whose features are computed at once.
MOST: Final = 200
#: Rows of PostgreSQL become visible out of order: so many ids are looked at again.
OVERLAP: Final = 2_000


class FreshFeatures(Protocol):
    """Computes features of single customers from the night's base and the day's rows."""

    def heard_today(self) -> Sequence[str]:
        """Return the customers of whom the night did not know all."""

    def base(self) -> object:
        """Return what differs with each new base; None where there is none."""

    def prepare(self, now: datetime) -> None:
        """Make ready what the first refresh of a day would wait for."""

    def refresh(self, customer_ids: Sequence[str], now: datetime) -> None:
        """Bring the features of some customers online as they are at `now` (aware)."""

    def moment(self, customer_id: str) -> int:
        """Return what grows whenever a customer's features are brought online."""


class AcceptedRows(Protocol):
    """What was accepted, in the order of its ids."""

    @property
    def shows_in_order(self) -> bool:
        """Whether a row is never seen before one with a smaller id."""

    def newest_id(self) -> int:
        """Return the id of the newest row."""

    def heard_after(self, floor: int) -> Sequence[Heard]:
        """Return of whom rows after an id are."""


class Refresher(Background):
    """A thread that brings features online of whoever was heard of.

    Parameters
    ----------
    store : AcceptedRows
    features : FreshFeatures
    clock : callable
        Returns the present moment, aware.
    lock : Path
        A file; of all processes beside the same online store, the one that holds it works.
    leave_seconds : float
        For so long the lock is left to a process that is there for it alone.

    Notes
    -----
    It follows the outbox and not the requests: what another worker or another machine accepted,
    and what was accepted while nobody served, is refreshed too. A row whose own moment is still
    to come counts from that moment.
    """

    def __init__(
        self,
        store: AcceptedRows,
        features: FreshFeatures,
        clock: Callable[[], datetime],
        lock: Path,
        leave_seconds: float = 0.0,
    ) -> None:
        super().__init__("refresher")
        self._leave_seconds = leave_seconds
        self._store = store
        self._features = features
        self._clock = clock
        self._lock = lock
        self._overlap = 0 if store.shows_in_order else OVERLAP
        self._waiting: dict[str, None] = {}
        self._later: dict[str, datetime] = {}
        self._seen: set[int] = set()
        self._newest = 0
        self._base: object = None
        self._frozen: object = None

    def _run(self) -> None:
        tried_from = time.monotonic() + self._leave_seconds
        while not self._ending.is_set():
            held = _held(self._lock) if time.monotonic() >= tried_from else None
            if held is None:
                self._stand_by()
                self._ending.wait(TRY_SECONDS)
                continue
            with held:
                self._follow()

    def _stand_by(self) -> None:
        """Make ready what a request for a customer's next action would wait for."""
        try:
            base = self._features.base()
            if base is not None:
                self._features.prepare(self._clock())
                if base != self._frozen:  # the first time, or a new night
                    freeze_objects()
                    self._frozen = base
        except Exception as error:  # the next round tries again
            log().error("fresh features are not ready", error=type(error).__name__)

    def _follow(self) -> None:
        self._base = None
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                is_idle = not self.once()
            except NbaError as error:
                log().error("features could not be refreshed", error=type(error).__name__)
                is_idle = True
            except Exception as error:  # the next round tries again
                log().exception("features could not be refreshed", error=type(error).__name__)
                self._ending.wait(TRY_SECONDS)
                is_idle = True
            apart = APART_SECONDS - (time.monotonic() - began)
            self._ending.wait(POLL_SECONDS if is_idle else max(0.0, apart))

    def once(self) -> bool:
        """Refresh some of those who were heard of; return whether there were any."""
        base = self._features.base()
        if base is None:
            return False
        if base != self._base:  # the first look, or a new night
            self._newest = self._store.newest_id()
            earlier = self._store.heard_after(max(0, self._newest - self._overlap))
            self._seen = {one.outbox_id for one in earlier}
            self._note(self._features.heard_today())
            self._base = base
        self._listen()
        part = list(self._waiting)[:MOST]
        if not part:
            self._features.prepare(self._clock())
            return False
        self._features.refresh(part, self._clock())
        for one in part:
            del self._waiting[one]
        return True

    def _listen(self) -> None:
        now = self._clock()
        if self._store.newest_id() > self._newest:
            floor = max(0, self._newest - self._overlap)
            found = [
                one for one in self._store.heard_after(floor) if one.outbox_id not in self._seen
            ]
            self._note(one.customer_id for one in found)
            self._later |= {
                one.customer_id: one.occurred_at for one in found if one.occurred_at >= now
            }
            self._seen = {one for one in self._seen if one > floor}
            self._seen |= {one.outbox_id for one in found}
            self._newest = max([self._newest, *self._seen])
        due = [one for one, moment in self._later.items() if moment < now]
        self._note(due)
        for one in due:
            del self._later[one]

    def _note(self, customer_ids: Iterable[str]) -> None:
        self._waiting |= dict.fromkeys(customer_ids)


def _held(path: Path) -> IO[str] | None:
    """Return the open file once its lock is ours, or None while another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = path.open("w")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        opened.close()
        return None
    return opened
