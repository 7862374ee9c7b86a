"""What the operational store knows of a customer beyond the night: one reading, or none at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection

from nba.stores import outbox, people, plans, tombstones
from nba.stores.people import Consent, CustomerMark, Tag


@dataclass(frozen=True)
class Standing:
    """What was decided, noted and heard of one customer since the night.

    Parameters
    ----------
    consent : Consent or None
        As it came in over the API.
    is_blocked : bool
        Whether a block by the customer came in since the plan was published.
    is_erased : bool
    changed_tags : set of str
        Names of tags that were ever set or removed over the API.
    tags : sequence of Tag
        Those that stand, by name.
    news : sequence of mapping
        Table, ts and kind of rows of the plan's day, oldest first.
    """

    consent: Consent | None = None
    is_blocked: bool = False
    is_erased: bool = False
    changed_tags: AbstractSet[str] = frozenset()
    tags: Sequence[Tag] = ()
    news: Sequence[Mapping[str, Any]] = ()


def is_untouched(mark: CustomerMark) -> bool:
    """Return whether a mark says that there is nothing to read."""
    newest = (mark.outbox_id, mark.consent_id, mark.tag_id)
    return all(one is None for one in newest) and not mark.erasures


def read_standing(
    connection: Connection,
    customer_id: str,
    mark: CustomerMark,
    *,
    now: datetime,
    since: Callable[[date], datetime],
    secret: bytes,
) -> Standing:
    """Return what stands of a customer, asking for what their mark says is there.

    Parameters
    ----------
    connection : Connection
    customer_id : str
    mark : CustomerMark
    now : datetime
        Against which tags expire, aware.
    since : callable
        Maps the plan's day to the moment at which it begins.
    secret : bytes
        The project's: keys the digests of erased customers.
    """
    header = plans.read_moment(connection) if mark.outbox_id is not None else None
    heard = (
        None
        if header is None
        else outbox.heard(connection, customer_id, since=since(header[0]), published_at=header[1])
    )
    of_tags = people.tag_history(connection, customer_id) if mark.tag_id is not None else []
    erased = mark.erasures and tombstones.read_receipt(connection, customer_id, secret) is not None
    return Standing(
        consent=None if mark.consent_id is None else people.read_consent(connection, customer_id),
        is_blocked=heard is not None and heard.is_blocked,
        is_erased=bool(erased),
        changed_tags=frozenset(row["tag"] for row in of_tags),
        tags=people.read_tags(connection, customer_id, now) if of_tags else (),
        news=() if heard is None else heard.news,
    )
