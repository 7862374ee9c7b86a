"""What customers decided and clerks noted: tags and consents."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
from sqlalchemy import (
    Column,
    Connection,
    ScalarSelect,
    Table,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

from nba.errors import ChangedError
from nba.schema.words import TagSource
from nba.stores import books
from nba.stores import outbox as outboxes
from nba.stores.database import Quick
from nba.stores.outbox import Event
from nba.stores.schema import consents, outbox, plans, tags, tombstones

#: Ids asked for in one statement.
_IDS: Final = 500


@dataclass(frozen=True)
class Tag:
    """A named fact about a customer, as it stands."""

    tag: str
    value: str | None
    source: TagSource
    ts: datetime
    expires_at: datetime | None


def tag_mark(connection: Connection, customer_id: str, name: str) -> int:
    """Return what grows with each change to one tag of a customer; 0 before the first."""
    query = select(func.max(tags.c.tag_id)).where(
        tags.c.customer_id == customer_id, tags.c.tag == name
    )
    return int(connection.scalar(query) or 0)


def require_tag_mark(connection: Connection, customer_id: str, name: str, mark: int) -> None:
    """Refuse to go on where the tag was changed since `mark`; until the end nobody else does.

    Parameters
    ----------
    connection : Connection
        A writing one.
    customer_id : str
    name : str
    mark : int
        What `tag_mark` returned when the caller looked.

    Raises
    ------
    ChangedError
    """
    if connection.dialect.name == "postgresql":  # on SQLite one writer is alone anyway
        key = func.hashtextextended(f"{customer_id}\x1f{name}", 0)
        connection.execute(select(func.pg_advisory_xact_lock(key)))
    if tag_mark(connection, customer_id, name) != mark:
        raise ChangedError(
            f"the tag {name!r} was changed meanwhile",
            expected="a tag as it was read",
            next_step="read the tag again",
        )


def put_tag(connection: Connection, customer_id: str, tag: Tag, *, author: str | None) -> None:
    """Set a tag; setting it again as it stands changes nothing.

    Parameters
    ----------
    connection : Connection
    customer_id : str
    tag : Tag
        With the moment and the source of the change.
    author : str, optional
        The name of the key that asked.
    """
    standing = {current.tag: current for current in read_tags(connection, customer_id, tag.ts)}
    current = standing.get(tag.tag)
    if current is not None and (current.value, current.expires_at) == (tag.value, tag.expires_at):
        return
    _write_tag(connection, customer_id, tag, removed=False, author=author)


def remove_tag(connection: Connection, customer_id: str, gone: Tag, *, author: str | None) -> None:
    """Remove a tag, keeping its history; a tag that was removed already stays as it is.

    The lake learns of it by a row that expires at its own moment.

    Parameters
    ----------
    connection : Connection
    customer_id : str
    gone : Tag
        With the moment and the source of the removal.
    author : str, optional
        The name of the key that asked.
    """
    latest = connection.execute(
        select(tags.c.removed)
        .where(tags.c.customer_id == customer_id, tags.c.tag == gone.tag)
        .order_by(tags.c.tag_id.desc())
    ).first()
    if latest is None or not latest.removed:
        _write_tag(connection, customer_id, gone, removed=True, author=author)


def _write_tag(
    connection: Connection, customer_id: str, tag: Tag, *, removed: bool, author: str | None
) -> None:
    latest = connection.scalar(
        select(func.max(tags.c.ts)).where(tags.c.customer_id == customer_id, tags.c.tag == tag.tag)
    )
    # each change has a moment of its own: it is part of the row's key in the lake
    ts = tag.ts if latest is None else max(tag.ts, latest + timedelta(microseconds=1))
    row = {
        "customer_id": customer_id,
        "tag": tag.tag,
        "ts": ts,
        "value": tag.value,
        "source": str(tag.source),
        "expires_at": tag.expires_at,
    }
    connection.execute(insert(tags), row | {"removed": removed, "author": author})
    outboxes.accept(connection, Event("tags", row), tag.ts)


def read_tags(connection: Connection, customer_id: str, moment: datetime) -> list[Tag]:
    """Return the tags that stand at `moment`, by name."""
    latest = (
        select(func.max(tags.c.tag_id))
        .where(tags.c.customer_id == customer_id)
        .group_by(tags.c.tag)
    )
    query = (
        select(tags)
        .where(
            tags.c.tag_id.in_(latest),
            ~tags.c.removed,
            or_(tags.c.expires_at.is_(None), tags.c.expires_at > moment),
        )
        .order_by(tags.c.tag)
    )
    return [
        Tag(row.tag, row.value, TagSource(row.source), row.ts, row.expires_at)
        for row in connection.execute(query)
    ]


def tag_history(connection: Connection, customer_id: str) -> list[dict[str, Any]]:
    """Return every change to a customer's tags, oldest first."""
    query = select(tags).where(tags.c.customer_id == customer_id).order_by(tags.c.tag_id)
    return [dict(row) for row in connection.execute(query).mappings()]


