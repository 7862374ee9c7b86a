"""Upsert: bring the accepted rows of a load into the lake, partition by partition.

Only partitions that change are written. A row that is already there, equal in every column,
stays as it is and keeps its `loaded_at`, so that a repeated load changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb

from nba.data import sql
from nba.data.inputs import FILE, LINE
from nba.data.lake import WHOLE, Partition, Writer, connect, duckdb_type, relation, row_hash
from nba.schema.tables import ATTRIBUTE_PREFIX, LOADED_AT, VALID_FROM, Table

__all__ = ["Incoming", "Merged", "connect", "merge"]

MONTH = "_month"
#: Columns that, with a running count, are the key of a line without a number of its own.
LINE_KEY = ("order_id", "product_id", "ts", "quantity", "unit_price")


@dataclass
class Merged:
    """How many accepted rows were new, changed, already there, or repeated in the load."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    repeated: int = 0
    equal_lines: int = 0
    exact_duplicates: int = 0
    partitions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Incoming:
    """The accepted rows of one table.

    Parameters
    ----------
    table : Table
    rows : str
        Their relation.
    overlap : bool
        Equal lines are counted within each file, since the files overlap.
    unique : bool
        It is known that no key stands twice.
    """

    table: Table
    rows: str
    overlap: bool = False
    unique: bool = False

    def select(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Return a SELECT of the contract's columns, `attr_…`, file and line."""
        found = columns_of(connection, self.rows)
        parts = [
            sql.name(field.name)
            if field.name in found
            else f"CAST(NULL AS {duckdb_type(field.type)}) AS {sql.name(field.name)}"
            for field in self.table.arrow_schema
            if field.name != LOADED_AT
        ]
        parts += [sql.name(name) for name in sorted(found) if name.startswith(ATTRIBUTE_PREFIX)]
        return f"SELECT {', '.join(parts)}, {FILE}, {LINE} FROM {self.rows}"


def columns_of(connection: duckdb.DuckDBPyConnection, rows: str) -> list[str]:
    """Return the columns of a relation."""
    return [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()]


def merge(
    connection: duckdb.DuckDBPyConnection, writer: Writer, incoming: Incoming, now: datetime
) -> Merged:
    """Write the partitions of `incoming.table` that change; return the counts."""
    table = incoming.table
    result = Merged()
    connection.execute(f"CREATE OR REPLACE TEMP VIEW rows_read AS {incoming.select(connection)}")
    current = "rows_read"
    if table.name == "transactions":
        current = _number_lines(connection, incoming.overlap, result)
    if table.history:
        current = _date_versions(connection, writer, table, current, now, result)
    counted = table.name == "transactions" and _all_numbered_here(connection, incoming)
    if not (incoming.unique or counted):
        current = _drop_repeats(connection, table, current, result)
    staged = _write_staged(connection, writer, table, current, now)
    _take_over(connection, writer, table, staged, result)
    return result


def _all_numbered_here(connection: duckdb.DuckDBPyConnection, incoming: Incoming) -> bool:
    """Whether every line got its number by counting, which leaves no key twice."""
    if incoming.overlap:
        return False
    return "line_no" not in columns_of(connection, incoming.rows)


def _number_lines(connection: duckdb.DuckDBPyConnection, overlap: bool, result: Merged) -> str:
    """Give lines without a number the key of the contract; return the view that has it."""
    if not _one(connection, "SELECT count(*) - count(line_no) FROM rows_read"):
        return "rows_read"
    key = sql.names(LINE_KEY) + (f", {FILE}" if overlap else "")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE equal_lines AS SELECT hash({key}) AS h, count(*) AS n "
        "FROM rows_read WHERE line_no IS NULL GROUP BY h HAVING n > 1"
    )
    digest = (
        "left(md5(concat_ws(chr(31), product_id, epoch_us(ts), quantity, "
        "coalesce(CAST(unit_price AS VARCHAR), ''))), 16)"
    )
    if not _one(connection, "SELECT count(*) FROM equal_lines"):
        connection.execute(
            "CREATE OR REPLACE TEMP VIEW numbered AS SELECT * "
            f"REPLACE (coalesce(line_no, {digest} || '-1') AS line_no) FROM rows_read"
        )
        return "numbered"
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
        SELECT * EXCLUDE (_n) REPLACE (coalesce(line_no, {digest} || '-' || _n) AS line_no)
        FROM all_lines"""
    )
    result.equal_lines = _one(connection, "SELECT coalesce(sum(n - 1), 0) FROM equal_lines")
    result.exact_duplicates = _one(
        connection,
        f"""SELECT coalesce(sum(n - 1), 0) FROM (
            SELECT count(*) AS n FROM rows_read
            WHERE line_no IS NULL AND hash({key}) IN (SELECT h FROM equal_lines)
            GROUP BY {key}, {content})""",
    )
    return "numbered"


def _date_versions(
    connection: duckdb.DuckDBPyConnection,
    writer: Writer,
    table: Table,
    current: str,
    now: datetime,
    result: Merged,
) -> str:
    """Date undated rows with the load; leave out those equal to the version in force."""
    key = [name for name in table.key if name != VALID_FROM]
    files = [
        writer.lake.root / file
        for partition in writer.state.tables.get(table.name, {}).values()
        for file in partition.files
    ]
    connection.execute(f"CREATE OR REPLACE TEMP VIEW existing AS {relation(table, files)}")
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE in_force AS SELECT * FROM existing QUALIFY row_number()
        OVER (PARTITION BY {sql.names(key)}
              ORDER BY {VALID_FROM} <= {sql.moment(now)} DESC, {VALID_FROM} DESC) = 1"""
    )
    same = _same(connection, table, current, "in_force", {*key, VALID_FROM})
    matched = " AND ".join(f"i.{sql.name(name)} = e.{sql.name(name)}" for name in key)
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE versions AS
        SELECT i.* REPLACE (coalesce(i.{VALID_FROM}, {sql.moment(now)}) AS {VALID_FROM})
        FROM {current} AS i WHERE i.{VALID_FROM} IS NOT NULL OR NOT EXISTS (
            SELECT 1 FROM in_force AS e WHERE {matched} AND {same})"""
    )
    total = _one(connection, f"SELECT count(*) FROM {current}")
    result.unchanged += total - _one(connection, "SELECT count(*) FROM versions")
    return "versions"


def _drop_repeats(
    connection: duckdb.DuckDBPyConnection, table: Table, current: str, result: Merged
) -> str:
    """Of rows with one key in the load, keep the last by file and line."""
    key = sql.names(table.key)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE repeats AS SELECT hash({key}) AS h FROM {current} "
        "GROUP BY h HAVING count(*) > 1"
    )
    if not _one(connection, "SELECT count(*) FROM repeats"):
        return current
    connection.execute(
        f"""CREATE OR REPLACE TEMP VIEW single AS
        SELECT * FROM {current} WHERE hash({key}) NOT IN (SELECT h FROM repeats)
        UNION ALL
        (SELECT * FROM {current} WHERE hash({key}) IN (SELECT h FROM repeats)
         QUALIFY row_number() OVER (PARTITION BY {key}
             ORDER BY {FILE} DESC, {LINE} DESC NULLS LAST) = 1)"""
    )
    total = _one(connection, f"SELECT count(*) FROM {current}")
    result.repeated = total - _one(connection, "SELECT count(*) FROM single")
    return "single"


def _write_staged(
    connection: duckdb.DuckDBPyConnection, writer: Writer, table: Table, current: str, now: datetime
) -> dict[str, list[Path]]:
    """Write the rows with `loaded_at`, by partition; return the files of each."""
    folder = writer.scratch / f"{table.name}-partitions"
    columns = [
        row[0]
        for row in connection.execute(f"DESCRIBE {current}").fetchall()
        if row[0] not in (FILE, LINE)
    ]
    own = [name for name in table.arrow_schema.names if name != LOADED_AT]
    ordered = sql.names([*own, *sorted(set(columns) - set(own))])
    select = f"SELECT {ordered}, {sql.moment(now)} AS {LOADED_AT}"
    if not table.partition_by:
        folder.mkdir()
        target = folder / "all.parquet"
        copy(connection, f"{select} FROM {current}", target)
        return {WHOLE: [target]}
    moment = f"timezone('UTC', {sql.name(table.partition_by)})"
    month = f"year({moment}) * 100 + month({moment}) AS {MONTH}"
    connection.execute(
        f"COPY ({select}, {month} FROM {current}) TO {sql.text(str(folder))} "
        f"(FORMAT parquet, COMPRESSION lz4, PARTITION_BY ({MONTH}))"
    )
    return {
        _key_of(path.name.removeprefix(f"{MONTH}=")): sorted(path.glob("*.parquet"))
        for path in sorted(folder.iterdir())
    }


def _key_of(month: str) -> str:
    return f"{month[:4]}-{month[4:]}"


def _month(moment: str) -> str:
    return f"strftime(timezone('UTC', {moment}), '%Y-%m')"


def copy(connection: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    """Write a query to one Parquet file."""
    connection.execute(
        f"COPY ({query}) TO {sql.text(str(target))} (FORMAT parquet, COMPRESSION zstd)"
    )


def _take_over(
    connection: duckdb.DuckDBPyConnection,
    writer: Writer,
    table: Table,
    staged: dict[str, list[Path]],
    result: Merged,
) -> None:
    """Let new partitions stand as they are and merge the others with what is there."""
    existing = writer.state.tables.get(table.name, {})
    moved = _moved_keys(connection, writer, table, staged)
    written: dict[str, list[Path]] = {}
    for partition in sorted({*staged, *moved}):
        files = staged.get(partition, [])
        if partition not in existing:
            written[partition] = files
            continue
        has_moved = partition in moved
        merged = _merge_partition(connection, writer, table, partition, files, has_moved, result)
        if merged is not None:
            written[partition] = [merged]
    for partition, (rows, digest) in contents(connection, table, written).items():
        result.new += 0 if partition in existing else rows
        result.partitions.append(partition)
        files = written[partition] if rows else []
        names = writer.place(table.name, partition, files)
        writer.put(table.name, partition, Partition(names, rows, digest))


def _moved_keys(
    connection: duckdb.DuckDBPyConnection,
    writer: Writer,
    table: Table,
    staged: dict[str, list[Path]],
) -> set[str]:
    """Find partitions that hold a key which this load brings into another month."""
    existing = writer.state.tables.get(table.name, {})
    if not table.partition_by or not existing:
        return set()
    key = sql.names(table.key)
    files = [path for paths in staged.values() for path in paths]
    owner = {
        str(writer.lake.root / file): partition
        for partition, content_ in existing.items()
        for file in content_.files
    }
    if not files:
        return set()
    arriving, there = (_month(f"{side}.{sql.name(table.partition_by)}") for side in "ie")
    options = "filename = true, union_by_name = true"
    plain = "hive_partitioning = false, union_by_name = true"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE moved AS SELECT {sql.names(table.key, 'e.')}, e.filename "
        f"FROM {sql.parquet(map(Path, owner), options)} AS e "
        f"JOIN {sql.parquet(files, plain)} AS i USING ({key}) WHERE {there} <> {arriving}"
    )
    found = connection.execute("SELECT DISTINCT filename FROM moved").fetchall()
    return {owner[row[0]] for row in found}


def _merge_partition(
    connection: duckdb.DuckDBPyConnection,
    writer: Writer,
    table: Table,
    partition: str,
    files: list[Path],
    has_moved: bool,
    result: Merged,
) -> Path | None:
    """Write the union of a partition and its incoming rows; None where nothing changes."""
    before = [writer.lake.root / file for file in writer.state.tables[table.name][partition].files]
    connection.execute(f"CREATE OR REPLACE TEMP VIEW existing AS {relation(table, before)}")
    plain = "hive_partitioning = false, union_by_name = true"
    inner = f"SELECT * FROM {sql.parquet(files, plain)}" if files else relation(table, [])
    connection.execute(f"CREATE OR REPLACE TEMP VIEW arriving AS {inner}")
    key = sql.names(table.key)
    on = " AND ".join(f"i.{sql.name(name)} = e.{sql.name(name)}" for name in table.key)
    same = _same(connection, table, "arriving", "existing", set(table.key))
    counts = connection.execute(
        f"SELECT count(*), count(e.{sql.name(table.key[0])}), "
        f"count(*) FILTER (WHERE e.{sql.name(table.key[0])} IS NOT NULL AND {same}) "
        f"FROM arriving AS i LEFT JOIN existing AS e ON {on}"
    ).fetchone()
    assert counts is not None
    total, matched, equal = counts
    result.new += total - matched
    result.changed += matched - equal
    result.unchanged += equal
    if total == equal and not has_moved:
        return None
    leaving = f"SELECT {key} FROM arriving"
    if has_moved:
        leaving += f" UNION SELECT {key} FROM moved"
    target = writer.scratch / f"{table.name}-{partition}.parquet"
    copy(
        connection,
        f"SELECT e.* FROM existing AS e ANTI JOIN ({leaving}) AS l USING ({key}) "
        "UNION ALL BY NAME "
        f"SELECT i.* REPLACE (CASE WHEN {same} THEN coalesce(e.{LOADED_AT}, i.{LOADED_AT}) "
        f"ELSE i.{LOADED_AT} END AS {LOADED_AT}) "
        f"FROM arriving AS i LEFT JOIN existing AS e ON {on}",
        target,
    )
    return target


def _same(
    connection: duckdb.DuckDBPyConnection, table: Table, one: str, other: str, without: set[str]
) -> str:
    """SQL that is true where the rows `i` of `one` and `e` of `other` are equal in content."""
    left = {row[0] for row in connection.execute(f"DESCRIBE {one}").fetchall()}
    right = {row[0] for row in connection.execute(f"DESCRIBE {other}").fetchall()}
    skipped = {*without, LOADED_AT, FILE, LINE, MONTH}
    parts = []
    for name in sorted((left | right) - skipped):
        mine = f"i.{sql.name(name)}" if name in left else "NULL"
        theirs = f"e.{sql.name(name)}" if name in right else "NULL"
        parts.append(f"{mine} IS NOT DISTINCT FROM {theirs}")
    return " AND ".join(parts) or "true"


def contents(
    connection: duckdb.DuckDBPyConnection, table: Table, partitions: dict[str, list[Path]]
) -> dict[str, tuple[int, int]]:
    """Return rows and digest per partition, in one scan."""
    owner = {str(path): name for name, paths in partitions.items() for path in paths}
    found = dict.fromkeys(partitions, (0, 0))
    if not owner:
        return found
    options = "hive_partitioning = false, union_by_name = true, filename = '_path'"
    source = sql.parquet(map(Path, owner), options)
    columns = [name for name in columns_of(connection, source) if name != "_path"]
    rows = connection.execute(
        f"SELECT _path, count(*), sum({row_hash(table, columns)}) FROM {source} GROUP BY ALL"
    ).fetchall()
    for path, count, digest in rows:
        before = found[owner[path]]
        found[owner[path]] = (before[0] + int(count), before[1] + int(digest))
    return found


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
