"""Lists, cards and next actions laid ready as text.

A list is assembled of many rows, and most lists are asked for while nothing was heard of those
whom they name. Laying makes the texts once a plan; a list joins them. A record holds for the plan
and the definitions that it was made with, and says nothing of what is of the moment: whether an
action has expired, and what the clerk did with it. A card is whole: it holds while nothing is heard
of the customer.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Table, bindparam, delete, insert, select

from nba.errors import UnavailableError
from nba.schema.words import Mode
from nba.stores.database import Quick
from nba.stores.people import CustomerMark
from nba.stores.schema import actions, books, laid, laid_actions, laid_cards, plans

#: Between ids of customers, and around them; no id holds it.
_MARK: Final = "\x1f"
#: JSON holds no line break of its own.
_LINE: Final = b"\n"
#: Fast, and nearly as small as any.
_LEVEL: Final = 1
#: How a record that is not whole shows.
_DAMAGES: Final = (zlib.error, ValueError, TypeError)


@dataclass(frozen=True)
class LaidAction:
    """An action of a list as text.

    Parameters
    ----------
    action_id : str
    customer_id : str
    rank : int
    expires_at : datetime or None
        Aware.
    product_ids : sequence of str
        What is shown of products.
    text : bytes
        A JSON object on one line: not expired, and new.
    """

    action_id: str
    customer_id: str
    rank: int
    expires_at: datetime | None
    product_ids: Sequence[str]
    text: bytes


@dataclass(frozen=True)
class LaidList:
    """A clerk's list as the plan made it.

    Parameters
    ----------
    published_at : datetime
        The plan, aware.
    actions : sequence of LaidAction
        All of them, by rank.
    """

    published_at: datetime
    actions: Sequence[LaidAction]


def pack(found: LaidList) -> bytes:
    """Return the record of a list."""
    facts = [
        [
            one.action_id,
            one.customer_id,
            one.rank,
            one.expires_at.isoformat() if one.expires_at else None,
            list(one.product_ids),
        ]
        for one in found.actions
    ]
    head = json.dumps([found.published_at.isoformat(), facts], ensure_ascii=False)
    return zlib.compress(
        _LINE.join([head.encode(), *(one.text for one in found.actions)]), level=_LEVEL
    )


def unpack(record: bytes) -> LaidList:
    """Return the list of a record.

    Raises
    ------
    UnavailableError
        Where it is no record, or not whole.
    """
    try:
        head, *texts = zlib.decompress(record).split(_LINE)
        published_at, facts = json.loads(head)
        return LaidList(
            datetime.fromisoformat(published_at),
            [
                LaidAction(
                    action_id,
                    customer_id,
                    rank,
                    datetime.fromisoformat(expires_at) if expires_at else None,
                    product_ids,
                    text,
                )
                for (action_id, customer_id, rank, expires_at, product_ids), text in zip(
                    facts, texts, strict=True
                )
            ],
        )
    except _DAMAGES as error:
        raise _unreadable("a list", error) from None


@dataclass(frozen=True)
class LaidCard:
    """A customer's card as text.

    Parameters
    ----------
    heard : sequence of int or None
        What was known of the customer when it was made: see `as_heard`.
    since, until : datetime, datetime or None
        Between which moments it holds while nothing is heard; aware.
    text : bytes
        A JSON object without its last brace.
    """

    heard: Sequence[int | None]
    since: datetime
    until: datetime | None
    text: bytes

    def holds(self, now: datetime) -> bool:
        """Whether it says what a card made at a moment would."""
        return self.since <= now and (self.until is None or now < self.until)


def as_heard(mark: CustomerMark, moment: int) -> list[int | None]:
    """Return what differs as soon as anything new is known of one customer.

    Erasures are left out: with whom they are about their card goes.

    Parameters
    ----------
    mark : CustomerMark
    moment : int
        When the features were computed that are online of them.
    """
    return [mark.outbox_id, mark.consent_id, mark.tag_id, moment]


def pack_card(found: LaidCard) -> bytes:
    """Return the record of a card."""
    until = found.until.isoformat() if found.until else None
    head = json.dumps([list(found.heard), found.since.isoformat(), until])
    return zlib.compress(_LINE.join([head.encode(), found.text]), level=_LEVEL)


def unpack_card(record: bytes) -> LaidCard:
    """Return the card of a record.

    Raises
    ------
    UnavailableError
        Where it is no record, or not whole.
    """
    try:
        head, text = zlib.decompress(record).split(_LINE)
        heard, since, until = json.loads(head)
        ends = datetime.fromisoformat(until) if until else None
        return LaidCard(heard, datetime.fromisoformat(since), ends, text)
    except _DAMAGES as error:
        raise _unreadable("a card", error) from None


def _unreadable(what: str, error: Exception) -> UnavailableError:
    return UnavailableError(
        f"{what} laid ready cannot be read",
        expected="what laying wrote",
        found=type(error).__name__,
    )


#: A clerk's record of a day; parameters `day` and `clerk`.
READ: Final = Quick(
    select(laid.c.record, laid.c.digest, laid.c.definitions).where(
        laid.c.as_of == bindparam("day"), laid.c.clerk_id == bindparam("clerk")
    )
)
#: Books of which nothing was heard since their plan was published.
_UNHEARD: Final = (
    books.c.version == 0,
    books.c.touched == books.c.settled,
    ~books.c.absent,
)


def waiting(connection: Connection, day: date, digest: str, definitions: str) -> list[str]:
    """Return the clerks whose lists of a plan are as it made them, and are not laid ready.

    Parameters
    ----------
    connection : Connection
    day, digest : date, str
        The plan's.
    definitions : str
        Of what the texts are made with.
    """
    ready = select(laid.c.clerk_id).where(
        laid.c.as_of == day, laid.c.digest == digest, laid.c.definitions == definitions
    )
    query = select(books.c.clerk_id).where(
        books.c.as_of == day,
        *_UNHEARD,
        books.c.clerk_id.not_in(ready),
        books.c.clerk_id.in_(
            select(actions.c.clerk_id).where(actions.c.as_of == day, actions.c.mode != Mode.NONE)
        ),
    )
    return list(connection.scalars(query.order_by(books.c.clerk_id)))


def insert_lists(
    connection: Connection,
    day: date,
    digest: str,
    definitions: str,
    found: Mapping[str, LaidList],
) -> int:
    """Lay lists of a plan ready, but for those that changed meanwhile; return how many.

    Parameters
    ----------
    connection : Connection
        A writing one.
    day : date
        The plan's.
    digest : str
        The plan's.
    definitions : str
        Of what the texts were made with.
    found : mapping of str to LaidList
        By clerk.
    """
    clerk_ids = list(found)
    stands = (
        select(books.c.clerk_id)
        .join(plans, plans.c.as_of == books.c.as_of)
        .where(
            books.c.as_of == day,
            plans.c.digest == digest,
            *_UNHEARD,
            books.c.clerk_id.in_(clerk_ids),
        )
    )
    unchanged = set(connection.scalars(stands))
    of_clerks = (laid.c.as_of == day) & laid.c.clerk_id.in_(clerk_ids)
    connection.execute(delete(laid).where(of_clerks))
    rows: list[dict[str, Any]] = [
        {
            "as_of": day,
            "clerk_id": clerk_id,
            "digest": digest,
            "definitions": definitions,
            "customer_ids": _MARK + _MARK.join(one.customer_id for one in mine.actions) + _MARK,
            "record": pack(mine),
        }
        for clerk_id, mine in found.items()
        if clerk_id in unchanged
    ]
    if rows:
        connection.execute(insert(laid), rows)
    return len(rows)


def sweep(connection: Connection, day: date) -> None:
    """Delete lists and next actions that were laid for days before."""
    for table in (laid, laid_actions):
        connection.execute(delete(table).where(table.c.as_of < day))


#: Stands where the id of a customer does once a day's cards, or next actions, are laid ready.
ALL: Final = ""
#: So many cards are swept away in one transaction.
_SWEPT: Final = 2_000
#: A customer's next actions, and card, of a day; parameters `day` and `customer`.
READ_ACTIONS, READ_CARD = (
    Quick(
        select(table.c.record, table.c.digest, table.c.definitions).where(
            table.c.as_of == bindparam("day"), table.c.customer_id == bindparam("customer")
        )
    )
    for table in (laid_actions, laid_cards)
)


def insert_actions(
    connection: Connection,
    day: date,
    digest: str,
    definitions: str,
    found: Mapping[str, LaidList],
) -> None:
    """Lay next actions of some customers ready.

    Parameters
    ----------
    connection : Connection
        A writing one.
    day, digest : date, str
        The plan's.
    definitions : str
        Of what the texts were made with.
    found : mapping of str to LaidList
        By customer; `ALL` says that these were the last.
    """
    records = {customer_id: pack(mine) for customer_id, mine in found.items()}
    _insert(connection, laid_actions, day, digest, definitions, records)


def insert_cards(
    connection: Connection,
    day: date,
    digest: str,
    definitions: str,
    found: Mapping[str, LaidCard],
) -> None:
    """Lay some customers' cards ready.

    Parameters
    ----------
    connection, day, digest, definitions
        As for `insert_actions`.
    found : mapping of str to LaidCard
        By customer; `ALL` says that these were the last.
    """
    records = {customer_id: pack_card(mine) for customer_id, mine in found.items()}
    _insert(connection, laid_cards, day, digest, definitions, records)


def _insert(
    connection: Connection,
    table: Table,
    day: date,
    digest: str,
    definitions: str,
    records: Mapping[str, bytes],
) -> None:
    """Write records of customers in place of those that stand."""
    stands = (table.c.as_of == day) & table.c.customer_id.in_(list(records))
    connection.execute(delete(table).where(stands))
    rows = [
        {
            "customer_id": customer_id,
            "as_of": day,
            "digest": digest,
            "definitions": definitions,
            "record": record,
        }
        for customer_id, record in records.items()
    ]
    if rows:
        connection.execute(insert(table), rows)


def drop_cards(connection: Connection, day: date) -> None:
    """Delete the cards of a day: what they are made of is written anew."""
    connection.execute(delete(laid_cards).where(laid_cards.c.as_of == day))


def sweep_cards(connection: Connection, day: date) -> int:
    """Delete a part of the cards of days before; return how many."""
    part = select(laid_cards.c.customer_id).where(laid_cards.c.as_of < day).limit(_SWEPT)
    ids = list(connection.scalars(part))
    old = (laid_cards.c.as_of < day) & laid_cards.c.customer_id.in_(ids)
    return connection.execute(delete(laid_cards).where(old)).rowcount if ids else 0


def forget(connection: Connection, customer_id: str) -> int:
    """Delete every list that names a customer; return how many."""
    named = laid.c.customer_ids.contains(f"{_MARK}{customer_id}{_MARK}", autoescape=True)
    return connection.execute(delete(laid).where(named)).rowcount
