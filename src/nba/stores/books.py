"""A clerk's list through the day: versions, additions and removals, and who takes a free place.

A list changes in two steps. Whatever is accepted about a customer *touches* the books of the
clerks whose lists name them, in the same transaction. To *settle* a touched book is to find what
became untrue, to draw who takes the free minutes from the night's reserve, and to note both under
a new version of the list: one transaction, so that two who settle at once draw once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal

import polars as pl
from sqlalchemy import (
    Connection,
    Executable,
    Result,
    RowMapping,
    ScalarSelect,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from nba.decisions.allocation import EPSILON
from nba.decisions.ordering import in_money
from nba.decisions.replacement import draw_replacements
from nba.decisions.settings import DecisionSettings
from nba.schema.words import FeedbackKind, Mode
from nba.stores import hooks, lists
from nba.stores.database import Quick
from nba.stores.hooks import HookEvent
from nba.stores.lists import CLOSING, Slice
from nba.stores.plans import CHUNK
from nba.stores.schema import (
    actions,
    books,
    changes,
    decisions,
    draws,
    feedback,
    outbox,
    plans,
    quotas,
    reserves,
    withdrawn,
)

ADDED: Final = "added"
REMOVED: Final = "removed"
#: Why an action left a list, beside the feedback that closed it and the signals of the outbox.
OPTED_OUT, ABSENT, HANDED_OVER, GONE = "opted_out", "absent", "handed_over", "gone"
#: Why one was added.
REPLACEMENT, SUBSTITUTE, BACK = "replacement", "substitute", "back"
#: Column of a published action: who serves the customer if the clerk falls out.
SUBSTITUTE_CLERK: Final = "substitute_clerk_id"
_ALL: Final = 100_000

_NEWEST: ScalarSelect[date] = select(func.max(plans.c.as_of)).scalar_subquery()

ChangeKind = Literal["added", "removed"]


@dataclass(frozen=True)
class Book:
    """Where a clerk's list of the newest plan stands.

    Parameters
    ----------
    as_of : date
    clerk_id : str
    version : int
        Grows with every change of the list.
    is_settled : bool
        Whether all that was accepted is worked into it.
    absent : bool
        Whether the clerk fell out today.
    digest : str
        The plan's.
    """

    as_of: date
    clerk_id: str
    version: int
    is_settled: bool
    absent: bool
    digest: str


@dataclass(frozen=True)
class Change:
    """One addition to a list or removal from it."""

    version: int
    kind: ChangeKind
    action_id: str
    reason: str | None
    changed_at: datetime


@dataclass(frozen=True)
class Today:
    """The moment at which a book is settled, and what the catalogue says of action types.

    Parameters
    ----------
    since : datetime
        When the plan's day began, aware.
    now, local : datetime
        The present moment, aware, and by the project's clocks.
    unprofiled, services : sequence of str
        As in `Slice`.
    """

    since: datetime
    now: datetime
    local: datetime
    unprofiled: Sequence[str] = ()
    services: Sequence[str] = ()


def delete_reserve(connection: Connection, as_of: date) -> None:
    """Delete what a day laid ready."""
    connection.execute(delete(reserves).where(reserves.c.as_of == as_of))


def insert_reserve(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Lay a plan's reserve ready."""
    for start in range(0, len(rows), CHUNK):
        connection.execute(insert(reserves), rows[start : start + CHUNK])


def sweep_reserves(connection: Connection, as_of: date) -> int:
    """Delete a part of what days before laid ready; return how many rows."""
    part = select(reserves.c.action_id).where(reserves.c.as_of < as_of).limit(CHUNK)
    return connection.execute(delete(reserves).where(reserves.c.action_id.in_(part))).rowcount


