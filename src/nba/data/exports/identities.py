"""Who is who: rows of several systems are one customer where an exact key says so.

A key is an e-mail address, a phone number, the id of one system, the chat platform's id. Keys are
kept hashed in the table `identities`; a key of which the table says that it is nobody's joins
nobody, so that a join can be undone. Nothing is joined by likeness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import duckdb

from nba.data import keys, sql
from nba.data.exports import leaving
from nba.data.identity_keys import OWN, SHARED, email_sql, hashed_sql, phone_sql
from nba.data.tombstones import Keeper

#: What the queries of exports call keys, and the kind that `identities` keeps; the own system's
#: id is of the kind of the system's name.
KEYS: Final = {
    "key_id": "",
    "key_external": "external_id",
    "key_union": "unionid",
    "key_email": "email",
    "key_phone": "phone",
    "key_anonymous": "anonymous",
}
#: So many e-mail addresses with one phone number, or numbers with one address, can be one person's;
#: with more the key is a placeholder, a shop's own or a company's.
FEW: Final = 3
#: Keys that people change or have several of, and that tell people apart where they are many.
_TOLD_APART: Final = ("email", "phone")


@dataclass(frozen=True)
class Resolved:
    """What came out: counts for the report; the relations are temporary tables.

    Parameters
    ----------
    joined : int
        Customers that more than one system or key knows.
    shared : int
        Keys that several customers of one system have: they join nobody.
    crowded : int
        Keys with more than `FEW` e-mail addresses or phone numbers: they join nobody.
    conflicts : int
        Groups of rows that would have made one of several customers of one system.
    late : int
        Customers of the lake that turned out to be one with another.
    """

    joined: int = 0
    shared: int = 0
    crowded: int = 0
    conflicts: int = 0
    late: int = 0


def key_sql(column: str) -> str:
    """Return the SQL of a key in its one form: e-mail in lower case, phone as bare digits."""
    forms = {"key_email": email_sql, "key_phone": phone_sql}
    return forms[column](column) if column in forms else column


def who_sql(system: str, columns: Sequence[str]) -> str:
    """Return the SQL of a text that holds all keys of a row: equal where all are equal."""
    parts = [f"coalesce({key_sql(name)}, '')" if name in columns else "''" for name in KEYS]
    return f"{sql.text(system)} || chr(1) || " + " || chr(1) || ".join(parts)


def resolve(
    connection: duckdb.DuckDBPyConnection,
    whos: Sequence[str],
    known: str,
    secret: bytes,
    keeper: Keeper | None = None,
) -> Resolved:
    """Find the customer of every row; leaves the tables `resolved` and `found_identities`.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    whos : sequence of str
        Relations with a column `_who`.
    known : str
        The relation of keys that are known: kind, value, customer_id, and `is_kept`, whether
        `identities` has it or will without this.
    secret : bytes
        Keys are hashed with it.
    keeper : Keeper, optional
        Knows erased customers: rows that keys lead to one of them come out under an id that the
        keeper knows as theirs.
    """
    run = connection.execute
    _long_form(connection, whos, secret)
    run(f"CREATE OR REPLACE TEMP TABLE known_keys AS FROM {known}")
    leaving.add(connection, keeper)
    _find_nobodys(connection)
    run(
        """CREATE OR REPLACE TEMP TABLE edges AS SELECT k.* FROM row_keys AS k
        ANTI JOIN nobodys AS n ON k.kind = n.kind AND k.value = n.value"""
    )
    _label(connection, "edges", "labels")
    conflicts = _split_conflicts(connection)
    if leaving.let_go(connection):
        _label(connection, "edges", "labels")
    run(
        """CREATE OR REPLACE TEMP TABLE resolved AS
        SELECT who, label[3:] AS customer_id FROM labels"""
    )
    if keeper is not None:
        leaving.note(connection, keeper)
    run(
        """CREATE OR REPLACE TEMP TABLE all_identities AS
        SELECT e.kind, e.value, min(r.customer_id) AS customer_id
        FROM edges AS e JOIN resolved AS r ON e.who = r.who
        WHERE r.customer_id NOT IN (SELECT who FROM leaving_whos) GROUP BY ALL
        UNION ALL SELECT kind, value, NULL FROM nobodys"""
    )
    run(
        """CREATE OR REPLACE TEMP TABLE found_identities AS
        SELECT a.* FROM all_identities AS a
        LEFT JOIN known_keys AS k ON a.kind = k.kind AND a.value = k.value
        WHERE k.kind IS NULL OR NOT k.is_kept OR a.customer_id IS DISTINCT FROM k.customer_id"""
    )
    count = keys.single_number
    return Resolved(
        joined=count(
            connection,
            "SELECT count(*) FROM (SELECT customer_id FROM all_identities WHERE customer_id "
            "IS NOT NULL GROUP BY 1 HAVING count(DISTINCT CASE WHEN kind NOT IN "
            f"({sql.texts(SHARED)}) THEN kind || value END) > 1)",
        ),
        shared=count(
            connection, "SELECT count(*) FROM nobodys ANTI JOIN crowded USING (kind, value)"
        ),
        crowded=count(connection, "SELECT count(*) FROM crowded"),
        conflicts=conflicts,
        late=count(
            connection,
            "SELECT count(DISTINCT k.customer_id) FROM known_keys AS k JOIN found_identities AS f "
            "ON k.kind = f.kind AND k.value = f.value "
            "WHERE k.customer_id <> f.customer_id",
        ),
    )


def _long_form(connection: duckdb.DuckDBPyConnection, whos: Sequence[str], secret: bytes) -> None:
    """Make `row_keys` (who, kind, hashed value) and `row_ids` (who, kind, value, plain id)."""
    everyone = " UNION ".join(f"SELECT DISTINCT _who AS who FROM {relation}" for relation in whos)
    kinds = " ".join(
        f"WHEN {place} THEN {sql.text(kind) if kind else 'part[1]'}"
        for place, kind in enumerate(KEYS.values(), start=2)
    )
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE plain_keys AS
        SELECT who, CASE place {kinds} END AS kind, part[place] AS plain
        FROM (SELECT who, string_split(who, chr(1)) AS part FROM ({everyone})),
            range(2, {len(KEYS) + 2}) AS r(place)
        WHERE part[place] <> ''"""
    )
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE row_keys AS
        SELECT who, kind, {hashed_sql("kind", "plain", secret)} AS value
        FROM plain_keys"""
    )
    shared = sql.texts(SHARED)
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE row_ids AS
        SELECT k.who, k.kind, k.value, p.plain FROM row_keys AS k
        JOIN plain_keys AS p ON k.who = p.who AND k.kind = p.kind
        WHERE k.kind NOT IN ({shared}, 'unionid')"""
    )


