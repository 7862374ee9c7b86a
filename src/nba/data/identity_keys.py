"""Keys of who a customer is: how the lake keeps them, and what a tombstone keeps of them.

A key is an e-mail address, a phone number, the id of one system, the chat platform's id. The lake
keeps it hashed with the project's secret; a tombstone keeps that hash keyed once more, so that
what stays of an erased customer leads back to no row of the lake either.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from typing import Final, NamedTuple

from nba.data import sql
from nba.schema.words import CUSTOMER_ID

#: Keys that several people can share; the others are one person's.
SHARED: Final = ("email", "phone", "anonymous")
#: Where an id of the customer is that of a system, this stands before it.
OWN: Final = {"external_id": "wecom"}
#: The kind of a tombstone's key that is a whole customer id of this project.
WHOLE_ID: Final = "customer_id"
_KIND_OF: Final = {prefix: kind for kind, prefix in OWN.items()}
_BLOCK: Final = 64
_FEWEST_DIGITS: Final = 7


class IdentityKey(NamedTuple):
    """A key as the table `identities` keeps it; of the kind `customer_id`, the id as it is."""

    kind: str
    value: str


def keyed(text: str, secret: bytes) -> str:
    """Return the HMAC-SHA-256 of a text, in hexadecimal digits."""
    return hmac.digest(secret, text.encode(), "sha256").hex()


def unkeyed_digest(customer_id: str) -> str:
    """Return the digest of a customer's id that `customer_digest` keys."""
    return hashlib.sha256(f"nba:customer:{customer_id}".encode()).hexdigest()


def customer_digest(customer_id: str, secret: bytes) -> str:
    """Return what a tombstone keeps of an erased customer's id."""
    return keyed(unkeyed_digest(customer_id), secret)


def key_digest(key: IdentityKey, secret: bytes) -> str:
    """Return what a tombstone keeps of one key of an erased customer."""
    if key.kind == WHOLE_ID:
        return customer_digest(key.value, secret)
    return keyed(f"nba:identity:{key.kind}:{key.value}", secret)


def key_digest_sql(kind: str, value: str, secret: bytes) -> str:
    """Return the SQL of `key_digest` of two columns, for all kinds but a whole id."""
    block = (hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(
        _BLOCK, b"\0"
    )
    inner, outer = (bytes(byte ^ pad for byte in block).hex() for pad in (0x36, 0x5C))
    text = f"encode('nba:identity:' || {kind} || ':' || {value})"
    return f"sha256(unhex('{outer}') || unhex(sha256(unhex('{inner}') || {text})))"


def hashed(kind: str, plain: str, secret: bytes) -> str:
    """Return a key's value as the lake keeps it."""
    salt = secret.hex()
    inner = hashlib.sha256(f"{salt}:{kind}:{plain}".encode()).hexdigest()
    return hashlib.sha256(f"{salt}{inner}".encode()).hexdigest()


def hashed_sql(kind: str, plain: str, secret: bytes) -> str:
    """Return the SQL of `hashed` of two columns."""
    salt = sql.text(secret.hex())
    return f"sha256({salt} || sha256({salt} || ':' || {kind} || ':' || {plain}))"


def email_sql(column: str) -> str:
    """Return the SQL of an e-mail address in its one form, in lower case; NULL of another text."""
    return f"CASE WHEN contains({column}, '@') THEN lower(trim({column})) END"


def phone_sql(column: str) -> str:
    """Return the SQL of a phone number in its one form, as bare digits; NULL of another text.

    A number of China (+86) or North America (+1) is the same with and without its country.
    """
    bare = f"ltrim(regexp_replace({column}, '\\D', '', 'g'), '0')"
    return (
        f"CASE WHEN length({bare}) < {_FEWEST_DIGITS} THEN NULL "
        f"WHEN length({bare}) = 13 AND {bare}[:2] = '86' THEN {bare}[3:] "
        f"WHEN length({bare}) = 11 AND {bare}[1] = '1' AND {bare}[2] BETWEEN '2' AND '9' "
        f"AND NOT regexp_matches({column}, '^1[3-9]\\d{{9}}$') THEN {bare}[2:] "
        f"ELSE {bare} END"
    )


def customer_keys_sql(rows: str, columns: Collection[str], secret: bytes) -> str:
    """Return the SQL of customer_id, kind and value of what rows of customers are known by.

    Parameters
    ----------
    rows : str
        A relation of customers.
    columns : collection of str
        Those that it has; without a key among them the result is empty.
    secret : bytes
    """
    forms = {"external_id": "external_id", "email": email_sql("email"), "phone": phone_sql("phone")}
    parts = [
        f"SELECT customer_id, {sql.text(kind)} AS kind, {form} AS plain FROM {rows}"
        for kind, form in forms.items()
        if kind in columns and CUSTOMER_ID in columns
    ]
    if not parts:
        return ""
    return (
        f"SELECT DISTINCT customer_id, kind, {hashed_sql('kind', 'plain', secret)} AS value "
        f"FROM ({' UNION ALL '.join(parts)}) WHERE plain <> '' AND customer_id IS NOT NULL"
    )


def key_of_id(customer_id: str, secret: bytes) -> IdentityKey | None:
    """Return the key of an id that is one system's, such as `shopify:7001`; None of another.

    >>> key_of_id("wecom:wm1", b"s").kind, key_of_id("C1", b"s")
    ('external_id', None)
    """
    system, colon, plain = customer_id.partition(":")
    if not (system and colon and plain):
        return None
    kind = _KIND_OF.get(system, system)
    return IdentityKey(kind, hashed(kind, plain, secret))


def guest_id(value: str) -> str:
    """Return the id of a customer of whom nothing but one hashed key is known."""
    return f"guest:{value[:16]}"
