"""What is absent everywhere, or damaged: said with a count and an example, and kept."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from nba.data import sql
from nba.data.lake import Writer, relation
from nba.data.prepare import Prepared
from nba.data.readers import looks_like_data
from nba.data.report import IngestReport, Status
from nba.schema.tables import TABLES, Kind
from nba.schema.words import CLERK_ID, CUSTOMER_ID, PRODUCT_ID

#: So large a share of the customers without a clerk is worth a warning.
CLERKLESS_SHARE = 1 / 3
#: A birthday that at least so many, and so large a share, have may stand for none.
FEWEST_ALIKE, ALIKE_SHARE = 20, 0.05
#: A clerk's day of fewer minutes may have been given in hours.
SHORT_DAY_MINUTES = 13
#: What spreadsheets and exports write where they have no value.
NO_VALUES = (
    "NULL", "null", "Null", "None", "none", "NaN", "nan", "N/A", "n/a", "NA", "#N/A", "undefined",
    "(null)", "\\N", "-",
)  # fmt: skip


def add(
    connection: duckdb.DuckDBPyConnection,
    report: IngestReport,
    tables: Sequence[Prepared],
    writer: Writer,
) -> None:
    """Warn of prices, costs and clerks that nothing has, and of ids that look damaged.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    report : IngestReport
        The load's report, to which the warnings are added.
    tables : sequence of Prepared
        The tables that the load brings.
    writer : Writer
        Knows what the lake held before.
    """
    brought = {prepared.table.name: prepared for prepared in tables}
    known = _Known(connection, writer, brought)
    for prepared in tables:
        _damaged_ids(connection, report, prepared)
        _header(report, prepared)
    if "transactions" in brought:
        _prices(connection, report, brought["transactions"], known)
    if "products" in brought or ("transactions" in brought and not writer.before.loads):
        _costs(report, known)
    if "customers" in brought:
        _clerks(connection, report, brought["customers"], known)
        _birthdays(connection, report, brought["customers"])
    if "clerks" in brought:
        _minutes(connection, report, brought["clerks"])


def _birthdays(
    connection: duckdb.DuckDBPyConnection, report: IngestReport, customers: Prepared
) -> None:
    """Warn of a birthday that so many have that it may stand for none."""
    if "birthday" not in customers.columns:
        return
    row = connection.execute(
        "SELECT day, n, total FROM (SELECT right(birthday, 5) AS day, count(*) AS n, "
        f"sum(count(*)) OVER () AS total FROM {customers.good} WHERE birthday IS NOT NULL "
        "GROUP BY 1) ORDER BY n DESC, day LIMIT 1"
    ).fetchone()
    if row is not None and row[1] >= max(FEWEST_ALIKE, ALIKE_SHARE * row[2]):
        report.add(
            Status.WARN,
            "customers",
            "same_birthday",
            f"{row[1]:,} of {row[2]:,} birthdays are on {row[0]}: where that stands for none, "
            "empty it (`values` of a mapping), or all get their gifts on that day",
            count=int(row[1]),
            first=row[0],
        )


def _minutes(connection: duckdb.DuckDBPyConnection, report: IngestReport, clerks: Prepared) -> None:
    """Warn of days so short that they may be hours."""
    if "minutes_per_day" not in clerks.columns:
        return
    row = connection.execute(
        f"SELECT count(*), min(clerk_id) FROM {clerks.good} "
        f"WHERE minutes_per_day > 0 AND minutes_per_day < {SHORT_DAY_MINUTES}"
    ).fetchone()
    assert row is not None
    if row[0]:
        report.add(
            Status.WARN,
            "clerks",
            "short_days",
            f"{row[0]:,} clerks have fewer than {SHORT_DAY_MINUTES} minutes a day: are they hours?",
            count=int(row[0]),
            first=str(row[1]),
        )


class _Known:
    """Rows of a table that this load brings or the lake has."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        writer: Writer,
        brought: dict[str, Prepared],
    ) -> None:
        self.connection = connection
        self.writer = writer
        self.brought = brought

    def values(self, table: str, *columns: str) -> str:
        """Return a relation of some columns, NULL where a part has no such column."""
        files = self.writer.lake.files(table, self.writer.state)
        parts = [
            f"SELECT {sql.names(columns)} FROM ({relation(TABLES[table], files)})",
        ]
        if table in self.brought:
            there = self.brought[table].columns
            listed = ", ".join(
                sql.name(name) if name in there else f"NULL AS {sql.name(name)}" for name in columns
            )
            parts.append(f"SELECT {listed} FROM {self.brought[table].good}")
        return f"({' UNION ALL '.join(parts)})"

    def has(self, table: str, column: str) -> bool:
        """Whether any row of a table fills a column."""
        rows = self.values(table, column)
        query = f"SELECT 1 FROM {rows} WHERE {sql.name(column)} IS NOT NULL LIMIT 1"
        return bool(self.connection.execute(query).fetchall())