def _find_nobodys(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `nobodys`, the keys that join nobody, and of these `crowded`, those of too many.

    Addresses and numbers of one system's id are one person's, and whoever gives the address of an
    account means it, with however many numbers. What is known of the customer to whom a key leads
    counts too, so that a placeholder is found over loads of few lines each.
    """
    shared, apart = sql.texts(SHARED), sql.texts(_TOLD_APART)
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE crowded AS
        WITH owners AS (
            SELECT k.kind, k.value, min(i.kind || i.value) AS id FROM row_keys AS k
            JOIN row_ids AS i ON k.who = i.who WHERE k.kind IN ({apart}) GROUP BY ALL
        ), accounts AS (
            SELECT value FROM owners WHERE kind = 'email'
            UNION SELECT n.value FROM known_keys AS n
            JOIN known_keys AS i ON n.customer_id = i.customer_id
            WHERE n.kind = 'email' AND i.kind NOT IN ({shared}, 'unionid')
        ), others AS (
            SELECT k.kind, k.value, o.kind AS other, o.value AS token FROM row_keys AS k
            JOIN row_keys AS o ON k.who = o.who AND k.kind <> o.kind
            WHERE k.kind IN ({shared}) AND o.kind IN ({apart})
            UNION SELECT k.kind, k.value, o.kind, o.value FROM row_keys AS k
            JOIN known_keys AS n ON k.kind = n.kind AND k.value = n.value
            JOIN known_keys AS o ON n.customer_id = o.customer_id AND k.kind <> o.kind
            WHERE k.kind IN ({shared}) AND o.kind IN ({apart})
        )
        SELECT DISTINCT o.kind, o.value FROM others AS o
        LEFT JOIN owners AS w ON o.other = w.kind AND o.token = w.value
        ANTI JOIN accounts AS a ON o.kind = 'email' AND o.value = a.value
        GROUP BY o.kind, o.value, other HAVING count(DISTINCT coalesce(w.id, token)) > {FEW}"""
    )
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE nobodys AS
        SELECT kind, value FROM known_keys WHERE customer_id IS NULL
        UNION SELECT k.kind, k.value FROM row_keys AS k
        JOIN row_ids AS i ON k.who = i.who WHERE k.kind IN ({shared})
        GROUP BY k.kind, k.value, i.kind HAVING count(DISTINCT i.value) > 1
        UNION FROM crowded"""
    )


def _first_labels(edges: str) -> str:
    """SQL of the label of each row by itself: the lake's customer, an own id, or a hash."""
    own = " ".join(f"WHEN {sql.text(old)} THEN {sql.text(new)}" for old, new in OWN.items())
    return f"""
        SELECT who, min(label) AS label FROM (
            SELECT e.who, '0|' || k.customer_id AS label FROM {edges} AS e
            JOIN known_keys AS k ON e.kind = k.kind AND e.value = k.value
            WHERE k.customer_id IS NOT NULL
            UNION ALL SELECT who, '!|' || who AS label FROM leaving_whos
            UNION ALL SELECT who, '1|' || CASE kind {own} ELSE kind END || ':' || plain FROM row_ids
            WHERE plain IS NOT NULL
            UNION ALL SELECT who, '2|guest:' || value[:16] FROM {edges}
        ) GROUP BY who"""


