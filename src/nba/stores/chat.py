"""What a chat platform told, and the tasks given to it: each once, whatever dies in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from nba.schema.words import EndedBy
from nba.stores.schema import (
    chat_callbacks,
    chat_ends,
    chat_marks,
    chat_recipients,
    chat_tasks,
)

CONTACT, GROUP = "contact", "group"
#: Before the ids of customers whom only the chat platform knows, as exports have it.
OWN: Final = "wecom:"
#: Ids in one statement.
_KEYS: Final = 500


class TaskState(StrEnum):
    """How a task stands; `calling` is one whose answer nobody knows yet."""

    READY = "ready"
    CALLING = "calling"
    OPEN = "open"
    DONE = "done"
    FAILED = "failed"


# ------------------------------------------------------------------ what was told


def is_new_callback(connection: Connection, digest: str, now: datetime) -> bool:
    """Remember a callback by the digest of all its fields; False where it came before."""
    known = select(chat_callbacks.c.digest).where(chat_callbacks.c.digest == digest)
    if connection.scalar(known) is not None:
        return False
    connection.execute(insert(chat_callbacks), {"digest": digest, "received_at": now})
    return True


def forget_callbacks(connection: Connection, before: datetime) -> None:
    """Forget callbacks that the platform no longer repeats."""
    connection.execute(delete(chat_callbacks).where(chat_callbacks.c.received_at < before))


def mark(connection: Connection, kind: str, external_id: str, now: datetime) -> None:
    """Note that a contact or a group has to be read again.

    Parameters
    ----------
    connection : Connection
    kind : str
        `CONTACT` or `GROUP`.
    external_id : str
        The platform's id.
    now : datetime
    """
    row = {"kind": kind, "external_id": external_id, "marked_at": now}
    connection.execute(insert(chat_marks), row)


def marked(connection: Connection) -> tuple[int, dict[str, list[str]]]:
    """Return the newest mark, and by kind what has to be read again."""
    rows = connection.execute(select(chat_marks).order_by(chat_marks.c.mark_id)).all()
    found: dict[str, list[str]] = {CONTACT: [], GROUP: []}
    for row in rows:
        if row.external_id not in found[row.kind]:
            found[row.kind].append(row.external_id)
    return (rows[-1].mark_id if rows else 0), found


def unmark(connection: Connection, until: int) -> None:
    """Forget what has been read again."""
    connection.execute(delete(chat_marks).where(chat_marks.c.mark_id <= until))


def end(
    connection: Connection,
    external_id: str,
    clerk: str,
    ended_by: EndedBy | None,
    ended_at: datetime,
) -> None:
    """Note that a friendship ended: the platform's lists may go on naming it.

    Parameters
    ----------
    connection : Connection
    external_id, clerk : str
        The platform's ids.
    ended_by : EndedBy, optional
        None where nobody knows.
    ended_at : datetime
    """
    key = (chat_ends.c.external_id == external_id) & (chat_ends.c.clerk == clerk)
    before = connection.scalar(select(chat_ends.c.ended_at).where(key))
    if before is not None and before >= ended_at:
        return
    connection.execute(delete(chat_ends).where(key))
    row = {"external_id": external_id, "clerk": clerk, "ended_at": ended_at}
    connection.execute(insert(chat_ends), {**row, "ended_by": ended_by})


def ends(connection: Connection) -> list[Row[Any]]:
    """Return external_id, clerk, ended_at and ended_by of friendships that ended."""
    return list(connection.execute(select(chat_ends)).all())


# ------------------------------------------------------------------ tasks


@dataclass(frozen=True)
class NewTask:
    """A task that the plan asks for.

    Parameters
    ----------
    row : mapping
        task_id, kind, as_of, clerk_id, clerk, content, expires_at (UTC or None).
    recipients : sequence of mapping
        customer_id, external_id, action_id (or None).
    """

    row: Mapping[str, Any]
    recipients: Sequence[Mapping[str, Any]]


def prepare(connection: Connection, tasks: Sequence[NewTask], now: datetime) -> int:
    """Keep tasks that are not kept yet; whom an earlier task names for an action is left out."""
    kept = 0
    for task in tasks:
        task_id = task.row["task_id"]
        known = select(chat_tasks.c.task_id).where(chat_tasks.c.task_id == task_id)
        if connection.scalar(known) is not None:
            continue
        asked = [one["action_id"] for one in task.recipients if one["action_id"]]
        taken = _taken(connection, asked)
        rows = [
            {**one, "task_id": task_id, "outcome": "waiting"}
            for one in task.recipients
            if one["action_id"] not in taken
        ]
        if task.recipients and not rows:
            continue
        row = {**task.row, "state": str(TaskState.READY), "made_at": now}
        connection.execute(insert(chat_tasks), row)
        if rows:
            connection.execute(insert(chat_recipients), rows)
        kept += 1
    return kept


def _taken(connection: Connection, action_ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(action_ids), _KEYS):
        part = action_ids[start : start + _KEYS]
        query = select(chat_recipients.c.action_id).where(chat_recipients.c.action_id.in_(part))
        found |= {row.action_id for row in connection.execute(query)}
    return found


def tasks_in(connection: Connection, *states: TaskState) -> list[Row[Any]]:
    """Return the tasks in some states, oldest first."""
    query = select(chat_tasks).where(chat_tasks.c.state.in_([str(one) for one in states]))
    return list(connection.execute(query.order_by(chat_tasks.c.made_at, chat_tasks.c.task_id)))


def recipients(connection: Connection, task_id: str) -> list[Row[Any]]:
    """Return the recipients of a task."""
    query = select(chat_recipients).where(chat_recipients.c.task_id == task_id)
    return list(connection.execute(query.order_by(chat_recipients.c.external_id)))


def moving(connection: Connection) -> set[str]:
    """Return the customers whose hand-over the platform has not ended yet."""
    query = (
        select(chat_recipients.c.customer_id)
        .join(chat_tasks, chat_tasks.c.task_id == chat_recipients.c.task_id)
        .where(
            chat_tasks.c.kind == "transfer",
            chat_tasks.c.state.not_in([str(TaskState.DONE), str(TaskState.FAILED)]),
        )
    )
    return {row.customer_id for row in connection.execute(query)}


def known_remote_ids(connection: Connection) -> set[str]:
    """Return the platform's ids of all tasks that are known to be made."""
    query = select(chat_tasks.c.remote_id).where(chat_tasks.c.remote_id.is_not(None))
    return {row.remote_id for row in connection.execute(query)}


