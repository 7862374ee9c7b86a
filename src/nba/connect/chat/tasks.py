"""Tasks for the platform, made of the plan: each exists once, whatever dies in between.

A task is kept before the platform hears of it. The platform takes no key of the caller's, so that a
call whose answer was lost leaves a task `calling`: it is looked for by what it says, and made again
only where the platform does not have it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl

from nba.connect.chat.outcomes import settle_recipient
from nba.connect.chat.port import (
    ChatError,
    ChatPlatform,
    Created,
    Message,
    SendOutcome,
    ThrottledError,
    TransferState,
    UncertainError,
)
from nba.connect.fallback import deadline_of
from nba.schema.languages import in_language, language_of
from nba.schema.tables import VALID_FROM
from nba.schema.words import Channel
from nba.stores import chat
from nba.stores.chat import NewTask, TaskState
from nba.stores.feedback import post_id
from nba.stores.lists import CLOSING, Slice
from nba.wiring import Wiring

MESSAGE, POST, TAGS, TRANSFER = "message", "post", "tags", "transfer"
#: A call that has not been answered for so long will not be.
LOST_AFTER: Final = timedelta(minutes=5)
#: Before the audience of a clerk's moments, as the plan writes it.
MOMENTS: Final = "moments:"
_ALL: Final = 10_000


@dataclass
class Sent:
    """What became of the tasks of one call.

    Parameters
    ----------
    prepared : int
        Tasks that the plan asks for and that were not kept before.
    made, found, failed, waiting : int
        Made on the platform now, made by a call whose answer was lost, refused for good, and left
        for the next call.
    """

    prepared: int = 0
    made: int = 0
    found: int = 0
    failed: int = 0
    waiting: int = 0


@dataclass(frozen=True)
class People:
    """Who is who: the project's customers and clerks, and the platform's."""

    contacts: Mapping[str, str]
    clerks: Mapping[str, str]

    @classmethod
    def of(cls, wiring: Wiring) -> People:
        """Read the newest customers and clerks of the lake."""

        def newest(table: str, key: str) -> dict[str, str]:
            rows = wiring.lake.polars(table).sort(VALID_FROM)
            last = rows.unique(key, keep="last", maintain_order=True)
            return dict(last.select(key, "external_id").iter_rows())

        clerks = {one: account or one for one, account in newest("clerks", "clerk_id").items()}
        contacts = {one: mine for one, mine in newest("customers", "customer_id").items() if mine}
        return cls(contacts, clerks)


def wanted(wiring: Wiring, now: datetime) -> list[NewTask]:
    """Return the tasks that the newest plan, its posts, tags and hand-overs ask for."""
    plan = wiring.plan_store.current_plan()
    if plan is None:
        return []
    day: date = plan["as_of"]
    people = People.of(wiring)
    return [
        *_messages(wiring, day, people, now),
        *_posts(wiring, day, people),
        *_tags(wiring, day, people),
        *_transfers(wiring, day, people),
    ]


def send(wiring: Wiring, platform: ChatPlatform, now: datetime) -> Sent:
    """Give the platform every task that it does not have yet."""
    done = Sent()
    database = wiring.plan_store.database
    new = wanted(wiring, now)
    with database.writing() as connection:
        done.prepared = chat.prepare(connection, new, now)
    with database.reading() as connection:
        lost = [
            row
            for row in chat.tasks_in(connection, TaskState.CALLING)
            if row.began_at <= now - LOST_AFTER
        ]
    for row in lost:
        _look_for(wiring, platform, row, now, done)
    with database.reading() as connection:
        ready = chat.tasks_in(connection, TaskState.READY)
    for row in ready:
        if row.expires_at is not None and row.expires_at <= now:
            _fail(wiring, row, "its time had passed", now)
            done.failed += 1
        elif not _make(wiring, platform, row, now, done):
            break
    with database.reading() as connection:
        done.waiting = len(chat.tasks_in(connection, TaskState.READY, TaskState.CALLING))
    return done


def _look_for(wiring: Wiring, platform: ChatPlatform, row: Any, now: datetime, done: Sent) -> None:
    """Find out whether a call whose answer was lost made its task."""
    database = wiring.plan_store.database
    created = None
    if row.kind in (MESSAGE, POST):
        with database.reading() as connection:
            known = chat.known_remote_ids(connection)
            message = _message(row, chat.recipients(connection, row.task_id))
        find = platform.find_message if row.kind == MESSAGE else platform.find_post
        created = find(message, row.began_at, now, known)
    if created is not None:
        _keep(wiring, row, created, now)
        done.found += 1
        return
    with database.writing() as connection:
        chat.set_state(connection, row.task_id, TaskState.READY)


def _make(wiring: Wiring, platform: ChatPlatform, row: Any, now: datetime, done: Sent) -> bool:
    """Make one task; False where the platform takes no more calls for now."""
    database = wiring.plan_store.database
    with database.writing() as connection:
        if not chat.call(connection, row.task_id, now):
            return True
        recipients = chat.recipients(connection, row.task_id)
    if row.kind in (MESSAGE, TAGS, TRANSFER) and not recipients:
        _fail(wiring, row, "nobody is left to reach", now)
        done.failed += 1
        return True
    try:
        created = _call(platform, row, recipients)
    except ThrottledError:
        with database.writing() as connection:
            chat.set_state(connection, row.task_id, TaskState.READY)
        return False
    except UncertainError:
        return True  # it stays `calling`, and is looked for
    except ChatError as error:
        _fail(wiring, row, str(error.code), now)
        done.failed += 1
        return True
    _keep(wiring, row, created, now)
    done.made += 1
    return True


def _call(platform: ChatPlatform, row: Any, recipients: Sequence[Any]) -> Created:
    content = row.content
    if row.kind == MESSAGE:
        return platform.create_message(_message(row, recipients))
    if row.kind == POST:
        return Created(platform.create_post(row.clerk, content["text"], content["link"]))
    (one,) = recipients
    if row.kind == TAGS:
        platform.tag(row.clerk, one.external_id, content["tags"])
        return Created("")
    standing = platform.transfers(content["from"], row.clerk)
    if one.external_id not in standing:
        state = platform.transfer(one.external_id, content["from"], row.clerk)
        if state is TransferState.IMPOSSIBLE:
            return Created(f"{content['from']}>{row.clerk}", (one.external_id,))
    return Created(f"{content['from']}>{row.clerk}")


def _message(row: Any, recipients: Sequence[Any]) -> Message:
    return Message(
        row.clerk,
        row.content["text"],
        tuple(sorted(one.external_id for one in recipients)),
        row.content.get("link") or "",
    )


def _keep(wiring: Wiring, row: Any, created: Created, now: datetime) -> None:
    """Note that a task is made, and whom the platform left out; its text is needed no longer."""
    is_over = row.kind == TAGS
    with wiring.plan_store.writing() as writer:
        connection = writer.connection
        state = TaskState.DONE if is_over else TaskState.OPEN
        content = {"from": row.content["from"]} if row.kind == TRANSFER else {}
        if row.kind == POST:
            content = {name: row.content[name] for name in ("audience", "action_id")}
        chat.set_state(
            connection,
            row.task_id,
            state,
            remote_id=created.remote_id or None,
            content=content,
            settled_at=now if is_over else None,
        )
        for one in chat.recipients(connection, row.task_id):
            if one.external_id in created.refused:
                gone = TransferState.IMPOSSIBLE if row.kind == TRANSFER else SendOutcome.NOT_FRIEND
                settle_recipient(writer, row, one, str(gone), now)


def _fail(wiring: Wiring, row: Any, why: str, now: datetime) -> None:
    with wiring.plan_store.database.writing() as connection:
        chat.set_state(
            connection, row.task_id, TaskState.FAILED, failure=why, content={}, settled_at=now
        )
        for one in chat.recipients(connection, row.task_id):
            # the clerk's list still has the action: the plan may give it to another task
            chat.release(connection, row.task_id, one.customer_id)


# ------------------------------------------------------------------ what the plan asks for


def _messages(wiring: Wiring, day: date, people: People, now: datetime) -> Iterator[NewTask]:
    """Group each clerk's open actions by text and end: one task, one confirmation."""
    modes = set(wiring.settings.chat.modes)
    zone = ZoneInfo(wiring.settings.time_zone)
    fallbacks = {one.action_type: one.fallback for one in wiring.decision_files.catalogue.actions}
    groups: dict[tuple[str, str, datetime], list[dict[str, Any]]] = {}
    for clerk_id in wiring.plan_store.planned():
        _, rows = wiring.plan_store.open_actions(
            day,
            Slice("clerk_id", clerk_id, limit=_ALL, unprofiled=_unprofiled(wiring)),
            since=lambda begins: _day_begins(wiring, begins),
        )
        for row in rows:
            is_ours = row["channel"] == Channel.CHAT and row["mode"] in modes
            is_open = row["talking_point"] and row["status"] not in CLOSING
            if not (is_ours and is_open and row["customer_id"] in people.contacts):
                continue
            ends = moment_of(wiring, row["expires_at"])
            fallback = fallbacks.get(row["action_type"])
            if fallback is not None:
                ends = min(ends, deadline_of(fallback, row["contact_from"], zone))
            if ends > now:
                groups.setdefault((clerk_id, row["talking_point"], ends), []).append(row)
    for (clerk_id, text, expires_at), rows in sorted(groups.items(), key=lambda item: item[0]):
        recipients = [
            {
                "customer_id": row["customer_id"],
                "external_id": people.contacts[row["customer_id"]],
                "action_id": row["action_id"],
            }
            for row in rows
        ]
        ids = [row["action_id"] for row in rows]
        yield _task(
            MESSAGE,
            day,
            clerk_id,
            people,
            content={"text": text},
            about=ids,
            recipients=recipients,
            expires_at=expires_at,
        )


