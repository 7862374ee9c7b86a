"""Orders that the lake knows before: exported again, called off, or sold elsewhere.

A line without a number of its own has a key from what it says, so that a correction has another
key than what it corrects. An order of an export may come without lines that it had, or as called
off. Here stand the lines of known orders that do not come again.
"""

from __future__ import annotations

from nba.data import sql
from nba.data.keys import Merging, single_number

#: What a number looks like that was derived from a line (see `nba.data.keys.DIGEST`).
DERIVED = "regexp_full_match({}.line_no, '[0-9a-f]{{16}}-[0-9]+')"
_CONTENT = "order_id, product_id, ts, quantity, unit_price"


def superseded(merging: Merging, arriving: str, *, whole_orders: bool, whole: str = "") -> None:
    """Find lines of the lake that leave for those that arrive.

    Fills the temporary table `superseded` (order_id, line_no, filename) with lines that arrive
    under a number of another kind, and, where the source holds whole orders, with every line of
    an arriving order that does not arrive. Without that, such lines stay and are counted.

    Parameters
    ----------
    merging : Merging
        Of `transactions`.
    arriving : str
        The relation of the lines that arrive, numbered.
    whole_orders : bool
        The source's files hold whole orders.
    whole : str
        The relation of orders of exports that come as a whole, see `nba.data.prepare.Prepared`.
    """
    connection, writer, result = merging.connection, merging.writer, merging.result
    existing = writer.lake.files(merging.table.name, writer.state)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE order_lines AS SELECT {_CONTENT}, line_no, "
        f"{DERIVED.format('a')} AS is_derived FROM {arriving} AS a"
    )
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE known_lines AS
        SELECT {_CONTENT}, line_no, {DERIVED.format("e")} AS is_derived, filename
        FROM {sql.parquet(existing, f"filename = true, {sql.PLAIN}")} AS e
        SEMI JOIN order_lines USING (order_id)
        ANTI JOIN order_lines AS same ON e.order_id = same.order_id AND e.line_no = same.line_no"""
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE superseded AS {_twins()}")
    result.twins = single_number(connection, "SELECT count(*) FROM superseded")
    others = (
        "FROM known_lines AS k SEMI JOIN (SELECT order_id FROM order_lines WHERE is_derived) "
        "USING (order_id) ANTI JOIN superseded AS s "
        "ON k.order_id = s.order_id AND k.line_no = s.line_no"
    )
    row = connection.execute(
        f"SELECT count(*), count(DISTINCT order_id), min(order_id) {others}"
    ).fetchone()
    assert row is not None
    result.other_lines, result.known_orders = int(row[0]), int(row[1])
    result.first_known_order = str(row[2] or "")
    if whole_orders:
        result.replaced_lines = result.other_lines
        connection.execute(f"INSERT INTO superseded SELECT order_id, line_no, filename {others}")
    if whole:
        _withdraw(merging, arriving, whole)


def _withdraw(merging: Merging, arriving: str, whole: str) -> None:
    """Let lines leave that an order of an export had and has no more.

    A line is of the same order where its customer or its time agrees: two shops may both have a
    number. Without a customer the time of a line of the order decides, since a return has another
    time than its sale. A line that arrives and is set aside keeps its place.
    """
    connection, writer, result = merging.connection, merging.writer, merging.result
    existing = writer.lake.files(merging.table.name, writer.state)
    known = sql.parquet(existing, f"filename = true, {sql.PLAIN}")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE whole_orders AS FROM {whole}")
    mixed = connection.execute(
        f"""SELECT DISTINCT order_id
        FROM {arriving} AS a JOIN {known} AS k USING (order_id, line_no)
        WHERE a.ts <> k.ts AND (a.customer_id IS DISTINCT FROM k.customer_id
                OR a.customer_id IS NULL AND a.product_id <> k.product_id)
            AND order_id IN (SELECT order_id FROM whole_orders) ORDER BY 1"""
    ).fetchall()
    result.mixed_orders = [str(row[0]) for row in mixed]
    # few lines do not come again: which of them leave is asked of these alone
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE left_over AS
        SELECT k.order_id, k.line_no, k.customer_id, k.ts, k.filename FROM {known} AS k
        SEMI JOIN whole_orders AS w ON k.order_id = w.order_id
        ANTI JOIN whole_orders AS set_aside
            ON k.order_id = set_aside.order_id AND k.line_no = set_aside.line_no
        ANTI JOIN {arriving} AS a ON k.order_id = a.order_id AND k.line_no = a.line_no
        ANTI JOIN superseded AS s ON k.order_id = s.order_id AND k.line_no = s.line_no"""
    )
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE withdrawn AS
        WITH orders AS (
            SELECT DISTINCT order_id, customer_id, ts FROM whole_orders
            SEMI JOIN left_over USING (order_id)
        ), met AS (
            SELECT DISTINCT k.order_id FROM {known} AS k
            JOIN orders AS w ON k.order_id = w.order_id AND k.ts = w.ts
        )
        SELECT DISTINCT k.order_id, k.line_no, k.filename
        FROM left_over AS k JOIN orders AS w ON k.order_id = w.order_id
        LEFT JOIN met ON k.order_id = met.order_id
        WHERE k.customer_id = w.customer_id OR k.ts = w.ts
            OR k.customer_id IS NULL AND w.customer_id IS NULL AND met.order_id IS NOT NULL"""
    )
    row = connection.execute(
        "SELECT count(*), count(DISTINCT order_id), min(order_id) FROM withdrawn"
    ).fetchone()
    assert row is not None
    result.withdrawn_lines, result.withdrawn_orders = int(row[0]), int(row[1])
    result.first_withdrawn = str(row[2] or "")
    connection.execute("INSERT INTO superseded FROM withdrawn")


def _twins() -> str:
    """SQL of known lines that arrive again under a number of another kind, each once."""
    numbered = (
        f"SELECT *, row_number() OVER (PARTITION BY {_CONTENT}, is_derived ORDER BY line_no) "
        "AS nth FROM {}"
    )
    same = " AND ".join(
        f"k.{name} IS NOT DISTINCT FROM a.{name}" for name in (*_CONTENT.split(", "), "nth")
    )
    return (
        f"SELECT k.order_id, k.line_no, k.filename FROM ({numbered.format('known_lines')}) AS k "
        f"SEMI JOIN ({numbered.format('order_lines')}) AS a "
        f"ON {same} AND k.is_derived <> a.is_derived"
    )
