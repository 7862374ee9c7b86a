"""What became of tasks, read back: four outcomes, of which one says something of the customer.

`sent` is a contact, spends the quota and teaches. That somebody is no friend, that the platform let
nothing more through, and that the clerk did not send are facts of friendship, platform and clerk:
they free the quota, and no model of a customer learns from them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nba.connect.chat.outcomes import settle_recipient
from nba.connect.chat.port import ChatError, ChatPlatform, SendOutcome, TransferState
from nba.connect.chat.tasks import MESSAGE, MOMENTS, POST, TRANSFER, People, plan_table
from nba.schema.words import FeedbackKind
from nba.stores import chat
from nba.stores.chat import TaskState
from nba.stores.feedback import Feedback, post_contact
from nba.wiring import Wiring


@dataclass
class ReadBack:
    """What was read back.

    Parameters
    ----------
    tasks, closed : int
        Tasks that were asked for, and those that are over now.
    outcomes : Counter of str
        What became of recipients, of hand-overs and of posts, each counted once in its life.
    """

    tasks: int = 0
    closed: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


def read_back(wiring: Wiring, platform: ChatPlatform, now: datetime) -> ReadBack:
    """Ask the platform what became of every open task, and record what is new."""
    done = ReadBack()
    with wiring.plan_store.database.reading() as connection:
        tasks = chat.tasks_in(connection, TaskState.OPEN)
    for row in tasks:
        done.tasks += 1
        is_over = {MESSAGE: _message, POST: _post, TRANSFER: _transfer}[row.kind](
            wiring, platform, row, now, done
        )
        if is_over:
            done.closed += 1
            with wiring.plan_store.database.writing() as connection:
                chat.set_state(connection, row.task_id, TaskState.DONE, settled_at=now)
    return done


def _message(
    wiring: Wiring, platform: ChatPlatform, row: Any, now: datetime, done: ReadBack
) -> bool:
    """Record what became of a message's recipients; True once that is known of all."""
    waiting = _recipients(wiring, platform, row, done)
    if not waiting or row.expires_at is None or row.expires_at > now:
        return not waiting
    withdraw(platform, row)
    # between the reading above and the withdrawal the clerk may have sent it
    left = _recipients(wiring, platform, row, done)
    with wiring.plan_store.writing() as writer:
        for one in left:
            if settle_recipient(writer, row, one, str(SendOutcome.NOT_SENT), now):
                done.outcomes[str(SendOutcome.NOT_SENT)] += 1
    return True


def withdraw(platform: ChatPlatform, row: Any) -> None:
    """Withdraw a task; one that the platform says is over already is over."""
    try:
        platform.cancel_message(row.remote_id)
    except ChatError:
        if any(
            one.outcome is SendOutcome.WAITING for one in platform.results(row.remote_id, row.clerk)
        ):
            raise


def _recipients(wiring: Wiring, platform: ChatPlatform, row: Any, done: ReadBack) -> list[Any]:
    """Record what is known of a message's recipients; return those who wait."""
    said = {one.external_id: one for one in platform.results(row.remote_id, row.clerk)}
    waiting = []
    with wiring.plan_store.writing() as writer:
        for one in chat.recipients(writer.connection, row.task_id):
            result = said.get(one.external_id)
            if one.outcome != SendOutcome.WAITING:
                continue
            if result is None or result.outcome is SendOutcome.WAITING:
                waiting.append(one)
                continue
            at = result.at or writer.now
            if settle_recipient(writer, row, one, str(result.outcome), at):
                done.outcomes[str(result.outcome)] += 1
    return waiting


def _post(wiring: Wiring, platform: ChatPlatform, row: Any, now: datetime, done: ReadBack) -> bool:
    """Record a post that was published: a contact with each member who could see it."""
    result = platform.post_result(row.remote_id, row.clerk)
    is_late = row.expires_at is not None and row.expires_at <= now
    if result is None or not result.published:
        if is_late:
            done.outcomes["post not published"] += 1
        return is_late
    members = plan_table(wiring, row.as_of, "post_members")
    contacts = People.of(wiring).contacts
    seen = set(result.seen_by)
    rows = [] if members is None else members.to_dicts()
    audience = str(row.content["audience"])
    assert audience.startswith(MOMENTS)
    entry = Feedback(
        f"chat:{row.content['action_id']}", row.content["action_id"], row.clerk_id, now,
        FeedbackKind.SENT,
    )  # fmt: skip
    reached = [
        post_contact(entry, member)
        for member in rows
        if member["audience"] == audience and contacts.get(member["customer_id"]) in seen
    ]
    with wiring.plan_store.writing() as writer:
        if writer.record_post(entry, reached) == "accepted":
            done.outcomes["post published"] += 1
    return True


def _transfer(
    wiring: Wiring, platform: ChatPlatform, row: Any, now: datetime, done: ReadBack
) -> bool:
    """Record how a hand-over ended."""
    states = platform.transfers(row.content["from"], row.clerk)
    is_over = True
    with wiring.plan_store.writing() as writer:
        for one in chat.recipients(writer.connection, row.task_id):
            state = states.get(one.external_id, TransferState.WAITING)
            if one.outcome != SendOutcome.WAITING:
                continue
            if state is TransferState.WAITING:
                is_over = False
                continue
            settle_recipient(writer, row, one, str(state), now)
            chat.mark(writer.connection, chat.CONTACT, one.external_id, now)
            done.outcomes[f"hand-over {state}"] += 1
    return is_over
