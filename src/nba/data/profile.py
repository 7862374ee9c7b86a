"""Facts about the rows of a load, for the data report: span, customers, gaps, outliers."""

from __future__ import annotations

from typing import Any

from nba.data import sql
from nba.data.measure import LARGE
from nba.data.prepare import Prepared
from nba.data.report import IngestReport, Status
from nba.data.staging import Context

#: A line is an outlier where its amount is this many times the typical one.
OUTLIER_RATIO = 1000
#: Days without a single line that are worth a warning, where most days have lines.
GAP_DAYS = 14


def add(context: Context, report: IngestReport, tables: list[Prepared]) -> None:
    """Add the facts of every table to its report, and warn of gaps and outliers."""
    for prepared in tables:
        facts = prepared.report.facts
        facts["filled"] = _filled(context, prepared)
        time = prepared.table.time_column
        if time and prepared.report.accepted.rows:
            facts.update(_span(context, prepared, time))
        if prepared.table.name == "transactions" and prepared.report.accepted.rows:
            _lines(context, report, prepared)


def _filled(context: Context, prepared: Prepared) -> dict[str, float]:
    """Return the share of filled values per column."""
    if not 0 < prepared.report.accepted.rows <= LARGE:
        return {}
    columns = sorted(prepared.columns)
    counts = ", ".join(f"count({sql.name(column)}) / count(*)" for column in columns)
    row = context.connection.execute(f"SELECT {counts} FROM {prepared.good}").fetchone()
    assert row is not None
    return dict(zip(columns, (round(float(share), 4) for share in row), strict=True))


def _span(context: Context, prepared: Prepared, time: str) -> dict[str, Any]:
    """Return the rows per month of the project's zone, and the long gaps between its days."""
    connection = context.connection
    # Every zone's days begin at a quarter of an hour; whole numbers are counted fastest.
    quarters = f"SELECT epoch_us({time}) // 900000000 AS quarter, count(*) AS n"
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE days AS
        SELECT CAST(timezone({sql.text(context.home)}, to_timestamp(quarter * 900)) AS DATE)
            AS day, sum(n) AS n
        FROM ({quarters} FROM {prepared.good} GROUP BY ALL) GROUP BY ALL"""
    )
    months = connection.execute(
        "SELECT strftime(day, '%Y-%m') AS month, sum(n) FROM days GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    gaps = connection.execute(
        f"""SELECT day, gap - 1 FROM (SELECT day, day - lag(day) OVER (ORDER BY day) AS gap
        FROM days) WHERE gap > {GAP_DAYS} ORDER BY gap DESC, day"""
    ).fetchall()
    return {
        "months": {month: int(count) for month, count in months},
        "gaps": [{"until": day.isoformat(), "days": int(days)} for day, days in gaps],
    }


def _lines(context: Context, report: IngestReport, prepared: Prepared) -> None:
    """Note customers, orders and products; find gaps in time and outliers."""
    facts, lines = prepared.report.facts, prepared.measured
    facts.update(customers=lines.customers, orders=lines.orders, products=lines.products)
    gaps = facts["gaps"]
    if gaps:
        report.add(
            Status.WARN,
            "transactions",
            "gaps",
            f"{len(gaps)} gaps of more than {GAP_DAYS} days without a line",
            count=len(gaps),
            first=f"{gaps[0]['days']} days until {gaps[0]['until']}",
        )
    if lines.typical and lines.largest is not None:
        facts["outliers"] = 0
        if lines.largest > lines.typical * OUTLIER_RATIO:
            _outliers(context, report, prepared, lines.typical)


def _outliers(context: Context, report: IngestReport, prepared: Prepared, typical: float) -> None:
    row = context.connection.execute(
        f"""SELECT count(*), max_by(order_id, amount), max(amount) FROM (
            SELECT order_id, abs(quantity * unit_price) AS amount FROM {prepared.good})
        WHERE amount > {typical * OUTLIER_RATIO}"""
    ).fetchone()
    assert row is not None
    number, order, largest = row
    prepared.report.facts["outliers"] = int(number)
    if number:
        report.add(
            Status.WARN,
            "transactions",
            "outliers",
            f"{number:,} lines are worth more than {OUTLIER_RATIO} times the typical "
            f"{typical:,.2f}",
            count=number,
            first=f"order {order} with {largest:,.2f}",
        )
