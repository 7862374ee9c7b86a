"""Sales and responses by the clock of their store, where that is not the project's.

Weekday and hour are habits of a customer, and a customer lives by the clock on the wall of
their store. Everything else (what is visible, days between purchases) stands in the project's
zone.
"""

from __future__ import annotations

import duckdb

from nba.data import sql
from nba.schema.words import CLOCK


def add(connection: duckdb.DuckDBPyConnection, prefix: str, time_zone: str) -> None:
    """Add the column `store_ts` to sales and responses, if any store has another zone.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        With the complete tables named `prefix…`.
    prefix : str
    time_zone : str
        The project's, in which `ts` stands.

    Notes
    -----
    The store is that of the line, else that of the customer; a response has its customer's.
    """
    stores, customers, interactions = (
        sql.name(prefix + name) for name in ("stores", "customers", "interactions")
    )
    other = f"timezone IS NOT NULL AND timezone <> {sql.text(time_zone)}"
    if not connection.execute(f"SELECT 1 FROM {stores} WHERE {other} LIMIT 1").fetchall():
        return
    who = {
        "transactions": ("t.customer_id", "t.store_id", ""),
        "responses": (
            "coalesce(t.customer_id, i.customer_id)",
            "NULL",
            f"LEFT JOIN {interactions} AS i ON t.interaction_id = i.interaction_id",
        ),
    }
    for table, (customer, store, join) in who.items():
        name, given = sql.name(prefix + table), sql.name(f"{prefix}{table}_home")
        connection.execute(f"ALTER VIEW {name} RENAME TO {given}")
        connection.execute(
            f"""CREATE VIEW {name} AS SELECT t.*, CASE WHEN s.timezone IS NULL THEN t.ts
                ELSE timezone(s.timezone, timezone({sql.text(time_zone)}, t.ts)) END AS {CLOCK}
            FROM {given} AS t {join}
            LEFT JOIN {customers} AS c ON c.customer_id = {customer}
            LEFT JOIN {stores} AS s ON s.store_id = coalesce({store}, c.store_id)"""
        )
