"""Carries what waits for webhooks, once or for as long as a service runs."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from threading import Event, Thread
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from nba.errors import NbaError
from nba.logs import log
from nba.stores import hooks
from nba.stores.hooks import Delivery, DeliveryState
from nba.stores.operational import OperationalStore, utc_now
from nba.stores.signing import post
from nba.wiring import Wiring

CONTENT_TYPE: Final = "application/cloudevents+json"
#: How long delivered messages are kept.
KEEP: Final = timedelta(days=30)
#: Seconds between two looks of a courier that runs on.
PAUSE_SECONDS: Final = 5.0


@dataclass
class Round:
    """How many messages one round delivered, failed to deliver, and gave up; what went wrong."""

    delivered: int = 0
    failed: int = 0
    dead: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the round as a person reads it: counts, and the latest failure per webhook."""
        counts = (
            f"{self.delivered} delivered, {self.failed} to be tried again, {self.dead} given up"
        )
        return [counts, *(f"{hook_id}: {what}" for hook_id, what in self.failures.items())]


def deliver_due(
    store: OperationalStore,
    *,
    clock: Callable[[], datetime] = utc_now,
    stop: Event | None = None,
) -> Round:
    """Send every message that is due, each in a transaction of its own.

    Parameters
    ----------
    store : OperationalStore
    clock : callable
        Returns the present moment, aware.
    stop : Event, optional
        Ends the round after the message under way.

    Notes
    -----
    A message that was sent when the process died is sent again: its id is the same, and a receiver
    takes it once by that.
    """
    done = Round()
    with store.database.reading() as connection:
        if not hooks.is_due(connection, clock()):
            return done  # nothing to write, and nobody else has to wait for it
    while stop is None or not stop.is_set():
        with store.database.writing() as connection:
            delivery = hooks.take(connection, clock())
        if delivery is None:
            break
        failure, is_gone = _send(delivery)
        with store.database.writing() as connection:
            state = hooks.settle(connection, delivery, failure, clock())
            if is_gone:
                hooks.gone(connection, delivery, clock())
        done.delivered += state is DeliveryState.DELIVERED
        done.failed += state is DeliveryState.WAITING
        done.dead += state is DeliveryState.DEAD
        if failure is not None:
            done.failures[delivery.hook_id] = failure
    with store.database.writing() as connection:
        hooks.purge(connection, clock() - KEEP)
    return done


def _send(delivery: Delivery) -> tuple[str | None, bool]:
    """Send one message; return what went wrong, and whether the receiver is gone for good."""
    try:
        post(
            delivery.url,
            delivery.event_id,
            delivery.body,
            delivery.secrets,
            content_type=CONTENT_TYPE,
        )
    except urllib.error.HTTPError as error:
        error.close()
        return f"answered {error.code}", error.code == HTTPStatus.GONE
    except urllib.error.URLError as error:
        reason = error.reason
        return (
            reason.strerror if isinstance(reason, OSError) else str(reason)
        ) or "URLError", False
    except (OSError, ValueError) as error:
        return type(error).__name__, False
    return None, False


@contextmanager
def courier(store: OperationalStore) -> Iterator[None]:
    """Deliver in the background while the block lasts."""
    stop = Event()
    thread = Thread(target=_run, args=(store, stop), name="hooks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=PAUSE_SECONDS)


@contextmanager
def told(wiring: Wiring) -> Iterator[None]:
    """Deliver what waits when the block ends, whether it failed or not."""
    try:
        yield
    finally:
        _round(wiring.plan_store, None)


def _run(store: OperationalStore, stop: Event) -> None:
    while not stop.wait(PAUSE_SECONDS):
        _round(store, stop)


def _round(store: OperationalStore, stop: Event | None) -> None:
    """Deliver once; a store that does not answer is logged, and stops nothing else."""
    try:
        done = deliver_due(store, stop=stop)
    except (NbaError, SQLAlchemyError) as error:
        log().error("hooks not delivered", error=type(error).__name__)
        return
    if done.delivered or done.failed or done.dead:
        log().info("hooks", delivered=done.delivered, failed=done.failed, dead=done.dead)
