"""Settle how each column of a table is read, over all its values, before anything is staged."""

from __future__ import annotations

from dataclasses import replace

import duckdb

from nba.data import moments, parsing, readings, sql
from nba.data.inputs import Input
from nba.data.mapping import TableMapping
from nba.data.readings import ASK, ISO, Choice
from nba.data.rules import input_columns
from nba.data.staging import Context, expressions
from nba.errors import InputRefusedError
from nba.schema.tables import Column, Kind, Table

_TIMES = (Kind.TIMESTAMP, Kind.DATE, Kind.BIRTHDAY)


def settle(context: Context, table: Table, inputs: list[Input]) -> Context:
    """Return the context with one reading per column of `table`.

    Raises
    ------
    InputRefusedError
        Where the mapping asks a person to choose, or two readings fit a column.
    """
    own = context.mapping.tables[table.name]
    _refuse_open(table, own)
    settled: dict[str, tuple[str, ...]] = {}
    for column in input_columns(table):
        candidates = own.times.get(column.name, context.mapping.time_formats)
        groups = readings.groups_of([reading for reading in candidates if reading != ISO])
        if column.kind in _TIMES and len(groups) > 1:
            settled[column.name] = _chosen(context, table, column, inputs, groups)
    if not settled:
        return context
    times = {**own.times, **settled}
    tables = {**context.mapping.tables, table.name: own.model_copy(update={"times": times})}
    return replace(context, mapping=context.mapping.model_copy(update={"tables": tables}))


def _refuse_open(table: Table, own: TableMapping) -> None:
    left_open = [name for name, formats in own.times.items() if ASK in formats]
    left_open += [name for name, mark in own.numbers.items() if mark == ASK]
    if left_open:
        raise InputRefusedError(
            f"{table.name}: the mapping leaves open how {', '.join(left_open)} is to be read",
            expected=f"a reading in place of `{ASK}`",
            found=ASK,
            next_step="see the comment beside it, write the one that is right, and load again",
        )


def _chosen(
    context: Context,
    table: Table,
    column: Column,
    inputs: list[Input],
    groups: dict[str, list[str]],
) -> tuple[str, ...]:
    """Return the readings of the one order that fits the whole column."""
    values = _values(context, table, column, inputs)
    if not values:
        return tuple(next(iter(groups.values())))
    connection = context.connection
    text = f"trim({sql.name('v')})"
    body = moments.body_sql(text)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE unsettled AS SELECT v, sum(n) AS n FROM ({values}) "
        f"WHERE {moments.iso_sql(body)} IS NULL AND v <> '' GROUP BY ALL"
    )
    choice = readings.choose(connection, "unsettled", _reads(body, groups))
    if choice.rivals:
        raise _undecided(table, column, choice, groups)
    return tuple(groups[choice.chosen] if choice.chosen else next(iter(groups.values())))


def _reads(body: str, groups: dict[str, list[str]]) -> dict[str, str]:
    """Return for each order the SQL of what its readings make of a text, as text."""
    return {
        order: "CAST(coalesce("
        + ", ".join(readings.naive_sql(body, reading) for reading in group)
        + ") AS VARCHAR)"
        for order, group in groups.items()
    }


def _values(context: Context, table: Table, column: Column, inputs: list[Input]) -> str:
    """Return a SELECT of the column's texts and how often they stand, over all inputs."""
    own, parts = context.mapping.tables[table.name], []
    for incoming in inputs:
        source = incoming.source()
        expression = expressions(table, own, source).get(column.name)
        if expression is None or not _is_text(context.connection, expression, source.relation):
            continue
        raw = parsing.empty(expression, "VARCHAR", context.mapping.null_values)
        parts.append(
            f"SELECT {raw} AS v, count(*) AS n FROM {source.relation} AS source GROUP BY 1"
        )
    return " UNION ALL ".join(parts)


def _is_text(connection: duckdb.DuckDBPyConnection, expression: str, relation: str) -> bool:
    row = connection.execute(
        f"DESCRIBE SELECT {expression} AS v FROM {relation} AS source"
    ).fetchone()
    return row is not None and parsing.is_text(row[1])


def _undecided(
    table: Table, column: Column, choice: Choice, groups: dict[str, list[str]]
) -> InputRefusedError:
    rivals = " or ".join(" / ".join(groups[order]) for order in choice.rivals)
    what = (
        f"{table.name}: the column {column.name} mixes days and months in two orders"
        if choice.is_mixed
        else f"{table.name}: nobody can tell how the column {column.name} is to be read"
    )
    return InputRefusedError(
        what,
        expected="values that fit one order of day and month, and no other",
        found=f"{choice.example!r}, of which {rivals} say different things",
        next_step="name the right one with `--dates`, or in the mapping: "
        f"`times: {{{column.name}: …}}` of {table.name}"
        + ("; or correct the export" if choice.is_mixed else ""),
    )
