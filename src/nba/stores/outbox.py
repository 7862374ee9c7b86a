"""The outbox: rows accepted over the API, by table, until the lake holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, Literal

import polars as pl
import pyarrow as pa
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from nba.errors import NotFoundError
from nba.schema.tables import LOADED_AT, TABLES, VALID_FROM, Kind, Table
from nba.schema.words import Channel, Mode, ResponseKind
from nba.stores import books
from nba.stores.database import digest
from nba.stores.lists import BLOCKED, BOUGHT, COMPLAINED, CONTACTED, ENDED
from nba.stores.schema import actions, outbox

#: Name of the column that `new_events` adds and `mark_ingested` takes.
OUTBOX_ID = "outbox_id"
#: Channels that reach many at once: who saw a post is not thereby talked to today.
POSTED = (Channel.MOMENTS, Channel.GROUP)
#: Interactions that a clerk's `sent` created carry this prefix before the action's id.
SENT_PREFIX = "sent:"
#: So do those that a fallback created.
FALLBACK_PREFIX = "fallback:"
#: So does the id of feedback on a post, before the day and the audience; members follow.
POST_PREFIX = "post:"
#: How ids of contacts begin that the service makes by itself.
MADE_PREFIXES: Final = (SENT_PREFIX, FALLBACK_PREFIX, POST_PREFIX)

#: Tables whose rows are told again when what they tell of ends, and the column that says when.
ENDING: Final[Mapping[str, str]] = {"service_cases": "closed_at", "friendships": "ended_at"}

#: Keys asked for in one statement.
_KEYS = 500
_STANDING = select(outbox.c.row_key, outbox.c.digest, outbox.c.payload, outbox.c.refused_at).where(
    outbox.c.table_name == bindparam("table"),
    outbox.c.row_key.in_(bindparam("keys", expanding=True)),
)
_ABOUT = select(actions.c.action_id, actions.c.customer_id).where(
    actions.c.action_id.in_(bindparam("ids", expanding=True))
)
#: `other_action`: the row names an action that is about another customer.
Outcome = Literal["accepted", "repeated", "conflict", "other_action"]
_Entry = tuple[int, Mapping[str, Any]]
#: What typing a stored row may raise: text that is no number or moment, a number too large.
_UNTYPABLE = (ValueError, TypeError, ArithmeticError, pa.ArrowException)


@dataclass(frozen=True)
class Event:
    """One row of a contract table, valid and typed, on its way to the lake.

    Parameters
    ----------
    table : str
        A name of `nba.schema.tables.TABLES`.
    row : mapping of str to object
        Contract columns; moments are aware.
    """

    table: str
    row: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The row's key as one string."""
        columns = [name for name in TABLES[self.table].key if name != VALID_FROM]
        return "\x1f".join(str(self.row.get(name, "")) for name in columns)

    @property
    def signal(self) -> str | None:
        """What the row says about the customer that a published list must know."""
        row = self.row
        if self.table == "transactions" and row["quantity"] > 0:
            return BOUGHT
        if self.table == "interactions" and row["mode"] != Mode.NONE:
            return None if row.get("channel") in POSTED else CONTACTED
        if self.table == "responses" and row["kind"] == ResponseKind.BLOCKED:
            return BLOCKED
        if self.table == "responses" and row["kind"] == ResponseKind.COMPLAINED:
            return COMPLAINED
        if self.table == "service_cases" and row.get("closed_at") is None:
            return COMPLAINED
        if self.table == "friendships" and row.get("ended_at") is not None:
            return ENDED
        return None

    @property
    def may_change_lists(self) -> bool:
        """Whether a list may change by the row."""
        return self.signal is not None or self.table in (*ENDING, "absences", "stock")

    @property
    def occurred_at(self) -> datetime | None:
        """The moment of the row, where its table has one."""
        column = TABLES[self.table].time_column
        return self.row.get(column) if column else None


def accept(
    connection: Connection, event: Event, now: datetime, *, customer_id: str | None = None
) -> Outcome:
    """Put one event into the outbox: see `accept_all`.

    Parameters
    ----------
    connection : Connection
        Within a transaction.
    event : Event
    now : datetime
        UTC.
    customer_id : str, optional
        Whom a row without one is about.
    """
    return accept_all(connection, [event], now, customer_id=customer_id)[0]


