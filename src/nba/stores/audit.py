"""Who saw or changed whom over the API: written as it happens, searched for one customer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, insert, or_, select, update

from nba.stores.schema import actions, audit


class Target(StrEnum):
    """What a call was about."""

    CUSTOMER = "customer"
    #: An action, and so its customer.
    ACTION = "action"
    #: A clerk's list of a day, and so who stands on it.
    LIST = "list"


@dataclass(frozen=True)
class AuditEntry:
    """One call about somebody.

    Parameters
    ----------
    ts : datetime
        UTC.
    caller : str
        The key's id, or who signed in.
    scope, subject : str or None
        What the caller speaks for.
    method, route : str
        The call, without ids.
    status : int
        How it was answered: from 400 on, nothing was shown or changed.
    kind : Target
    target : str or None
        The customer, action or clerk; None once the customer is erased.
    day : date or None
        Of a list: the plan's.
    """

    ts: datetime
    caller: str
    scope: str
    subject: str | None
    method: str
    route: str
    status: int
    kind: Target
    target: str | None
    day: date | None = None


def write(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Keep calls."""
    if entries:
        rows = [{**vars(one), "kind": str(one.kind)} for one in entries]
        connection.execute(insert(audit), rows)


def of_customer(
    connection: Connection, customer_id: str, since: datetime | None = None
) -> list[dict[str, Any]]:
    """Return the calls that were about a customer, oldest first, lists that named them included."""
    about = actions.c.customer_id == customer_id
    query = select(audit).where(
        or_(
            and_(audit.c.kind == str(Target.CUSTOMER), audit.c.target == customer_id),
            and_(
                audit.c.kind == str(Target.ACTION),
                audit.c.target.in_(select(actions.c.action_id).where(about)),
            ),
            and_(
                audit.c.kind == str(Target.LIST),
                exists().where(
                    about, actions.c.clerk_id == audit.c.target, actions.c.as_of == audit.c.day
                ),
            ),
        )
    )
    if since is not None:
        query = query.where(audit.c.ts >= since)
    rows = connection.execute(query.order_by(audit.c.audit_id)).mappings()
    return [{name: value for name, value in row.items() if name != "audit_id"} for row in rows]


def forget(connection: Connection, customer_id: str) -> int:
    """Take a customer out of the calls about them; the calls stay. Return how many."""
    theirs = select(actions.c.action_id).where(actions.c.customer_id == customer_id)
    done = connection.execute(
        update(audit)
        .where(
            or_(
                and_(audit.c.kind == str(Target.CUSTOMER), audit.c.target == customer_id),
                and_(audit.c.kind == str(Target.ACTION), audit.c.target.in_(theirs)),
            )
        )
        .values(target=None)
    )
    return int(done.rowcount)


def purge(connection: Connection, before: datetime) -> int:
    """Forget calls of before a moment; return how many."""
    return int(connection.execute(delete(audit).where(audit.c.ts < before)).rowcount)
