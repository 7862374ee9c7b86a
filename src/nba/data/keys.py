"""Keys: numbers for lines that have none, dates for versions, and which of two rows counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa

from nba.data import sql
from nba.data.inputs import FILE, LINE
from nba.data.lake import Writer, relation
from nba.data.partitions import MONTH
from nba.schema.tables import LOADED_AT, VALID_FROM, Table
from nba.schema.words import PRODUCT_ID

#: Columns that, with a running count, are the key of a line without a number of its own.
LINE_KEY = ("order_id", PRODUCT_ID, "ts", "quantity", "unit_price")
#: What a line says besides its order.
DIGEST = (
    "left(md5(concat_ws(chr(31), product_id, epoch_us(ts), quantity, "
    "coalesce(CAST(unit_price AS VARCHAR), ''))), 16)"
)
#: All columns, with the number of a line that has no equal.
FIRST_NUMBER = f"* REPLACE (coalesce(line_no, {DIGEST} || '-1') AS line_no)"
#: So many hashes are sorted at a time (8 bytes each).
AT_A_TIME = 50_000_000


@dataclass
class Merged:
    """How many accepted rows were new, changed, already there, or repeated in the load.

    Of `transactions` also: `twins`, lines known before under a number of another kind;
    `known_orders`, orders without line numbers that came with other lines than before, with
    `other_lines` that did not come again, of which `replaced_lines` left; `withdrawn_lines` of
    `withdrawn_orders`, which an export has without them or as no sales; `mixed_orders`, known
    before of somebody else at another time. Of states: `filled`,
    the columns that the load did not have and that stay as they were, in `filled_rows` rows.
    """

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    repeated: int = 0
    equal_lines: int = 0
    exact_duplicates: int = 0
    twins: int = 0
    known_orders: int = 0
    other_lines: int = 0
    replaced_lines: int = 0
    first_known_order: str = ""
    withdrawn_lines: int = 0
    withdrawn_orders: int = 0
    first_withdrawn: str = ""
    mixed_orders: list[str] = field(default_factory=list)
    filled: tuple[str, ...] = ()
    filled_rows: int = 0
    partitions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Merging:
    """One table on its way into the lake: where it goes, when, and the counts so far."""

    connection: duckdb.DuckDBPyConnection
    writer: Writer
    table: Table
    now: datetime
    result: Merged


def single_number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """Return the single number that a query yields."""
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def repeated(
    connection: duckdb.DuckDBPyConnection, rows: str, key: Iterable[str], where: str = "true"
) -> int:
    """Fill the temporary table `repeats` with the hashes `h` that stand `n` > 1 times.

    Sorting plain numbers is several times faster than an aggregation over them, and takes
    memory for them alone.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    rows : str
        A relation.
    key : iterable of str
        The columns that make a key together.
    where : str
        SQL of the rows that count.

    Returns
    -------
    int
        How many hashes stand more than once.
    """
    number = f"hash({sql.names(key)})"
    parts = 1 + single_number(connection, f"SELECT count(*) FROM {rows} WHERE {where}") // AT_A_TIME
    parts_found, counts = [], []
    for part in range(parts):
        mine = f" AND {number} % {parts} = {part}" if parts > 1 else ""
        query = f"SELECT {number} AS h FROM {rows} WHERE {where}{mine}"
        hashes, times = _more_than_once(np.asarray(connection.execute(query).fetchnumpy()["h"]))
        parts_found.append(hashes)
        counts.append(times)
    connection.execute("CREATE OR REPLACE TEMP TABLE repeats (h UBIGINT, n BIGINT)")
    together = {"h": np.concatenate(parts_found), "n": np.concatenate(counts)}
    if len(together["h"]):
        connection.register("found_repeats", pa.table(together))
        connection.execute("INSERT INTO repeats SELECT h, n FROM found_repeats")
        connection.unregister("found_repeats")
    return len(together["h"])


def _more_than_once(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values that stand more than once, and how often."""
    hashes = np.sort(hashes)
    duplicates = hashes[1:][hashes[1:] == hashes[:-1]]
    values, counts = np.unique(duplicates, return_counts=True)
    return values.astype(np.uint64), counts.astype(np.int64) + 1


def number_lines(connection: duckdb.DuckDBPyConnection, overlap: bool, result: Merged) -> str:
    """Give lines without a number the key of the contract; return the view that has it."""
    if not single_number(connection, "SELECT count(*) - count(line_no) FROM rows_read"):
        return "rows_read"
    parts = [*LINE_KEY, *([FILE] if overlap else [])]
    key = sql.names(parts)
    if not repeated(connection, "rows_read", parts, "line_no IS NULL"):
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW numbered AS SELECT {FIRST_NUMBER} FROM rows_read"
        )
        return "numbered"
    connection.execute("CREATE OR REPLACE TEMP TABLE equal_lines AS FROM repeats")
    others = [
        row[0]
        for row in connection.execute("DESCRIBE rows_read").fetchall()
        if row[0] not in {*LINE_KEY, "line_no", FILE, LINE}
    ]
    content = sql.names(others)
    connection.execute(
        f"""CREATE OR REPLACE TEMP VIEW numbered AS
        WITH equal AS (
            SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY {content}) AS _n
            FROM rows_read WHERE line_no IS NULL AND hash({key}) IN (SELECT h FROM equal_lines)
        ), all_lines AS (
            SELECT * FROM equal
            UNION ALL
            SELECT *, 1 AS _n FROM rows_read
            WHERE line_no IS NOT NULL OR hash({key}) NOT IN (SELECT h FROM equal_lines)
        )
        SELECT * EXCLUDE (_n) REPLACE (coalesce(line_no, {DIGEST} || '-' || _n) AS line_no)
        FROM all_lines"""
    )
    result.equal_lines = single_number(
        connection, "SELECT coalesce(sum(n - 1), 0) FROM equal_lines"
    )
    result.exact_duplicates = single_number(
        connection,
        f"""SELECT coalesce(sum(n - 1), 0) FROM (
            SELECT count(*) AS n FROM rows_read
            WHERE line_no IS NULL AND hash({key}) IN (SELECT h FROM equal_lines)
            GROUP BY {key}, {content})""",
    )
    return "numbered"