def call(connection: Connection, task_id: str, now: datetime) -> bool:
    """Take a task to make it; False where another process has it."""
    done = connection.execute(
        update(chat_tasks)
        .where(chat_tasks.c.task_id == task_id, chat_tasks.c.state == str(TaskState.READY))
        .values(state=str(TaskState.CALLING), began_at=now)
    )
    return done.rowcount == 1


def set_state(connection: Connection, task_id: str, state: TaskState, **values: Any) -> None:
    """Note how a task stands, with further columns."""
    connection.execute(
        update(chat_tasks).where(chat_tasks.c.task_id == task_id).values(state=str(state), **values)
    )


def set_outcome(
    connection: Connection, task_id: str, customer_id: str, outcome: str, at: datetime
) -> bool:
    """Note what became of a recipient who waited; False where that was known.

    Parameters
    ----------
    connection : Connection
    task_id, customer_id : str
    outcome : str
    at : datetime
    """
    done = connection.execute(
        update(chat_recipients)
        .where(
            chat_recipients.c.task_id == task_id,
            chat_recipients.c.customer_id == customer_id,
            chat_recipients.c.outcome == "waiting",
        )
        .values(outcome=outcome, outcome_at=at)
    )
    return done.rowcount == 1


def forget_person(connection: Connection, customer_id: str) -> None:
    """Delete what a callback left of a customer, and texts that wait for them alone."""
    mine = chat_recipients.c.customer_id == customer_id
    ids = set(connection.scalars(select(chat_recipients.c.external_id).where(mine)))
    if customer_id.startswith(OWN):
        ids.add(customer_id.removeprefix(OWN))
    others = select(chat_recipients.c.task_id).where(~mine)
    tasks = select(chat_recipients.c.task_id).where(mine)
    connection.execute(
        delete(chat_tasks).where(
            chat_tasks.c.task_id.in_(tasks),
            chat_tasks.c.task_id.not_in(others),
            chat_tasks.c.state == str(TaskState.READY),
        )
    )
    for table in (chat_ends, chat_marks):
        connection.execute(delete(table).where(table.c.external_id.in_(sorted(ids))))


def release(connection: Connection, task_id: str, customer_id: str) -> None:
    """Take a recipient out of a task that was never made."""
    connection.execute(
        delete(chat_recipients).where(
            chat_recipients.c.task_id == task_id, chat_recipients.c.customer_id == customer_id
        )
    )


def summary(connection: Connection) -> dict[str, dict[str, int]]:
    """Count tasks by kind and state, and recipients by outcome."""
    tasks = select(chat_tasks.c.kind, chat_tasks.c.state, func.count().label("count")).group_by(
        chat_tasks.c.kind, chat_tasks.c.state
    )
    outcomes = select(chat_recipients.c.outcome, func.count().label("count")).group_by(
        chat_recipients.c.outcome
    )
    return {
        "tasks": {f"{row.kind} {row.state}": row[2] for row in connection.execute(tasks)},
        "recipients": {row.outcome: row[1] for row in connection.execute(outcomes)},
    }
