"""Webhooks and what waits for them: written with what happened, sent afterwards."""

from __future__ import annotations

import base64
import json
import secrets as random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from nba.errors import NotFoundError
from nba.stores.schema import hook_deliveries, hooks

#: What a CloudEvent's type begins with.
TYPE_PREFIX: Final = "nba."
#: How long the secret before still signs after a rotation.
GRACE: Final = timedelta(days=1)
#: Seconds from one attempt to the next; after the last one a message is a dead letter.
BACKOFF: Final = (5, 300, 1800, 7200, 18_000, 36_000, 36_000)
#: Who takes a message has so long to send it, before another one may.
LEASE: Final = timedelta(minutes=2)


class HookEvent(StrEnum):
    """What a webhook can be told."""

    PLAN_PUBLISHED = "plan.published"
    ACTION_ADDED = "action.added"
    ACTION_WITHDRAWN = "action.withdrawn"
    ACTION_FALLBACK = "action.fallback"
    FEEDBACK_RECORDED = "feedback.recorded"
    EXPERIMENT_STOPPED = "experiment.stopped"
    NIGHT_FAILED = "night.failed"
    ERASURE_DONE = "erasure.done"
    TEST = "test"


class DeliveryState(StrEnum):
    """How a message stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True)
class Delivery:
    """A message that is due.

    Parameters
    ----------
    delivery_id : int
    hook_id : str
    event_id : str
        The message's id, the same for every attempt.
    url : str
    body : str
    secrets : tuple of str
        The secret in force and, for a day after a rotation, the one before.
    attempts : int
        This one included.
    """

    delivery_id: int
    hook_id: str
    event_id: str
    url: str
    body: str
    secrets: tuple[str, ...]
    attempts: int

    def __repr__(self) -> str:
        return f"Delivery({self.event_id!r}, attempts={self.attempts})"


def new_secret() -> str:
    """Return a secret as Standard Webhooks write it."""
    return "whsec_" + base64.b64encode(random.token_bytes(32)).decode()


def add(connection: Connection, url: str, events: Sequence[HookEvent], now: datetime) -> Row[Any]:
    """Keep a webhook; the row returned holds its secret.

    Parameters
    ----------
    connection : Connection
    url : str
        Where messages go.
    events : sequence of HookEvent
        What it is told.
    now : datetime
        UTC.
    """
    row = {
        "hook_id": f"hook_{random.token_hex(8)}",
        "url": url,
        "events": [str(one) for one in events],
        "secret": new_secret(),
        "created_at": now,
    }
    connection.execute(insert(hooks), row)
    return read(connection, str(row["hook_id"]))


def read(connection: Connection, hook_id: str) -> Row[Any]:
    """Return one webhook.

    Raises
    ------
    NotFoundError
    """
    row = connection.execute(select(hooks).where(hooks.c.hook_id == hook_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no webhook {hook_id!r}", next_step="see `nba hooks list`")
    return row


def rotate(connection: Connection, hook_id: str, now: datetime) -> str:
    """Give a webhook a new secret and return it; the one before signs too for a day."""
    row = read(connection, hook_id)
    fresh = new_secret()
    connection.execute(
        update(hooks)
        .where(hooks.c.hook_id == hook_id)
        .values(secret=fresh, old_secret=row.secret, old_secret_until=now + GRACE)
    )
    return fresh


def remove(connection: Connection, hook_id: str) -> None:
    """Forget a webhook and what waits for it."""
    read(connection, hook_id)
    connection.execute(delete(hook_deliveries).where(hook_deliveries.c.hook_id == hook_id))
    connection.execute(delete(hooks).where(hooks.c.hook_id == hook_id))


def listed(connection: Connection) -> list[dict[str, Any]]:
    """Return every webhook without its secrets, with how many messages stand how."""
    counts: dict[str, dict[str, int]] = {}
    query = select(hook_deliveries.c.hook_id, hook_deliveries.c.state, func.count()).group_by(
        hook_deliveries.c.hook_id, hook_deliveries.c.state
    )
    for hook_id, state, number in connection.execute(query):
        counts.setdefault(hook_id, {})[state] = int(number)
    rows = connection.execute(select(hooks).order_by(hooks.c.created_at, hooks.c.hook_id))
    return [
        {
            "hook_id": row.hook_id,
            "url": row.url,
            "events": row.events,
            "created_at": row.created_at,
            "gone_at": row.gone_at,
            **{str(state): counts.get(row.hook_id, {}).get(state, 0) for state in DeliveryState},
        }
        for row in rows
    ]


def is_heard(connection: Connection, event: HookEvent) -> bool:
    """Return whether a webhook asks for an event."""
    query = select(hooks.c.events).where(hooks.c.gone_at.is_(None))
    return any(str(event) in row.events for row in connection.execute(query))


_LISTENING = select(hooks.c.hook_id, hooks.c.events).where(hooks.c.gone_at.is_(None))


def emit(
    connection: Connection,
    event: HookEvent,
    facts: Mapping[str, Any],
    now: datetime,
    *,
    only: str = "",
) -> None:
    """Write what happened for every webhook that asks for it, within the caller's transaction.

    Parameters
    ----------
    connection : Connection
    event : HookEvent
    facts : mapping
        What JSON can hold; nothing that says who a customer is.
    now : datetime
        UTC.
    only : str
        One webhook, whatever it asks for.
    """
    wanted = [
        row.hook_id
        for row in connection.execute(_LISTENING)
        if (row.hook_id == only if only else str(event) in row.events)
    ]
    if not wanted:
        return
    event_id = f"msg_{random.token_hex(12)}"
    # a CloudEvent, https://cloudevents.io, in structured form
    body = json.dumps(
        {
            "specversion": "1.0",
            "id": event_id,
            "source": "/nba",
            "type": TYPE_PREFIX + event,
            "time": now.isoformat(),
            "datacontenttype": "application/json",
            "data": dict(facts),
        },
        default=str,
        ensure_ascii=False,
    )
    rows = [
        {
            "hook_id": hook_id,
            "event_id": event_id,
            "event": str(event),
            "body": body,
            "state": str(DeliveryState.WAITING),
            "attempts": 0,
            "due_at": now,
            "created_at": now,
        }
        for hook_id in wanted
    ]
    connection.execute(insert(hook_deliveries), rows)


def is_due(connection: Connection, now: datetime) -> bool:
    """Return whether any message is due."""
    waiting = (
        select(hook_deliveries.c.delivery_id)
        .join(hooks, hooks.c.hook_id == hook_deliveries.c.hook_id)
        .where(
            hook_deliveries.c.state == str(DeliveryState.WAITING),
            hook_deliveries.c.due_at <= now,
            hooks.c.gone_at.is_(None),
        )
        .limit(1)
    )
    return connection.execute(waiting).first() is not None


def take(connection: Connection, now: datetime) -> Delivery | None:
    """Take the message that has been due longest, or None; no other process has it meanwhile."""
    due = (
        select(hook_deliveries, hooks.c.url, hooks.c.secret, hooks.c.old_secret,
               hooks.c.old_secret_until)
        .join(hooks, hooks.c.hook_id == hook_deliveries.c.hook_id)
        .where(
            hook_deliveries.c.state == str(DeliveryState.WAITING),
            hook_deliveries.c.due_at <= now,
            hooks.c.gone_at.is_(None),
        )
        .order_by(hook_deliveries.c.due_at, hook_deliveries.c.delivery_id)
        .limit(1)
    )  # fmt: skip
    row = connection.execute(due).one_or_none()
    if row is None:
        return None
    claimed = connection.execute(
        update(hook_deliveries)
        .where(
            hook_deliveries.c.delivery_id == row.delivery_id,
            hook_deliveries.c.attempts == row.attempts,
        )
        .values(attempts=row.attempts + 1, due_at=now + LEASE)
    )
    if claimed.rowcount != 1:
        return None
    both = (row.secret, row.old_secret)
    signing = both if row.old_secret and row.old_secret_until > now else both[:1]
    return Delivery(
        row.delivery_id, row.hook_id, row.event_id, row.url, row.body, signing, row.attempts + 1
    )


def settle(
    connection: Connection, delivery: Delivery, failure: str | None, now: datetime
) -> DeliveryState:
    """Note how an attempt ended, and when the next one is due.

    Parameters
    ----------
    connection : Connection
    delivery : Delivery
    failure : str, optional
        What went wrong; None where the receiver took the message.
    now : datetime
        UTC.
    """
    state, due = DeliveryState.DELIVERED, now
    if failure is not None:
        is_last = delivery.attempts > len(BACKOFF)
        state = DeliveryState.DEAD if is_last else DeliveryState.WAITING
        due = now if is_last else now + timedelta(seconds=BACKOFF[delivery.attempts - 1])
    connection.execute(
        update(hook_deliveries)
        .where(hook_deliveries.c.delivery_id == delivery.delivery_id)
        .values(state=str(state), due_at=due, failure=failure)
    )
    return state


def gone(connection: Connection, delivery: Delivery, now: datetime) -> None:
    """The receiver says that it is gone for good (410): nothing is sent to it any more."""
    connection.execute(update(hooks).where(hooks.c.hook_id == delivery.hook_id).values(gone_at=now))


def dead(connection: Connection) -> list[dict[str, Any]]:
    """Return the dead letters, oldest first."""
    columns = ("delivery_id", "hook_id", "event_id", "event", "attempts", "failure", "created_at")
    query = (
        select(*(hook_deliveries.c[name] for name in columns))
        .where(hook_deliveries.c.state == str(DeliveryState.DEAD))
        .order_by(hook_deliveries.c.delivery_id)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def revive(connection: Connection, hook_id: str, now: datetime) -> int:
    """Send the dead letters of a webhook again, and to one that was gone; return how many."""
    read(connection, hook_id)
    connection.execute(update(hooks).where(hooks.c.hook_id == hook_id).values(gone_at=None))
    done = connection.execute(
        update(hook_deliveries)
        .where(
            hook_deliveries.c.hook_id == hook_id,
            hook_deliveries.c.state == str(DeliveryState.DEAD),
        )
        .values(state=str(DeliveryState.WAITING), attempts=0, due_at=now)
    )
    return int(done.rowcount)


def purge(connection: Connection, before: datetime) -> None:
    """Forget messages that were delivered before a moment."""
    connection.execute(
        delete(hook_deliveries).where(
            hook_deliveries.c.state == str(DeliveryState.DELIVERED),
            hook_deliveries.c.due_at < before,
        )
    )