@dataclass(frozen=True)
class Consent:
    """What a customer allows, and when they said so."""

    consent_contact: bool
    consent_profiling: bool
    consent_at: datetime


def put_consent(
    connection: Connection, customer_id: str, consent: Consent, *, author: str | None, now: datetime
) -> Consent:
    """Record a consent and return the one that stands: the latest said wins.

    Parameters
    ----------
    connection : Connection
    customer_id : str
    consent : Consent
        With the moment at which it was given.
    author : str, optional
        The name of the key that asked.
    now : datetime
        UTC.
    """
    standing = read_consent(connection, customer_id)
    if standing == consent:
        return consent
    is_latest = standing is None or consent.consent_at >= standing.consent_at
    if is_latest:
        connection.execute(
            update(consents).where(consents.c.customer_id == customer_id).values(is_latest=False)
        )
    connection.execute(
        insert(consents),
        {
            "customer_id": customer_id,
            "consent_contact": consent.consent_contact,
            "consent_profiling": consent.consent_profiling,
            "consent_at": consent.consent_at,
            "recorded_at": now,
            "is_latest": is_latest,
            "author": author,
        },
    )
    books.touch(connection, customer_id)
    return consent if is_latest or standing is None else standing


def read_consent(connection: Connection, customer_id: str) -> Consent | None:
    """Return the consent recorded here for one customer, or None."""
    query = select(consents).where(consents.c.customer_id == customer_id, consents.c.is_latest)
    row = connection.execute(query).first()
    if row is None:
        return None
    return Consent(row.consent_contact, row.consent_profiling, row.consent_at)


def profiling_of(connection: Connection, customer_ids: Collection[str]) -> dict[str, bool]:
    """Return whether customers may be profiled, of those who said so over the API."""
    ordered = sorted(customer_ids)
    found: dict[str, bool] = {}
    for start in range(0, len(ordered), _IDS):
        query = select(consents.c.customer_id, consents.c.consent_profiling).where(
            consents.c.customer_id.in_(ordered[start : start + _IDS]), consents.c.is_latest
        )
        found |= {row.customer_id: bool(row.consent_profiling) for row in connection.execute(query)}
    return found


@dataclass(frozen=True)
class CustomerMark:
    """What differs as soon as anything that a card shows of a customer may.

    Parameters
    ----------
    digest : str or None
        Of the newest plan.
    outbox_id, consent_id, tag_id : int or None
        Of the customer's newest rows; None: there are none.
    erasures : int
        Of all customers.
    """

    digest: str | None
    outbox_id: int | None
    consent_id: int | None
    tag_id: int | None
    erasures: int


def _newest(column: Column[Any], table: Table) -> ScalarSelect[Any]:
    return (
        select(func.max(column))
        .where(table.c.customer_id == bindparam("customer"))
        .scalar_subquery()
    )


#: The columns of `CustomerMark`; parameter `customer`.
MARK: Final = Quick(
    select(
        select(plans.c.digest).order_by(plans.c.as_of.desc()).limit(1).scalar_subquery(),
        _newest(outbox.c.outbox_id, outbox),
        _newest(consents.c.consent_id, consents),
        _newest(tags.c.tag_id, tags),
        select(func.count()).select_from(tombstones).scalar_subquery(),
    )
)


def all_consents(connection: Connection) -> pl.DataFrame:
    """Return every consent recorded here, in the order they were said; `consent_at` is UTC."""
    columns = [
        consents.c.customer_id,
        consents.c.consent_contact,
        consents.c.consent_profiling,
        consents.c.consent_at,
    ]
    order = (consents.c.customer_id, consents.c.consent_at, consents.c.consent_id)
    query = select(*columns).order_by(*order)
    return pl.DataFrame(
        [dict(row) for row in connection.execute(query).mappings()],
        schema={
            "customer_id": pl.String,
            "consent_contact": pl.Boolean,
            "consent_profiling": pl.Boolean,
            "consent_at": pl.Datetime("us", "UTC"),
        },
    )