def fill_absent(merging: Merging, current: str, present: set[str]) -> str:
    """Let what the load has no column for stay as it was: an absent column says nothing.

    Each row takes it from the version in force at its own moment, undated rows from today's.

    Parameters
    ----------
    merging : Merging
        Of a table with history.
    current : str
        The relation of the load's rows, with all columns of the contract.
    present : set of str
        The columns that the load has.
    """
    connection, table = merging.connection, merging.table
    key = [name for name in table.key if name != VALID_FROM]
    files = merging.writer.lake.files(table.name, merging.writer.state)
    if not files:
        return current
    connection.execute(f"CREATE OR REPLACE TEMP VIEW existing AS {relation(table, files)}")
    there = [row[0] for row in connection.execute("DESCRIBE existing").fetchall()]
    here = [row[0] for row in connection.execute(f"DESCRIBE {current}").fetchall()]
    skipped = {*present, *table.key, LOADED_AT, MONTH}
    absent = [name for name in there if name not in skipped]
    if not absent:
        return current
    replaced = [f"e.{sql.name(name)} AS {sql.name(name)}" for name in absent if name in here]
    added = [f"e.{sql.name(name)}" for name in absent if name not in here]
    star = f"i.* REPLACE ({', '.join(replaced)})" if replaced else "i.*"
    matched = " AND ".join(f"i.{sql.name(name)} = e.{sql.name(name)}" for name in key)
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE filled AS
        SELECT {", ".join([star, *added])} FROM {current} AS i ASOF LEFT JOIN existing AS e
        ON {matched} AND coalesce(i.{VALID_FROM}, {sql.moment(merging.now)}) >= e.{VALID_FROM}"""
    )
    known = " OR ".join(f"{sql.name(name)} IS NOT NULL" for name in absent)
    merging.result.filled = tuple(absent)
    merging.result.filled_rows = single_number(
        connection, f"SELECT count(*) FROM filled WHERE {known}"
    )
    return "filled"


def date_versions(merging: Merging, current: str) -> str:
    """Date undated rows with the load; leave out those equal to the version in force."""
    connection, writer, table = merging.connection, merging.writer, merging.table
    now, result = merging.now, merging.result
    key = [name for name in table.key if name != VALID_FROM]
    files = writer.lake.files(table.name, writer.state)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW existing AS {relation(table, files)}")
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE in_force AS SELECT * FROM existing QUALIFY row_number()
        OVER (PARTITION BY {sql.names(key)}
              ORDER BY {VALID_FROM} <= {sql.moment(now)} DESC, {VALID_FROM} DESC) = 1"""
    )
    same = same_content(connection, current, "in_force", {*key, VALID_FROM})
    matched = " AND ".join(f"i.{sql.name(name)} = e.{sql.name(name)}" for name in key)
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE versions AS
        SELECT i.* REPLACE (coalesce(i.{VALID_FROM}, {sql.moment(now)}) AS {VALID_FROM})
        FROM {current} AS i WHERE i.{VALID_FROM} IS NOT NULL OR NOT EXISTS (
            SELECT 1 FROM in_force AS e WHERE {matched} AND {same})"""
    )
    total = single_number(connection, f"SELECT count(*) FROM {current}")
    result.unchanged += total - single_number(connection, "SELECT count(*) FROM versions")
    return "versions"


def drop_repeats(
    connection: duckdb.DuckDBPyConnection, table: Table, current: str, result: Merged
) -> str:
    """Of rows with one key in the load, keep the last by file and line.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    table : Table
    current : str
        The relation of the load's rows.
    result : Merged
        Where `repeated` is counted.
    """
    if not repeated(connection, current, table.key):
        return current
    key = sql.names(table.key)
    connection.execute(
        f"""CREATE OR REPLACE TEMP VIEW single AS
        SELECT * FROM {current} WHERE hash({key}) NOT IN (SELECT h FROM repeats)
        UNION ALL
        (SELECT * FROM {current} WHERE hash({key}) IN (SELECT h FROM repeats)
         QUALIFY row_number() OVER (PARTITION BY {key}
             ORDER BY {FILE} DESC, {LINE} DESC NULLS LAST) = 1)"""
    )
    total = single_number(connection, f"SELECT count(*) FROM {current}")
    result.repeated = total - single_number(connection, "SELECT count(*) FROM single")
    return "single"


def same_content(
    connection: duckdb.DuckDBPyConnection, mine: str, theirs: str, without: set[str]
) -> str:
    """Return SQL that is true where the rows `i` of `mine` and `e` of `theirs` are equal.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    mine, theirs : str
        Relations; a column that one of them lacks counts as null in it.
    without : set of str
        Columns that may differ.
    """
    left = {row[0] for row in connection.execute(f"DESCRIBE {mine}").fetchall()}
    right = {row[0] for row in connection.execute(f"DESCRIBE {theirs}").fetchall()}
    skipped = {*without, LOADED_AT, FILE, LINE, MONTH}
    parts = []
    for name in sorted((left | right) - skipped):
        my_value = f"i.{sql.name(name)}" if name in left else "NULL"
        their_value = f"e.{sql.name(name)}" if name in right else "NULL"
        parts.append(f"{my_value} IS NOT DISTINCT FROM {their_value}")
    return " AND ".join(parts) or "true"
