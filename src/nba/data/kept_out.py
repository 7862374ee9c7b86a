"""Keep erased customers out of a load: their rows reach neither the lake nor the quarantine."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

import duckdb

from nba.data import keys, sql
from nba.data.erasure import CUSTOMER, GONE
from nba.data.staging import Staged

#: Returns those of some customers that were erased.
Erased = Callable[[Sequence[str]], set[str]]
_numbers = count()
#: What stands between the values of a line of CSV.
_BETWEEN: Final = re.compile(r"[,;|\t\"']+")


def keep_out(connection: duckdb.DuckDBPyConnection, staged: Staged, erased: Erased) -> int:
    """Take the rows of erased customers out of what was staged; return how many."""
    if CUSTOMER not in staged.columns:
        return 0
    theirs = f"SELECT DISTINCT {CUSTOMER} FROM {staged.relation} WHERE {CUSTOMER} IS NOT NULL"
    gone = erased([str(row[0]) for row in connection.execute(theirs).fetchall()])
    if not gone:
        return 0
    name = f"kept_out_{next(_numbers)}"
    connection.execute(f"CREATE TEMP TABLE {name} (id VARCHAR)")
    connection.executemany(
        f"INSERT INTO {name} VALUES (?)", [[customer_id] for customer_id in sorted(gone)]
    )
    rows = keys.single_number(
        connection,
        f"SELECT count(*) FROM {staged.relation} WHERE {CUSTOMER} IN (SELECT id FROM {name})",
    )
    stays = f"{CUSTOMER} IS NULL OR {CUSTOMER} NOT IN (SELECT id FROM {name})"
    staged.good, staged.bad = (
        f"(SELECT * FROM {relation} WHERE {stays})" for relation in (staged.good, staged.bad)
    )
    # neither what was measured nor what was written in one go fits the rows that are left
    staged.measured = staged.placed = None
    return rows


def blank_lines(connection: duckdb.DuckDBPyConnection, rejected: str, erased: Erased) -> int:
    """Blank lines of CSV that are no records and name an erased customer; return how many."""
    blanked = 0
    query = f"SELECT DISTINCT content FROM {rejected} WHERE content IS NOT NULL"
    for (content,) in connection.execute(query).fetchall():
        words = [word.strip() for word in _BETWEEN.split(content)]
        if erased([word for word in words if word]):
            connection.execute(
                f"UPDATE {rejected} SET content = {sql.text(GONE)} WHERE content = ?", [content]
            )
            blanked += 1
    return blanked
