"""If the clerk does not act: another channel, once. Whichever comes first cancels the other.

An action with a fallback is `armed` until something closes it. Feedback and the decision at the
deadline change the same row under the same condition, so that exactly one of them finds it armed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from nba.schema.words import FeedbackKind
from nba.stores.lists import BLOCKED, BOUGHT, COMPLAINED, CONTACTED
from nba.stores.schema import actions, chat_recipients, consents, fallbacks, feedback, outbox

_KEYS: Final = 500


class FallbackState(StrEnum):
    """How a fallback stands."""

    ARMED = "armed"
    FIRED = "fired"
    CANCELLED = "cancelled"


#: Feedback by which the clerk did act: only an action that lapsed leaves the other channel open.
ACTED: Final = (
    FeedbackKind.SENT,
    FeedbackKind.SKIPPED,
    FeedbackKind.DISMISSED,
    FeedbackKind.UNDELIVERED,
)
#: What a customer did that leaves nothing to say.
_OVERTAKEN: Final = (BOUGHT, CONTACTED, BLOCKED, COMPLAINED)


def arm(connection: Connection, rows: Sequence[Mapping[str, Any]], now: datetime) -> int:
    """Keep fallbacks that are not kept yet; return how many.

    Parameters
    ----------
    connection : Connection
    rows : sequence of mapping
        action_id, customer_id, clerk_id, channel, begins_at and deadline (UTC).
    now : datetime
    """
    known: set[str] = set()
    for start in range(0, len(rows), _KEYS):
        part = [row["action_id"] for row in rows[start : start + _KEYS]]
        query = select(fallbacks.c.action_id).where(fallbacks.c.action_id.in_(part))
        known |= set(connection.scalars(query))
    new = [
        {**row, "state": str(FallbackState.ARMED), "armed_at": now}
        for row in rows
        if row["action_id"] not in known
    ]
    if new:
        connection.execute(insert(fallbacks), new)
    return len(new)


def due(connection: Connection, now: datetime) -> list[Row[Any]]:
    """Return armed fallbacks whose deadline has come, the oldest first."""
    query = select(fallbacks).where(
        fallbacks.c.state == str(FallbackState.ARMED), fallbacks.c.deadline <= now
    )
    return list(connection.execute(query.order_by(fallbacks.c.deadline, fallbacks.c.action_id)))


def settle(
    connection: Connection, action_id: str, state: FallbackState, reason: str, now: datetime
) -> bool:
    """Fire or cancel a fallback; False where it was no longer armed.

    Parameters
    ----------
    connection : Connection
    action_id : str
    state : FallbackState
    reason : str
    now : datetime
    """
    done = connection.execute(
        update(fallbacks)
        .where(fallbacks.c.action_id == action_id, fallbacks.c.state == str(FallbackState.ARMED))
        .values(state=str(state), reason=reason, settled_at=now)
    )
    return done.rowcount == 1


def acted(connection: Connection, action_id: str, kind: FeedbackKind, now: datetime) -> None:
    """Cancel the fallback of an action on which the clerk acted.

    Parameters
    ----------
    connection : Connection
    action_id : str
    kind : FeedbackKind
    now : datetime
    """
    if kind in ACTED:
        settle(connection, action_id, FallbackState.CANCELLED, str(kind), now)


def hindrance(connection: Connection, row: Any) -> str | None:
    """Return why an action needs no other channel; None where it does.

    `waits` says that the platform has not told yet what became of the message.
    """
    outcome = select(chat_recipients.c.outcome).where(chat_recipients.c.action_id == row.action_id)
    if connection.scalar(outcome) == "waiting":
        return WAITS
    did = select(feedback.c.kind).where(
        feedback.c.action_id == row.action_id, feedback.c.kind.in_([str(one) for one in ACTED])
    )
    kind = connection.scalar(did.limit(1))
    if kind is not None:
        return str(kind)
    planned = select(actions.c.action_id).where(actions.c.action_id == row.action_id)
    if connection.scalar(planned) is None:
        return "withdrawn"
    news = select(outbox.c.signal).where(
        outbox.c.customer_id == row.customer_id,
        outbox.c.signal.in_(_OVERTAKEN),
        outbox.c.occurred_at >= row.begins_at,
    )
    signal = connection.scalar(news.limit(1))
    if signal is not None:
        return str(signal)
    refused = select(consents.c.consent_id).where(
        consents.c.customer_id == row.customer_id,
        consents.c.is_latest,
        ~consents.c.consent_contact,
    )
    return "consent" if connection.scalar(refused.limit(1)) is not None else None


#: The platform has not said yet what became of the message.
WAITS: Final = "waits"


def summary(connection: Connection) -> dict[str, int]:
    """Count fallbacks by state and reason."""
    query = select(fallbacks.c.state, fallbacks.c.reason, func.count()).group_by(
        fallbacks.c.state, fallbacks.c.reason
    )
    return {
        " ".join(part for part in (state, reason) if part): count
        for state, reason, count in connection.execute(query)
    }