def accept_all(
    connection: Connection,
    events: Sequence[Event],
    now: datetime,
    *,
    customer_id: str | None = None,
) -> list[Outcome]:
    """Put events into the outbox; return what became of each.

    The same key with the same content again is `repeated` and changes nothing; with other
    content it is a `conflict` and changes nothing either, unless the lake refused what stands:
    then the corrected row takes its place. In tables whose rows end (`ENDING`) a row takes the
    place of another of the same customer; what has ended stays so, and the row from before the end
    is `repeated`. An interaction whose action is about another customer is an `other_action`.

    Parameters
    ----------
    connection : Connection
        Within a transaction.
    events : sequence of Event
    now : datetime
        UTC.
    customer_id : str, optional
        Whom rows without one are about.
    """
    standing, about = _standing(connection, events), _about(connection, events)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    outcomes: list[Outcome] = []
    heard: set[str] = set()
    for event in events:
        payload = {name: value for name, value in event.row.items() if value is not None}
        content, place = digest(payload), (event.table, event.key)
        before = standing.get(place)
        kept_out = _kept_out(event, content, before, about)
        if kept_out is not None:
            outcomes.append(kept_out)
            continue
        if before is not None and place not in rows:
            _take_out(connection, place)
        row = _row(connection, event, payload, content, now)
        row["customer_id"] = (
            customer_id or row["customer_id"] or _customer_of(connection, event, rows)
        )
        rows[place], standing[place] = row, _Standing(content, event.row, is_refused=False)
        if row["customer_id"] and (row["signal"] is not None or before is not None):
            heard.add(row["customer_id"])
        outcomes.append("accepted")
    if rows:
        connection.execute(insert(outbox), list(rows.values()))
    for one in sorted(heard):
        books.touch(connection, one)
    for event, outcome in zip(events, outcomes, strict=True):
        if event.table == "absences" and outcome == "accepted":
            books.note_absence(connection, event.row["clerk_id"], event.row["date"])
    return outcomes


@dataclass(frozen=True)
class _Standing:
    """What stands under a key: its digest, and its columns as they came or as JSON."""

    content: str
    row: Mapping[str, Any]
    is_refused: bool

    def outcome(self, event: Event, content: str) -> Outcome | None:
        """Return why an event under the same key does not take the place; None: it does."""
        if self.content == content:
            return "repeated"
        if self.is_refused:
            return None
        end = ENDING.get(event.table)
        if end is None or self.row.get("customer_id") != event.row.get("customer_id"):
            return "conflict"
        if self.row.get(end) is None or event.row.get(end) is not None:
            return None
        told = {name: value for name, value in event.row.items() if value is not None}
        stands = {name: self.row.get(name) for name in told}
        return "repeated" if digest(told) == digest(stands) else "conflict"


def _kept_out(
    event: Event, content: str, before: _Standing | None, about: Mapping[str, str]
) -> Outcome | None:
    """Return why an event does not come in; None: it does.

    Parameters
    ----------
    event : Event
    content : str
        Its digest.
    before : _Standing or None
        What stands under its key.
    about : mapping of str to str
        Whom actions are about.
    """
    outcome = None if before is None else before.outcome(event, content)
    action_id = action_of(event)
    if outcome is None and about.get(action_id or "", event.row.get("customer_id")) != (
        event.row.get("customer_id")
    ):
        return "other_action"
    return outcome


def action_of(event: Event) -> str | None:
    """Return the action that an interaction carries out; None of any other row."""
    action_id = event.row.get("action_id") if event.table == "interactions" else None
    return None if action_id is None else str(action_id)


def _about(connection: Connection, events: Sequence[Event]) -> dict[str, str]:
    """Return whom the published actions are about that interactions name, by action_id."""
    wanted = sorted({one for one in map(action_of, events) if one is not None})
    found: dict[str, str] = {}
    for start in range(0, len(wanted), _KEYS):
        rows = connection.execute(_ABOUT, {"ids": wanted[start : start + _KEYS]})
        found |= {row.action_id: row.customer_id for row in rows}
    return found


def _standing(connection: Connection, events: Sequence[Event]) -> dict[tuple[str, str], _Standing]:
    """Return what stands under the keys of events."""
    keys: dict[str, set[str]] = {}
    for event in events:
        keys.setdefault(event.table, set()).add(event.key)
    found = {}
    for table, wanted in keys.items():
        ordered = sorted(wanted)
        for start in range(0, len(ordered), _KEYS):
            part = ordered[start : start + _KEYS]
            for row in connection.execute(_STANDING, {"table": table, "keys": part}):
                refused = row.refused_at is not None
                found[table, row.row_key] = _Standing(row.digest, row.payload, refused)
    return found


def _take_out(connection: Connection, place: tuple[str, str]) -> None:
    table, key = place
    connection.execute(delete(outbox).where(outbox.c.table_name == table, outbox.c.row_key == key))


