"""Keep erased customers out of a load: their rows reach neither the lake nor the quarantine."""

from __future__ import annotations

import re
from itertools import count
from typing import Final

from nba.data import keys, sql
from nba.data.erasure import CUSTOMER, GONE
from nba.data.staging import Staged
from nba.data.tombstones import Keeper

_numbers = count()
#: What stands between the values of a line of CSV.
_BETWEEN: Final = re.compile(r"[,;|\t\"']+")


def keep_out(staged: Staged, keeper: Keeper) -> tuple[int, int]:
    """Take the rows of erased customers out of what was staged.

    Returns
    -------
    tuple of int
        How many rows were taken out, and how many of them stood under another id.
    """
    if CUSTOMER not in staged.columns:
        return 0, 0
    connection = keeper.connection
    theirs = f"SELECT DISTINCT {CUSTOMER} FROM {staged.relation} WHERE {CUSTOMER} IS NOT NULL"
    gone = keeper.erased([str(row[0]) for row in connection.execute(theirs).fetchall()])
    if not gone:
        return 0, 0
    name = f"kept_out_{next(_numbers)}"
    connection.execute(f"CREATE TEMP TABLE {name} (id VARCHAR, is_other BOOLEAN)")
    connection.executemany(
        f"INSERT INTO {name} VALUES (?, ?)",
        [[customer_id, customer_id in keeper.aliases] for customer_id in sorted(gone)],
    )
    rows, others = (
        keys.single_number(
            connection,
            f"SELECT count(*) FROM {staged.relation} "
            f"WHERE {CUSTOMER} IN (SELECT id FROM {name} WHERE {which})",
        )
        for which in ("true", "is_other")
    )
    stays = f"{CUSTOMER} IS NULL OR {CUSTOMER} NOT IN (SELECT id FROM {name})"
    staged.good, staged.bad = (
        f"(SELECT * FROM {relation} WHERE {stays})" for relation in (staged.good, staged.bad)
    )
    # neither what was measured nor what was written in one go fits the rows that are left
    staged.measured = staged.placed = None
    return rows, others


def blank_lines(rejected: str, keeper: Keeper) -> int:
    """Blank lines of CSV that are no records and name an erased customer; return how many."""
    blanked, connection = 0, keeper.connection
    query = f"SELECT DISTINCT content FROM {rejected} WHERE content IS NOT NULL"
    for (content,) in connection.execute(query).fetchall():
        words = [word for part in _BETWEEN.split(content) if (word := part.strip())]
        if keeper.erased(words) or keeper.names(words):
            connection.execute(
                f"UPDATE {rejected} SET content = {sql.text(GONE)} WHERE content = ?", [content]
            )
            blanked += 1
    return blanked