def _label(connection: duckdb.DuckDBPyConnection, edges: str, target: str) -> None:
    """Give all rows that keys connect the smallest of their labels, in table `target`."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {target} AS {_first_labels(edges)}")
    changed = 1
    while changed:
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE next_labels AS
            WITH of_keys AS (
                SELECT e.kind, e.value, min(l.label) AS label FROM {edges} AS e
                JOIN {target} AS l ON e.who = l.who GROUP BY ALL
            ), lowest AS (
                SELECT e.who, min(k.label) AS label FROM {edges} AS e
                JOIN of_keys AS k ON e.kind = k.kind AND e.value = k.value GROUP BY ALL
            )
            SELECT l.who, least(l.label, coalesce(n.label, l.label)) AS label
            FROM {target} AS l LEFT JOIN lowest AS n ON l.who = n.who"""
        )
        changed = keys.single_number(
            connection,
            f"SELECT count(*) FROM next_labels AS n JOIN {target} AS l ON n.who = l.who "
            "WHERE n.label <> l.label",
        )
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {target} AS FROM next_labels")


def _split_conflicts(connection: duckdb.DuckDBPyConnection) -> int:
    """Take groups apart that hold two ids of one system; return how many there were."""
    leaving.find_torn(connection)
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE torn AS
        SELECT DISTINCT label FROM (
            SELECT l.label, i.kind FROM labels AS l JOIN row_ids AS i ON l.who = i.who
            GROUP BY ALL HAVING count(DISTINCT i.value) > 1)
        UNION SELECT label FROM leaving_torn"""
    )
    count = keys.single_number
    if count(connection, "SELECT count(*) FROM torn"):
        shared = sql.texts(SHARED)
        connection.execute(
            f"""DELETE FROM edges WHERE kind IN ({shared}, 'unionid') AND who IN
            (SELECT l.who FROM labels AS l JOIN torn USING (label) JOIN row_ids AS i
             ON l.who = i.who)"""
        )
        _label(connection, "edges", "labels")
    return count(connection, "SELECT count(*) FROM torn ANTI JOIN leaving_torn USING (label)")