def _prices(
    connection: duckdb.DuckDBPyConnection,
    report: IngestReport,
    lines: Prepared,
    known: _Known,
) -> None:
    """Warn of lines that have no price and whose product has none either."""
    unpriced = "unit_price IS NULL" if "unit_price" in lines.columns else "true"
    if not connection.execute(f"SELECT 1 FROM {lines.good} WHERE {unpriced} LIMIT 1").fetchall():
        return
    products = known.values("products", PRODUCT_ID, "price")
    sold = known.values("transactions", PRODUCT_ID, "unit_price")
    row = connection.execute(
        f"SELECT count(*), min(product_id) FROM {lines.good} WHERE {unpriced} AND product_id "
        f"NOT IN (SELECT product_id FROM {products} WHERE price IS NOT NULL) AND product_id "
        f"NOT IN (SELECT product_id FROM {sold} WHERE unit_price > 0)"
    ).fetchone()
    assert row is not None
    if row[0]:
        report.add(
            Status.WARN,
            "transactions",
            "no_price",
            f"{row[0]:,} lines of {lines.report.accepted.rows:,} have no price, and their product "
            "has none to take: they are worth 0 in every value",
            count=int(row[0]),
            first=f"product {row[1]}",
        )


def _costs(report: IngestReport, known: _Known) -> None:
    if not known.has("products", "cost") and not known.has("categories", "margin_rate"):
        report.add(
            Status.WARN,
            "products",
            "no_cost",
            "no product has a cost and no category a margin rate: every margin is the project's "
            "`margin_rate`",
        )


def _clerks(
    connection: duckdb.DuckDBPyConnection,
    report: IngestReport,
    customers: Prepared,
    known: _Known,
) -> None:
    """Warn where many customers name no clerk, and no line and no friendship does for them."""
    unnamed = f"{CLERK_ID} IS NULL" if CLERK_ID in customers.columns else "true"
    served = " UNION ".join(
        f"SELECT {CUSTOMER_ID} FROM {known.values(table, CUSTOMER_ID, CLERK_ID)} "
        f"WHERE {CLERK_ID} IS NOT NULL AND {CUSTOMER_ID} IS NOT NULL"
        for table in ("transactions", "friendships")
    )
    row = connection.execute(
        f"SELECT count(*), count(*) FILTER (WHERE {unnamed} AND {CUSTOMER_ID} NOT IN ({served})), "
        f"min({CUSTOMER_ID}) FILTER (WHERE {unnamed} AND {CUSTOMER_ID} NOT IN ({served})) "
        f"FROM {customers.good}"
    ).fetchone()
    assert row is not None
    if row[1] and row[1] >= CLERKLESS_SHARE * row[0]:
        report.add(
            Status.WARN,
            "customers",
            "no_clerk",
            f"{row[1]:,} of {row[0]:,} customers have no clerk: where there is one clerk "
            "they are that one's, where there are several nobody contacts them",
            count=int(row[1]),
            first=str(row[2]),
        )


def _damaged_ids(
    connection: duckdb.DuckDBPyConnection, report: IngestReport, prepared: Prepared
) -> None:
    """Warn of ids that a spreadsheet has rounded, quoted or replaced by an error."""
    ids = [
        column.name
        for column in prepared.table.columns
        if column.kind is Kind.ID and column.name in prepared.columns
    ]
    if not ids or not prepared.report.accepted.rows:
        return
    counts = ", ".join(f"count(*) FILTER (WHERE {_is_damaged(name)})" for name in ids)
    row = connection.execute(f"SELECT {counts} FROM {prepared.good}").fetchone()
    assert row is not None
    for name, count in zip(ids, row, strict=True):
        if not count:
            continue
        first = connection.execute(
            f"SELECT min({sql.name(name)}) FROM {prepared.good} WHERE {_is_damaged(name)}"
        ).fetchone()
        assert first is not None
        report.add(
            Status.WARN,
            prepared.table.name,
            f"damaged.{name}",
            f"{count:,} values of {name} look damaged by a spreadsheet or stand for no value; "
            "they were kept as they are (`null_values` of a mapping makes them empty)",
            count=int(count),
            first=str(first[0]),
        )


def _is_damaged(name: str) -> str:
    """Return the SQL that is true for an id that looks damaged; most are told by one sign."""
    value = sql.name(name)
    rounded = f"regexp_full_match({value}, '\\d([.,]\\d+)?E\\+\\d+')"
    error = f"regexp_full_match({value}, '#[A-Z/0]+[!?]?')"
    quoted = f"starts_with({value}, '=\"')"
    longest, words = max(map(len, NO_VALUES)), sql.texts(NO_VALUES)
    return (
        f"CASE WHEN contains({value}, 'E+') THEN {rounded} "
        f"WHEN {value}[1] IN ('''', '#', '=') THEN {value}[1] = '''' OR {error} OR {quoted} "
        f"WHEN strlen({value}) <= {longest} THEN {value} IN ({words}) "
        "ELSE false END"
    )


def _header(report: IngestReport, prepared: Prepared) -> None:
    for file, names in prepared.headers.items():
        value = looks_like_data(names)
        if value:
            report.add(
                Status.WARN,
                prepared.table.name,
                "no_header",
                f"the first line of {file} looks like a row, not like names of columns: it was "
                "taken for the header (name the columns with `header` in a mapping)",
                count=1,
                first=value,
            )