def _unprofiled(wiring: Wiring) -> tuple[str, ...]:
    """Action types that rest on no profile: open to who withdrew that consent today."""
    return tuple(
        one.action_type for one in wiring.decision_files.catalogue.actions if not one.profiling
    )


def _posts(wiring: Wiring, day: date, people: People) -> Iterator[NewTask]:
    """Return the posts to moments that the plan drew."""
    posts = plan_table(wiring, day, "posts")
    if posts is None:
        return
    content = wiring.lake.polars("content").select("content_id", "title", "link")
    rows = posts.filter(pl.col("posted") & pl.col("audience").str.starts_with(MOMENTS))
    ends = _day_begins(wiring, day + timedelta(days=1))
    language = language_of(wiring.settings.chat.locale, "zh")
    for row in rows.join(content, on="content_id").sort("audience").iter_rows(named=True):
        action_id = post_id(row["audience"], day)
        post = {
            "text": in_language(row["title"], language),
            "link": row["link"] or "",
            "audience": row["audience"],
            "action_id": action_id,
        }
        yield _task(
            POST, day, row["clerk_id"], people, content=post, about=[action_id], expires_at=ends
        )


def _tags(wiring: Wiring, day: date, people: People) -> Iterator[NewTask]:
    """Return the tags that the project lets the platform have, by friend and clerk."""
    names = wiring.settings.chat.tags
    if not names:
        return
    midnight = datetime.combine(day, time())
    tags = wiring.feature_store.snapshot("customer_tags", midnight)
    held = tags.filter(pl.col("tag").is_in(list(names))).select("customer_id", "tag").unique()
    friends = wiring.lake.polars("friendships").filter(pl.col("ended_at").is_null())
    rows = (
        friends.select("customer_id", "clerk_id")
        .unique()
        .join(held, on="customer_id")
        .group_by("customer_id", "clerk_id")
        .agg(pl.col("tag").sort())
        .sort("customer_id", "clerk_id")
    )
    for customer_id, clerk_id, mine in rows.iter_rows():
        if customer_id not in people.contacts:
            continue
        who = {
            "customer_id": customer_id,
            "external_id": people.contacts[customer_id],
            "action_id": None,
        }
        # the same tags are given once, on whichever day
        yield _task(
            TAGS,
            day,
            clerk_id,
            people,
            content={"tags": mine},
            about=[customer_id, *mine],
            recipients=[who],
            dated=False,
        )