def open_books(connection: Connection, as_of: date, closes_at: Mapping[str, datetime]) -> None:
    """Open the books of a plan just written.

    Books and changes of other days go; what was decided stays. A plan of a day before the newest
    plan's has none: it is not lived through any more.

    Parameters
    ----------
    connection : Connection
    as_of : date
        The plan's day.
    closes_at : mapping of str to datetime
        When each working clerk's shift ends, naive local.
    """
    if as_of != connection.scalar(select(_NEWEST)):
        return
    for table in (books, changes):
        connection.execute(delete(table))
    planned = (
        select(actions.c.clerk_id, func.sum(actions.c.minutes).label("minutes"))
        .where(actions.c.as_of == as_of, actions.c.mode != Mode.NONE)
        .group_by(actions.c.clerk_id)
    )
    minutes = {row.clerk_id: float(row.minutes or 0.0) for row in connection.execute(planned)}
    used = (
        select(decisions.c.clerk_id, func.max(decisions.c.sequence).label("last"))
        .where(decisions.c.as_of == as_of)
        .group_by(decisions.c.clerk_id)
    )
    last = {row.clerk_id: int(row.last) for row in connection.execute(used)}
    clerk_ids = sorted({one for one in (*minutes, *closes_at) if one is not None})
    rows = [
        {
            "as_of": as_of,
            "clerk_id": clerk_id,
            "version": 0,
            "touched": 0,
            "settled": 0,
            "sequence": last.get(clerk_id, 0),
            "minutes": minutes.get(clerk_id, 0.0),
            "closes_at": closes_at.get(clerk_id),
            "absent": False,
        }
        for clerk_id in clerk_ids
    ]
    if rows:
        connection.execute(insert(books), rows)
    # what was accepted while the plan was made is not in the lake that it stood on
    waiting = select(outbox.c.customer_id).where(
        outbox.c.ingested_at.is_(None), outbox.c.signal.is_not(None)
    )
    named = select(actions.c.clerk_id).where(
        actions.c.as_of == as_of, actions.c.customer_id.in_(waiting)
    )
    connection.execute(
        update(books)
        .where(books.c.as_of == as_of, books.c.clerk_id.in_(named))
        .values(touched=books.c.touched + 1)
    )


def reserve_rows(frame: pl.DataFrame, as_of: date) -> Iterator[dict[str, Any]]:
    """Yield the rows of `reserves` from rows of the plan's action columns.

    Places are drawn by `value` as each list scores; in the action that is shown it is money, or
    left out.
    """
    shown = in_money(frame).to_dicts()
    for place, row in enumerate(frame.iter_rows(named=True)):
        yield {
            "action_id": row["action_id"],
            "as_of": as_of,
            "clerk_id": row["clerk_id"],
            "customer_id": row["customer_id"],
            "place": row["rank"],
            "mode": row["mode"],
            "action_type": row["action_type"],
            "arm": row["arm"],
            "value": row["value"],
            "minutes": row["minutes"],
            "action": {name: value for name, value in shown[place].items() if value is not None},
        }


_TOUCH = (
    update(books)
    .where(
        books.c.as_of == _NEWEST,
        books.c.clerk_id.in_(
            select(actions.c.clerk_id).where(
                actions.c.customer_id == bindparam("customer"), actions.c.as_of == _NEWEST
            )
        ),
    )
    .values(touched=books.c.touched + 1)
)


def touch(connection: Connection, customer_id: str) -> None:
    """Note that something was accepted that may change the lists which name a customer."""
    connection.execute(_TOUCH, {"customer": customer_id})


def touch_clerks(connection: Connection, clerk_ids: Sequence[str]) -> None:
    """Note that something was accepted that may change the lists of some clerks."""
    connection.execute(
        update(books)
        .where(books.c.as_of == _NEWEST, books.c.clerk_id.in_(clerk_ids))
        .values(touched=books.c.touched + 1)
    )


def note_shown(connection: Connection, clerk_id: str) -> None:
    """Note that the status of an action changed, and nothing else of the list."""
    connection.execute(
        update(books)
        .where(books.c.as_of == _NEWEST, books.c.clerk_id == clerk_id)
        .values(version=books.c.version + 1)
    )


def note_absence(connection: Connection, clerk_id: str, day: date) -> None:
    """Note that a clerk fell out on a day; it matters where that is the newest plan's."""
    connection.execute(
        update(books)
        .where(books.c.as_of == _NEWEST, books.c.as_of == day, books.c.clerk_id == clerk_id)
        .values(absent=True, touched=books.c.touched + 1)
    )


def listed(connection: Connection, customer_id: str) -> list[tuple[str, str]]:
    """Return the actions of the newest plan that name a customer: action_id, clerk_id."""
    query = select(actions.c.action_id, actions.c.clerk_id).where(
        actions.c.customer_id == customer_id,
        actions.c.as_of == _NEWEST,
        actions.c.mode != Mode.NONE,
    )
    return [(row.action_id, row.clerk_id) for row in connection.execute(query)]


