"""Stage one table: map, parse and check its source rows in DuckDB, into one Parquet file.

The staged file holds every row that was read: the typed columns, where it came from, and the
number of the first rule that it broke, if any.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Dict
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from nba.data import clock, parsing, rules, sql
from nba.data.inputs import FILE, LINE, Source
from nba.data.mapping import Mapping, Spread, TableMapping
from nba.data.measure import CLOCK, ERROR, ROW, VALUE, Measure
from nba.data.readers import looks_like_data, looks_like_title
from nba.data.tombstones import Keeper
from nba.errors import InputRefusedError
from nba.schema.tables import ATTRIBUTE_PREFIX, EARLIEST, Kind, Table

#: `friend_since` of a file that has no such column: all its customers are friends.
NOT_SAID = datetime(1970, 1, 1, tzinfo=UTC)
_OWN = (FILE, "file_row_number")
#: Parts of messages of a disk that cannot be written, as opposed to a file not to be read.
_DISK = ("No space left", "Read-only", "Permission denied", "disk space", "Disk quota", "too large")


@dataclass(frozen=True)
class Context:
    """What every table of one load is prepared with.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    mapping : Mapping
    zone : str
        In which naive times stand.
    home : str
        The project's zone, in which reports tell times.
    now : datetime
        The moment of the load.
    scratch : Path
        A folder for staged files.
    keeper : Keeper, optional
        Knows who was erased and must not come back.
    """

    connection: duckdb.DuckDBPyConnection
    mapping: Mapping
    zone: str
    home: str
    now: datetime
    scratch: Path
    keeper: Keeper | None = None


@dataclass
class Staged:
    """What became of one input after staging.

    Parameters
    ----------
    good, bad : str
        Relations of the rows that keep every rule, and of those that do not.
    rules : list of Rule
        What `_error` numbers.
    columns : tuple of str
        The table's columns that the input brought.
    ignored : tuple of str
        Source columns that nothing uses.
    rejected : str
        The temporary table of CSV lines that are no records, or empty.
    unique : bool
        It is known that no key stands twice.
    measured : Measure, optional
        What the good rows are, where a scan said so already.
    placed : dict of str to list of Path, optional
        Files by partition, where the good rows have been written as the lake keeps them.
    """

    good: str
    bad: str
    rules: list[rules.Rule]
    columns: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    rejected: str = ""
    unique: bool = False
    measured: Measure | None = None
    placed: dict[str, list[Path]] | None = None

    @property
    def relation(self) -> str:
        """The relation of all rows."""
        return f"(SELECT * FROM {self.good} UNION ALL SELECT * FROM {self.bad})"


@dataclass(frozen=True)
class StagingPlan:
    """How the rows of one source become rows of the table."""

    table: Table
    mapped: str
    types: dict[str, str]
    checks: list[rules.Rule]
    final: dict[str, str]
    ignored: tuple[str, ...]


def stage(context: Context, table: Table, source: Source, target: Path) -> Staged:
    """Write every row of `source` to `target`, typed and checked.

    Parameters
    ----------
    context : Context
    table : Table
    source : Source
        One input, mapped to the table.
    target : Path
        The Parquet file to write.

    Raises
    ------
    InputRefusedError
        Where a required column is absent, a declared type cannot hold the column, an
        expression of the mapping does not fit, or the file turns out to be damaged.
    """
    plan = plan_of(context, table, source)
    copy = (
        f"COPY ({query(context, plan, plan.checks)}) TO {sql.text(str(target))} "
        "(FORMAT parquet, COMPRESSION lz4)"
    )
    with reading(table.name, source.shown):
        context.connection.execute(copy)
    rows = sql.parquet([target])
    good, bad = (f"(SELECT * FROM {rows} WHERE {ERROR} IS {null} NULL)" for null in ("", "NOT"))
    return Staged(good, bad, plan.checks, tuple(plan.final), plan.ignored)


@contextmanager
def reading(table: str, shown: str) -> Iterator[None]:
    """Turn what DuckDB says of a damaged file or a full disk into an error of ours."""
    try:
        yield
    except duckdb.Error as error:
        if any(part in str(error) for part in _DISK):
            raise OSError(str(error).splitlines()[0]) from error
        raise InputRefusedError(
            f"{table}: {shown} cannot be read to its end",
            expected="a complete file",
            found=str(error).splitlines()[0],
            next_step="export or copy the file again, then repeat the load",
        ) from error


def plan_of(context: Context, table: Table, source: Source) -> StagingPlan:
    """Find out how the rows of `source` become rows of `table`; refuse what cannot."""
    own = context.mapping.tables[table.name]
    taken = expressions(table, own, source)
    _refuse_missing(table, taken, source)
    mapped = _mapped(own, source, taken)
    types = _describe(context.connection, table, mapped, source)
    _refuse_types(table, own, types, source)
    checks = rules.build(table, types, context.now, _header(source, taken))
    final = _final_columns(table, types, own)
    return StagingPlan(table, mapped, types, checks, final, ignored_columns(own, source, taken))


def expressions(table: Table, mapping: TableMapping, source: Source) -> dict[str, str]:
    """Return the SQL of each column that the source gives, in the order of the contract."""
    columns = [column.name for column in rules.input_columns(table)]
    by_column = {
        column: _expression(column, mapping, source)
        for column in (*columns, *_attributes(mapping, source))
    }
    return {column: expression for column, expression in by_column.items() if expression}


def _attributes(mapping: TableMapping, source: Source) -> list[str]:
    named = {*mapping.rename, *mapping.derive, *mapping.constants, *source.columns}
    return sorted(name for name in named if name.startswith(ATTRIBUTE_PREFIX))


def _expression(column: str, mapping: TableMapping, source: Source) -> str:
    """Return the SQL of one column before it is parsed, empty where the source has none."""
    if column in mapping.derive:
        expression = f"({mapping.derive[column]})"
    elif column in mapping.rename:
        names = [name for name in mapping.rename[column] if name in source.columns]
        expression = sql.name(names[0]) if names else ""
    elif column in mapping.constants:
        expression = sql.literal(mapping.constants[column])
    else:
        expression = sql.name(column) if column in source.columns else ""
    if not expression or column not in mapping.values:
        return expression
    cases = " ".join(
        f"WHEN {sql.text(old)} THEN {sql.text(new)}" for old, new in mapping.values[column].items()
    )
    text = f"CAST({expression} AS VARCHAR)"
    return f"CASE {text} {cases} ELSE {text} END"


def ignored_columns(
    mapping: TableMapping, source: Source, taken: Dict[str, str]
) -> tuple[str, ...]:
    """Return the source columns that nothing uses."""
    used = " ".join([*taken.values(), mapping.filter])
    return tuple(column for column in source.columns if column not in used and column not in _OWN)


def _mapped(mapping: TableMapping, source: Source, taken: Dict[str, str]) -> str:
    """SQL of the mapped rows, with the source row as `_source`, from which to try again."""
    columns = ", ".join(f"{sql_} AS {sql.name(rules.RAW + name)}" for name, sql_ in taken.items())
    where = f" WHERE {mapping.filter}" if mapping.filter else ""
    if mapping.distinct:
        inner = (
            f"SELECT {columns}, min({FILE}) AS {FILE}, min({LINE}) AS {LINE} "
            f"FROM {source.relation} AS source{where} GROUP BY ALL"
        )
        row = _struct({name: sql.name(rules.RAW + name) for name in taken})
        return f"SELECT *, {row} AS _source FROM ({inner})"
    row = _struct({name: sql.name(name) for name in source.columns})
    return (
        f"SELECT {columns}, {FILE}, {LINE}, {row} AS _source "
        f"FROM {source.relation} AS source{where}"
    )


def _struct(fields: Dict[str, str]) -> str:
    inner = ", ".join(
        f"{sql.text(name)}: CAST({value} AS VARCHAR)" for name, value in fields.items()
    )
    return f"{{{inner}}}"


def _describe(
    connection: duckdb.DuckDBPyConnection, table: Table, query: str, source: Source
) -> dict[str, str]:
    try:
        rows = connection.execute(f"DESCRIBE {query}").fetchall()
    except (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException) as error:
        raise InputRefusedError(
            f"the mapping of {table.name} does not fit {source.shown}",
            expected="a file with the columns that the mapping's expressions use",
            found=f"{str(error).splitlines()[0]} (the file has {', '.join(source.columns)})",
            next_step="check the file, correct `derive` or `filter`, or take another mapping",
        ) from error
    return {row[0].removeprefix(rules.RAW): row[1] for row in rows if row[0].startswith(rules.RAW)}


def _refuse_missing(table: Table, taken: Dict[str, str], source: Source) -> None:
    required = [column.name for column in table.columns if rules.is_required(table, column)]
    missing = [name for name in required if name not in taken]
    if missing:
        raise InputRefusedError(
            f"{table.name}: {source.shown} lacks the required "
            f"column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            expected=f"the columns {', '.join(required)}",
            found=f"the columns {', '.join(source.columns)}",
            next_step=_remedy(tuple(source.header.values())),
        )


def _remedy(header: tuple[str, ...]) -> str:
    """Return what to do about a header without the required columns."""
    if looks_like_data(header):
        return "the first line looks like a row: name the columns with `header` in a mapping"
    if looks_like_title(header):
        return (
            "the first line looks like a title: take out the lines above the one that names the "
            "columns, and correct those in the file or in a mapping (docs/mapping.md)"
        )
    return "add the column, or name its source in a mapping file (docs/mapping.md)"


def _refuse_types(table: Table, own: TableMapping, types: Dict[str, str], source: Source) -> None:
    for column in rules.input_columns(table):
        times = own.times.get(column.name, ())
        if column.name in types and not parsing.accepts(column.kind, types[column.name], times):
            raise InputRefusedError(
                f"{table.name}: the column {column.name} of {source.shown} has the wrong type",
                expected=parsing.EXPECTED[column.kind],
                found=f"the type {types[column.name]}",
                next_step="export it as text or as the right type, or derive it in a mapping",
            )


def _header(source: Source, taken: Dict[str, str]) -> dict[str, str]:
    """Columns that come from a CSV column as it is, with the name that its header has."""
    plain = {sql.name(column): name for column, name in source.header.items()}
    return {
        column: plain[expression] for column, expression in taken.items() if expression in plain
    }


def _spread(column: str, spread: Spread, types: Dict[str, str]) -> str:
    by, width = sql.name(spread.by), len(str(spread.over))
    number = f"lpad(CAST(md5_number_lower({by}) % {spread.over} + 1 AS VARCHAR), {width}, '0')"
    drawn = f"CASE WHEN {by} IS NOT NULL THEN {sql.text(spread.prefix)} || {number} END"
    return f"coalesce({sql.name(column)}, {drawn})" if column in types else drawn


def _final_columns(table: Table, types: Dict[str, str], mapping: TableMapping) -> dict[str, str]:
    final = {name: sql.name(name) for name in types}
    if table.name == "customers" and "friend_since" not in final:
        final["friend_since"] = sql.moment(NOT_SAID)
    for column, spread in mapping.spread.items():
        final[column] = _spread(column, spread, types)
    return final


def _parsed(context: Context, table: Table, types: Dict[str, str]) -> str:
    kinds = {column.name: column.kind for column in rules.input_columns(table)}
    own = context.mapping.tables[table.name]
    parsed = {
        name: parsing.parse(
            kinds.get(name, Kind.TEXT),
            sql.name(rules.RAW + name),
            type_,
            zone=context.zone,
            times=_times(context, table, name),
            mark=own.numbers.get(name, ""),
        )
        for name, type_ in types.items()
    }
    return ", ".join(f"{term} AS {sql.name(name)}" for name, term in parsed.items())


def _times(context: Context, table: Table, column: str) -> tuple[str, ...]:
    """Return the readings of a column's moments, settled before."""
    own = context.mapping.tables[table.name]
    return own.times.get(column, context.mapping.time_formats)