def _transfers(wiring: Wiring, day: date, people: People) -> Iterator[NewTask]:
    """Return the hand-overs that the plan proposed and a store accepted."""
    proposed = plan_table(wiring, day, "handovers")
    if proposed is None or proposed.is_empty():
        return
    begins = _day_begins(wiring, day)
    accepted = {
        row["customer_id"]: row["clerk_id"]
        for row in wiring.plan_store.accepted_since("friendships", begins)
    }
    for row in proposed.sort("customer_id").iter_rows(named=True):
        customer_id = row["customer_id"]
        clerk_id = accepted.get(customer_id)
        if clerk_id is None or customer_id not in people.contacts:
            continue
        who = {
            "customer_id": customer_id,
            "external_id": people.contacts[customer_id],
            "action_id": None,
        }
        former = {"from": people.clerks.get(row["from_clerk_id"], row["from_clerk_id"])}
        yield _task(
            TRANSFER, day, clerk_id, people, content=former, about=[customer_id], recipients=[who]
        )


def _task(
    kind: str,
    day: date,
    clerk_id: str,
    people: People,
    *,
    content: Mapping[str, Any],
    about: Iterable[str],
    recipients: Sequence[Mapping[str, Any]] = (),
    expires_at: datetime | None = None,
    dated: bool = True,
) -> NewTask:
    """Return a task whose id follows from what it is about."""
    parts = [kind, day.isoformat() if dated else "", clerk_id, *sorted(about)]
    digest = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]
    row = {
        "task_id": f"{kind}-{digest}",
        "kind": kind,
        "as_of": day,
        "clerk_id": clerk_id,
        "clerk": people.clerks.get(clerk_id, clerk_id),
        "content": dict(content),
        "expires_at": expires_at,
    }
    return NewTask(row, recipients)


def plan_table(wiring: Wiring, day: date, name: str) -> pl.DataFrame | None:
    """Return a table that the plan of a day left, or None."""
    path = wiring.project.run_folder(day.isoformat()) / "plan" / f"{name}.parquet"
    return pl.read_parquet(path) if path.is_file() else None


def _day_begins(wiring: Wiring, day: date) -> datetime:
    return moment_of(wiring, datetime.combine(day, time()))


def moment_of(wiring: Wiring, moment: datetime) -> datetime:
    """Return a moment of the project's zone in UTC."""
    return moment.replace(tzinfo=ZoneInfo(wiring.settings.time_zone)).astimezone(UTC)
