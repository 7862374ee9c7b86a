"""The quarantine: rows that were not accepted, with what is wrong and the row as it was."""

from __future__ import annotations

from datetime import datetime

import duckdb

from nba.data import sql
from nba.data.lake import Writer
from nba.data.merge import copy
from nba.data.prepare import Prepared
from nba.data.staging import ERROR, FILE, LINE, ROW, VALUE

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
    "source": "VARCHAR",
}
IDENTITY = ("table", "file", "line", "column", "rule", "value", "row")


def select(connection: duckdb.DuckDBPyConnection, prepared: Prepared) -> str:
    """Return a SELECT of what a table of the load brings into quarantine (without the load)."""
    parts = []
    shown = " ".join(
        f"WHEN {sql.text(read)} THEN {sql.text(name)}" for read, name in prepared.names.items()
    )
    for staged in prepared.staged:
        for number, rule in enumerate(staged.rules):
            file = f"CASE {FILE} {shown} ELSE {FILE} END" if shown else FILE
            parts.append(
                f'SELECT {sql.text(prepared.table.name)} AS "table", {file} AS file, '
                f'{LINE} AS line, {sql.text(rule.column)} AS "column", '
                f"{sql.text(rule.name)} AS rule, {VALUE} AS value, "
                f"{sql.text(rule.expected)} AS expected, {ROW} AS row "
                f"FROM {sql.parquet([staged.path])} WHERE {ERROR} = {number}"
            )
    for rejects in prepared.rejects:
        parts.append(_rejected(prepared, rejects, shown))
    return " UNION ALL ".join(parts)


def _rejected(prepared: Prepared, rejects: str, shown: str) -> str:
    file = f"CASE s.file_path {shown} ELSE s.file_path END" if shown else "s.file_path"
    return (
        f"SELECT {sql.text(prepared.table.name)}, {file}, r.line, "
        "coalesce(first(r.column_name), ''), 'record', first(r.csv_line), "
        "first(r.error_message), NULL "
        f"FROM {sql.name(rejects)} AS r JOIN {sql.name(rejects + '_scan')} AS s "
        "USING (scan_id, file_id) GROUP BY ALL"
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
    union = " UNION ALL ".join(f"({select(connection, prepared)})" for prepared in bad)
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