def note_gone(connection: Connection, gone: Sequence[tuple[str, str]], now: datetime) -> None:
    """Note actions that were deleted, under a new version of their lists and without a name."""
    for action_id, clerk_id in gone:
        of_clerk = (books.c.as_of == _NEWEST) & (books.c.clerk_id == clerk_id)
        connection.execute(
            update(books)
            .where(of_clerk)
            .values(version=books.c.version + 1, touched=books.c.touched + 1)
        )
        book = connection.execute(select(books.c.as_of, books.c.version).where(of_clerk)).first()
        if book is not None:
            found = _Change(action_id, None, REMOVED, GONE)
            _note(connection, book.as_of, clerk_id, book.version, [found], now)


#: Where a clerk's list of the newest plan stands; parameter `clerk`. See `book_of`.
READ: Final = Quick(
    select(
        books.c.as_of,
        books.c.version,
        books.c.touched,
        books.c.settled,
        books.c.absent,
        plans.c.digest,
    )
    .join(plans, plans.c.as_of == books.c.as_of)
    .where(books.c.as_of == _NEWEST, books.c.clerk_id == bindparam("clerk"))
)


def book_of(clerk_id: str, row: Sequence[Any] | None) -> Book | None:
    """Return a clerk's book from what `READ` found, or None where it has none."""
    if row is None:
        return None
    as_of, version, touched, settled, absent, digest = row
    day = date.fromisoformat(as_of) if isinstance(as_of, str) else as_of
    return Book(day, clerk_id, version, touched == settled, bool(absent), digest)


def read_book(connection: Connection, clerk_id: str) -> Book | None:
    """Return the book of a clerk in the newest plan, or None where it has none."""
    return book_of(clerk_id, connection.execute(READ.statement, {"clerk": clerk_id}).first())


def touched(connection: Connection) -> list[str]:
    """Return the clerks of the newest plan whose books wait to be settled."""
    query = select(books.c.clerk_id).where(
        books.c.as_of == _NEWEST, books.c.touched != books.c.settled
    )
    return list(connection.scalars(query.order_by(books.c.clerk_id)))


def read_changes(connection: Connection, book: Book, since: int) -> list[Change]:
    """Return what came and went after a version of a list, the last word on each action."""
    query = (
        select(changes)
        .where(
            changes.c.as_of == book.as_of,
            changes.c.clerk_id == book.clerk_id,
            changes.c.version > since,
            changes.c.version <= book.version,
        )
        .order_by(changes.c.change_id)
    )
    last: dict[str, Change] = {}
    for row in connection.execute(query):
        last.pop(row.action_id, None)
        last[row.action_id] = Change(
            row.version, row.kind, row.action_id, row.reason, row.changed_at
        )
    return list(last.values())


_MINE = (
    select(books)
    .where(books.c.as_of == _NEWEST, books.c.clerk_id == bindparam("clerk"))
    .with_for_update()
)


def settle(connection: Connection, clerk_id: str, today: Today) -> bool:
    """Work what was accepted into a clerk's list; return whether there was anything to do.

    Within a writing transaction.
    """
    row = connection.execute(_MINE, {"clerk": clerk_id}).mappings().first()
    if row is None or row["touched"] == row["settled"]:
        return False
    _Settling(connection, row, today).run()
    return True


@dataclass(frozen=True)
class _Change:
    action_id: str
    customer_id: str | None
    kind: ChangeKind
    reason: str


def _note(
    connection: Connection,
    as_of: date,
    clerk_id: str,
    version: int,
    found: Sequence[_Change],
    now: datetime,
) -> None:
    """Write changes of a list down.

    Parameters
    ----------
    as_of, clerk_id, version
        Of the list.
    found : sequence of _Change
    now : datetime
    """
    rows = [
        vars(change) | {"as_of": as_of, "clerk_id": clerk_id, "version": version, "changed_at": now}
        for change in found
    ]
    if rows:
        connection.execute(insert(changes), rows)
    for change in found:
        event = HookEvent.ACTION_ADDED if change.kind == ADDED else HookEvent.ACTION_WITHDRAWN
        facts = {
            "as_of": as_of,
            "clerk_id": clerk_id,
            "action_id": change.action_id,
            "reason": change.reason,
            "version": version,
        }
        hooks.emit(connection, event, facts, now)