def _row(
    connection: Connection,
    event: Event,
    payload: Mapping[str, Any],
    content: str,
    now: datetime,
) -> dict[str, Any]:
    """Return the outbox's row of an event.

    Parameters
    ----------
    connection : Connection
    event : Event
    payload : mapping
        Its filled columns.
    content : str
        Their digest.
    now : datetime
    """
    action_id = action_of(event)
    if action_id is not None:  # a recorded contact counts in place of the one that `sent` created
        withdraw_sent(connection, action_id)
    return {
        "table_name": event.table,
        "row_key": event.key,
        "digest": content,
        "payload": payload,
        "customer_id": event.row.get("customer_id"),
        "signal": event.signal,
        "action_id": action_id,
        "occurred_at": event.occurred_at or now,
        "accepted_at": now,
    }


def _customer_of(
    connection: Connection, event: Event, rows: Mapping[tuple[str, str], Mapping[str, Any]]
) -> str | None:
    """Return the customer of the interaction that a response names, if it came by here."""
    interaction_id = event.row.get("interaction_id")
    if event.table != "responses" or interaction_id is None:
        return None
    known = rows.get(("interactions", interaction_id))
    if known is not None:
        customer_id: str | None = known["customer_id"]
        return customer_id
    return connection.scalar(
        select(outbox.c.customer_id).where(
            outbox.c.table_name == "interactions", outbox.c.row_key == interaction_id
        )
    )


def withdraw_sent(connection: Connection, action_id: str) -> None:
    """Drop the interaction that `sent` created, as long as the lake does not hold it."""
    connection.execute(
        delete(outbox).where(
            outbox.c.table_name == "interactions",
            outbox.c.row_key == SENT_PREFIX + action_id,
            outbox.c.ingested_at.is_(None),
        )
    )


@dataclass(frozen=True)
class SinceTheNight:
    """What was accepted about a customer that a card shows.

    Parameters
    ----------
    news : sequence of mapping
        Table, ts and kind of rows of the plan's day, oldest first.
    is_blocked : bool
        Whether a block by the customer was accepted since the plan was published.
    """

    news: Sequence[Mapping[str, Any]]
    is_blocked: bool


_SINCE: BindParameter[datetime] = bindparam("since")
_BLOCKS: ColumnElement[bool] = and_(
    outbox.c.signal == BLOCKED, outbox.c.accepted_at >= bindparam("published_at")
)
_HEARD = (
    select(
        outbox.c.table_name,
        outbox.c.occurred_at,
        outbox.c.payload,
        _BLOCKS.label("blocks"),
        (outbox.c.occurred_at >= _SINCE).label("is_news"),
    )
    .where(
        outbox.c.customer_id == bindparam("customer"),
        or_(outbox.c.occurred_at >= _SINCE, _BLOCKS),
    )
    .order_by(outbox.c.occurred_at, outbox.c.outbox_id)
)


def heard(
    connection: Connection, customer_id: str, *, since: datetime, published_at: datetime
) -> SinceTheNight:
    """Return what was accepted about a customer.

    Parameters
    ----------
    connection : Connection
    customer_id : str
    since : datetime
        From when on rows are news.
    published_at : datetime
        From when on a block counts that was accepted, whenever it happened.
    """
    values = {"customer": customer_id, "since": since, "published_at": published_at}
    rows = connection.execute(_HEARD, values).all()
    return SinceTheNight(
        [
            {
                "table": row.table_name,
                "ts": row.occurred_at,
                "kind": row.payload.get("kind")
                or row.payload.get("mode")
                or row.payload.get("tag"),
            }
            for row in rows
            if row.is_news
        ],
        any(row.blocks for row in rows),
    )


def accepted_since(connection: Connection, table: str, since: datetime) -> list[dict[str, Any]]:
    """Return the rows of one table that were accepted from `since` on, oldest first."""
    query = (
        select(outbox.c.payload)
        .where(outbox.c.table_name == table, outbox.c.accepted_at >= since)
        .order_by(outbox.c.outbox_id)
    )
    return [dict(row.payload) for row in connection.execute(query)]


@dataclass(frozen=True)
class Heard:
    """That a row about a customer was accepted.

    Parameters
    ----------
    outbox_id : int
        Grows with each row.
    customer_id : str
    occurred_at : datetime
        UTC: the row's own moment.
    """

    outbox_id: int
    customer_id: str
    occurred_at: datetime


def newest_id(connection: Connection) -> int:
    """Return the id of the newest row, 0 before the first."""
    return int(connection.scalar(select(func.max(outbox.c.outbox_id))) or 0)


