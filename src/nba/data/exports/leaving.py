"""Rows of exports that keys lead to an erased customer: they come out under an id that leaves.

Each erased customer of whom the load has a key takes part in the join like one more row, known by
what the tombstone keeps. Somebody in the lake is never joined with them: where keys would, both
stay apart, and the load says so.
"""

from __future__ import annotations

import duckdb

from nba.data import keys, sql
from nba.data.identity_keys import SHARED, WHOLE_ID, IdentityKey
from nba.data.tombstones import Keeper, leaves_as

_ME = f"{sql.text(leaves_as(''))} || receipt_id"


def add(connection: duckdb.DuckDBPyConnection, keeper: Keeper | None) -> None:
    """Put a row for each erased customer of whom there is a key to `row_keys` and `row_ids`.

    Makes `leaving_keys` (kind, value, receipt_id), the keys of the load that tombstones have, and
    `leaving_whos`, the rows that were put in.
    """
    run = connection.execute
    if keeper is None or not keeper.has_keys:
        run("CREATE OR REPLACE TEMP TABLE leaving_whos (who VARCHAR)")
        return
    run(
        f"""CREATE OR REPLACE TEMP TABLE leaving_keys AS
        SELECT k.kind, k.value, g.receipt_id FROM (SELECT DISTINCT kind, value FROM row_keys) AS k
        JOIN tombstone_keys AS g ON {keeper.matches("k.kind", "k.value")}"""
    )
    run(
        f"""CREATE OR REPLACE TEMP TABLE leaving_whos AS
        SELECT DISTINCT {_ME} AS who FROM leaving_keys"""
    )
    run(
        f"""INSERT INTO row_keys SELECT {_ME}, kind, value FROM leaving_keys
        ANTI JOIN (FROM known_keys WHERE customer_id IS NOT NULL) USING (kind, value)"""
    )
    # two ids of one system are two people; which one an erased customer had is known by its digest
    run(
        f"""INSERT INTO row_ids
        SELECT {_ME}, kind, coalesce(any_value(k.value), any_value(g.digest)), NULL
        FROM tombstone_keys AS g LEFT JOIN leaving_keys AS k USING (receipt_id, kind)
        WHERE {_ME} IN (FROM leaving_whos)
            AND kind NOT IN ({sql.texts((*SHARED, "unionid", WHOLE_ID))})
        GROUP BY receipt_id, kind HAVING count(DISTINCT g.digest) = 1"""
    )


def find_torn(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `leaving_torn`: labels of groups that hold an erased customer and one in the lake."""
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE leaving_torn AS
        SELECT DISTINCT l.label FROM labels AS l JOIN edges AS e ON l.who = e.who
        JOIN known_keys AS k ON e.kind = k.kind AND e.value = k.value
        WHERE l.label[:2] = '!|' AND k.customer_id IS NOT NULL"""
    )


def let_go(connection: duckdb.DuckDBPyConnection) -> bool:
    """Take an erased customer out of groups that still hold one in the lake; whether any was."""
    find_torn(connection)
    if not keys.single_number(connection, "SELECT count(*) FROM leaving_torn"):
        return False
    connection.execute(
        """DELETE FROM edges WHERE who IN (
            SELECT who FROM labels SEMI JOIN leaving_torn USING (label)
        ) AND who IN (FROM leaving_whos)"""
    )
    return True


def note(connection: duckdb.DuckDBPyConnection, keeper: Keeper) -> None:
    """Tell the keeper whose rows leave, by which keys, and who shares a key and stays."""
    receipts = [row[0] for row in connection.execute("FROM leaving_whos").fetchall()]
    if not receipts:
        return
    keeper.aliases |= {who: who.removeprefix(leaves_as("")) for who in receipts}
    learned = connection.execute(
        """SELECT DISTINCT r.customer_id, e.kind, e.value
        FROM edges AS e JOIN resolved AS r ON e.who = r.who
        ANTI JOIN leaving_keys AS k ON e.kind = k.kind AND e.value = k.value
        WHERE r.customer_id IN (FROM leaving_whos)"""
    ).fetchall()
    for who, kind, value in learned:
        keeper.learn(keeper.aliases[who], IdentityKey(kind, value))
    stays = connection.execute(
        """SELECT DISTINCT r.customer_id FROM row_keys AS k
        SEMI JOIN leaving_keys AS l ON k.kind = l.kind AND k.value = l.value
        JOIN resolved AS r ON k.who = r.who
        WHERE r.customer_id NOT IN (FROM leaving_whos)"""
    ).fetchall()
    keeper.shared |= {str(row[0]) for row in stays}