_OF_DAY: Final = (actions.c.as_of == bindparam("day"), actions.c.clerk_id == bindparam("clerk"))
#: What settling asks of each action that was planned.
_PLANNED = (
    select(
        actions.c.action_id,
        actions.c.customer_id,
        actions.c.rank,
        actions.c.action_type,
        actions.c.minutes,
        actions.c.expires_at,
        actions.c.details,
    )
    .where(*_OF_DAY, actions.c.mode != Mode.NONE)
    .order_by(actions.c.rank)
)
_CHANGED = (
    select(changes.c.action_id, changes.c.kind)
    .where(changes.c.as_of == bindparam("day"), changes.c.clerk_id == bindparam("clerk"))
    .order_by(changes.c.change_id)
)
_LAST_RANK = select(func.max(actions.c.rank)).where(*_OF_DAY)
#: What says why an action is no longer true, the first that says anything.
_SAID: Final = (
    select(feedback.c.kind)
    .where(feedback.c.action_id == bindparam("action"), feedback.c.kind.in_(CLOSING))
    .order_by(feedback.c.ts.desc(), feedback.c.accepted_at.desc())
    .limit(1),
    select(withdrawn.c.reason).where(withdrawn.c.action_id == bindparam("action")),
    select(outbox.c.signal)
    .where(
        outbox.c.customer_id == bindparam("customer"),
        outbox.c.signal.is_not(None),
        (outbox.c.occurred_at >= bindparam("since"))
        | (outbox.c.accepted_at >= bindparam("published_at")),
    )
    .order_by(outbox.c.outbox_id.desc())
    .limit(1),
)
_SPENT = select(actions.c.action_id).where(
    *_OF_DAY,
    exists().where(
        feedback.c.action_id == actions.c.action_id, feedback.c.kind == FeedbackKind.SENT
    )
    | exists().where(
        outbox.c.customer_id == actions.c.customer_id,
        outbox.c.signal == lists.CONTACTED,
        outbox.c.occurred_at >= bindparam("since"),
    ),
)
_OPTIONS = lists.still_true(
    select(*(column for column in reserves.columns if column.name != "action"))
    .where(
        reserves.c.as_of == bindparam("day"),
        reserves.c.clerk_id == bindparam("clerk"),
        reserves.c.minutes <= bindparam("minutes"),
        ~exists().where(
            actions.c.as_of == bindparam("day"), actions.c.customer_id == reserves.c.customer_id
        ),
    )
    .order_by(reserves.c.place, reserves.c.mode),
    reserves,
)
_RESERVED = select(reserves.c.action).where(reserves.c.action_id == bindparam("action"))


