"""Erasures in the operational store: what goes, the receipt, and what keeps the person out.

A tombstone holds a keyed hash of the customer's id and of every other key by which they were
known: without the project's secret nobody can tell whose they are, and with it the engine can tell
that such an id or key must not come back. Until an erasure has reached everything else that is
kept, it holds the id itself, since the others must be told.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, insert, or_, select, union_all, update
from sqlalchemy import cast as as_type
from sqlalchemy.types import Text

from nba.data.identity_keys import (
    IdentityKey,
    customer_digest,
    key_digest,
    key_of_id,
    keyed,
)
from nba.data.tombstones import Tombstones
from nba.stores import audit as audits
from nba.stores import books, chat, laid, schema
from nba.stores.schema import (
    actions,
    audit,
    changes,
    chat_recipients,
    consents,
    draws,
    fallbacks,
    feedback,
    idempotency,
    laid_actions,
    laid_cards,
    nights,
    outbox,
    quotas,
    records,
    reserves,
    tags,
    tombstone_keys,
    tombstones,
)

#: Tables whose rows name the customer.
PERSONAL: tuple[Table, ...] = (
    actions,
    feedback,
    outbox,
    tags,
    consents,
    quotas,
    reserves,
    draws,
    changes,
    records,
    laid_actions,
    laid_cards,
    chat_recipients,
    fallbacks,
)
#: Tables from which rows of customers are deleted, or that name them for a while.
PURGED: tuple[str, ...] = tuple(
    table.name for table in (*PERSONAL, schema.laid, audit, idempotency, tombstones)
)
_CHUNK = 500
#: Those of some digests that are kept; made once: each event asks.
_AMONG = union_all(
    *(
        select(column).where(column.in_(bindparam("digests", expanding=True)))
        for column in (tombstones.c.customer_digest, tombstone_keys.c.digest)
    )
)


@dataclass(frozen=True)
class Receipt:
    """Proof of an erasure.

    Parameters
    ----------
    receipt_id : str
    erased_at : datetime
        When it was asked for, and done in this store.
    completed_at : datetime or None
        When everything that is kept had followed.
    counts : dict of str to int
        What went: rows by table of this store, rows and files by place elsewhere.
    requested_by : str or None
        Who asked for it.
    """

    receipt_id: str
    erased_at: datetime
    completed_at: datetime | None
    counts: dict[str, int]
    requested_by: str | None = None


def key_digests(connection: Connection, secret: bytes) -> None:
    """Key the digests that an older version left without a key."""
    old = select(tombstones.c.receipt_id, tombstones.c.customer_digest).where(
        ~tombstones.c.is_keyed
    )
    for row in connection.execute(old).all():
        connection.execute(
            update(tombstones)
            .where(tombstones.c.receipt_id == row.receipt_id)
            .values(customer_digest=keyed(row.customer_digest, secret), is_keyed=True)
        )


def has_unkeyed(connection: Connection) -> bool:
    """Return whether an older version left digests without a key."""
    query = select(tombstones.c.receipt_id).where(~tombstones.c.is_keyed).limit(1)
    return connection.execute(query).first() is not None


def erase(
    connection: Connection, customer_id: str, secret: bytes, now: datetime, by: str | None
) -> Receipt:
    """Delete a customer everywhere in this store and leave a tombstone; idempotent.

    Parameters
    ----------
    connection : Connection
        Within a transaction.
    customer_id : str
    secret : bytes
        Keys the digest by which the customer stays known.
    now : datetime
        UTC.
    by : str, optional
        The name of the key that asked.
    """
    counts = delete_customer(connection, customer_id, now)
    known = read_receipt(connection, customer_id, secret)
    if known is not None:
        return known
    receipt = Receipt(uuid.uuid4().hex, now, None, counts, by)
    connection.execute(
        insert(tombstones),
        {
            "receipt_id": receipt.receipt_id,
            "customer_digest": customer_digest(customer_id, secret),
            "is_keyed": True,
            "customer_id": customer_id,
            "erased_at": now,
            "counts": counts,
            "requested_by": by,
        },
    )
    return receipt


def delete_customer(connection: Connection, customer_id: str, now: datetime) -> dict[str, int]:
    """Delete the customer's rows, answers to their contacts and answers that name them.

    Lists that named them get a new version without them.
    """
    gone = books.listed(connection, customer_id)
    seen = audits.forget(connection, customer_id)  # by the actions, which go below
    counts = {"outbox": _delete_answers(connection, customer_id), "audit": seen}
    chat.forget_person(connection, customer_id)
    for table in PERSONAL:
        done = connection.execute(delete(table).where(table.c.customer_id == customer_id))
        counts[table.name] = counts.get(table.name, 0) + done.rowcount
    counts["laid"] = laid.forget(connection, customer_id)
    books.note_gone(connection, gone, now)
    counts["idempotency"] = _delete_remembered(connection, customer_id)
    # what a failed night said may name whom it failed at
    said = nights.c.message.contains(customer_id, autoescape=True)
    done = connection.execute(update(nights).where(said).values(message=None))
    counts["nights"] = done.rowcount
    return counts


def _delete_answers(connection: Connection, customer_id: str) -> int:
    """Delete responses that name only a contact of the customer which came by here."""
    contacts = select(outbox.c.row_key).where(
        outbox.c.table_name == "interactions", outbox.c.customer_id == customer_id
    )
    return delete_responses(connection, connection.scalars(contacts).all())


def delete_responses(connection: Connection, interaction_ids: Iterable[str]) -> int:
    """Delete responses in the outbox to these contacts; return how many."""
    wanted = set(interaction_ids)
    if not wanted:
        return 0
    rows = connection.execute(
        select(outbox.c.outbox_id, outbox.c.payload).where(outbox.c.table_name == "responses")
    )
    ids = [row.outbox_id for row in rows if row.payload.get("interaction_id") in wanted]
    for start in range(0, len(ids), _CHUNK):
        part = ids[start : start + _CHUNK]
        connection.execute(delete(outbox).where(outbox.c.outbox_id.in_(part)))
    return len(ids)


def _delete_remembered(connection: Connection, customer_id: str) -> int:
    """Delete answers to idempotency keys that name the customer, in the key or the answer."""
    written = json.dumps(customer_id, ensure_ascii=False)[1:-1]
    named = or_(
        idempotency.c.idempotency_key.contains(customer_id, autoescape=True),
        as_type(idempotency.c.response, Text).contains(written, autoescape=True),
    )
    whole = re.compile(rf"(?<!\w){re.escape(customer_id)}(?!\w)")
    gone = 0
    for row in connection.execute(select(idempotency).where(named)).all():
        text = json.dumps(row.response, ensure_ascii=False)
        if whole.search(row.idempotency_key) or whole.search(text) or written in text:
            connection.execute(
                delete(idempotency).where(
                    idempotency.c.caller == row.caller,
                    idempotency.c.idempotency_key == row.idempotency_key,
                )
            )
            gone += 1
    return gone


def read_receipt(connection: Connection, customer_id: str, secret: bytes) -> Receipt | None:
    """Return the receipt of a customer's erasure, or None."""
    query = select(tombstones).where(
        tombstones.c.customer_digest == customer_digest(customer_id, secret)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    return Receipt(row.receipt_id, row.erased_at, row.completed_at, row.counts, row.requested_by)


def withdraw(connection: Connection, receipt_id: str) -> None:
    """Remove the tombstone of an erasure that found nobody."""
    for table in (tombstones, tombstone_keys):
        connection.execute(delete(table).where(table.c.receipt_id == receipt_id))


def add_keys(
    connection: Connection, receipt_id: str, keys: Iterable[IdentityKey], secret: bytes
) -> int:
    """Keep digests of an erased customer's keys; return how many no tombstone had.

    Parameters
    ----------
    connection : Connection
        Within a transaction.
    receipt_id : str
        The erasure.
    keys : iterable of IdentityKey
    secret : bytes
        Keys the digests.
    """
    kinds = {key_digest(key, secret): key.kind for key in keys}
    if not kinds:
        return 0
    query = select(tombstone_keys.c.digest).where(tombstone_keys.c.digest.in_(sorted(kinds)))
    known = set(connection.scalars(query))
    rows = [
        {"digest": digest, "receipt_id": receipt_id, "kind": kind}
        for digest, kind in kinds.items()
        if digest not in known
    ]
    if rows:
        connection.execute(insert(tombstone_keys), rows)
    return len(rows)


def pending(connection: Connection) -> dict[str, str]:
    """Return receipt_id → customer_id of erasures that the rest has yet to follow."""
    query = select(tombstones.c.receipt_id, tombstones.c.customer_id).where(
        tombstones.c.completed_at.is_(None)
    )
    return {row.receipt_id: row.customer_id for row in connection.execute(query)}


def complete(
    connection: Connection, receipt_id: str, counts: Mapping[str, int], now: datetime
) -> None:
    """Note what was erased elsewhere, and forget the id: only its digest stays.

    Parameters
    ----------
    connection : Connection
    receipt_id : str
    counts : mapping of str to int
        Rows that went, by place.
    now : datetime
        UTC.
    """
    row = connection.execute(
        select(tombstones.c.counts, tombstones.c.completed_at).where(
            tombstones.c.receipt_id == receipt_id
        )
    ).one()
    known: dict[str, Any] = row.counts or {}
    total = {
        name: known.get(name, 0) + counts.get(name, 0) for name in dict.fromkeys((*known, *counts))
    }
    connection.execute(
        update(tombstones)
        .where(tombstones.c.receipt_id == receipt_id)
        .values(completed_at=row.completed_at or now, customer_id=None, counts=total)
    )


def read_tombstones(connection: Connection, secret: bytes) -> Tombstones:
    """Return what is kept of all who were erased."""
    rows = connection.execute(select(tombstone_keys)).all()
    return Tombstones(
        secret,
        frozenset(connection.scalars(select(tombstones.c.customer_digest))),
        {row.digest: (row.receipt_id, row.kind) for row in rows},
    )


def erased_among(connection: Connection, customer_ids: Sequence[str], secret: bytes) -> set[str]:
    """Return those of `customer_ids` that were erased and must not come back."""
    return read_tombstones(connection, secret).erased(customer_ids)


def erased_of(connection: Connection, customer_ids: Iterable[str], secret: bytes) -> set[str]:
    """Return which of a few customers were erased, without reading all tombstones."""
    of_digest: dict[str, str] = {}
    for one in customer_ids:
        of_digest[customer_digest(one, secret)] = one
        if (key := key_of_id(one, secret)) is not None:
            of_digest[key_digest(key, secret)] = one
    digests = sorted(of_digest)
    parts = (digests[start : start + _CHUNK] for start in range(0, len(digests), _CHUNK))
    return {
        of_digest[digest]
        for part in parts
        for digest in connection.scalars(_AMONG, {"digests": part})
    }
