"""A table of the contract beside exports that make the same table: their rows are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import duckdb

from nba.data import keys, sql
from nba.data.prepare import Prepared
from nba.data.report import IngestReport, Status
from nba.data.staging import NOT_SAID, Context, Staged
from nba.schema.tables import ATTRIBUTE_PREFIX
from nba.schema.words import CUSTOMER_ID

#: In a table's facts: rows of exports whose customer stands in the contract's table too.
PUT_TOGETHER: Final = "put_together"
_SHOWN: Final = 3


def put_together(context: Context, report: IngestReport, prepared: Prepared, own: int) -> None:
    """Let customers of a table and of exports have what either says; the table's word counts.

    Parameters
    ----------
    context : Context
    report : IngestReport
        Takes how many customers stand in both, or which orders.
    prepared : Prepared
        A table, staged.
    own : int
        How many of its inputs, the first ones, keep the contract; the others are exports.
    """
    if not 0 < own < len(prepared.staged):
        return
    if prepared.table.name == "transactions":
        _tell_orders(context.connection, report, prepared)
    if prepared.table.name != "customers":
        return
    table, exports = prepared.staged[:own], prepared.staged[own:]
    both = keys.single_number(
        context.connection,
        f"SELECT count(*) FROM {_named(exports)} AS e SEMI JOIN {_named(table)} AS t "
        f"USING ({CUSTOMER_ID})",
    )
    if not both:
        return
    prepared.staged = [
        _filled(context, one, exports if place < own else table, place, is_own=place < own)
        for place, one in enumerate(prepared.staged)
    ]
    prepared.report.facts[PUT_TOGETHER] = both
    text = (
        f"{both:,} customers stand in the table and in an export: what the table leaves empty is "
        "taken from the export"
    )
    report.add(Status.PASS, prepared.table.name, PUT_TOGETHER, text, count=both)


def take_apart(prepared: Prepared, own: int, is_whole: Sequence[bool]) -> None:
    """Take orders that are no sales out of what was staged; note which orders came as a whole.

    Parameters
    ----------
    prepared : Prepared
        `transactions`, staged: tables of the contract, lines of exports, lines that are no sales.
    own : int
        How many of the inputs, the first ones, keep the contract.
    is_whole : sequence of bool
        Of the inputs made of exports: whether they hold each of their orders as a whole.
    """
    made, gone = own, own + len(is_whole)
    staged = prepared.staged
    prepared.staged = staged[:gone]
    columns = f"order_id, {{}} AS line_no, {CUSTOMER_ID}, ts"
    parts = [
        f"SELECT {columns.format('line_no')} FROM {one.relation}"
        for one, whole in zip(staged[made:gone], is_whole, strict=True)
        if whole
    ]
    parts += [f"SELECT {columns.format('NULL')} FROM {one.relation}" for one in staged[gone:]]
    prepared.whole = f"({' UNION ALL '.join(parts)})" if parts else ""


def _named(staged: list[Staged]) -> str:
    parts = " UNION ALL ".join(f"SELECT {CUSTOMER_ID} FROM {one.good}" for one in staged)
    return f"(SELECT DISTINCT {CUSTOMER_ID} FROM ({parts}))"


def _filled(
    context: Context, one: Staged, others: list[Staged], place: int, *, is_own: bool
) -> Staged:
    """Return one input with what the others say of its customers.

    Parameters
    ----------
    context : Context
    one : Staged
    others : list of Staged
    place : int
        Of the input among those of the table.
    is_own : bool
        It is of the contract, and counts before the others.
    """
    connection = context.connection
    union = " UNION ALL BY NAME ".join(f"SELECT * FROM {other.good}" for other in others)
    mine, theirs = _columns(connection, one.good), _columns(connection, f"({union})")
    added = {column: type_ for column, type_ in theirs.items() if column not in mine}
    known = ", ".join(f"any_value({sql.name(c)}) AS {sql.name(c)}" for c in theirs)
    cells = [f"{_either(c, is_own=is_own)} AS {sql.name(c)}" for c in theirs if c in mine]
    replaced = f" REPLACE ({', '.join(cells)})" if cells else ""
    extra = "".join(f", o.{sql.name(c)}" for c in added)
    target = context.scratch / f"together-{place}.parquet"
    connection.execute(
        f"COPY (SELECT t.*{replaced}{extra} FROM {one.good} AS t "
        f"LEFT JOIN (SELECT {CUSTOMER_ID}, {known} FROM ({union}) GROUP BY {CUSTOMER_ID}) AS o "
        f"ON t.{CUSTOMER_ID} = o.{CUSTOMER_ID}) TO {sql.text(str(target))} "
        "(FORMAT parquet, COMPRESSION lz4)"
    )
    empty = "".join(f", CAST(NULL AS {type_}) AS {sql.name(c)}" for c, type_ in added.items())
    return replace(
        one,
        good=sql.parquet([target]),
        bad=f"(SELECT *{empty} FROM {one.bad})",
        columns=(*one.columns, *added),
        unique=False,
        measured=None,
        placed=None,
    )


def _either(column: str, *, is_own: bool) -> str:
    """SQL of what the table says of a column, else the export."""
    table, export = (f"{side}.{sql.name(column)}" for side in ("to" if is_own else "ot"))
    if column != "friend_since":
        return f"coalesce({table}, {export})"
    # a file without the column takes everybody for a friend, which is no word against another one
    unsaid = f"TIMESTAMPTZ '{NOT_SAID.isoformat()}'"
    both = f"coalesce(nullif({table}, {unsaid}), nullif({export}, {unsaid}), {table})"
    return f"CASE WHEN o.{CUSTOMER_ID} IS NULL THEN t.{sql.name(column)} ELSE {both} END"


def _columns(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Return the contract's columns of a relation with their types, the key aside."""
    rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return {
        row[0]: row[1]
        for row in rows
        if row[0] != CUSTOMER_ID
        and (not row[0].startswith("_") or row[0].startswith(ATTRIBUTE_PREFIX))
    }


def _tell_orders(
    connection: duckdb.DuckDBPyConnection, report: IngestReport, prepared: Prepared
) -> None:
    """Say which orders several files of different kinds have."""
    parts = " UNION ALL ".join(
        f"SELECT DISTINCT order_id, {place} AS place FROM {staged.good}"
        for place, staged in enumerate(prepared.staged)
    )
    rows = connection.execute(
        f"SELECT order_id FROM ({parts}) GROUP BY 1 HAVING count(*) > 1 ORDER BY 1"
    ).fetchall()
    if rows:
        shown = ", ".join(str(row[0]) for row in rows[:_SHOWN])
        text = (
            f"{len(rows):,} order ids stand in files of different kinds ({shown}): each counts as "
            "one order, and of a line that both have the last by file counts; load one of the "
            "files, or give one other ids"
        )
        report.add(Status.WARN, "transactions", "orders_of_two", text, count=len(rows))
