"""Which lines of the files of one export count: the last file that has an order, and only sales.

Files overlap, an order may go on in the next part of an export, and some orders were never paid.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import duckdb

from nba.data.exports.kinds import ExportKind
from nba.data.exports.recognise import Found
from nba.data.inputs import LINE
from nba.data.report import IngestReport, Status
from nba.errors import InputRefusedError

#: The place of a line's file among those of its kind.
PLACE: Final = "_place"
#: What to do where one number stands for two orders.
APART: Final = (
    "load each shop into a project of its own, or put a word for the shop before the order numbers "
    "of one of them"
)
_SHOWN: Final = 3


def in_order(found: Sequence[Found]) -> list[Found]:
    """Return files by name, with the numbers in names counted as numbers: 9 before 10."""
    return sorted(found, key=lambda one: natural(one.shown))


def natural(name: str) -> list[tuple[int, str]]:
    """Return what a name is sorted by.

    >>> sorted(["part_10.csv", "part_9.csv"], key=natural)
    ['part_9.csv', 'part_10.csv']
    """
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def make_views(
    connection: duckdb.DuckDBPyConnection, kind: ExportKind, lines: str, report: IngestReport
) -> None:
    """Make `source`, the lines that count, and of these `sales` and `left_out`.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    kind : ExportKind
    lines : str
        A SELECT of the lines of all files, with `_place`.
    report : IngestReport
        Takes lines of orders that do not begin in the load.

    Raises
    ------
    InputRefusedError
        Where one number stands for orders of different people at different times.
    """
    source = f"SELECT * FROM ({lines})"
    if kind.order:
        _note_files(connection, kind, lines)
        _refuse_two_shops(connection, kind)
        _tell_other_times(connection, kind, report)
        _drop_files(connection, kind, report)
        source += (
            f" AS l WHERE NOT EXISTS (SELECT 1 FROM dropped AS d WHERE d.order_id = {kind.order} "
            f"AND d.{PLACE} = l.{PLACE})"
        )
    connection.execute(f"CREATE OR REPLACE TEMP VIEW source AS {source}")
    is_out = f"coalesce({kind.left_out}, false)" if kind.left_out else "false"
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE out_orders AS
        SELECT DISTINCT {kind.order or "NULL"} AS order_id FROM source WHERE {is_out}"""
    )
    of_one = f"{kind.order or 'NULL'} IN (FROM out_orders WHERE order_id IS NOT NULL)"
    mine = f"({is_out} OR coalesce({of_one}, false))"
    for view, condition in (("left_out", mine), ("sales", f"NOT {mine}")):
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW {view} AS SELECT * FROM source WHERE {condition}"
        )


def _note_files(connection: duckdb.DuckDBPyConnection, kind: ExportKind, lines: str) -> None:
    """Make `order_files`: in which files an order stands, and whether it begins there."""
    head = f"coalesce(({kind.head}), false)" if kind.head else "true"
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE order_files AS
        SELECT {kind.order} AS order_id, {PLACE}, bool_or({head}) AS is_head,
            any_value({kind.whose or "NULL"}) FILTER (WHERE {head}) AS whose,
            any_value({kind.moment or "NULL"}) FILTER (WHERE {head}) AS moment,
            min({LINE}) AS first_line, max({LINE}) AS last_line
        FROM ({lines}) WHERE {kind.order} IS NOT NULL GROUP BY ALL"""
    )
    # a file that names none of what is the order's has orders that all begin with any line
    connection.execute(
        "UPDATE order_files SET is_head = true WHERE NOT (SELECT bool_or(is_head) FROM order_files)"
    )


def _refuse_two_shops(connection: duckdb.DuckDBPyConnection, kind: ExportKind) -> None:
    rows = connection.execute(
        f"""SELECT DISTINCT a.order_id FROM order_files AS a JOIN order_files AS b USING (order_id)
        WHERE a.{PLACE} < b.{PLACE} AND a.whose <> b.whose AND a.moment <> b.moment ORDER BY 1"""
    ).fetchall()
    if rows:
        shown = ", ".join(str(row[0]) for row in rows[:_SHOWN])
        raise InputRefusedError(
            f"files of {kind.title} have the same order numbers for different orders",
            expected="one order per number; overlapping files agree in its customer or its time",
            found=f"{len(rows):,} numbers with another customer and another time in another file, "
            f"such as {shown}, as of two shops",
            next_step=APART,
        )


def _tell_other_times(
    connection: duckdb.DuckDBPyConnection, kind: ExportKind, report: IngestReport
) -> None:
    """Say which orders an earlier file has at another time, which may be orders of two shops."""
    row = connection.execute(
        f"""SELECT count(DISTINCT order_id), min(order_id)
        FROM order_files AS a JOIN order_files AS b USING (order_id)
        WHERE a.{PLACE} < b.{PLACE}
            AND TRY_CAST(left(a.moment, 19) AS TIMESTAMP)
                <> TRY_CAST(left(b.moment, 19) AS TIMESTAMP)"""
    ).fetchone()
    assert row is not None
    if row[0]:
        text = (
            f"{row[0]:,} orders of {kind.title} have another time in an earlier file; the last "
            f"file counts. Where the files are of two shops, {APART}"
        )
        first = f"order {row[1]}"
        report.add(Status.WARN, "input", "other_times", text, count=int(row[0]), first=first)


def _drop_files(
    connection: duckdb.DuckDBPyConnection, kind: ExportKind, report: IngestReport
) -> None:
    """Make `dropped`: files that do not count for an order.

    The last file in which an order begins counts, and the next one, where the order ends the one
    and goes on as the first of the other.
    """
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE dropped AS
        WITH edges AS (
            SELECT {PLACE}, arg_min(order_id, first_line) AS first,
                arg_max(order_id, last_line) AS last FROM order_files GROUP BY {PLACE}
        ), heads AS (
            SELECT order_id, max({PLACE}) AS head FROM order_files WHERE is_head GROUP BY order_id
        )
        SELECT f.order_id, f.{PLACE}, h.head IS NULL OR f.{PLACE} > h.head AS is_torn
        FROM order_files AS f LEFT JOIN heads AS h USING (order_id)
        LEFT JOIN edges AS mine ON mine.{PLACE} = f.{PLACE}
        LEFT JOIN edges AS before ON before.{PLACE} = h.head
        WHERE h.head IS NULL OR f.{PLACE} <> h.head AND NOT (NOT f.is_head
            AND f.{PLACE} = h.head + 1 AND mine.first = f.order_id AND before.last = f.order_id)"""
    )
    row = connection.execute(
        "SELECT count(DISTINCT order_id), min(order_id) FROM dropped WHERE is_torn"
    ).fetchone()
    assert row is not None
    if row[0]:
        text = (
            f"{row[0]:,} orders of {kind.title} go on in a file in which they do not begin, and "
            "were left out there: load all parts of one export in one folder, called in their order"
        )
        first = f"order {row[1]}"
        report.add(Status.WARN, "input", "torn_orders", text, count=int(row[0]), first=first)