def _clock(context: Context, table: Table, types: Dict[str, str]) -> str:
    """SQL that marks local times in an hour that is missing or happens twice."""
    column = table.time_column
    type_ = types.get(column, "")
    if not (parsing.is_text(type_) or type_.startswith("TIMESTAMP")) or "ZONE" in type_:
        return "NULL"
    naive = parsing.naive(sql.name(rules.RAW + column), type_, _times(context, table, column))
    latest = context.now.replace(tzinfo=None) + rules.AHEAD
    day = datetime(latest.year, latest.month, latest.day)
    return clock.condition(naive, sql.name(column), context.zone, EARLIEST, day)


def _parsed_rows(context: Context, plan: StagingPlan) -> str:
    """SQL of the common tables `mapped`, `filled`, `parsed` and `safe`."""
    raw = {name: sql.name(rules.RAW + name) for name in plan.types}
    nulls = context.mapping.null_values
    filled = ", ".join(
        f"{parsing.empty(raw[name], type_, nulls)} AS {raw[name]}"
        for name, type_ in plan.types.items()
    )
    safe = ", ".join(
        f"CASE WHEN {state.broken} THEN {state.value} ELSE {sql.name(state.column)} "
        f"END AS {sql.name(state.column)}"
        for state in rules.states(plan.table, plan.types, context.now)
    )
    return f"""mapped AS ({plan.mapped}),
        filled AS (SELECT * REPLACE ({filled}) FROM mapped),
        parsed AS (SELECT *, {_parsed(context, plan.table, plan.types)} FROM filled),
        safe AS (SELECT *{f" REPLACE ({safe})" if safe else ""} FROM parsed)"""


