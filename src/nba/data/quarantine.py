"""The quarantine: rows that were not accepted, with what is wrong and the row as it was."""

from __future__ import annotations

from datetime import datetime

import duckdb
import polars as pl

from nba.data import sql
from nba.data.inputs import FILE, LINE
from nba.data.lake import Lake, Writer, connect
from nba.data.merge import copy
from nba.data.prepare import Prepared
from nba.data.staging import ERROR, ROW, VALUE, Staged

#: The rule that a line of CSV breaks which is no record at all.
RECORD = "record"
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
    rows = f"(SELECT * FROM {sql.parquet([staged.path])} WHERE {ERROR} = {number})"
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


def keep(
    connection: duckdb.DuckDBPyConnection,
    writer: Writer,
    tables: list[Prepared],
    now: datetime,
) -> None:
    """Put what the load did not accept into the lake, each offence once."""
    bad = [prepared for prepared in tables if prepared.report.quarantined.rows]
    if not bad:
        return
    union = " UNION ALL ".join(f"({select(prepared)})" for prepared in bad)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE offences AS SELECT {sql.text(writer.load_id)} AS load_id, "
        f"{sql.moment(now)} AS loaded_at, * FROM ({union})"
    )
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
        copy(connection, "SELECT * FROM offences", target)
        writer.put_quarantine(target)


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
    frame = pl.from_arrow(arrow)
    assert isinstance(frame, pl.DataFrame)
    return frame
