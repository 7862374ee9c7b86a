"""Stage one table: map, parse and check its source rows in DuckDB, into one Parquet file.

The staged file holds every row that was read: the typed columns, where it came from, and the
number of the first rule that it broke, if any.
"""

from __future__ import annotations

from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from nba.data import parsing, rules, sql
from nba.data.mapping import Mapping, Spread, TableMapping
from nba.data.readers import FileGroup
from nba.errors import ConfigError, InputRefusedError
from nba.schema.tables import ATTRIBUTE_PREFIX, Kind, Table

#: Columns of a staged file that are not the table's.
FILE, LINE, ERROR, VALUE, ROW = "_file", "_line", "_error", "_value", "_row"
#: `friend_since` of a file that has no such column: all its customers are friends.
NOT_SAID = datetime(1970, 1, 1, tzinfo=UTC)
_OWN = (FILE, "file_row_number")


@dataclass(frozen=True)
class Source:
    """A relation that rows are taken from, and what is known about it.

    Parameters
    ----------
    relation : str
        SQL of the FROM clause; has the columns `_file` and `_line` besides its own.
    columns : dict of str to str
        Source column to DuckDB type.
    shown : str
        The file, for messages.
    header : dict of str to str
        For CSV, where a header can stand twice: column to its name in the header.
    """

    relation: str
    columns: dict[str, str]
    shown: str
    header: dict[str, str] = field(default_factory=dict)


@dataclass
class Staged:
    """What became of one source after staging."""

    path: Path
    rules: list[rules.Rule]
    columns: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    present: dict[str, str] = field(default_factory=dict)


def source_of(
    group: FileGroup, rejects: str, aliases: Dict[str, str], *, with_lines: bool
) -> Source:
    """Return the relation of a group of files.

    CSV lines are numbered only on demand: numbering keeps DuckDB from reading in parallel.
    """
    if not group.is_text:
        line = "file_row_number + 1"
    elif with_lines:
        line = (
            f"row_number() OVER (PARTITION BY {FILE}) + 1"
            if len(group.paths) > 1
            else ("row_number() OVER () + 1")
        )
    else:
        line = "NULL::BIGINT"
    known = {old: new for old, new in aliases.items() if old in group.columns}
    renamed = ", ".join(f"{sql.name(old)} AS {sql.name(new)}" for old, new in known.items())
    everything = f"* RENAME ({renamed})" if known else "*"
    relation = f"(SELECT {everything}, {line} AS {LINE} FROM {group.scan(rejects)})"
    columns = {known.get(name, name): type_ for name, type_ in group.columns.items()}
    header = {known.get(name, name): name for name in group.columns} if group.is_text else {}
    return Source(relation, columns, str(group.files[0].path), header)


def expressions(table: Table, mapping: TableMapping, source: Source) -> dict[str, str]:
    """Return the SQL of each column that the source gives, in the order of the contract."""
    found: dict[str, str] = {}
    for column in (
        *(column.name for column in rules.input_columns(table)),
        *_attributes(mapping, source),
    ):
        expression = _expression(column, mapping, source)
        if expression is not None:
            found[column] = expression
    return found


def _attributes(mapping: TableMapping, source: Source) -> list[str]:
    named = {*mapping.rename, *mapping.derive, *mapping.constants, *source.columns}
    return sorted(name for name in named if name.startswith(ATTRIBUTE_PREFIX))


def _expression(column: str, mapping: TableMapping, source: Source) -> str | None:
    if column in mapping.derive:
        expression: str | None = f"({mapping.derive[column]})"
    elif column in mapping.rename:
        names = [name for name in mapping.rename[column] if name in source.columns]
        expression = sql.name(names[0]) if names else None
    elif column in mapping.constants:
        expression = sql.literal(mapping.constants[column])
    elif column in source.columns:
        expression = sql.name(column)
    else:
        expression = None
    if expression is not None and column in mapping.values:
        cases = " ".join(
            f"WHEN {sql.text(old)} THEN {sql.text(new)}"
            for old, new in mapping.values[column].items()
        )
        text = f"CAST({expression} AS VARCHAR)"
        expression = f"CASE {text} {cases} ELSE {text} END"
    return expression


def ignored_columns(
    mapping: TableMapping, source: Source, taken: Dict[str, str]
) -> tuple[str, ...]:
    """Return the source columns that nothing uses."""
    used = " ".join([*taken.values(), mapping.filter])
    return tuple(column for column in source.columns if column not in used and column not in _OWN)


def _mapped(mapping: TableMapping, source: Source, taken: Dict[str, str]) -> str:
    """SQL of the mapped rows, with the whole source row as JSON text maker `_source`."""
    columns = ", ".join(f"{sql_} AS {sql.name(rules.RAW + name)}" for name, sql_ in taken.items())
    where = f" WHERE {mapping.filter}" if mapping.filter else ""
    if mapping.distinct:
        return (
            f"SELECT {columns}, min({FILE}) AS {FILE}, min({LINE}) AS {LINE} "
            f"FROM {source.relation} AS source{where} GROUP BY ALL"
        )
    row = ", ".join(
        f"{sql.text(name)}: CAST({sql.name(name)} AS VARCHAR)" for name in source.columns
    )
    return (
        f"SELECT {columns}, {FILE}, {LINE}, {{{row}}} AS _source "
        f"FROM {source.relation} AS source{where}"
    )


