"""Who was erased: what is kept of them, and how one load knows them again.

They are known by the id that was erased and by every key of theirs that was known then. Under
another id they are told by such a key; what a load learns of their keys that way is kept too. A
customer who stands in the lake is never taken for an erased one: the load says that they share a
key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import duckdb

from nba.data import keys, sql
from nba.data.identity_keys import (
    SHARED,
    WHOLE_ID,
    IdentityKey,
    customer_digest,
    customer_keys_sql,
    email_sql,
    hashed_sql,
    key_digest,
    key_digest_sql,
    key_of_id,
    phone_sql,
)
from nba.schema.words import CUSTOMER_ID

#: An erased customer's rows of an export go under this and their receipt, on their way out.
_LEAVES_AS: Final = "erased:"
#: Tables that say by which keys a customer is known; a load reads them before all others.
KEYED_TABLES: Final = ("customers", "identities")


@dataclass(frozen=True)
class Tombstones:
    """What is kept of all erased customers.

    Parameters
    ----------
    secret : bytes
        The project's.
    ids : frozenset of str
        Digests of the ids that were erased.
    keys : mapping of str to (str, str)
        Digests of their other keys, each with the erasure's receipt_id and the key's kind.
    """

    secret: bytes
    ids: frozenset[str] = frozenset()
    keys: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def erased(self, customer_ids: Sequence[str]) -> set[str]:
        """Return those of `customer_ids` that are an erased customer's."""
        if not self.ids and not self.keys:
            return set()
        return {customer_id for customer_id in customer_ids if self._is_erased(customer_id)}

    def _is_erased(self, customer_id: str) -> bool:
        digest = customer_digest(customer_id, self.secret)
        if digest in self.ids or digest in self.keys:
            return True
        key = key_of_id(customer_id, self.secret) if self.keys else None
        return key is not None and key_digest(key, self.secret) in self.keys


@dataclass
class Keeper:
    """Whom one load keeps out, and what it learns of them.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        The load's.
    tombstones : Tombstones
    standing : str
        A relation of the `customer_id` of everybody in the lake; ids may repeat.
    aliases : dict of str to str
        Ids of this load that turned out to be an erased customer's, each with the receipt_id.
    learned : dict of str to set of IdentityKey
        Keys of erased customers that no tombstone had, by receipt_id.
    shared : set of str
        Customers who share a key with an erased one and are not kept out.
    """

    connection: duckdb.DuckDBPyConnection
    tombstones: Tombstones
    standing: str
    aliases: dict[str, str] = field(default_factory=dict)
    learned: dict[str, set[IdentityKey]] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Put the tombstones' keys where queries of the load find them."""
        run = self.connection.execute
        run(
            "CREATE OR REPLACE TEMP TABLE tombstone_keys "
            "(digest VARCHAR, receipt_id VARCHAR, kind VARCHAR)"
        )
        rows = [[digest, *key] for digest, key in self.tombstones.keys.items()]
        if rows:
            self.connection.executemany("INSERT INTO tombstone_keys VALUES (?, ?, ?)", rows)

    @property
    def has_keys(self) -> bool:
        """Whether anything but ids is known of those who were erased."""
        return bool(self.tombstones.keys)

    def erased(self, customer_ids: Sequence[str]) -> set[str]:
        """Return those of `customer_ids` who are kept out of this load."""
        return self.tombstones.erased(customer_ids) | (set(customer_ids) & self.aliases.keys())

    def learn(self, receipt_id: str, key: IdentityKey) -> None:
        """Note a key of an erased customer, for their tombstone."""
        self.learned.setdefault(receipt_id, set()).add(key)

    def matches(self, kind: str, value: str) -> str:
        """Return the SQL of the condition by which `tombstone_keys` (as `g`) has a key."""
        digest = key_digest_sql(kind, value, self.tombstones.secret)
        return f"g.kind <> {sql.text(WHOLE_ID)} AND g.kind = {kind} AND g.digest = {digest}"

    def note_aliases(self, table: str, rows: str, columns: Collection[str]) -> None:
        """Find who of a table of customers or their keys is an erased one under another id.

        Parameters
        ----------
        table : str
        rows : str
            The relation of its accepted rows.
        columns : collection of str
            Those that the rows have.
        """
        rows = self._keys_of(table, rows, columns)
        if not rows or not self.has_keys:
            return
        query = (
            f"SELECT DISTINCT t.customer_id, g.receipt_id FROM ({rows}) AS t "
            f"JOIN tombstone_keys AS g ON {self.matches('t.kind', 't.value')} ORDER BY ALL"
        )
        pairs = self.connection.execute(query).fetchall()
        receipts = {str(who): str(receipt_id) for who, receipt_id in pairs}
        others = receipts.keys() - self.erased(list(receipts))
        standing = self._standing(sorted(others))
        self.shared |= standing
        for who in sorted(others - standing):
            self.aliases[who] = receipts[who]
            self.learn(receipts[who], IdentityKey(WHOLE_ID, who))
        self._learn_keys(rows)

    def names(self, words: Sequence[str]) -> bool:
        """Return whether a word is an erased customer's e-mail address, phone number or id."""
        if not words or not self.has_keys:
            return False
        kinds = sorted({kind for _, kind in self.tombstones.keys.values()} - {*SHARED, WHOLE_ID})
        forms = [("email", email_sql("word")), ("phone", phone_sql("word"))]
        forms += [(kind, "word") for kind in kinds]
        given = ", ".join(f"({sql.text(word)})" for word in words)
        plain = " UNION ALL ".join(
            f"SELECT {sql.text(kind)} AS kind, {form} AS plain FROM (VALUES {given}) AS w(word)"
            for kind, form in forms
        )
        value = hashed_sql("kind", "plain", self.tombstones.secret)
        query = (
            f"SELECT count(*) FROM (SELECT kind, {value} AS value FROM ({plain})) AS t "
            f"JOIN tombstone_keys AS g ON {self.matches('t.kind', 't.value')}"
        )
        return keys.single_number(self.connection, query) > 0

    def _keys_of(self, table: str, rows: str, columns: Collection[str]) -> str:
        """SQL of customer, kind and value as the lake keeps it, or nothing."""
        if CUSTOMER_ID not in columns:
            return ""
        if table == "identities":
            return f"SELECT customer_id, kind, value FROM {rows} WHERE customer_id IS NOT NULL"
        if table != "customers":
            return ""
        return customer_keys_sql(rows, columns, self.tombstones.secret)

    def _standing(self, customer_ids: Sequence[str]) -> set[str]:
        if not customer_ids:
            return set()
        query = (
            f"SELECT DISTINCT customer_id FROM ({self.standing}) "
            f"WHERE customer_id IN ({sql.texts(customer_ids)})"
        )
        return {str(row[0]) for row in self.connection.execute(query).fetchall()}

    def _learn_keys(self, rows: str) -> None:
        """Note all keys of those who are kept out under another id."""
        if not self.aliases:
            return
        query = (
            f"SELECT DISTINCT customer_id, kind, value FROM ({rows}) "
            f"WHERE customer_id IN ({sql.texts(sorted(self.aliases))})"
        )
        for who, kind, value in self.connection.execute(query).fetchall():
            self.learn(self.aliases[who], IdentityKey(kind, value))


def leaves_as(receipt_id: str) -> str:
    """Return under which id the rows of an export go whose customer was erased."""
    return f"{_LEAVES_AS}{receipt_id}"
