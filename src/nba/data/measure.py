"""Measure the rows of one table in a single scan: sums, span, kinds of lines, clock changes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import duckdb

from nba.data import clock, sql
from nba.schema.tables import MAX_MONEY, Table
from nba.schema.words import CUSTOMER_ID, PRODUCT_ID

#: Columns of a staged row that are not the table's, besides `_file` and `_line`.
ERROR, VALUE, ROW, CLOCK = "_error", "_value", "_row", "_clock"
#: From so many rows on, distinct values and the typical amount are estimated, and the share
#: of filled values is left out.
LARGE = 2_000_000
MONEY = frozenset({"quantity", "unit_price"})
_AMOUNT = "CAST(quantity AS DOUBLE) * CAST(unit_price AS DOUBLE)"
#: The exact amount of a line; nothing for one that is too large to be multiplied.
LINE_AMOUNT = f"CASE WHEN abs({_AMOUNT}) <= {MAX_MONEY} THEN quantity * unit_price END"


@dataclass(frozen=True)
class Measure:
    """What one scan says about rows.

    Parameters
    ----------
    rows, bad : int
        How many, and how many of them break a rule.
    quantity, money : Decimal
    first, last : datetime, optional
    anonymous, returned, free : int
        Lines without customer, with a negative quantity, of price 0.
    discounted, added, worthless : int
        Lines with a discount, sales with a negative one, sales with one above what they cost.
    largest_discount : float, optional
        Without its sign.
    customers, orders, products : int
    typical, largest : float, optional
        The median amount and the largest.
    clock : dict of int to (int, str)
        Code of a clock change to how many rows fall into it, and the first time.
    """

    rows: int = 0
    bad: int = 0
    quantity: Decimal = Decimal(0)
    money: Decimal = Decimal(0)
    first: datetime | None = None
    last: datetime | None = None
    anonymous: int = 0
    returned: int = 0
    free: int = 0
    discounted: int = 0
    added: int = 0
    worthless: int = 0
    largest_discount: float | None = None
    customers: int = 0
    orders: int = 0
    products: int = 0
    typical: float | None = None
    largest: float | None = None
    clock: dict[int, tuple[int, str]] = field(default_factory=dict)


def measure(
    connection: duckdb.DuckDBPyConnection, table: Table, columns: Collection[str], rows: str
) -> Measure:
    """Measure a relation of staged rows that has `columns` of `table`.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    table : Table
    columns : collection of str
        The columns of `table` that the load brought.
    rows : str
        The relation of the staged rows.
    """
    terms = _terms(connection, table, columns, rows)
    listed = ", ".join(f"{term} AS {sql.name(name)}" for name, term in terms.items())
    result = connection.execute(f"SELECT {listed} FROM {rows}").fetchone()
    assert result is not None
    values = dict(zip(terms, result, strict=True))
    changes = {
        code: (int(number), f"{values.pop(f'first_{code}')} (UTC)")
        for code in (clock.MISSING, clock.AMBIGUOUS)
        if (number := values.pop(f"clock_{code}"))
    }
    return Measure(clock=changes, **{k: v for k, v in values.items() if not k.startswith("first_")})


def _terms(
    connection: duckdb.DuckDBPyConnection, table: Table, columns: Collection[str], rows: str
) -> dict[str, str]:
    """Return the aggregates by the name of what they yield."""
    time = table.time_column if table.time_column in columns else "NULL"
    terms = {"rows": "count(*)", "bad": f"count({ERROR})"}
    for code in (clock.MISSING, clock.AMBIGUOUS):
        terms[f"clock_{code}"] = f"count(*) FILTER (WHERE {CLOCK} = {code})"
        terms[f"first_{code}"] = f"CAST(min({time}) FILTER (WHERE {CLOCK} = {code}) AS VARCHAR)"
    has_money = set(columns) >= MONEY
    if has_money:
        terms["quantity"] = "coalesce(sum(quantity), 0)"
        terms["money"] = f"coalesce(sum({LINE_AMOUNT}), 0)"
    if table.name != "transactions":
        return terms
    return terms | _line_terms(columns, has_money, _is_large(connection, rows))


def _is_large(connection: duckdb.DuckDBPyConnection, rows: str) -> bool:
    row = connection.execute(f"SELECT count(*) FROM {rows}").fetchone()
    return row is not None and bool(row[0] > LARGE)


def _line_terms(columns: Collection[str], has_money: bool, large: bool) -> dict[str, str]:
    """Return the aggregates that only lines have."""
    customer = CUSTOMER_ID if CUSTOMER_ID in columns else "CAST(NULL AS VARCHAR)"
    distinct = "approx_count_distinct({})" if large else "count(DISTINCT {})"
    terms = {
        "first": "min(ts)",
        "last": "max(ts)",
        "returned": "count(*) FILTER (WHERE quantity < 0)",
        "customers": distinct.format(customer),
        "orders": distinct.format("order_id"),
        "products": distinct.format(PRODUCT_ID),
    }
    if CUSTOMER_ID in columns:
        terms["anonymous"] = "count(*) - count(customer_id)"
    if "unit_price" in columns:
        terms["free"] = "count(*) FILTER (WHERE unit_price = 0)"
    if "discount" in columns:
        terms["discounted"] = "count(*) FILTER (WHERE discount <> 0)"
        terms["added"] = "count(*) FILTER (WHERE discount < 0 AND quantity > 0)"
        terms["largest_discount"] = "CAST(max(abs(discount)) AS DOUBLE)"
    if has_money and "discount" in columns:
        cost = f"CAST(discount AS DOUBLE) > {_AMOUNT} + 0.01"
        terms["worthless"] = f"count(*) FILTER (WHERE quantity > 0 AND {cost})"
    if has_money:
        amount = f"abs({_AMOUNT})"
        quantile = "approx_quantile" if large else "quantile_cont"
        terms["typical"] = f"{quantile}({amount}, 0.5) FILTER (WHERE {amount} <> 0)"
        terms["largest"] = f"max({amount})"
    return terms