def _describe(
    connection: duckdb.DuckDBPyConnection, table: Table, query: str, source: Source
) -> dict[str, str]:
    try:
        rows = connection.execute(f"DESCRIBE {query}").fetchall()
    except (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException) as error:
        raise ConfigError(
            f"the mapping of {table.name} does not fit {source.shown}",
            expected="expressions over the columns of the file",
            found=f"{str(error).splitlines()[0]} (the file has {', '.join(source.columns)})",
            next_step="correct `derive` or `filter` in the mapping, or take another mapping",
        ) from error
    return {row[0].removeprefix(rules.RAW): row[1] for row in rows if row[0].startswith(rules.RAW)}


def _refuse_missing(table: Table, taken: Dict[str, str], source: Source) -> None:
    missing = [
        column.name
        for column in table.columns
        if rules.is_required(table, column) and column.name not in taken
    ]
    if missing:
        raise InputRefusedError(
            f"{table.name}: {source.shown} lacks the required "
            f"column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            expected=f"the columns {', '.join(table.required)}",
            found=f"the columns {', '.join(source.columns)}",
            next_step="add the column, or name its source in a mapping file (docs/mapping.md)",
        )


def _refuse_types(table: Table, types: Dict[str, str], source: Source) -> None:
    for column in rules.input_columns(table):
        if column.name in types and not parsing.accepts(column.kind, types[column.name]):
            raise InputRefusedError(
                f"{table.name}: the column {column.name} of {source.shown} has the wrong type",
                expected=parsing.EXPECTED[column.kind],
                found=f"the type {types[column.name]}",
                next_step="export it as text or as the right type, or derive it in a mapping",
            )


def _parsed_columns(table: Table, types: Dict[str, str], mapping: Mapping, zone: str) -> str:
    kinds = {column.name: column.kind for column in rules.input_columns(table)}
    parts = [
        f"{parsing.parse(kinds.get(name, Kind.TEXT), sql.name(rules.RAW + name), type_, zone, mapping.time_formats)}"
        f" AS {sql.name(name)}"
        for name, type_ in types.items()
    ]
    return ", ".join(parts)


def _spread(column: str, spread: Spread, has_column: bool) -> str:
    width = len(str(spread.over))
    number = (
        f"lpad(CAST(md5_number_lower({sql.name(spread.by)}) % {spread.over} + 1 AS VARCHAR), "
        f"{width}, '0')"
    )
    spreaded = f"CASE WHEN {sql.name(spread.by)} IS NOT NULL THEN {sql.text(spread.prefix)} || {number} END"
    return f"coalesce({sql.name(column)}, {spreaded})" if has_column else spreaded


def _final_columns(table: Table, types: Dict[str, str], mapping: TableMapping) -> dict[str, str]:
    final = {name: sql.name(name) for name in types}
    if table.name == "customers" and "friend_since" not in final:
        final["friend_since"] = sql.moment(NOT_SAID)
    for column, spread in mapping.spread.items():
        final[column] = _spread(column, spread, column in types)
    return final


def stage(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    source: Source,
    mapping: Mapping,
    *,
    zone: str,
    now: datetime,
    target: Path,
) -> Staged:
    """Write every row of `source` to `target`, typed and checked.

    Raises
    ------
    InputRefusedError
        Where a required column is absent or a declared type cannot hold the column.
    ConfigError
        Where an expression of the mapping does not fit the file.
    """
    own = mapping.tables[table.name]
    taken = expressions(table, own, source)
    _refuse_missing(table, taken, source)
    mapped = _mapped(own, source, taken)
    types = _describe(connection, table, mapped, source)
    _refuse_types(table, types, source)
    checks = rules.build(table, types, now, _header(source, taken))
    final = _final_columns(table, types, own)
    query = _query(
        mapped, types, checks, final, _parsed_columns(table, types, mapping, zone), mapping, own
    )
    connection.execute(
        f"COPY ({query}) TO {sql.text(str(target))} (FORMAT parquet, COMPRESSION lz4)"
    )
    return Staged(target, checks, tuple(final), ignored_columns(own, source, taken), dict(types))


def _header(source: Source, taken: Dict[str, str]) -> dict[str, str]:
    """Columns that come from a CSV column as it is, with the name that its header has."""
    plain = {sql.name(column): name for column, name in source.header.items()}
    return {
        column: plain[expression] for column, expression in taken.items() if expression in plain
    }


def _query(
    mapped: str,
    types: Dict[str, str],
    checks: list[rules.Rule],
    final: Dict[str, str],
    parsed: str,
    mapping: Mapping,
    own: TableMapping,
) -> str:
    raws = ", ".join(
        f"{parsing.empty(sql.name(rules.RAW + name), type_, mapping.null_values)} "
        f"AS {sql.name(rules.RAW + name)}"
        for name, type_ in types.items()
    )
    error = " ".join(f"WHEN {rule.broken} THEN {number}" for number, rule in enumerate(checks))
    value = " ".join(
        f"WHEN {number} THEN CAST({sql.name(rules.RAW + rule.column)} AS VARCHAR)"
        for number, rule in enumerate(checks)
    )
    columns = ", ".join(f"{expression} AS {sql.name(name)}" for name, expression in final.items())
    row = (
        "{"
        + ", ".join(
            f"{sql.text(name)}: CAST({sql.name(rules.RAW + name)} AS VARCHAR)" for name in types
        )
        + "}"
        if own.distinct
        else "_source"
    )
    return f"""
        WITH mapped AS ({mapped}),
        filled AS (SELECT * REPLACE ({raws}) FROM mapped),
        parsed AS (SELECT *, {parsed} FROM filled),
        checked AS (SELECT *, CASE {error} END AS {ERROR} FROM parsed)
        SELECT {columns}, {FILE}, {LINE}, {ERROR},
            CASE {ERROR} {value} END AS {VALUE},
            CASE WHEN {ERROR} IS NOT NULL THEN CAST(to_json({row}) AS VARCHAR) END AS {ROW}
        FROM checked"""