def heard_after(connection: Connection, floor: int) -> list[Heard]:
    """Return of whom rows after an id are, oldest first."""
    query = (
        select(outbox.c.outbox_id, outbox.c.customer_id, outbox.c.occurred_at)
        .where(outbox.c.outbox_id > floor, outbox.c.customer_id.is_not(None))
        .order_by(outbox.c.outbox_id)
    )
    return [Heard(*row) for row in connection.execute(query)]


def _is_of_day(as_of: datetime, made_at: datetime) -> ColumnElement[bool]:
    """Return whether a row is none that a base saw, made at a moment of the lake at `as_of`."""
    reached = outbox.c.ingested_at
    later = reached.is_(None) | (reached >= made_at) | (outbox.c.occurred_at >= as_of)
    return outbox.c.refused_at.is_(None) & later


def heard_of(connection: Connection, as_of: datetime, made_at: datetime) -> list[str]:
    """Return the customers of whom a base does not know all: see `day_frames`."""
    query = (
        select(outbox.c.customer_id)
        .where(outbox.c.customer_id.is_not(None), _is_of_day(as_of, made_at))
        .distinct()
        .order_by(outbox.c.customer_id)
    )
    return [str(one) for one in connection.scalars(query)]


def day_frames(
    connection: Connection, customer_ids: Sequence[str], as_of: datetime, made_at: datetime
) -> dict[str, pl.DataFrame]:
    """Return the rows of some customers that the base of the day does not know, by table.

    Parameters
    ----------
    connection : Connection
    customer_ids : sequence of str
    as_of : datetime
        Aware: the moment that the base saw the lake at.
    made_at : datetime
        Aware: when it was made.

    Returns
    -------
    dict of str to polars.DataFrame
        With the columns of the contract, times in UTC. A row that cannot be typed as its table
        says is left out: the lake will refuse it.
    """
    query = (
        select(outbox.c.outbox_id, outbox.c.table_name, outbox.c.payload)
        .where(outbox.c.customer_id.in_(list(customer_ids)), _is_of_day(as_of, made_at))
        .order_by(outbox.c.outbox_id)
    )
    rows: dict[str, list[_Entry]] = {}
    for outbox_id, table_name, payload in connection.execute(query):
        rows.setdefault(table_name, []).append((outbox_id, payload))
    typed = {name: _typed(TABLES[name], entries, {}) for name, entries in rows.items()}
    return {name: frame.drop(OUTBOX_ID) for name, frame in typed.items() if frame is not None}


def has_interaction(connection: Connection, action_id: str) -> bool:
    """Return whether an interaction with this `action_id` came by here."""
    query = select(outbox.c.outbox_id).where(outbox.c.action_id == action_id).limit(1)
    return connection.scalar(query) is not None


_WAITING: ColumnElement[bool] = outbox.c.ingested_at.is_(None) & outbox.c.refused_at.is_(None)
_REFUSED: ColumnElement[bool] = outbox.c.refused_at.is_not(None)


@dataclass(frozen=True)
class Pending:
    """What waits for the lake.

    Parameters
    ----------
    frames : dict of str to polars.DataFrame
        Rows by table of the contract, with `outbox_id` first.
    refusals : dict of str to mapping
        By `outbox_id`: why a row cannot even be typed as its table says.
    """

    frames: dict[str, pl.DataFrame]
    refusals: dict[str, Mapping[str, Any]]


def pending(connection: Connection) -> Pending:
    """Return what the lake does not hold yet."""
    query = (
        select(outbox.c.outbox_id, outbox.c.table_name, outbox.c.payload)
        .where(_WAITING)
        .order_by(outbox.c.outbox_id)
    )
    rows: dict[str, list[_Entry]] = {}
    for outbox_id, table_name, payload in connection.execute(query):
        rows.setdefault(table_name, []).append((outbox_id, payload))
    found = Pending({}, {})
    for name, entries in rows.items():
        typed = _typed(TABLES[name], entries, found.refusals)
        if typed is not None:
            found.frames[name] = typed
    return found


def _typed(
    table: Table, entries: list[_Entry], refusals: dict[str, Mapping[str, Any]]
) -> pl.DataFrame | None:
    """Return the rows as a frame; one that no column can hold is refused by itself."""
    try:
        return _frame(table, entries)
    except _UNTYPABLE:
        good = []
        for entry in entries:
            try:
                _frame(table, [entry])
            except _UNTYPABLE as error:
                refusals[str(entry[0])] = {"reason": str(error).partition("\n")[0]}
            else:
                good.append(entry)
    return _frame(table, good) if good else None


