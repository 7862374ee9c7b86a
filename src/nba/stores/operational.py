"""The operational store: plans, feedback, outbox, tags, consents, quotas, keys.

One class over SQLAlchemy Core; SQLite and PostgreSQL run the same code. Every public method
is one transaction; `Writer` groups several writes into one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Any, Final, TypeVar, cast

import polars as pl
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from nba.data.identity_keys import IdentityKey
from nba.data.tombstones import Tombstones
from nba.errors import NotFoundError, UnavailableError
from nba.logs import log
from nba.schema.words import TagSource
from nba.stores import (
    access,
    books,
    feedback,
    hooks,
    laid,
    lists,
    nightly_runs,
    outbox,
    people,
    plans,
    quotas,
    records,
    stock,
    tombstones,
)
from nba.stores import audit as audits
from nba.stores.access import ApiKey, NewKey, Scope
from nba.stores.audit import AuditEntry, Target
from nba.stores.books import Book, Change, DayDecision, Today
from nba.stores.database import Database, Quick
from nba.stores.feedback import Feedback
from nba.stores.grouping import Group
from nba.stores.hooks import HookEvent
from nba.stores.laid import LaidCard, LaidList
from nba.stores.lists import Slice
from nba.stores.nightly_runs import NightlyRun, NightlyRunFailure
from nba.stores.outbox import Event, Heard, Outcome, Pending
from nba.stores.people import Consent, CustomerMark, Tag
from nba.stores.standing import Standing, is_untouched, read_standing
from nba.stores.stock import StockChange
from nba.stores.tombstones import Receipt

#: Keys that a thread remembers.
_MOST_KEYS: Final = 10_000


def utc_now() -> datetime:
    """Return the present moment, aware."""
    return datetime.now(UTC)


Result = TypeVar("Result")


@dataclass(frozen=True)
class Writer:
    """Writes of one transaction, all at the moment `now`."""

    connection: Connection
    now: datetime
    secret: bytes = b""

    def accept(self, event: Event) -> Outcome:
        """Put a row into the outbox; see `nba.stores.outbox.accept`."""
        return self.accept_all([event])[0]

    def accept_all(self, events: Sequence[Event]) -> list[Outcome]:
        """Put rows into the outbox; see `nba.stores.outbox.accept_all`."""
        return outbox.accept_all(self.connection, events, self.now)

    def record(self, entry: Feedback) -> Outcome:
        """Record feedback on a published action.

        Raises
        ------
        NotFoundError
            When no published plan holds the action.
        """
        action = self.action(entry.action_id)
        outcome = feedback.record(self.connection, entry, action, self.now)
        if outcome == "accepted":
            names = ("feedback_id", "action_id", "clerk_id", "ts", "kind")
            facts = {name: entry.row[name] for name in names}
            hooks.emit(self.connection, HookEvent.FEEDBACK_RECORDED, facts, self.now)
        return outcome

    def record_post(self, entry: Feedback, contacts: Sequence[Mapping[str, Any]]) -> Outcome:
        """Record what became of a post; one that was sent becomes its `contacts`, once."""
        return feedback.record_post(self.connection, entry, contacts, self.now)

    def action(self, action_id: str) -> dict[str, Any]:
        """Return one published action, or raise `NotFoundError`."""
        action = plans.read_action(self.connection, action_id)
        if action is None:
            raise unknown_action(action_id)
        return action

    def erased_among(self, customer_ids: Iterable[str]) -> set[str]:
        """Return which of some customers were erased and must not come back."""
        return tombstones.erased_of(self.connection, customer_ids, self.secret)

    def note_stock(
        self, found: Sequence[StockChange], clerks_of: Callable[[str], Collection[str]]
    ) -> None:
        """Keep what stores have, and work it into the lists of their clerks."""
        stock.note(self.connection, found, clerks_of)

    def replay(self, caller: str, key: str, body_digest: str) -> Mapping[str, Any] | None:
        """Return the response already given to an idempotency key, or None."""
        return access.replay(self.connection, caller, key, body_digest)

    def remember(
        self, caller: str, key: str, body_digest: str, response: Mapping[str, Any]
    ) -> None:
        """Keep the response to an idempotency key.

        Parameters
        ----------
        caller : str
            Keys of two callers are not compared.
        key : str
            The idempotency key.
        body_digest : str
            Of the request.
        response : mapping of str to object
            JSON data.
        """
        access.remember(
            self.connection,
            caller=caller,
            key=key,
            body_digest=body_digest,
            response=response,
            now=self.now,
        )


@dataclass(frozen=True)
class _Verified:
    """A key that was verified, and the row that it was verified from."""

    row: tuple[Any, ...]
    key: ApiKey


class OperationalStore:
    """What the service and the nightly job share.

    Parameters
    ----------
    url : str
        `sqlite:///PATH` or `postgresql://USER@HOST/NAME`.
    clock : callable
        Returns the present moment, aware.
    secret : bytes
        The project's, with which the ids of erased customers are hashed.
    wait_seconds : float
        The longest that a lock, a free connection or a server is waited for.
    silence_seconds : float, optional
        The longest that a server may say nothing while it works.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], datetime] = utc_now,
        secret: bytes = b"",
        wait_seconds: float = 30.0,
        silence_seconds: float | None = None,
    ) -> None:
        self._database = Database(url, wait_seconds=wait_seconds, silence_seconds=silence_seconds)
        self._clock = clock
        self._secret = secret
        self._group = Group(self._together)
        #: Of each thread: a connection tells by itself whether others have committed.
        self._verified = threading.local()
        self._keys: dict[bytes, _Verified] = {}
        self._database.migrate()
        with self._database.reading() as connection:
            to_key = tombstones.has_unkeyed(connection)
        if to_key:
            with self.writing() as writer:
                tombstones.key_digests(writer.connection, secret)

    def __repr__(self) -> str:
        return f"OperationalStore({self._database!r})"

    @property
    def database(self) -> Database:
        """The database underneath."""
        return self._database

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def ping(self) -> None:
        """Answer, or raise what the database raises."""
        with self._database.reading() as connection:
            connection.execute(text("SELECT 1"))

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Group writes into one transaction."""
        with self._database.writing() as connection:
            yield Writer(connection, self._clock(), self._secret)

    # -- plans ------------------------------------------------------------------------

    def write(self, work: Callable[[Writer], Result]) -> Result:
        """Do a small write in one transaction with others that wait, and return its result.

        It is on the disk when this returns. What a work raises undoes it and no other.

        Parameters
        ----------
        work : callable
            Writes; it may be called again where the transaction of all was undone.
        """
        return cast("Result", self._group.do(work))

    def _together(self, works: Sequence[Callable[[Writer], Any]]) -> list[Any]:
        """Do several works in one transaction; return result or error of each.

        Where one of them raises, all begin anew, each in a savepoint of its own.
        """
        try:
            with self.writing() as writer:
                return [work(writer) for work in works]
        except UnavailableError:
            raise
        except Exception:
            if len(works) == 1:
                raise
        with self.writing() as writer:
            return [_in_savepoint(writer, work) for work in works]

    def publish(
        self,
        plan: Mapping[str, Any],
        actions: pl.DataFrame,
        reserve: pl.DataFrame | None = None,
        shifts: pl.DataFrame | None = None,
        packed: Iterable[Sequence[tuple[str, bytes]]] = (),
    ) -> bool:
        """Replace the plan of its `as_of` by this one: a reader sees the old plan or the new.

        A plan of a new day is brought in by short transactions, so that other writers wait for
        none of them long; it stands from the last one on, which also reserves contacts in the
        quota ledger and releases those of actions that expired before the newest plan's day: a
        plan made for a past day takes nothing from it. A plan of a day that has one replaces it
        in one transaction. Erased customers are left out.

        Parameters
        ----------
        plan : mapping
            `as_of` and `policy_version`; `model_versions`, `counts` and anything else that
            JSON can hold.
        actions : polars.DataFrame
            The columns of `nba actions export`; further columns are kept beside them.
        reserve : polars.DataFrame, optional
            The same columns: who may take a free place during the day, `rank` in order.
        shifts : polars.DataFrame, optional
            clerk_id and closes_at (naive local) of the clerks who work.
        packed : iterable of parts
            Each customer's id and packed record: see `nba.stores.records`.

        Returns
        -------
        bool
            False where exactly this plan already stood, and nothing was written.
        """
        day = plans.plan_day(plan["as_of"])
        waiting = [] if reserve is None else list(books.reserve_rows(reserve, day))
        prepared = plans.prepare_plan(plan, actions, self._clock(), waiting)
        closes_at = {} if shifts is None else dict(shifts.drop_nulls().iter_rows())
        is_new = self.plan(day) is None
        if is_new:
            self._stage(day, prepared.rows, waiting)
        self._pack(day, packed)
        written = self._raise(prepared, waiting, closes_at, is_staged=is_new)
        while written and self._swept(day):
            pass
        return written

    def _pack(self, day: date, packed: Iterable[Sequence[tuple[str, bytes]]]) -> None:
        """Write each customer's record of a day, part by part."""
        with self.writing() as writer:
            records.delete_records(writer.connection, day)
            laid.drop_cards(writer.connection, day)
        for part in packed:
            with self.writing() as writer:
                ids = [customer_id for customer_id, _ in part]
                gone = tombstones.erased_among(writer.connection, ids, self._secret)
                kept = [one for one in part if one[0] not in gone]
                if kept:
                    records.insert_records(writer.connection, day, kept)

    def customer_record(
        self, customer_id: str, as_of: date
    ) -> dict[str, list[dict[str, Any]]] | None:
        """Return a customer's packed record of a plan's day by name of rows, or None.

        None as well where it is damaged: what it held is read from where it came.
        """
        return self._record(customer_id, as_of, records.unpacked)

    def customer_person(self, customer_id: str, as_of: date) -> list[dict[str, Any]] | None:
        """Return who a customer is by the packed record of a plan's day, or None, as above."""
        return self._record(customer_id, as_of, records.person_of)

    def _record(
        self, customer_id: str, as_of: date, read: Callable[[bytes], Result]
    ) -> Result | None:
        found = self._database.quick(records.READ, day=as_of, customer=customer_id)
        try:
            return None if found is None else read(found[0])
        except UnavailableError as error:
            log().error("a packed record cannot be read", day=str(as_of), error=error.found)
            return None

    def _stage(
        self,
        day: date,
        rows: Sequence[Mapping[str, Any]],
        waiting: Sequence[Mapping[str, Any]],
    ) -> None:
        """Bring a day's rows in, part by part; no reader sees them before its header stands."""
        with self.writing() as writer:
            plans.delete_actions(writer.connection, day)
            books.delete_reserve(writer.connection, day)
        for write, given in ((plans.insert_actions, rows), (books.insert_reserve, waiting)):
            for start in range(0, len(given), plans.CHUNK):
                with self.writing() as writer:
                    write(writer.connection, given[start : start + plans.CHUNK])

    def _raise(
        self,
        prepared: plans.PreparedPlan,
        waiting: Sequence[Mapping[str, Any]],
        closes_at: Mapping[str, datetime],
        *,
        is_staged: bool,
    ) -> bool:
        """Let a plan stand; its rows are there already where it is staged."""
        day = prepared.as_of
        customers = sorted({row["customer_id"] for row in (*prepared.rows, *waiting)})
        with self.writing() as writer:
            connection = writer.connection
            erased = tombstones.erased_among(connection, customers, self._secret)
            if not plans.write_header(connection, prepared):
                return False
            if not is_staged:
                plans.delete_actions(connection, day)
                books.delete_reserve(connection, day)
                plans.insert_actions(connection, prepared.rows)
                books.insert_reserve(connection, waiting)
            plans.leave_out(connection, day, erased)
            quotas.reserve_plan(connection, day, writer.now)
            # a plan made for a past day holds no contact any more
            newest = plans.newest_day(connection) or day
            quotas.release_expired(connection, datetime.combine(newest, time()), writer.now)
            books.open_books(connection, day, closes_at)
            if day == newest:
                stock.forget(connection)
            facts = {"as_of": day, "actions": len(prepared.rows)}
            hooks.emit(connection, HookEvent.PLAN_PUBLISHED, facts, writer.now)
            for arm in plans.stopped_arms(connection, prepared):
                stopped = {"as_of": day, "arm": arm}
                hooks.emit(connection, HookEvent.EXPERIMENT_STOPPED, stopped, writer.now)
            return True

    def _swept(self, day: date) -> bool:
        """Remove a part of what earlier days laid ready; return whether there was any."""
        with self.writing() as writer:
            swept = books.sweep_reserves(writer.connection, day)
            swept += laid.sweep_cards(writer.connection, day)
            return swept + records.sweep_records(writer.connection, day) > 0

    def plan(self, as_of: date | datetime) -> dict[str, Any] | None:
        """Return the header of the published plan of `as_of`, or None."""
        with self._database.reading() as connection:
            return plans.read_header(connection, plans.plan_day(as_of))

    def current_plan(self) -> dict[str, Any] | None:
        """Return the header of the newest published plan, or None."""
        with self._database.reading() as connection:
            return plans.read_header(connection, None)

    def mark(self) -> tuple[date, str] | None:
        """Return the day and the digest of the newest plan, or None before the first.

        What was read holds, where the database tells it, until anybody commits anything.
        """
        version = self._database.version()
        known: tuple[int, tuple[date, str] | None] | None = vars(self._verified).get("mark")
        if known is not None and known[0] == version:
            return known[1]
        found = plans.mark_of(self._database.quick(plans.MARK))
        if version is not None:
            vars(self._verified)["mark"] = (version, found)
        return found

    def planned(self, clerk_ids: Sequence[str] | None = None) -> dict[str, int]:
        """Return how many actions the newest plan holds, by clerk; of all where none is named."""
        with self._database.reading() as connection:
            mark = plans.read_mark(connection)
            return plans.count_actions(connection, mark[0], clerk_ids) if mark else {}

    def actions(self, as_of: date | datetime) -> pl.DataFrame:
        """Return the published actions of `as_of`, ordered by clerk and rank."""
        with self._database.reading() as connection:
            return plans.read_frame(connection, plans.plan_day(as_of))

    def action(self, action_id: str) -> dict[str, Any]:
        """Return one published action.

        Raises
        ------
        NotFoundError
            When no published plan holds it.
        """
        with self._database.reading() as connection:
            action = plans.read_action(connection, action_id)
        if action is None:
            raise unknown_action(action_id)
        return action

    def talking_points(self, since: date, before: date) -> pl.DataFrame:
        """Return customer_id and text of what plans of [`since`, `before`) say to customers."""
        with self._database.reading() as connection:
            return plans.talking_points(connection, since, before)

    def open_actions(
        self,
        as_of: date | None,
        part: Slice,
        *,
        since: Callable[[date], datetime],
        known: Collection[str] = (),
    ) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        """Return a plan's header and open actions of it, both of one state of the store.

        Parameters
        ----------
        as_of : date or None
            The plan's day; None for the newest plan.
        part : Slice
            Whose actions, and which of them.
        since : callable
            Maps the plan's day to the moment at which it begins.
        known : collection of str
            Actions of which the caller needs no more than id, rank and status.
        """
        with self._database.reading() as connection:
            header = plans.read_header(connection, as_of)
            if header is None:
                return None, []
            found = lists.read_list(
                connection,
                header["as_of"],
                part,
                since=since(header["as_of"]),
                published_at=header["published_at"],
                now=self._clock(),
                known=known,
            )
        return header, found

    # -- the day of the newest plan -------------------------------------------------------

    def book(self, clerk_id: str) -> Book | None:
        """Return where a clerk's list of the newest plan stands, or None where there is none."""
        return books.book_of(clerk_id, self._database.quick(books.READ, clerk=clerk_id))

    def laid_list(self, book: Book, definitions: str) -> LaidList | None:
        """Return a clerk's list as the plan made it, or None where it was not laid ready.

        Parameters
        ----------
        book : Book
            Whose plan it must be of.
        definitions : str
            With which it must have been made.
        """
        row = self._database.quick(laid.READ, day=book.as_of, clerk=book.clerk_id)
        return self._laid(row, book.digest, definitions, laid.unpack)

    def laid_actions(self, customer_id: str, definitions: str) -> LaidList | None:
        """Return a customer's next actions as the newest plan's night left them.

        None where they were not laid ready, or with other definitions. For `nba.stores.laid.ALL`
        anything says that all that were to be laid are.
        """
        return self._laid_of(laid.READ_ACTIONS, customer_id, definitions, laid.unpack)

    def laid_card(
        self, customer_id: str, heard: Sequence[int | None], definitions: str
    ) -> LaidCard | None:
        """Return a customer's card as the newest plan's night left it.

        None where it was not laid ready, or with other definitions, or with less known.

        Parameters
        ----------
        customer_id : str
        heard : sequence of int or None
            What is known of the customer: see `nba.stores.laid.as_heard`.
        definitions : str
            With which it must have been made.
        """
        found = self._laid_of(laid.READ_CARD, customer_id, definitions, laid.unpack_card)
        return found if found is not None and list(found.heard) == list(heard) else None

    def _laid_of(
        self, query: Quick, customer_id: str, definitions: str, read: Callable[[bytes], Result]
    ) -> Result | None:
        """Return what the newest plan's night laid ready of a customer, or None."""
        mark = self.mark()
        if mark is None:
            return None
        row = self._database.quick(query, day=mark[0], customer=customer_id)
        return self._laid(row, mark[1], definitions, read)

    def _laid(
        self,
        row: Sequence[Any] | None,
        digest: str,
        definitions: str,
        read: Callable[[bytes], Result],
    ) -> Result | None:
        if row is None or (row[1], row[2]) != (digest, definitions):
            return None
        try:
            return read(row[0])
        except UnavailableError as error:
            log().error("what was laid ready cannot be read", error=error.found)
            return None

    def lay_cards(
        self, day: date, digest: str, definitions: str, found: Mapping[str, LaidCard]
    ) -> None:
        """Lay cards of some customers ready, but for those who are erased.

        Parameters
        ----------
        day, digest, definitions
            As for `lay_actions`.
        found : mapping of str to LaidCard
            By customer.
        """
        with self.writing() as writer:
            gone = writer.erased_among(found)
            kept = {one: mine for one, mine in found.items() if one not in gone}
            laid.insert_cards(writer.connection, day, digest, definitions, kept)

    def lay_actions(
        self, day: date, digest: str, definitions: str, found: Mapping[str, LaidList]
    ) -> None:
        """Lay next actions of some customers ready, but for those who are erased.

        Parameters
        ----------
        day, digest : date, str
            The plan's.
        definitions : str
            Of what the texts were made with.
        found : mapping of str to LaidList
            By customer.
        """
        with self.writing() as writer:
            gone = writer.erased_among(found)
            kept = {one: mine for one, mine in found.items() if one not in gone}
            laid.insert_actions(writer.connection, day, digest, definitions, kept)

    def listed_customers(self, day: date) -> list[str]:
        """Return the customers whom a day's lists name, by id."""
        with self._database.reading() as connection:
            return plans.listed_customers(connection, day)

    def lists_to_lay(self, day: date, digest: str, definitions: str) -> list[str]:
        """Return the clerks whose lists of a plan nothing has changed, and are not laid ready."""
        with self._database.reading() as connection:
            return laid.waiting(connection, day, digest, definitions)

    def lay(self, day: date, digest: str, definitions: str, found: Mapping[str, LaidList]) -> int:
        """Lay lists of a plan ready but for those that changed; return how many.

        Parameters
        ----------
        day, digest : date, str
            The plan's.
        definitions : str
            Of what the texts were made with.
        found : mapping of str to LaidList
            By clerk.
        """
        with self.writing() as writer:
            laid.sweep(writer.connection, day)
            return laid.insert_lists(writer.connection, day, digest, definitions, found)

    def touched(self) -> list[str]:
        """Return the clerks whose lists wait for what was accepted to be worked in."""
        with self._database.reading() as connection:
            return books.touched(connection)

    def settle(self, clerk_id: str, today: Today) -> bool:
        """Work what was accepted into a clerk's list, free places included.

        Returns
        -------
        bool
            False where there was nothing to do.
        """
        return self.write(lambda writer: books.settle(writer.connection, clerk_id, today))

    def changes(self, clerk_id: str, since: int) -> tuple[Book, list[Change]] | None:
        """Return a clerk's book and what came and went after a version of the list."""
        with self._database.reading() as connection:
            book = books.read_book(connection, clerk_id)
            return None if book is None else (book, books.read_changes(connection, book, since))

    def sold_out(self, store_id: str) -> set[str]:
        """Return the products that a store has no more, as it was told since the night."""
        with self._database.reading() as connection:
            return stock.sold_out(connection, store_id)

    def stock_mark(self, store_id: str) -> tuple[Any, ...] | None:
        """Return what differs as soon as what a store has is told anew."""
        return self._database.quick(stock.MARK, store=store_id)

    def is_listed(self, customer_id: str, clerk_id: str) -> bool:
        """Return whether the newest plan lists a customer for a clerk."""
        with self._database.reading() as connection:
            return any(clerk == clerk_id for _, clerk in books.listed(connection, customer_id))

    def day_decisions(self, as_of: date, clerk_id: str | None = None) -> list[DayDecision]:
        """Return what was decided during a day, by clerk and sequence."""
        with self._database.reading() as connection:
            return books.read_decisions(connection, as_of, clerk_id)

    def redraw(
        self, day: date, clerk_id: str, sequence: int
    ) -> tuple[Mapping[str, Mapping[str, Any]], Mapping[str, Mapping[str, Any]]]:
        """Return what a decision of a day drew by action_id, as logged and drawn again."""
        found = [one for one in self.day_decisions(day, clerk_id) if one.sequence == sequence]
        return (found[0].drawn(), found[0].again()) if found else ({}, {})

    def drawn_during(self, day: date) -> pl.DataFrame:
        """Return who was drawn for a free place during a day, as rows of a decision log.

        as_of, customer_id, arm, mode, action_id, and `alternatives` with their probability.
        """
        with self._database.reading() as connection:
            return books.read_drawn(connection, day)

    # -- feedback and events ------------------------------------------------------------

    def accept(self, events: Sequence[Event]) -> list[Outcome]:
        """Put rows into the outbox, each accepted or refused by itself, in one transaction."""
        with self.writing() as writer:
            return writer.accept_all(events)

    def record(self, entries: Sequence[Feedback]) -> list[Outcome]:
        """Record feedback on published actions in one transaction."""
        with self.writing() as writer:
            return [writer.record(entry) for entry in entries]

    def feedback(self, action_id: str) -> list[dict[str, Any]]:
        """Return the feedback on one action, oldest first."""
        with self._database.reading() as connection:
            return feedback.of_action(connection, action_id)

    def has_planned_for(self, clerk_id: str) -> bool:
        """Return whether any plan that is kept here has an action of a clerk."""
        with self._database.reading() as connection:
            return plans.has_clerk(connection, clerk_id)

    def closed_actions(self, clerk_id: str, as_of: date) -> list[dict[str, Any]]:
        """Return a clerk's actions of a day that were done, skipped or set aside, newest first.

        Rows hold the action's columns and `kind`, `reason`, `ts` and `until` of the feedback.
        """
        with self._database.reading() as connection:
            return feedback.of_clerk(connection, clerk_id, as_of)

    def tallies(self, clerk_ids: Sequence[str], first: date, last: date) -> list[dict[str, Any]]:
        """Return what became of the actions of plans from `first` on and before `last`.

        A row per action that was listed: clerk_id, as_of, minutes, kind and reason of the latest
        closing feedback, null where there is none.
        """
        with self._database.reading() as connection:
            return feedback.tallies(connection, clerk_ids, first, last)

    def accepted_since(self, table: str, since: datetime) -> list[dict[str, Any]]:
        """Return the rows of one table that were accepted from `since` on, oldest first."""
        with self._database.reading() as connection:
            return outbox.accepted_since(connection, table, since)

    def snoozed(self, after: datetime) -> pl.DataFrame:
        """Return customer_id and until (UTC) of customers whom clerks set aside beyond `after`."""
        with self._database.reading() as connection:
            return feedback.snoozed(connection, after)

    def news(self, customer_id: str, since: datetime) -> list[Mapping[str, Any]]:
        """Return what was accepted about a customer and happened from `since` on."""
        with self._database.reading() as connection:
            found = outbox.heard(connection, customer_id, since=since, published_at=self._clock())
        return list(found.news)

    def newest_id(self) -> int:
        """Return the id of the newest row that was accepted, 0 before the first."""
        with self._database.reading() as connection:
            return outbox.newest_id(connection)

    @property
    def shows_in_order(self) -> bool:
        """Whether a row is never seen before one with a smaller id: SQLite has one writer."""
        return self._database.is_sqlite

    def heard_after(self, floor: int) -> list[Heard]:
        """Return of whom rows were accepted after one's id, oldest first."""
        with self._database.reading() as connection:
            return outbox.heard_after(connection, floor)

    def heard_of(self, as_of: datetime, made_at: datetime) -> list[str]:
        """Return the customers of whom a base does not know all."""
        with self._database.reading() as connection:
            return outbox.heard_of(connection, as_of, made_at)

    def day_frames(
        self, customer_ids: Sequence[str], as_of: datetime, made_at: datetime
    ) -> dict[str, pl.DataFrame]:
        """Return rows of some customers that a base does not know, by table."""
        with self._database.reading() as connection:
            return outbox.day_frames(connection, customer_ids, as_of, made_at)

    def new_events(self) -> dict[str, pl.DataFrame]:
        """Return rows accepted and not yet in the lake, by table of the contract.

        Frames hold the table's columns with the lake's types, and `outbox_id` first.
        """
        return self.pending().frames

    def pending(self) -> Pending:
        """Return what waits for the lake, and which of it no table can hold."""
        with self._database.reading() as connection:
            return outbox.pending(connection)

    def mark_ingested(self, event_ids: Sequence[str]) -> None:
        """Mark rows by `outbox_id` as having reached the lake."""
        with self.writing() as writer:
            outbox.mark(writer.connection, event_ids, writer.now)

    def refuse_rows(self, refusals: Mapping[str, Mapping[str, Any]]) -> None:
        """Set rows of the outbox aside by `outbox_id`, each with why the lake refused it."""
        with self.writing() as writer:
            outbox.refuse(writer.connection, refusals, writer.now)

    def open_rows(self, outbox_ids: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Return rows of the outbox that the lake does not hold; all where no id is named.

        Raises
        ------
        NotFoundError
            When a named row is unknown, or the lake holds it.
        """
        with self._database.reading() as connection:
            return outbox.open_rows(connection, outbox_ids)

    def drop_rows(self, outbox_ids: Sequence[str]) -> None:
        """Remove rows of the outbox that the lake does not hold."""
        with self.writing() as writer:
            outbox.drop(writer.connection, outbox_ids)

    def retry_rows(self, outbox_ids: Sequence[str]) -> None:
        """Let refused rows wait for the lake again."""
        with self.writing() as writer:
            outbox.wait_again(writer.connection, outbox_ids)

    def refused_rows(self) -> int:
        """Return how many rows of the outbox the lake refused."""
        with self._database.reading() as connection:
            return outbox.refused(connection)

    def backlog(self) -> tuple[int, datetime | None]:
        """Return how many rows wait for the lake, and since when the oldest waits."""
        with self._database.reading() as connection:
            return outbox.backlog(connection)

    # -- nightly runs ---------------------------------------------------------------------------

    def begin_night(self, as_of: date) -> int:
        """Note that a run of the nightly job began; return its id."""
        with self.writing() as writer:
            return nightly_runs.begin(writer.connection, as_of, writer.now)

    def end_night(self, night_id: int, failure: NightlyRunFailure | None = None) -> None:
        """Note how a run ended."""
        with self.writing() as writer:
            as_of = nightly_runs.end(writer.connection, night_id, failure, writer.now)
            if failure is not None:
                facts = {"as_of": as_of, "step": failure.step, "error": failure.error}
                hooks.emit(writer.connection, HookEvent.NIGHT_FAILED, facts, writer.now)

    def last_night(self) -> NightlyRun | None:
        """Return the last run of the newest day, or None before the first."""
        with self._database.reading() as connection:
            return nightly_runs.last(connection)

    # -- who saw or changed whom ----------------------------------------------------------

    def keep_calls(self, entries: Sequence[AuditEntry]) -> None:
        """Keep calls about customers; who was erased meanwhile is named in none."""
        named = {one.target for one in entries if one.kind is Target.CUSTOMER and one.target}
        with self.writing() as writer:
            erased = writer.erased_among(named)
            kept = [
                replace(one, target=None)
                if one.kind is Target.CUSTOMER and one.target in erased
                else one
                for one in entries
            ]
            audits.write(writer.connection, kept)

    def calls_about(self, customer_id: str, since: datetime | None = None) -> list[dict[str, Any]]:
        """Return the calls about a customer since a moment (aware), oldest first."""
        with self._database.reading() as connection:
            return audits.of_customer(connection, customer_id, since)

    def purge_calls(self, keep_days: int) -> int:
        """Forget calls that are older than so many days; return how many."""
        with self.writing() as writer:
            return audits.purge(writer.connection, writer.now - timedelta(days=keep_days))

    # -- tags, consents, erasure ----------------------------------------------------------

    def put_tag(
        self, customer_id: str, tag: Tag, *, author: str | None = None, mark: int | None = None
    ) -> None:
        """Set a tag on a customer; its history is kept.

        Parameters
        ----------
        customer_id : str
        tag : Tag
        author : str, optional
            The name of the key that asked.
        mark : int, optional
            What `tag_mark` returned when the caller looked.

        Raises
        ------
        ChangedError
            When the tag was changed since `mark`.
        """
        with self.writing() as writer:
            if mark is not None:
                people.require_tag_mark(writer.connection, customer_id, tag.tag, mark)
            people.put_tag(writer.connection, customer_id, tag, author=author)

    def remove_tag(
        self,
        customer_id: str,
        name: str,
        *,
        at: datetime,
        value: str | None = None,
        author: str | None = None,
        mark: int | None = None,
    ) -> None:
        """Remove a tag from a customer, keeping its history.

        Parameters
        ----------
        at : datetime
            When it ends, aware.
        value : str, optional
            What it had.
        mark : int, optional
            What `tag_mark` returned when the caller looked.

        Raises
        ------
        ChangedError
            When the tag was changed since `mark`.
        """
        with self.writing() as writer:
            if mark is not None:
                people.require_tag_mark(writer.connection, customer_id, name, mark)
            gone = Tag(name, value, TagSource.CLERK, at, expires_at=at)
            people.remove_tag(writer.connection, customer_id, gone, author=author)

    def tag_mark(self, customer_id: str, name: str) -> int:
        """Return what grows with each change to one tag of a customer; 0 before the first."""
        with self._database.reading() as connection:
            return people.tag_mark(connection, customer_id, name)

    def tags(self, customer_id: str, at: datetime) -> list[Tag]:
        """Return the tags set over the API that stand at a moment (aware)."""
        with self._database.reading() as connection:
            return people.read_tags(connection, customer_id, at)

    def tag_history(self, customer_id: str) -> list[dict[str, Any]]:
        """Return every change to a customer's tags, oldest first."""
        with self._database.reading() as connection:
            return people.tag_history(connection, customer_id)

    def put_consent(
        self, customer_id: str, consent: Consent, *, author: str | None = None
    ) -> Consent:
        """Record what a customer allows; return what stands: the latest said wins."""
        with self.writing() as writer:
            return people.put_consent(
                writer.connection, customer_id, consent, author=author, now=writer.now
            )

    def consent(self, customer_id: str) -> Consent | None:
        """Return the consent recorded over the API, or None where none was."""
        with self._database.reading() as connection:
            return people.read_consent(connection, customer_id)

    def profiling_of(self, customer_ids: Collection[str]) -> dict[str, bool]:
        """Return whether customers may be profiled, of those who said so over the API."""
        if not customer_ids:
            return {}
        with self._database.reading() as connection:
            return people.profiling_of(connection, customer_ids)

    def customer_mark(self, customer_id: str) -> CustomerMark:
        """Return what differs as soon as anything that a card shows of a customer may."""
        found = self._database.quick(people.MARK, customer=customer_id)
        assert found is not None  # it is a row of look-ups
        return CustomerMark(*found)

    def standing(
        self, customer_id: str, mark: CustomerMark, since: Callable[[date], datetime]
    ) -> Standing:
        """Return what is known of a customer beyond the night, from one state of the store.

        Parameters
        ----------
        customer_id : str
        mark : CustomerMark
            What it says is not there is not read.
        since : callable
            Maps the plan's day to the moment at which it begins.
        """
        if is_untouched(mark):
            return Standing()
        with self._database.reading() as connection:
            return read_standing(
                connection,
                customer_id,
                mark,
                now=self._clock(),
                since=since,
                secret=self._secret,
            )

    def consents(self) -> pl.DataFrame:
        """Return every consent recorded over the API, by customer, in the order they were said."""
        with self._database.reading() as connection:
            return people.all_consents(connection)

    def erase(self, customer_id: str, *, by: str | None = None) -> Receipt:
        """Erase a customer from this store and leave a tombstone; idempotent.

        Parameters
        ----------
        customer_id : str
        by : str, optional
            Who asked for it.
        """
        with self.writing() as writer:
            return tombstones.erase(writer.connection, customer_id, self._secret, writer.now, by)

    def delete_customer(self, customer_id: str) -> dict[str, int]:
        """Delete the rows of an erased customer that stand here; return how many, by table."""
        with self.writing() as writer:
            return tombstones.delete_customer(writer.connection, customer_id, writer.now)

    def receipt(self, customer_id: str) -> Receipt | None:
        """Return the receipt of a customer's erasure, or None."""
        with self._database.reading() as connection:
            return tombstones.read_receipt(connection, customer_id, self._secret)

    def withdraw_erasure(self, receipt_id: str) -> None:
        """Remove the tombstone of an erasure that found nobody."""
        with self.writing() as writer:
            tombstones.withdraw(writer.connection, receipt_id)

    def pending_erasures(self) -> dict[str, str]:
        """Return receipt_id → customer_id of erasures that the rest has yet to follow."""
        with self._database.reading() as connection:
            return tombstones.pending(connection)

    def complete_erasure(self, receipt_id: str, counts: Mapping[str, int]) -> None:
        """Note what was erased elsewhere; from then on only a digest of the id is kept."""
        with self.writing() as writer:
            tombstones.complete(writer.connection, receipt_id, counts, writer.now)
            facts = {"receipt_id": receipt_id}
            hooks.emit(writer.connection, HookEvent.ERASURE_DONE, facts, writer.now)

    def erased_among(self, customer_ids: Sequence[str]) -> set[str]:
        """Return those customers that were erased and must not come back."""
        with self._database.reading() as connection:
            return tombstones.erased_among(connection, customer_ids, self._secret)

    def tombstones(self) -> Tombstones | None:
        """Return what is kept of all who were erased; None while nobody was."""
        with self._database.reading() as connection:
            kept = tombstones.read_tombstones(connection, self._secret)
        return kept if kept.ids else None

    def add_tombstone_keys(self, keys: Mapping[str, Iterable[IdentityKey]]) -> None:
        """Keep digests of erased customers' keys, by the receipt_id of the erasure."""
        if not any(keys.values()):
            return
        with self.writing() as writer:
            for receipt_id, theirs in keys.items():
                tombstones.add_keys(writer.connection, receipt_id, theirs, self._secret)

    def action_ids(self, customer_ids: Sequence[str]) -> dict[str, str]:
        """Return the customers' published actions: action_id → customer_id."""
        with self._database.reading() as connection:
            return plans.actions_of(connection, customer_ids)

    def purge(self) -> None:
        """Overwrite what was deleted: free pages and the write-ahead log hold no old rows."""
        self._database.purge(tombstones.PURGED)

    # -- quotas -----------------------------------------------------------------------------

    def quota_used(
        self, since: date, until: date, customer_ids: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Return contacts reserved and spent (customer_id, channel, state, contacts)."""
        with self._database.reading() as connection:
            return quotas.used(connection, since, until, customer_ids)

    def quota_frame(self, day: date) -> pl.DataFrame:
        """Return (customer_id, channel, remaining): the platform's quota left for `day`."""
        with self._database.reading() as connection:
            return quotas.remaining(connection, day)

    def month_quota(self, customer_id: str, day: date) -> list[tuple[str, int, int, int]]:
        """Return (channel, limit, reserved, spent) of a customer for the month of `day`."""
        with self._database.reading() as connection:
            return quotas.month(connection, customer_id, day)

    def release_expired(self, moment: datetime) -> int:
        """Release what is reserved for actions that expired by `moment` (naive local)."""
        with self.writing() as writer:
            return quotas.release_expired(writer.connection, moment, writer.now)

    # -- keys -------------------------------------------------------------------------------

    def create_key(
        self,
        scope: Scope,
        *,
        subject: str | None = None,
        label: str | None = None,
        expires_at: datetime | None = None,
    ) -> NewKey:
        """Make an API key; its token is shown this once.

        Parameters
        ----------
        scope : Scope
        subject : str, optional
            The id of a clerk or store, the name of a source; None for other scopes.
        label : str, optional
            For people, to tell keys apart.
        expires_at : datetime, optional
            UTC; None for a key that lasts until it is revoked.
        """
        with self.writing() as writer:
            return access.create_key(
                writer.connection,
                scope,
                subject=subject,
                label=label,
                expires_at=expires_at,
                now=writer.now,
            )

    def issue_keys(
        self,
        scope: Scope,
        subjects: Sequence[str],
        *,
        expires_at: datetime | None,
        ending: Sequence[str],
        ends_at: datetime,
        keep: Callable[[Sequence[NewKey]], None],
    ) -> None:
        """Make a key for each of many, all or none.

        Parameters
        ----------
        scope : Scope
        subjects : sequence of str
            Whom the keys are for.
        expires_at : datetime or None
            When the new keys end.
        ending : sequence of str
            Ids of keys that the new ones take the place of.
        ends_at : datetime
            When those end, where they do not end before.
        keep : callable
            Writes the tokens down; where it fails, nothing was made.
        """
        with self.writing() as writer:
            made = [
                access.create_key(
                    writer.connection,
                    scope,
                    subject=subject,
                    label=None,
                    expires_at=expires_at,
                    now=writer.now,
                )
                for subject in subjects
            ]
            access.end_keys(writer.connection, ending, ends_at)
            keep(made)

    def verify_token(self, token: str) -> ApiKey | None:
        """Return the key of a token that is known, unexpired and not revoked.

        What was verified holds, where the database tells it, until the key's own row changes.
        """
        version, now = self._database.version(), self._clock()
        secret = sha256(token.encode(errors="surrogatepass")).digest()
        found = self._keys.get(secret)
        if found is not None and version is not None:
            seen: dict[bytes, object] = vars(self._verified).setdefault("keys", {})
            if seen.get(secret) == (version, found) or self._key_row(token) == found.row:
                if len(seen) >= _MOST_KEYS:
                    seen.clear()
                seen[secret] = (version, found)
                ends = found.key.expires_at
                return found.key if ends is None or ends > now else None
        row = self._key_row(token)  # read first: what changes after it is noticed
        with self._database.reading() as connection:
            key = access.verify_token(connection, token, now)
        if key is not None and version is not None and row is not None:
            if len(self._keys) >= _MOST_KEYS:
                self._keys.clear()
            self._keys[secret] = _Verified(row, key)
        return key

    def _key_row(self, token: str) -> tuple[Any, ...] | None:
        """Return the row of a token's key as SQLite has it."""
        return self._database.ask(
            "SELECT * FROM api_keys WHERE key_id = ?", access.parts_of(token)[1]
        )

    def revoke_key(self, key_id: str) -> None:
        """Revoke a key at once."""
        with self.writing() as writer:
            access.revoke_key(writer.connection, key_id, writer.now)

    def keys(self) -> list[dict[str, Any]]:
        """Return all keys without their secrets."""
        with self._database.reading() as connection:
            return access.list_keys(connection)

    # -- webhooks -------------------------------------------------------------------------

    def add_hook(self, url: str, events: Sequence[HookEvent]) -> tuple[str, str]:
        """Keep a webhook; return its id and its secret."""
        with self.writing() as writer:
            row = hooks.add(writer.connection, url, events, writer.now)
        return str(row.hook_id), str(row.secret)

    def rotate_hook(self, hook_id: str) -> str:
        """Return a new secret of a webhook; the one before signs too for a day."""
        with self.writing() as writer:
            return hooks.rotate(writer.connection, hook_id, writer.now)

    def remove_hook(self, hook_id: str) -> None:
        """Forget a webhook and what waits for it."""
        with self.writing() as writer:
            hooks.remove(writer.connection, hook_id)

    def hooks(self) -> list[dict[str, Any]]:
        """Return every webhook without its secrets."""
        with self._database.reading() as connection:
            return hooks.listed(connection)

    def tell(self, event: HookEvent, facts: Mapping[str, Any], *, only: str = "") -> None:
        """Write a message for the webhooks that ask for it, or for one."""
        with self.writing() as writer:
            if only:
                hooks.read(writer.connection, only)
            hooks.emit(writer.connection, event, facts, writer.now, only=only)

    def dead_letters(self) -> list[dict[str, Any]]:
        """Return the messages that were given up."""
        with self._database.reading() as connection:
            return hooks.dead(connection)

    def revive_hook(self, hook_id: str) -> int:
        """Let the dead letters of a webhook wait again; return how many."""
        with self.writing() as writer:
            return hooks.revive(writer.connection, hook_id, writer.now)


def _in_savepoint(writer: Writer, work: Callable[[Writer], Any]) -> Any:
    """Return the result of a work within a transaction, or the error that undoes it alone."""
    try:
        with writer.connection.begin_nested():
            return work(writer)
    except DBAPIError:  # whether the transaction still stands is not known
        raise
    except Exception as error:
        return error


def unknown_action(action_id: str) -> NotFoundError:
    """Return the error for an action that no published plan holds."""
    return NotFoundError(
        f"there is no action {action_id!r}",
        expected="an action_id of a published plan",
        found=action_id,
        next_step="read the clerk's list again: a new plan may have replaced this one",
    )
