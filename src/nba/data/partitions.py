"""How rows lie in the lake's files: the contract's columns in order, a folder per month."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import duckdb

from nba.data import sql
from nba.data.lake import WHOLE, duckdb_type
from nba.schema.tables import ATTRIBUTE_PREFIX, LOADED_AT, Table

MONTH = "_month"
#: Dictionaries of text that is mostly distinct cost a third of the time and save nothing.
_FORMAT = "FORMAT parquet, COMPRESSION zstd, STRING_DICTIONARY_PAGE_SIZE_LIMIT 65536"


def columns_of(connection: duckdb.DuckDBPyConnection, rows: str) -> list[str]:
    """Return the columns of a relation."""
    return [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()]


def contract(table: Table, present: Iterable[str]) -> list[str]:
    """Return the SQL of the contract's columns, then `attr_…`; NULL for those not `present`."""
    given = set(present)
    parts = [
        sql.name(column.name)
        if column.name in given
        else f"CAST(NULL AS {duckdb_type(column.type)}) AS {sql.name(column.name)}"
        for column in table.arrow_schema
        if column.name != LOADED_AT
    ]
    return parts + [sql.name(name) for name in sorted(given) if name.startswith(ATTRIBUTE_PREFIX)]


def month(table: Table) -> str:
    """Return the SQL of a row's month as a number such as 202603."""
    # By whole numbers: calendars with zones take ten times as long.
    moment = f"make_timestamp(epoch_us({sql.name(table.partition_by)}))"
    return f"year({moment}) * 100 + month({moment})"


def loaded_at(now: datetime) -> str:
    """Return the SQL of the column `loaded_at`."""
    return f"{sql.moment(now)} AS {LOADED_AT}"


def copy(connection: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    """Write a query to one Parquet file."""
    connection.execute(f"COPY ({query}) TO {sql.text(str(target))} ({_FORMAT})")


def copy_apart(
    connection: duckdb.DuckDBPyConnection, query: str, folder: Path, by: Iterable[str]
) -> None:
    """Write a query to Parquet files in folders, one per value of the columns `by`.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    query : str
        A SELECT.
    folder : Path
        Made where nothing is written, so that it is always there.
    by : iterable of str
        Columns of the query; they stand in the names of folders, not in the files.
    """
    connection.execute(
        f"COPY ({query}) TO {sql.text(str(folder))} ({_FORMAT}, PARTITION_BY ({', '.join(by)}))"
    )
    folder.mkdir(exist_ok=True)  # nothing is made where there are no rows


def write(
    connection: duckdb.DuckDBPyConnection, table: Table, rows: str, now: datetime, folder: Path
) -> dict[str, list[Path]]:
    """Write the rows of a relation as the lake keeps them; return the files by partition.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    table : Table
    rows : str
        A relation.
    now : datetime
        What `loaded_at` becomes.
    folder : Path
        Not there yet.
    """
    columns = ", ".join([*contract(table, columns_of(connection, rows)), loaded_at(now)])
    if not table.partition_by:
        folder.mkdir()
        target = folder / "all.parquet"
        copy(connection, f"SELECT {columns} FROM {rows}", target)
        return {WHOLE: [target]}
    query = f"SELECT {columns}, {month(table)} AS {MONTH} FROM {rows}"
    copy_apart(connection, query, folder, [MONTH])
    return by_month(folder)


def by_month(*folders: Path) -> dict[str, list[Path]]:
    """Return the files of each month that stand in `folders`."""
    files: dict[str, list[Path]] = {}
    for folder in folders:
        for path in sorted(folder.glob(f"{MONTH}=*/*.parquet")):
            number = path.parent.name.removeprefix(f"{MONTH}=")
            files.setdefault(f"{number[:4]}-{number[4:]}", []).append(path)
    return files
