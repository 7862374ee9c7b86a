"""What clerks did with actions, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl
from sqlalchemy import Connection, bindparam, func, insert, select

from nba.schema.words import FeedbackKind
from nba.stores import books, fallbacks, outbox, quotas
from nba.stores.book_rows import GROUP
from nba.stores.lists import CLOSING
from nba.stores.outbox import POST_PREFIX, SENT_PREFIX, Event, Outcome
from nba.stores.schema import actions, feedback


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
    #: Of `snoozed`: when the action comes back; an aware moment.
    until: datetime | None = None

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
            "until": self.until,
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
    if entry.kind in (*CLOSING, FeedbackKind.SNOOZED):
        books.touch(connection, customer_id)
    else:
        books.note_shown(connection, str(action["clerk_id"]))
    quotas.settle(connection, entry.action_id, entry.kind, now)
    fallbacks.acted(connection, entry.action_id, entry.kind, now)
    if entry.kind is FeedbackKind.UNDELIVERED:
        outbox.withdraw_sent(connection, entry.action_id)
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


def post_id(audience: str, day: date) -> str:
    """Return the id under which feedback on a post is kept."""
    return f"{POST_PREFIX}{day.isoformat()}:{audience}"


def post_contact(entry: Feedback, member: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of `interactions` of one member whom a post reached."""
    audience = str(member["audience"])
    return {
        "interaction_id": f"{entry.action_id}:{member['customer_id']}",
        "customer_id": member["customer_id"],
        "clerk_id": entry.clerk_id,
        "ts": entry.ts,
        "mode": member["mode"],
        "channel": member["channel"],
        "content_id": member["content_id"],
        "group_id": audience.removeprefix(GROUP) if audience.startswith(GROUP) else None,
        "propensity": member["propensity"],
    }


def record_post(
    connection: Connection,
    entry: Feedback,
    contacts: Sequence[Mapping[str, Any]],
    now: datetime,
) -> Outcome:
    """Record what became of a post, which is about no single customer.

    Parameters
    ----------
    connection : Connection
    entry : Feedback
        `action_id` names the post.
    contacts : sequence of mapping
        Rows of `interactions`, one per member; they follow from `sent`, once.
    now : datetime
    """
    outcome = outbox.accept(connection, Event("feedback", entry.row), now)
    if outcome != "accepted":
        return outcome
    connection.execute(insert(feedback), entry.row | {"customer_id": "", "accepted_at": now})
    if entry.kind is FeedbackKind.SENT:
        for contact in contacts:
            outbox.accept(connection, Event("interactions", contact), now)
    return outcome


def tallies(
    connection: Connection, clerk_ids: Sequence[str], first: date, last: date
) -> list[dict[str, Any]]:
    """Return each listed action of some days with the latest feedback that closed it.

    Parameters
    ----------
    connection : Connection
        Within a transaction.
    clerk_ids : sequence of str
    first, last : date
        Days of the plans; `last` is not among them.

    Returns
    -------
    list of dict
        action_id, clerk_id, as_of, minutes, kind and reason (None where nothing closed it).
    """
    closing = (
        select(feedback.c.action_id, feedback.c.kind, feedback.c.reason)
        .where(feedback.c.kind.in_(CLOSING))
        .order_by(feedback.c.ts, feedback.c.accepted_at)
    )
    latest = {row.action_id: row for row in connection.execute(closing)}
    query = select(
        actions.c.action_id, actions.c.clerk_id, actions.c.as_of, actions.c.minutes
    ).where(
        actions.c.as_of >= first,
        actions.c.as_of < last,
        actions.c.clerk_id.in_(clerk_ids),
        actions.c.rank.is_not(None),
    )
    found = []
    for row in connection.execute(query):
        told = latest.get(row.action_id)
        kind, reason = (told.kind, told.reason) if told else (None, None)
        found.append({**row._mapping, "kind": kind, "reason": reason})
    return found


def snoozed(connection: Connection, after: datetime) -> pl.DataFrame:
    """Return customer_id and until (UTC) of customers set aside beyond `after`."""
    query = (
        select(feedback.c.customer_id, func.max(feedback.c.until).label("until"))
        .where(feedback.c.kind == FeedbackKind.SNOOZED, feedback.c.until > after)
        .group_by(feedback.c.customer_id)
        .order_by(feedback.c.customer_id)
    )
    rows = [(row.customer_id, row.until) for row in connection.execute(query)]
    schema = {"customer_id": pl.String(), "until": pl.Datetime("us", "UTC")}
    return pl.DataFrame(rows, schema=schema, orient="row")


_OF_CLERK = (
    select(actions, feedback.c.kind, feedback.c.reason, feedback.c.ts, feedback.c.until)
    .join(feedback, feedback.c.action_id == actions.c.action_id)
    .where(
        actions.c.as_of == bindparam("day"),
        actions.c.clerk_id == bindparam("clerk"),
        feedback.c.kind.in_((*CLOSING, FeedbackKind.SNOOZED)),
    )
    .order_by(feedback.c.ts, feedback.c.accepted_at)
)


def of_clerk(connection: Connection, clerk_id: str, as_of: date) -> list[dict[str, Any]]:
    """Return what became of a clerk's actions of a day: each with its latest closing feedback."""
    found = connection.execute(_OF_CLERK, {"day": as_of, "clerk": clerk_id})
    latest = {row.action_id: dict(row._mapping) for row in found}
    return sorted(latest.values(), key=lambda row: row["ts"], reverse=True)


def of_action(connection: Connection, action_id: str) -> list[dict[str, Any]]:
    """Return the feedback on one action, oldest first."""
    query = (
        select(feedback)
        .where(feedback.c.action_id == action_id)
        .order_by(feedback.c.ts, feedback.c.feedback_id)
    )
    return [dict(row) for row in connection.execute(query).mappings()]
