"""What clerks did with actions, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from nba.schema.words import FeedbackKind
from nba.stores import books, outbox, quotas
from nba.stores.lists import CLOSING
from nba.stores.outbox import SENT_PREFIX, Event, Outcome
from nba.stores.schema import feedback


@dataclass(frozen=True)
class Feedback:
    """One row of feedback; `ts` is an aware moment."""

    feedback_id: str
    action_id: str
    clerk_id: str
    ts: datetime
    kind: FeedbackKind
    reason: str | None = None
    position: int | None = None

    @property
    def row(self) -> dict[str, Any]:
        """The row of the contract's `feedback` table."""
        return {
            "feedback_id": self.feedback_id,
            "action_id": self.action_id,
            "clerk_id": self.clerk_id,
            "ts": self.ts,
            "kind": str(self.kind),
            "reason": self.reason,
            "position": self.position,
        }


def record(
    connection: Connection, entry: Feedback, action: Mapping[str, Any], now: datetime
) -> Outcome:
    """Record feedback on a published action, settle its quota, and note what was sent.

    `sent` creates the interaction unless one with that action_id is already known, so that
    an action counts once however often it is reported.

    Parameters
    ----------
    connection : Connection
        Within a transaction.
    entry : Feedback
    action : mapping of str to object
        The published action, by column.
    now : datetime
        UTC.
    """
    customer_id = str(action["customer_id"])
    event = Event("feedback", entry.row)
    outcome = outbox.accept(connection, event, now, customer_id=customer_id)
    if outcome != "accepted":
        return outcome
    connection.execute(
        insert(feedback),
        entry.row | {"customer_id": customer_id, "accepted_at": now},
    )
    if entry.kind in CLOSING:
        books.touch(connection, customer_id)
    else:
        books.note_shown(connection, str(action["clerk_id"]))
    quotas.settle(connection, entry.action_id, entry.kind, now)
    if entry.kind is FeedbackKind.SENT and not outbox.has_interaction(connection, entry.action_id):
        outbox.accept(connection, Event("interactions", _interaction(entry, action)), now)
    return outcome


def _interaction(entry: Feedback, action: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "interaction_id": SENT_PREFIX + entry.action_id,
        "ts": entry.ts,
        "clerk_id": entry.clerk_id,
        **{
            name: action[name]
            for name in (
                "customer_id",
                "mode",
                "action_type",
                "channel",
                "action_id",
                "propensity",
                "product_ids",
                "content_id",
                "minutes",
            )
        },
    }


def of_action(connection: Connection, action_id: str) -> list[dict[str, Any]]:
    """Return the feedback on one action, oldest first."""
    query = (
        select(feedback)
        .where(feedback.c.action_id == action_id)
        .order_by(feedback.c.ts, feedback.c.feedback_id)
    )
    return [dict(row) for row in connection.execute(query).mappings()]
