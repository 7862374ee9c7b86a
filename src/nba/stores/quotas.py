"""The quota ledger: contacts reserved at planning, spent when sent, released otherwise.

One row per action. The messaging platform's own limit is the default: per customer and
calendar month, as many messages as the month has days, on the channels that reach friends.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Any

import polars as pl
from sqlalchemy import Connection, and_, delete, func, insert, literal, or_, select, update

from nba.schema.words import CHAT_CHANNELS, FeedbackKind, Mode
from nba.stores.schema import actions, quotas

RESERVED, SPENT, RELEASED = "reserved", "spent", "released"

_SETTLES = {
    FeedbackKind.SENT: SPENT,
    FeedbackKind.SKIPPED: RELEASED,
    FeedbackKind.DISMISSED: RELEASED,
    FeedbackKind.EXPIRED: RELEASED,
    FeedbackKind.UNDELIVERED: RELEASED,
}


#: Channels on which the messaging platform counts messages.
COUNTED_CHANNELS: tuple[str, ...] = tuple(str(channel) for channel in CHAT_CHANNELS)


def month_limit(day: date) -> int:
    """Return how many messages a customer may receive per channel in the month of `day`.

    >>> month_limit(date(2026, 2, 5))
    28
    """
    return monthrange(day.year, day.month)[1]


def remaining(connection: Connection, day: date) -> pl.DataFrame:
    """Return (customer_id, channel, remaining) where the month of `day` has contacts already.

    Reservations count while their action stands: not those that expired, and not those of
    the plan of `day` itself, which planning again may use again. What is spent counts.
    """
    midnight = datetime.combine(day, time())
    still_reserved = and_(
        quotas.c.state == RESERVED,
        quotas.c.as_of < day,
        or_(quotas.c.expires_at.is_(None), quotas.c.expires_at > midnight),
    )
    query = (
        select(
            quotas.c.customer_id,
            quotas.c.channel,
            (month_limit(day) - func.count()).label("remaining"),
        )
        .where(
            quotas.c.as_of >= day.replace(day=1),
            quotas.c.as_of <= day,
            quotas.c.channel.in_(COUNTED_CHANNELS),
            or_(quotas.c.state == SPENT, still_reserved),
        )
        .group_by(quotas.c.customer_id, quotas.c.channel)
        .order_by(quotas.c.customer_id, quotas.c.channel)
    )
    return pl.DataFrame(
        [dict(row) for row in connection.execute(query).mappings()],
        schema={"customer_id": pl.String, "channel": pl.String, "remaining": pl.Float64},
    )


def month(connection: Connection, customer_id: str, day: date) -> list[tuple[str, int, int, int]]:
    """Return (channel, limit, reserved, spent) of a customer for the month of `day`."""
    limit = month_limit(day)
    first, last = day.replace(day=1), day.replace(day=limit)
    counts = {
        (row["channel"], row["state"]): row["contacts"]
        for row in used(connection, first, last, [customer_id]).iter_rows(named=True)
    }
    return [
        (channel, limit, counts.get((channel, RESERVED), 0), counts.get((channel, SPENT), 0))
        for channel in COUNTED_CHANNELS
    ]


def reserve_plan(connection: Connection, as_of: date, now: datetime) -> None:
    """Reserve one contact for each action that the plan of `as_of` now holds.

    Open reservations of an earlier plan of the same day go; what was spent stays.
    """
    connection.execute(delete(quotas).where(quotas.c.as_of == as_of, quotas.c.state == RESERVED))
    known = select(quotas.c.action_id).where(quotas.c.as_of == as_of)
    columns = ("action_id", "customer_id", "clerk_id", "channel", "as_of", "expires_at")
    wanted = select(
        *[actions.c[name] for name in columns],
        literal(RESERVED),
        literal(now, quotas.c.reserved_at.type),
    ).where(
        actions.c.as_of == as_of,
        actions.c.mode != Mode.NONE,
        actions.c.action_id.not_in(known),
    )
    connection.execute(insert(quotas).from_select([*columns, "state", "reserved_at"], wanted))


def settle(connection: Connection, action_id: str, kind: FeedbackKind, now: datetime) -> None:
    """Spend or release an action's contact, as its feedback says.

    What is spent is released by `undelivered` alone.

    Parameters
    ----------
    connection : Connection
    action_id : str
    kind : FeedbackKind
        What the clerk did with the action.
    now : datetime
        UTC.
    """
    state = _SETTLES.get(kind)
    if state is None:
        return
    change = update(quotas).where(quotas.c.action_id == action_id)
    if state == RELEASED and kind is not FeedbackKind.UNDELIVERED:
        change = change.where(quotas.c.state == RESERVED)
    connection.execute(change.values(state=state, settled_at=now))


def release_expired(connection: Connection, moment: datetime, now: datetime) -> int:
    """Release what is still reserved for actions that expired by `moment` (local)."""
    result = connection.execute(
        update(quotas)
        .where(quotas.c.state == RESERVED, quotas.c.expires_at <= moment)
        .values(state=RELEASED, settled_at=now)
    )
    return result.rowcount


def used(
    connection: Connection, since: date, until: date, customer_ids: Sequence[str] | None
) -> pl.DataFrame:
    """Return contacts reserved and spent per customer and channel, `since <= as_of <= until`.

    Parameters
    ----------
    connection : Connection
    since, until : date
        Days, both included.
    customer_ids : sequence of str, optional
        None for everybody.
    """
    query = (
        select(
            quotas.c.customer_id, quotas.c.channel, quotas.c.state, func.count().label("contacts")
        )
        .where(quotas.c.as_of >= since, quotas.c.as_of <= until, quotas.c.state != RELEASED)
        .group_by(quotas.c.customer_id, quotas.c.channel, quotas.c.state)
        .order_by(quotas.c.customer_id, quotas.c.channel, quotas.c.state)
    )
    if customer_ids is not None:
        query = query.where(quotas.c.customer_id.in_(customer_ids))
    rows: list[dict[str, Any]] = [dict(row) for row in connection.execute(query).mappings()]
    return pl.DataFrame(
        rows,
        schema={
            "customer_id": pl.String,
            "channel": pl.String,
            "state": pl.String,
            "contacts": pl.Int64,
        },
    )
