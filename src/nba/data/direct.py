"""Stage one table without writing its rows twice.

Most loads are clean: no row breaks a rule, no key stands twice. Then Parquet is read where it
is, and CSV is written once, as the lake keeps it. Where a load turns out not to be clean, the
caller stages it again in the general way (`nba.data.staging`).
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from nba.data import keys, partitions, sql
from nba.data.inputs import FILE, LINE, Source
from nba.data.lake import relation
from nba.data.mapping import TableMapping
from nba.data.measure import CLOCK, ERROR, ROW, VALUE, measure
from nba.data.partitions import MONTH
from nba.data.staging import Context, Staged, plan_of, query, reading
from nba.schema.tables import Table

_STATE = "_state"
#: Of a row that breaks a rule; a good row's state is its clock change, or 0.
_BAD = 9
_STATES = (0, 1, 2)


def stage_in_place(context: Context, table: Table, source: Source, view: str) -> Staged | None:
    """Make a view that reads the source itself; None where a row breaks a rule.

    Parameters
    ----------
    context : Context
    table : Table
    source : Source
        Of Parquet files: reading it twice costs less than a copy.
    view : str
        The name of the view to make.
    """
    plan = plan_of(context, table, source)
    checked = f"({query(context, plan, plan.checks)})"
    with reading(table.name, source.shown):
        measured = measure(context.connection, table, plan.final, checked)
    if measured.bad:
        return None
    good = query(context, plan, [])
    context.connection.execute(f"CREATE OR REPLACE TEMP VIEW {sql.name(view)} AS {good}")
    bad = f"(SELECT * FROM {sql.name(view)} WHERE false)"
    return Staged(
        sql.name(view), bad, plan.checks, tuple(plan.final), plan.ignored, measured=measured
    )


def can_place(table: Table, own: TableMapping) -> bool:
    """Whether rows of this table can be written as the lake keeps them in one go."""
    return bool(table.partition_by) and not (table.history or own.distinct or own.overlap)


def stage_placed(context: Context, table: Table, source: Source, folder: Path) -> Staged:
    """Write rows as the lake keeps them, apart from those that break a rule.

    The result's relations know neither file nor line of a row.

    Parameters
    ----------
    context : Context
    table : Table
    source : Source
    folder : Path
        Where the files are written, by state and month; not there yet.
    """
    plan = plan_of(context, table, source)
    columns = ", ".join(partitions.contract(table, plan.final))
    rows = f"(SELECT {columns}, {ERROR}, {CLOCK} FROM ({query(context, plan, plan.checks)}))"
    every = keys.FIRST_NUMBER if table.name == "transactions" else "*"
    good = f"CASE WHEN {ERROR} IS NULL THEN {partitions.month(table)} END AS {MONTH}"
    state = f"CASE WHEN {ERROR} IS NULL THEN coalesce({CLOCK}, 0) ELSE {_BAD} END AS {_STATE}"
    select = (
        f"SELECT * EXCLUDE ({ERROR}, {CLOCK}), {partitions.loaded_at(context.now)}, "
        f"{state}, {good} FROM (SELECT {every} FROM {rows})"
    )
    with reading(table.name, source.shown):
        partitions.copy_apart(context.connection, select, folder, (_STATE, MONTH))
    apart = {state: folder / f"{_STATE}={state}" for state in (*_STATES, _BAD)}
    placed = partitions.by_month(*(apart[state] for state in _STATES))
    names = tuple(plan.final)
    good = " UNION ALL ".join(
        f"SELECT * FROM {_relation(table, names, apart[state], state)}" for state in _STATES
    )
    bad = _relation(table, names, apart[_BAD], 0)
    return Staged(f"({good})", bad, plan.checks, names, plan.ignored, placed=placed)


def _relation(table: Table, columns: tuple[str, ...], folder: Path, code: int) -> str:
    """Return the relation of staged rows over files that only have the lake's columns."""
    files = sorted(folder.rglob("*.parquet"))
    extra = sorted(set(columns) - set(table.arrow_schema.names))
    nothing = "".join(f", CAST(NULL AS VARCHAR) AS {sql.name(name)}" for name in extra)
    rows = sql.parquet(files) if files else f"(SELECT *{nothing} FROM ({relation(table, [])}))"
    return (
        f"(SELECT {sql.names(columns)}, CAST(NULL AS VARCHAR) AS {FILE}, "
        f"CAST(NULL AS BIGINT) AS {LINE}, CAST(NULL AS INTEGER) AS {ERROR}, "
        f"CAST(NULL AS VARCHAR) AS {VALUE}, CAST(NULL AS VARCHAR) AS {ROW}, "
        f"CAST({code or 'NULL'} AS TINYINT) AS {CLOCK} FROM {rows})"
    )


def is_clean(connection: duckdb.DuckDBPyConnection, table: Table, staged: Staged) -> bool:
    """Whether the placed rows can stand; where lines only lack numbers, place them again later.

    Two equal lines of an export without line numbers have one number here: then the rows are
    kept, to be counted, but not as they were placed.
    """
    if connection.execute(f"SELECT 1 FROM {staged.bad} LIMIT 1").fetchone() is not None:
        return False
    files = [path for paths in (staged.placed or {}).values() for path in paths]
    rows = sql.parquet(files) if files else f"({relation(table, [])})"
    staged.unique = not keys.repeated(connection, rows, table.key)
    if not staged.unique:
        staged.placed = None
        return table.name == "transactions" and "line_no" not in staged.columns
    return True
