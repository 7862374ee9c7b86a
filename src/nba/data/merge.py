"""Upsert: bring the accepted rows of a load into the lake, partition by partition.

Only partitions that change are written. A row that is already there, equal in every column,
stays as it is and keeps its `loaded_at`, so that a repeated load changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from nba.data import keys, partitions, sql
from nba.data.inputs import FILE, LINE
from nba.data.keys import Merged, Merging, same_content
from nba.data.lake import Partition, Writer, relation, row_hash
from nba.data.orders import superseded
from nba.data.partitions import columns_of
from nba.schema.tables import LOADED_AT, Table


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
    placed : dict of str to list of Path, optional
        Files by partition, where the rows have been written as the lake keeps them.
    whole_orders : bool
        An order known before is replaced as a whole by its lines that arrive.
    whole : str
        The relation of orders of exports that are replaced as a whole, see
        `nba.data.prepare.Prepared`.
    """

    table: Table
    rows: str
    overlap: bool = False
    unique: bool = False
    placed: dict[str, list[Path]] | None = None
    whole_orders: bool = False
    whole: str = ""

    def select(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Return a SELECT of the contract's columns, `attr_…`, file and line."""
        columns = partitions.contract(self.table, columns_of(connection, self.rows))
        return f"SELECT {', '.join(columns)}, {FILE}, {LINE} FROM {self.rows}"


def merge(
    connection: duckdb.DuckDBPyConnection, writer: Writer, incoming: Incoming, now: datetime
) -> Merged:
    """Write the partitions of `incoming.table` that change; return the counts.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    writer : Writer
        The transaction on the lake that the partitions become part of.
    incoming : Incoming
    now : datetime
        The moment of the load, for `loaded_at` and undated versions.
    """
    merging = Merging(connection, writer, incoming.table, now, Merged())
    placed = incoming.placed
    if placed is None:
        placed = _write(merging, incoming)
    _take_over(merging, placed, incoming)
    return merging.result


def _write(merging: Merging, incoming: Incoming) -> dict[str, list[Path]]:
    """Give every row its key and write what counts; return the files by partition."""
    connection, table, result = merging.connection, merging.table, merging.result
    connection.execute(f"CREATE OR REPLACE TEMP VIEW rows_read AS {incoming.select(connection)}")
    current = "rows_read"
    if table.name == "transactions":
        current = keys.number_lines(connection, incoming.overlap, result)
    if table.history:
        current = keys.fill_absent(merging, current, set(columns_of(connection, incoming.rows)))
        current = keys.date_versions(merging, current)
    counted = table.name == "transactions" and _all_numbered_here(connection, incoming)
    if not (incoming.unique or counted):
        current = keys.drop_repeats(connection, table, current, result)
    folder = merging.writer.scratch / f"{table.name}-partitions"
    return partitions.write(connection, table, current, merging.now, folder)


def _all_numbered_here(connection: duckdb.DuckDBPyConnection, incoming: Incoming) -> bool:
    """Whether every line got its number by counting, which leaves no key twice."""
    if incoming.overlap:
        return False
    return "line_no" not in columns_of(connection, incoming.rows)


def _month(moment: str) -> str:
    return f"strftime(timezone('UTC', {moment}), '%Y-%m')"


def _take_over(merging: Merging, staged: dict[str, list[Path]], incoming: Incoming) -> None:
    """Let new partitions stand as they are and merge the others with what is there."""
    writer, table, result = merging.writer, merging.table, merging.result
    existing = writer.state.tables.get(table.name, {})
    moved = _moved_keys(merging, staged, incoming)
    written: dict[str, list[Path]] = {}
    for partition in sorted({*staged, *moved}):
        files = staged.get(partition, [])
        if partition not in existing:
            written[partition] = files
            continue
        merged = _merge_partition(merging, partition, files, has_moved=partition in moved)
        if merged is not None:
            written[partition] = [merged]
    for partition, (rows, digest) in contents(merging.connection, table, written).items():
        result.new += 0 if partition in existing else rows
        result.partitions.append(partition)
        files = written[partition] if rows else []
        names = writer.place(table.name, partition, files)
        writer.put(table.name, partition, Partition(names, rows, digest))


def _moved_keys(merging: Merging, staged: dict[str, list[Path]], incoming: Incoming) -> set[str]:
    """Find partitions that hold a key which this load moves to another month, or replaces."""
    connection, writer, table = merging.connection, merging.writer, merging.table
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
    if not (files or incoming.whole):
        return set()
    rows = sql.parquet(files) if files else f"({relation(table, [])})"
    arriving, there = (_month(f"{side}.{sql.name(table.partition_by)}") for side in "ie")
    options = f"filename = true, {sql.PLAIN}"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE moved AS SELECT {sql.names(table.key, 'e.')}, e.filename "
        f"FROM {sql.parquet(map(Path, owner), options)} AS e "
        f"JOIN {rows} AS i USING ({key}) WHERE {there} <> {arriving}"
    )
    if table.name == "transactions":
        superseded(merging, rows, whole_orders=incoming.whole_orders, whole=incoming.whole)
        connection.execute(
            f"INSERT INTO moved BY NAME SELECT {sql.names(table.key)}, filename FROM superseded"
        )
    filenames = connection.execute("SELECT DISTINCT filename FROM moved").fetchall()
    return {owner[row[0]] for row in filenames}


def _merge_partition(
    merging: Merging, partition: str, files: list[Path], *, has_moved: bool
) -> Path | None:
    """Write the union of a partition and its incoming rows; None where nothing changes."""
    connection, writer, table = merging.connection, merging.writer, merging.table
    result = merging.result
    before = [writer.lake.root / file for file in writer.state.tables[table.name][partition].files]
    connection.execute(f"CREATE OR REPLACE TEMP VIEW existing AS {relation(table, before)}")
    inner = f"SELECT * FROM {sql.parquet(files)}" if files else relation(table, [])
    connection.execute(f"CREATE OR REPLACE TEMP VIEW arriving AS {inner}")
    key = sql.names(table.key)
    on = " AND ".join(f"i.{sql.name(name)} = e.{sql.name(name)}" for name in table.key)
    same = same_content(connection, "arriving", "existing", set(table.key))
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
    partitions.copy(
        connection,
        f"SELECT e.* FROM existing AS e ANTI JOIN ({leaving}) AS l USING ({key}) "
        "UNION ALL BY NAME "
        f"SELECT i.* REPLACE (CASE WHEN {same} THEN coalesce(e.{LOADED_AT}, i.{LOADED_AT}) "
        f"ELSE i.{LOADED_AT} END AS {LOADED_AT}) "
        f"FROM arriving AS i LEFT JOIN existing AS e ON {on}",
        target,
    )
    return target


def contents(
    connection: duckdb.DuckDBPyConnection, table: Table, partitions: dict[str, list[Path]]
) -> dict[str, tuple[int, int]]:
    """Return rows and digest per partition, in one scan."""
    owner = {str(path): name for name, paths in partitions.items() for path in paths}
    totals = dict.fromkeys(partitions, (0, 0))
    if not owner:
        return totals
    options = f"{sql.PLAIN}, filename = '_path'"
    source = sql.parquet(map(Path, owner), options)
    columns = [name for name in columns_of(connection, source) if name != "_path"]
    rows = connection.execute(
        f"SELECT _path, count(*), sum({row_hash(table, columns)}) FROM {source} GROUP BY ALL"
    ).fetchall()
    for path, count, digest in rows:
        before = totals[owner[path]]
        totals[owner[path]] = (before[0] + int(count), before[1] + int(digest))
    return totals