class _Settling:
    """One book worked through: what left, what that leaves free, and who takes it."""

    def __init__(self, connection: Connection, book: RowMapping, today: Today) -> None:
        self._connection = connection
        self._book = book
        self._today = today
        self._as_of: date = book["as_of"]
        self._clerk_id: str = book["clerk_id"]
        header = connection.execute(select(plans).where(plans.c.as_of == self._as_of)).one()
        self._published_at: datetime = header.published_at
        self._policy_version: str = header.policy_version
        self._settings: dict[str, Any] = (header.details or {}).get("decisions") or {}

    def run(self) -> None:
        """Settle the book under a new version."""
        book, connection = self._book, self._connection
        rows = self._actions()
        open_ids = set() if book["absent"] else self._open_ids()
        listed = self._listed({row["action_id"] for row in rows})
        found: list[_Change] = []
        if book["absent"]:
            found += self._hand_over([row for row in rows if row["action_id"] in listed])
            listed -= {change.action_id for change in found}
        by_id = {row["action_id"]: row for row in rows}
        for action_id in sorted(listed - open_ids):
            row = by_id[action_id]
            found.append(_Change(action_id, row["customer_id"], REMOVED, self._reason(row)))
        found += [
            _Change(action_id, by_id[action_id]["customer_id"], ADDED, BACK)
            for action_id in sorted(open_ids - listed)
        ]
        if not book["absent"] and any(change.kind == REMOVED for change in found):
            found += self._replace(rows, open_ids)
        version = book["version"] + 1
        _note(connection, self._as_of, self._clerk_id, version, found, self._today.now)
        connection.execute(
            update(books)
            .where(books.c.as_of == self._as_of, books.c.clerk_id == self._clerk_id)
            .values(version=version, settled=book["touched"])
        )

    def _actions(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self._of_clerk(_PLANNED).mappings()]

    def _of_clerk(self, query: Executable, **values: Any) -> Result[Any]:
        """Return what a statement finds of the clerk's day."""
        given = {"day": self._as_of, "clerk": self._clerk_id, **values}
        return self._connection.execute(query, given)

    def _open_ids(self) -> set[str]:
        today = self._today
        part = Slice(
            "clerk_id",
            self._clerk_id,
            limit=_ALL,
            unprofiled=today.unprofiled,
            services=today.services,
        )
        return lists.open_ids(
            self._connection,
            self._as_of,
            part,
            since=today.since,
            published_at=self._published_at,
            now=today.since + timedelta(days=1),  # later today is still of today's list
        )

    def _listed(self, known: set[str]) -> set[str]:
        """Return which actions the version before listed: all but those that had left."""
        last = {row.action_id: row.kind for row in self._of_clerk(_CHANGED)}
        return {one for one in known if last.get(one) != REMOVED}

    def _reason(self, row: Mapping[str, Any]) -> str:
        """Return why an action is no longer true: feedback, then signals, then consents."""
        if self._book["absent"]:
            return ABSENT
        given = {
            "action": row["action_id"],
            "customer": row["customer_id"],
            "since": self._today.since,
            "published_at": self._published_at,
        }
        said = next((kind for one in _SAID if (kind := self._connection.scalar(one, given))), None)
        return str(said) if said else OPTED_OUT

    # -- a clerk who fell out -----------------------------------------------------------

    def _hand_over(self, rows: Sequence[dict[str, Any]]) -> list[_Change]:
        """Pass urgent actions to those who stand in, at the end of their lists."""
        found = []
        for row in rows:
            substitute = (row["details"] or {}).get(SUBSTITUTE_CLERK)
            if substitute is None or not self._is_urgent(row) or self._is_absent(substitute):
                continue
            self._connection.execute(
                update(actions)
                .where(actions.c.action_id == row["action_id"])
                .values(
                    clerk_id=substitute,
                    rank=self._next_rank(substitute),
                    details={**row["details"], "from_clerk_id": self._clerk_id},
                )
            )
            self._add_to(substitute, row)
            found.append(_Change(row["action_id"], row["customer_id"], REMOVED, HANDED_OVER))
        return found

    def _is_urgent(self, row: Mapping[str, Any]) -> bool:
        """Whether an action cannot wait for the clerk: a service, or one of today alone."""
        tomorrow = datetime.combine(self._as_of + timedelta(days=1), datetime.min.time())
        expires_at: datetime | None = row["expires_at"]
        return row["action_type"] in self._today.services or (
            expires_at is not None and expires_at <= tomorrow
        )

    def _is_absent(self, clerk_id: str) -> bool:
        query = select(books.c.absent).where(
            books.c.as_of == self._as_of, books.c.clerk_id == clerk_id
        )
        return self._connection.scalar(query) is not False

    def _next_rank(self, clerk_id: str) -> int:
        return int(self._of_clerk(_LAST_RANK, clerk=clerk_id).scalar() or 0) + 1

    def _add_to(self, clerk_id: str, row: Mapping[str, Any]) -> None:
        """Give a colleague's list a new version with the action, and the minutes it takes."""
        of_clerk = (books.c.as_of == self._as_of) & (books.c.clerk_id == clerk_id)
        self._connection.execute(
            update(books)
            .where(of_clerk)
            .values(version=books.c.version + 1, minutes=books.c.minutes + (row["minutes"] or 0.0))
        )
        version = self._connection.scalar(select(books.c.version).where(of_clerk))
        assert version is not None
        found = _Change(row["action_id"], row["customer_id"], ADDED, SUBSTITUTE)
        _note(self._connection, self._as_of, clerk_id, version, [found], self._today.now)

    # -- who takes the free minutes -------------------------------------------------------

    def _replace(self, rows: Sequence[Mapping[str, Any]], open_ids: set[str]) -> list[_Change]:
        """Draw who takes the minutes that are free, and add what was drawn to the list."""
        minutes = self._free_minutes(rows, open_ids)
        options = self._options(minutes) if minutes > 0 else []
        if not options or not self._settings:
            return []
        sequence = self._book["sequence"] + 1
        fields = ("customer_id", "arm", "mode", "value", "minutes")
        frame = pl.DataFrame([{name: row[name] for name in fields} for row in options])
        settings = DecisionSettings.model_validate(self._settings)
        draw = draw_replacements(
            frame,
            minutes,
            settings,
            seed=draw_seed(settings, self._as_of, self._clerk_id, sequence),
        )
        chosen = {(row["customer_id"], row["mode"]): row for row in options}
        added = []
        for one in draw.drawn.iter_rows(named=True):
            option = chosen[one["customer_id"], one["mode"]]
            self._add(option, one, sequence)
            added.append(_Change(option["action_id"], one["customer_id"], ADDED, REPLACEMENT))
        self._log(draw.decided, chosen, minutes, sequence)
        return added

    def _free_minutes(self, rows: Sequence[Mapping[str, Any]], open_ids: set[str]) -> float:
        """Return the minutes that left the list unused and that the shift still has."""
        listed = sum(row["minutes"] or 0.0 for row in rows if row["action_id"] in open_ids)
        spent = self._spent()
        used = sum(row["minutes"] or 0.0 for row in rows if row["action_id"] in spent)
        free = self._book["minutes"] - listed - used
        closes_at: datetime | None = self._book["closes_at"]
        if closes_at is not None:
            ahead = (closes_at - self._today.local).total_seconds() / 60
            free = min(free, ahead - listed)
        return float(free)

    def _spent(self) -> set[str]:
        """Return the actions that took their minutes: sent, or the customer was contacted."""
        return set(self._of_clerk(_SPENT, since=self._today.since).scalars())

    def _options(self, minutes: float) -> list[dict[str, Any]]:
        """Return the actions of the reserve that are open now and fit into some minutes."""
        found = self._of_clerk(
            _OPTIONS,
            minutes=minutes + EPSILON,
            since=self._today.since,
            published_at=self._published_at,
            unprofiled=list(self._today.unprofiled),
            services=list(self._today.services),
        )
        return [dict(row) for row in found.mappings()]

    def _add(self, option: Mapping[str, Any], drawn: Mapping[str, Any], sequence: int) -> None:
        """Put a drawn option at the end of the list, and reserve its contact."""
        action = dict(self._connection.scalar(_RESERVED, {"action": option["action_id"]}) or {})
        moments = {
            name: datetime.fromisoformat(action[name])
            for name in ("contact_from", "contact_to", "expires_at")
            if action.get(name) is not None
        }
        row = {column.name: action.get(column.name) for column in actions.columns} | moments
        row |= self._window(row)
        row |= {
            "as_of": self._as_of,
            "rank": self._next_rank(self._clerk_id),
            "propensity": drawn["propensity"],
            "explored": drawn["explored"],
            "details": {"sequence": sequence},
        }
        self._connection.execute(insert(actions), row)
        reservation = {
            name: row[name]
            for name in ("action_id", "customer_id", "clerk_id", "channel", "as_of", "expires_at")
        }
        # a plan of the same day before this one may have reserved it
        self._connection.execute(delete(quotas).where(quotas.c.action_id == row["action_id"]))
        self._connection.execute(
            insert(quotas), reservation | {"state": "reserved", "reserved_at": self._today.now}
        )

    def _window(self, row: Mapping[str, Any]) -> dict[str, datetime]:
        """Return a window that is not over: what is left of the shift where the best hour is."""
        local, closes_at = self._today.local, self._book["closes_at"]
        if row["contact_to"] is None or closes_at is None or row["contact_to"] > local:
            return {}
        return {"contact_from": local.replace(second=0, microsecond=0), "contact_to": closes_at}

    def _log(
        self,
        decided: pl.DataFrame,
        chosen: Mapping[tuple[str, str], Mapping[str, Any]],
        minutes: float,
        sequence: int,
    ) -> None:
        """Keep a decision with every customer who stood for it.

        Parameters
        ----------
        decided : DataFrame
            See `Draw`.
        chosen : mapping of (customer_id, mode) to mapping
            The options.
        minutes : float
        sequence : int
        """
        of_decision = {"as_of": self._as_of, "clerk_id": self._clerk_id, "sequence": sequence}
        self._connection.execute(
            insert(decisions),
            of_decision
            | {
                "decided_at": self._today.now,
                "minutes": minutes,
                "settings": self._settings,
                "policy_version": self._policy_version,
            },
        )
        rows = []
        for row in decided.iter_rows(named=True):
            drawn = chosen.get((row["customer_id"], row["mode"]))
            rows.append(of_decision | row | {"action_id": drawn["action_id"] if drawn else None})
        self._connection.execute(insert(draws), rows)
        self._connection.execute(
            update(books)
            .where(books.c.as_of == self._as_of, books.c.clerk_id == self._clerk_id)
            .values(sequence=sequence)
        )


