"""API keys and idempotency keys."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from nba.errors import ConflictError, NotFoundError, UsageError
from nba.stores.schema import api_keys, idempotency

_PREFIX = "nba"
#: Stands between a source's namespace and an order's id, and in no namespace.
NAMESPACE_END = ":"


class Scope(StrEnum):
    """What a key may do; `subject` names the clerk, the store or the source where one is meant."""

    CLERK = "clerk"
    STORE = "store"
    SOURCE = "source"
    MARKETER = "marketer"
    ADMIN = "admin"


#: Scopes of keys that are made for somebody or something.
NAMED = (Scope.CLERK, Scope.STORE, Scope.SOURCE)


_SUBJECTS = {
    Scope.CLERK: "a clerk_id",
    Scope.STORE: "a store_id",
    Scope.SOURCE: "the name of a system",
}


@dataclass(frozen=True)
class ApiKey:
    """A key as the service sees it; the secret itself is not kept."""

    key_id: str
    scope: Scope
    subject: str | None
    label: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True)
class NewKey:
    """A key just made; `token` is shown once and cannot be recovered."""

    key: ApiKey
    token: str = field(repr=False)


def create_key(
    connection: Connection,
    scope: Scope,
    *,
    subject: str | None,
    label: str | None,
    expires_at: datetime | None,
    now: datetime,
) -> NewKey:
    """Make a key.

    Parameters
    ----------
    connection : Connection
    scope : Scope
    subject : str, optional
        The id of a clerk or store, the name of a source; None for other scopes.
    label : str, optional
        For people, to tell keys apart.
    expires_at : datetime, optional
        UTC; None for a key that lasts until it is revoked.
    now : datetime
        UTC.
    """
    needs_subject = scope in NAMED
    if needs_subject != (subject is not None):
        raise UsageError(
            f"cannot make a key with scope {scope}",
            expected=_SUBJECTS.get(scope, "no subject"),
            found=repr(subject),
            next_step="name whom the key is for" if needs_subject else "leave the subject away",
        )
    if scope is Scope.SOURCE and (not subject or NAMESPACE_END in subject):
        raise UsageError(
            "this is no name of a source",
            expected=f"a name without {NAMESPACE_END!r}, such as POS",
            found=repr(subject),
        )
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    connection.execute(
        insert(api_keys),
        {
            "key_id": key_id,
            "secret_digest": _digest(secret),
            "label": label,
            "scope": str(scope),
            "subject": subject,
            "created_at": now,
            "expires_at": expires_at,
        },
    )
    return NewKey(ApiKey(key_id, scope, subject, label), f"{_PREFIX}_{key_id}_{secret}")


_KEY = select(api_keys).where(api_keys.c.key_id == bindparam("key"))


def parts_of(token: str) -> tuple[str, str, str]:
    """Return prefix, id and secret of a token."""
    prefix, _, rest = token.partition("_")
    key_id, _, secret = rest.partition("_")
    return prefix, key_id, secret


def verify_token(connection: Connection, token: str, now: datetime) -> ApiKey | None:
    """Return the key of `token` if it is known, unexpired and not revoked."""
    prefix, key_id, secret = parts_of(token)
    row = connection.execute(_KEY, {"key": key_id}).first()
    if row is None or prefix != _PREFIX:
        return None
    if not hmac.compare_digest(row.secret_digest, _digest(secret)):
        return None
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        return None
    return ApiKey(row.key_id, Scope(row.scope), row.subject, row.label, row.expires_at)


def revoke_key(connection: Connection, key_id: str, now: datetime) -> None:
    """Revoke a key at once; revoking it again changes nothing."""
    known = connection.scalar(select(api_keys.c.key_id).where(api_keys.c.key_id == key_id))
    if known is None:
        raise NotFoundError(f"there is no key {key_id!r}", next_step="list the keys")
    connection.execute(
        update(api_keys)
        .where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


def end_keys(connection: Connection, key_ids: Sequence[str], moment: datetime) -> None:
    """Let keys end at a moment, where they do not end before."""
    for key_id in key_ids:
        connection.execute(
            update(api_keys)
            .where(
                api_keys.c.key_id == key_id,
                or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > moment),
            )
            .values(expires_at=moment)
        )


def list_keys(connection: Connection) -> list[dict[str, Any]]:
    """Return all keys without their secrets, oldest first."""
    columns = [column for column in api_keys.columns if column.name != "secret_digest"]
    query = select(*columns).order_by(api_keys.c.created_at, api_keys.c.key_id)
    return [dict(row) for row in connection.execute(query).mappings()]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def replay(
    connection: Connection, caller: str, key: str, body_digest: str
) -> Mapping[str, Any] | None:
    """Return the response already given to this idempotency key, or None.

    Parameters
    ----------
    connection : Connection
    caller : str
        Keys of two callers are not compared.
    key : str
        The idempotency key.
    body_digest : str
        Of the request.

    Raises
    ------
    ConflictError
        When the key was used with another body.
    """
    row = connection.execute(
        select(idempotency).where(
            idempotency.c.caller == caller, idempotency.c.idempotency_key == key
        )
    ).first()
    if row is None:
        return None
    if row.digest != body_digest:
        raise ConflictError(
            f"the idempotency key {key!r} was used with another request",
            expected="the same request as before",
            found="another body",
            next_step="use a new key for a new request",
        )
    response: Mapping[str, Any] = row.response
    return response


def remember(
    connection: Connection,
    *,
    caller: str,
    key: str,
    body_digest: str,
    response: Mapping[str, Any],
    now: datetime,
) -> None:
    """Keep the response to an idempotency key, in the transaction of its effect.

    Parameters
    ----------
    connection : Connection
    caller : str
        Keys of two callers are not compared.
    key : str
        The idempotency key.
    body_digest : str
        Of the request.
    response : mapping of str to object
        JSON data.
    now : datetime
        UTC.
    """
    connection.execute(
        insert(idempotency),
        {
            "caller": caller,
            "idempotency_key": key,
            "digest": body_digest,
            "response": dict(response),
            "created_at": now,
        },
    )