def _frame(table: Table, entries: Sequence[_Entry]) -> pl.DataFrame:
    columns: dict[str, pa.Array] = {
        OUTBOX_ID: pa.array([str(outbox_id) for outbox_id, _ in entries], pa.string())
    }
    for column in table.columns:
        values = [_parse(column.kind, payload.get(column.name)) for _, payload in entries]
        columns[column.name] = pa.array(values, table.arrow_schema.field(column.name).type)
    extra = {name for _, payload in entries for name in payload} - {*table.by_name, LOADED_AT}
    for name in sorted(extra):
        columns[name] = pa.array([payload.get(name) for _, payload in entries], pa.string())
    frame = pl.from_arrow(pa.table(columns))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _parse(kind: Kind, value: Any) -> Any:
    """Return the typed value of what the payload holds as JSON."""
    if value is None:
        return None
    if kind is Kind.TIMESTAMP:
        return datetime.fromisoformat(value).astimezone(UTC)
    if kind is Kind.DATE:
        return date.fromisoformat(value)
    if kind in (Kind.MONEY, Kind.QUANTITY):
        return Decimal(value)
    return value


def mark(connection: Connection, outbox_ids: Sequence[str], now: datetime) -> None:
    """Mark rows as having reached the lake; unknown or marked ids change nothing."""
    ids = [int(outbox_id) for outbox_id in outbox_ids]
    for start in range(0, len(ids), 500):
        connection.execute(
            update(outbox)
            .where(outbox.c.outbox_id.in_(ids[start : start + 500]), outbox.c.ingested_at.is_(None))
            .values(ingested_at=now)
        )


def refuse(
    connection: Connection, refusals: Mapping[str, Mapping[str, Any]], now: datetime
) -> None:
    """Set rows aside that the lake refused, each with why; they wait no longer."""
    for outbox_id, refusal in refusals.items():
        connection.execute(
            update(outbox)
            .where(outbox.c.outbox_id == int(outbox_id), outbox.c.ingested_at.is_(None))
            .values(refused_at=now, refusal=dict(refusal))
        )


def backlog(connection: Connection) -> tuple[int, datetime | None]:
    """Return how many rows wait for the lake, and since when the oldest waits."""
    row = connection.execute(
        select(func.count(), func.min(outbox.c.accepted_at)).where(_WAITING)
    ).one()
    return int(row[0]), row[1]


def refused(connection: Connection) -> int:
    """Return how many rows the lake refused."""
    return int(connection.scalar(select(func.count()).where(_REFUSED)) or 0)


def open_rows(connection: Connection, outbox_ids: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return rows that the lake does not hold, refused ones first; all where no id is named.

    Raises
    ------
    NotFoundError
        When a named row is unknown, or the lake holds it.
    """
    query = select(outbox).where(_WAITING | _REFUSED)
    if outbox_ids:
        query = query.where(outbox.c.outbox_id.in_(_numbers(outbox_ids)))
    query = query.order_by(outbox.c.refused_at.is_(None), outbox.c.outbox_id)
    rows = [_open_row(row) for row in connection.execute(query).mappings()]
    missing = sorted(set(outbox_ids) - {row["outbox_id"] for row in rows})
    if missing:
        raise NotFoundError(
            "the outbox does not hold these rows",
            expected="rows that wait for the lake or were refused",
            found=", ".join(missing),
            next_step="see `nba outbox list`",
        )
    return rows


def _open_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "outbox_id": str(row["outbox_id"]),
        "table": row["table_name"],
        "state": "waiting" if row["refused_at"] is None else "refused",
        "refusal": row["refusal"],
        "accepted_at": row["accepted_at"],
        "refused_at": row["refused_at"],
        "row": row["payload"],
    }


def _numbers(outbox_ids: Sequence[str]) -> list[int]:
    return [int(outbox_id) for outbox_id in outbox_ids if outbox_id.isdigit()]


def drop(connection: Connection, outbox_ids: Sequence[str]) -> None:
    """Remove rows that the lake does not hold; their keys are free again."""
    numbers = _numbers(outbox_ids)
    connection.execute(delete(outbox).where(outbox.c.outbox_id.in_(numbers), _WAITING | _REFUSED))


def wait_again(connection: Connection, outbox_ids: Sequence[str]) -> None:
    """Let refused rows wait for the lake again."""
    connection.execute(
        update(outbox)
        .where(outbox.c.outbox_id.in_(_numbers(outbox_ids)), _REFUSED)
        .values(refused_at=None, refusal=None)
    )