def draw_seed(settings: DecisionSettings, as_of: date, clerk_id: str, sequence: int) -> str:
    """Return the seed of one decision of the day.

    Parameters
    ----------
    settings : DecisionSettings
        Of the plan.
    as_of : date
    clerk_id : str
    sequence : int
        Within the clerk's day, from 1.
    """
    return f"{settings.seed}/{as_of.isoformat()}/{sequence}/{clerk_id}"


@dataclass(frozen=True)
class DayDecision:
    """A decision made during a day, as it was logged.

    Parameters
    ----------
    as_of : date
    clerk_id : str
    sequence : int
        Within the clerk's day, from 1.
    decided_at : datetime
    minutes : float
        That were free.
    settings : mapping
        Of the plan.
    rows : DataFrame
        customer_id, arm, mode, action_id, propensity, explored, alternatives.
    """

    as_of: date
    clerk_id: str
    sequence: int
    decided_at: datetime
    minutes: float
    settings: Mapping[str, Any]
    rows: pl.DataFrame

    def drawn(self) -> dict[str, dict[str, Any]]:
        """Return what was drawn, by action_id."""
        return _drawn_of(self.rows, self.rows)

    def again(self) -> dict[str, dict[str, Any]]:
        """Return the same drawn anew from those who stood for it."""
        options = self.rows.select("customer_id", "arm", "alternatives").explode("alternatives")
        options = options.unnest("alternatives").filter(pl.col("mode") != str(Mode.NONE))
        settings = DecisionSettings.model_validate(self.settings)
        seed = draw_seed(settings, self.as_of, self.clerk_id, self.sequence)
        draw = draw_replacements(options, self.minutes, settings, seed=seed)
        return _drawn_of(draw.decided, self.rows)


