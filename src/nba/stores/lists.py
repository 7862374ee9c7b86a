"""The clerk's list kept true: open actions without what has become untrue since last night."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import (
    BindParameter,
    Connection,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    exists,
    or_,
    select,
)

from nba.schema.words import FeedbackKind, Mode
from nba.stores.plans import flat_action
from nba.stores.schema import actions, consents, feedback, outbox, withdrawn

#: Feedback that closes an action: it leaves the list.
CLOSING: tuple[str, ...] = (
    FeedbackKind.SENT,
    FeedbackKind.SKIPPED,
    FeedbackKind.DISMISSED,
    FeedbackKind.EXPIRED,
    FeedbackKind.UNDELIVERED,
)
#: What a row in the outbox says about its customer.
BOUGHT, CONTACTED, BLOCKED = "bought", "contacted", "blocked"
#: The friendship ended; the customer complained, or a case of theirs is open.
ENDED, COMPLAINED = "ended", "complained"


@dataclass(frozen=True)
class Slice:
    """Which part of a plan to list.

    Parameters
    ----------
    by : {"clerk_id", "customer_id"}
        Whose actions: a clerk's or a customer's.
    which : str
        The clerk's or customer's id.
    mode : str or None
        Only this mode.
    after : (rank, action_id) or None
        The last action already seen.
    limit : int
    unprofiled : sequence of str
        Action types that rest on no profile: they stay where profiling was refused since.
    services : sequence of str
        Action types that serve and do not sell: they stay after a complaint.
    """

    by: Literal["clerk_id", "customer_id"]
    which: str
    mode: str | None = None
    after: tuple[int, str] | None = None
    limit: int = 50
    unprofiled: Sequence[str] = ()
    services: Sequence[str] = ()


def read_list(
    connection: Connection,
    as_of: date,
    part: Slice,
    *,
    since: datetime,
    published_at: datetime,
    now: datetime,
    known: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Return open actions in rank order with `status`: `new`, or the latest feedback.

    Parameters
    ----------
    since : datetime
        The moment from which purchases and contacts count as news: the plan's `as_of`.
    published_at : datetime
        Blocks and withdrawn consents recorded later than this are news, whenever they
        happened.
    now : datetime
        What is set aside beyond this moment is not listed.
    known : collection of str
        Actions of which id, rank and status are enough.
    """
    values = _values(as_of, part, since, published_at, now)
    shape = (part.by, part.mode is not None, part.after is not None)
    if not known:
        return [_as_listed(row) for row in connection.execute(_query(*shape), values)]
    found = connection.execute(_query(*shape, is_short=True), values).all()
    others = [row.action_id for row in found if row.action_id not in known]
    rows = {
        row.action_id: flat_action(row)
        for row in (connection.execute(_BY_ID, {"ids": others}) if others else ())
    }
    return [
        rows.get(row.action_id, {"action_id": row.action_id, "rank": row.rank})
        | {"status": row.status or "new"}
        for row in found
    ]


def open_ids(
    connection: Connection,
    as_of: date,
    part: Slice,
    *,
    since: datetime,
    published_at: datetime,
    now: datetime,
) -> set[str]:
    """Return the ids of open actions.

    Parameters
    ----------
    connection : Connection
    as_of : date
    part : Slice
    since, published_at, now : datetime
        As for `read_list`.
    """
    query = _query(part.by, part.mode is not None, part.after is not None, is_short=True)
    values = _values(as_of, part, since, published_at, now)
    return {row.action_id for row in connection.execute(query, values)}


def _values(
    as_of: date, part: Slice, since: datetime, published_at: datetime, now: datetime
) -> dict[str, Any]:
    """Return the parameters of `_query`."""
    rank, action_id = part.after or (None, None)
    return {
        "as_of": as_of,
        "which": part.which,
        "mode": part.mode,
        "rank": rank,
        "action_id": action_id,
        "row_limit": part.limit,
        "unprofiled": list(part.unprofiled),
        "services": list(part.services),
        "since": since,
        "published_at": published_at,
        "now": now,
    }


def _as_listed(row: Row[Any]) -> dict[str, Any]:
    return flat_action(row) | {"status": row.status or "new"}


_BY_ID = select(actions).where(actions.c.action_id.in_(bindparam("ids", expanding=True)))


@cache
def _query(by: str, of_mode: bool, resumed: bool, *, is_short: bool = False) -> Select[Any]:
    """Return the statement, built once for each shape: building costs more than running."""
    latest = (
        select(feedback.c.kind)
        .where(feedback.c.action_id == actions.c.action_id)
        .order_by(feedback.c.ts.desc(), feedback.c.accepted_at.desc())
        .limit(1)
        .scalar_subquery()
        .label("status")
    )
    query = (
        select(*((actions.c.action_id, actions.c.rank) if is_short else actions.columns), latest)
        .where(
            actions.c.as_of == bindparam("as_of"),
            actions.c[by] == bindparam("which"),
            actions.c.mode != Mode.NONE,
            actions.c.rank.is_not(None),
        )
        .order_by(actions.c.rank, actions.c.action_id)
        .limit(bindparam("row_limit"))
    )
    if of_mode:
        query = query.where(actions.c.mode == bindparam("mode"))
    if resumed:
        rank: BindParameter[int] = bindparam("rank")
        action_id: BindParameter[str] = bindparam("action_id")
        query = query.where(
            or_(
                actions.c.rank > rank,
                and_(actions.c.rank == rank, actions.c.action_id > action_id),
            )
        )
    snoozed = exists().where(
        feedback.c.action_id == actions.c.action_id,
        feedback.c.kind == FeedbackKind.SNOOZED,
        feedback.c.until > bindparam("now"),
    )
    return still_true(query, actions).where(~snoozed)


def still_true(query: Select[Any], table: Table) -> Select[Any]:
    """Return a query over actions of `table` without what has become untrue since.

    The statement takes `since`, `published_at`, `unprofiled` and `services`.
    """
    since: BindParameter[datetime] = bindparam("since")
    published_at: BindParameter[datetime] = bindparam("published_at")
    news = exists().where(
        outbox.c.customer_id == table.c.customer_id,
        or_(
            and_(outbox.c.signal.in_((BOUGHT, CONTACTED)), outbox.c.occurred_at >= since),
            and_(
                outbox.c.signal.in_((BLOCKED, ENDED)),
                or_(outbox.c.occurred_at >= since, outbox.c.accepted_at >= published_at),
            ),
        ),
    )
    selling = or_(
        table.c.action_type.is_(None),
        table.c.action_type.not_in(bindparam("services", expanding=True)),
    )
    complained = exists().where(
        outbox.c.customer_id == table.c.customer_id,
        outbox.c.signal == COMPLAINED,
        or_(outbox.c.occurred_at >= since, outbox.c.accepted_at >= published_at),
        selling,
    )
    closed = exists().where(feedback.c.action_id == table.c.action_id, feedback.c.kind.in_(CLOSING))
    profiled = or_(
        table.c.action_type.is_(None),
        table.c.action_type.not_in(bindparam("unprofiled", expanding=True)),
    )
    refused = exists().where(
        consents.c.customer_id == table.c.customer_id,
        consents.c.is_latest,
        or_(
            ~consents.c.consent_contact,
            and_(~consents.c.consent_profiling, consents.c.recorded_at >= published_at, profiled),
        ),
    )
    gone = exists().where(withdrawn.c.action_id == table.c.action_id)
    return query.where(~news, ~complained, ~closed, ~refused, ~gone)
