"""The quarantine: rows that were not accepted, with what is wrong and the row as it was."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from nba.data import sql
from nba.data.inputs import FILE, LINE, Input, RowsInput
from nba.data.lake import Lake, Writer, connect
from nba.data.measure import ERROR, ROW, VALUE
from nba.data.partitions import copy
from nba.data.prepare import Prepared
from nba.data.staging import Staged

#: The rule that a line of CSV breaks which is no record at all.
RECORD = "record"
#: With so many files, the next load writes all that is held into one.
MOST_FILES = 16
COLUMNS = {
    "load_id": "VARCHAR",
    "loaded_at": "TIMESTAMPTZ",
    "table": "VARCHAR",
    "file": "VARCHAR",
    "line": "BIGINT",
    "column": "VARCHAR",
    "rule": "VARCHAR",
    "value": "VARCHAR",
    "expected": "VARCHAR",
    "row": "VARCHAR",
}
IDENTITY = ("table", "file", "line", "column", "rule", "value", "row")


def select(prepared: Prepared) -> str:
    """Return a SELECT of what a table of the load brings into quarantine (without the load)."""
    parts = [
        _offence(prepared, staged, number)
        for staged in prepared.staged
        for number in range(len(staged.rules))
    ]
    parts += [
        f"SELECT {sql.text(prepared.table.name)}, {_shown(prepared, 'file')}, line, "
        f'"column", {sql.text(RECORD)}, content, message, NULL FROM {rejected}'
        for rejected in prepared.rejected
    ]
    return " UNION ALL ".join(parts)


def _shown(prepared: Prepared, column: str) -> str:
    """SQL of the file as the user knows it, where a copy of it was read."""
    cases = " ".join(
        f"WHEN {sql.text(read)} THEN {sql.text(name)}" for read, name in prepared.names.items()
    )
    return f"CASE {column} {cases} ELSE {column} END" if cases else column


def _offence(prepared: Prepared, staged: Staged, number: int) -> str:
    """SQL of the rows that break one rule; lines set aside earlier shift the line number."""
    rule = staged.rules[number]
    rows = f"(SELECT * FROM {staged.bad} WHERE {ERROR} = {number})"
    line = f"s.{LINE}"
    if staged.rejected:
        rows += f""" AS s ASOF LEFT JOIN (
            SELECT file, row_number() OVER w AS k, line - row_number() OVER w AS threshold
            FROM {staged.rejected} WINDOW w AS (PARTITION BY file ORDER BY line)) AS r
            ON s.{FILE} = r.file AND s.{LINE} > r.threshold"""
        line = f"s.{LINE} + coalesce(r.k, 0)"
    else:
        rows += " AS s"
    return (
        f'SELECT {sql.text(prepared.table.name)} AS "table", '
        f"{_shown(prepared, 's.' + FILE)} AS file, {line} AS line, "
        f'{sql.text(rule.column)} AS "column", {sql.text(rule.name)} AS rule, '
        f"s.{VALUE} AS value, {sql.text(rule.expected)} AS expected, s.{ROW} AS row FROM {rows}"
    )


def offences(connection: duckdb.DuckDBPyConnection, tables: list[Prepared]) -> list[dict[str, Any]]:
    """Return what a load did not accept: table, file, line, column, rule, value, expected, row."""
    bad = [prepared for prepared in tables if prepared.report.quarantined.rows]
    if not bad:
        return []
    union = " UNION ALL ".join(f"({select(prepared)})" for prepared in bad)
    rows: list[dict[str, Any]] = connection.execute(union).pl().to_dicts()
    return rows


def keep(
    connection: duckdb.DuckDBPyConnection,
    writer: Writer,
    tables: list[Prepared],
    now: datetime,
    held: str = "",
) -> None:
    """Put what the load did not accept into the lake, each offence once.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    writer : Writer
    tables : list of Prepared
        All tables of the load.
    now : datetime
        What `loaded_at` becomes.
    held : str
        The relation of rows that were taken out of quarantine to be tried again: what is left
        of them replaces it. Empty for a load of files.
    """
    bad = [prepared for prepared in tables if prepared.report.quarantined.rows]
    if not bad and not held:
        return
    union = " UNION ALL ".join(f"({select(prepared)})" for prepared in bad)
    load = f"{sql.text(writer.load_id)} AS load_id, {sql.moment(now)} AS loaded_at"
    fresh = f"SELECT {load}, * FROM ({union})" if bad else "SELECT * FROM nothing"
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE nothing ("
        + ", ".join(f"{sql.name(name)} {type_}" for name, type_ in COLUMNS.items())
        + ")"
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE offences AS {fresh}")
    if held:
        _replace(connection, writer, held)
        return
    earlier = [writer.lake.root / file for file in writer.state.quarantine]
    if earlier:
        same = " AND ".join(
            f"o.{sql.name(name)} IS NOT DISTINCT FROM e.{sql.name(name)}" for name in IDENTITY
        )
        connection.execute(
            f"DELETE FROM offences AS o USING {sql.parquet(earlier)} AS e WHERE {same}"
        )
    left = connection.execute("SELECT count(*) FROM offences").fetchone()
    if left is not None and left[0]:
        target = writer.scratch / "quarantine.parquet"
        full = len(earlier) >= MOST_FILES
        held_too = f" UNION ALL BY NAME SELECT * FROM {sql.parquet(earlier)}" if full else ""
        copy(connection, f"SELECT * FROM offences{held_too}", target)
        writer.put_quarantine(target, keep=not full)


def _replace(connection: duckdb.DuckDBPyConnection, writer: Writer, held: str) -> None:
    """Let the rows that cannot be tried again and those that failed again be the quarantine.

    A row that fails as it did before keeps its first load.
    """
    same = " AND ".join(
        f"h.{sql.name(name)} IS NOT DISTINCT FROM o.{sql.name(name)}" for name in IDENTITY
    )
    target = writer.scratch / "quarantine.parquet"
    copy(
        connection,
        f"SELECT {sql.names(COLUMNS)} FROM {held} WHERE row IS NULL UNION ALL "
        f"SELECT coalesce(h.load_id, o.load_id), coalesce(h.loaded_at, o.loaded_at), "
        f"{sql.names(list(COLUMNS)[2:], 'o.')} FROM offences AS o LEFT JOIN {held} AS h ON {same}",
        target,
    )
    row = connection.execute(f"SELECT count(*) FROM {sql.parquet([target])}").fetchone()
    writer.put_quarantine(target if row is not None and row[0] else None, keep=False)


def hold(connection: duckdb.DuckDBPyConnection, writer: Writer) -> str:
    """Copy the quarantine into a temporary table and return its name."""
    files = [writer.lake.root / file for file in writer.state.quarantine]
    columns = ", ".join(
        f"CAST(NULL AS {type_}) AS {sql.name(name)}" for name, type_ in COLUMNS.items()
    )
    rows = (
        f"SELECT {sql.names(COLUMNS)} FROM {sql.parquet(files)}"
        if files
        else f"SELECT {columns} WHERE false"
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE held AS {rows}")
    return "held"


def inputs(
    connection: duckdb.DuckDBPyConnection, held: str, scratch: Path
) -> dict[str, list[Input]]:
    """Return the held rows as inputs, by table: rows of equal columns together."""
    groups = connection.execute(
        f"""SELECT "table", json_keys(row) AS keys FROM {held} WHERE row IS NOT NULL
        GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    by_table: dict[str, list[Input]] = {}
    for number, (table, keys) in enumerate(groups):
        target = scratch / f"held-{number}.parquet"
        paths = [sql.text("$." + json.dumps(key, ensure_ascii=False)) for key in keys]
        columns = ", ".join(
            f"json_extract_string(row, {path}) AS {sql.name(key)}"
            for path, key in zip(paths, keys, strict=True)
        )
        wanted = ", ".join(sql.text(key) for key in keys)
        copy(
            connection,
            f"""SELECT {columns}, file AS {FILE}, line AS {LINE} FROM {held}
            WHERE row IS NOT NULL AND "table" = {sql.text(table)}
            AND json_keys(row) = [{wanted}]""",
            target,
        )
        by_table.setdefault(table, []).append(RowsInput(target, keys))
    return by_table