def _drawn_of(decided: pl.DataFrame, logged: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the drawn customers by the action_id that the log gives them."""
    known = dict(logged.select("customer_id", "action_id").iter_rows())
    columns = ("customer_id", "arm", "mode", "propensity", "explored", "alternatives")
    rows = decided.filter(pl.col("mode").is_not_null()).select(columns)
    return {known[row["customer_id"]] or "": row for row in rows.iter_rows(named=True)}


def read_decisions(
    connection: Connection, as_of: date, clerk_id: str | None = None
) -> list[DayDecision]:
    """Return the decisions made during a day, by clerk and sequence."""
    query = select(decisions).where(decisions.c.as_of == as_of)
    if clerk_id is not None:
        query = query.where(decisions.c.clerk_id == clerk_id)
    ordered = query.order_by(decisions.c.clerk_id, decisions.c.sequence)
    found = []
    for row in connection.execute(ordered).all():
        stood = (
            select(draws)
            .where(
                draws.c.as_of == as_of,
                draws.c.clerk_id == row.clerk_id,
                draws.c.sequence == row.sequence,
            )
            .order_by(draws.c.customer_id)
        )
        rows = [dict(one) for one in connection.execute(stood).mappings()]
        frame = pl.DataFrame(rows, infer_schema_length=None).drop(
            "as_of", "clerk_id", "sequence", strict=False
        )
        found.append(
            DayDecision(
                as_of,
                row.clerk_id,
                row.sequence,
                row.decided_at,
                row.minutes,
                row.settings,
                frame,
            )
        )
    return found


_DRAWN: Final[Mapping[str, Any]] = {
    "as_of": pl.Datetime("us"),
    "customer_id": pl.String,
    "arm": pl.String,
    "mode": pl.String,
    "action_id": pl.String,
    "alternatives": pl.List(pl.Struct({"mode": pl.String, "probability": pl.Float64})),
}


def read_drawn(connection: Connection, day: date) -> pl.DataFrame:
    """Return who was drawn during a day, as rows of a decision log."""
    query = (
        select(
            draws.c.customer_id, draws.c.arm, draws.c.mode, draws.c.action_id, draws.c.alternatives
        )
        .where(draws.c.as_of == day, draws.c.mode.is_not(None))
        .order_by(draws.c.customer_id)
    )
    begins = datetime.combine(day, datetime.min.time())
    rows = [{"as_of": begins, **row} for row in connection.execute(query).mappings()]
    return pl.DataFrame(rows, schema=_DRAWN)