def replaced(context: Context, table: Table, source: Source) -> dict[str, tuple[int, str]]:
    """Count the values of a source that a safe one replaces, by column, with an example."""
    plan = plan_of(context, table, source)
    states = rules.states(table, plan.types, context.now)
    if not states:
        return {}
    terms = [
        f"count(*) FILTER (WHERE {state.broken}), "
        f"min(CAST({sql.name(rules.RAW + state.column)} AS VARCHAR)) FILTER (WHERE {state.broken})"
        for state in states
    ]
    row = context.connection.execute(
        f"WITH {_parsed_rows(context, plan)} SELECT {', '.join(terms)} FROM parsed"
    ).fetchone()
    assert row is not None
    return {
        state.column: (int(row[2 * place]), str(row[2 * place + 1] or ""))
        for place, state in enumerate(states)
        if row[2 * place]
    }


def query(context: Context, plan: StagingPlan, checks: list[rules.Rule]) -> str:
    """SQL of the table's columns and what is wrong with each row (nothing without `checks`)."""
    raw = {name: sql.name(rules.RAW + name) for name in plan.types}
    error = value = row = "NULL"
    if checks:
        broken = " ".join(f"WHEN {rule.broken} THEN {number}" for number, rule in enumerate(checks))
        error = f"CASE {broken} END"
        values = " ".join(
            f"WHEN {number} THEN CAST({raw[rule.column]} AS VARCHAR)"
            for number, rule in enumerate(checks)
        )
        value = f"CASE {ERROR} {values} END"
        row = f"CASE WHEN {ERROR} IS NOT NULL THEN CAST(to_json(_source) AS VARCHAR) END"
    columns = ", ".join(
        f"{expression} AS {sql.name(name)}" for name, expression in plan.final.items()
    )
    return f"""
        WITH         {_parsed_rows(context, plan)},
        checked AS (SELECT *, CAST({error} AS INTEGER) AS {ERROR} FROM safe)
        SELECT {columns}, {FILE}, {LINE}, {ERROR},
            CAST({value} AS VARCHAR) AS {VALUE}, CAST({row} AS VARCHAR) AS {ROW},
            CAST({_clock(context, plan.table, plan.types)} AS TINYINT) AS {CLOCK}
        FROM checked"""