def summary(lake: Lake) -> pl.DataFrame:
    """Return the quarantine by table, column and rule: rows, loads and the first offender."""
    rows = quarantined(lake)
    return (
        rows.group_by("table", "column", "rule", "expected", maintain_order=True)
        .agg(
            pl.len().alias("rows"),
            pl.col("load_id").n_unique().alias("loads"),
            pl.col("file").first().alias("first_file"),
            pl.col("line").first().alias("first_line"),
            pl.col("value").first().alias("first_value"),
        )
        .sort("table", "column", "rule")
    )


def quarantined(lake: Lake, *, table: str = "", rule: str = "", limit: int = 0) -> pl.DataFrame:
    """Return quarantined rows, oldest first.

    Parameters
    ----------
    lake : Lake
    table, rule : str
        Only of this table, only of this rule.
    limit : int
        At most so many; 0 for all.
    """
    files = [lake.root / file for file in lake.state().quarantine]
    if not files:
        return pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String()))
    wanted = " AND ".join(
        f"{sql.name(column)} = {sql.text(value)}"
        for column, value in (("table", table), ("rule", rule))
        if value
    )
    with connect() as connection:
        arrow = connection.execute(
            f"SELECT {sql.names(COLUMNS)} FROM {sql.parquet(files)} WHERE {wanted or 'true'} "
            f"""ORDER BY loaded_at, "table", file, line{f" LIMIT {limit}" if limit else ""}"""
        ).to_arrow_table()
    rows = pl.from_arrow(arrow)
    assert isinstance(rows, pl.DataFrame)
    return rows
