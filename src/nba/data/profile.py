"""Facts about the rows of a load, for the data report: span, customers, gaps, outliers."""

from __future__ import annotations

from typing import Any

from nba.data import sql
from nba.data.prepare import Prepared
from nba.data.report import IngestReport, Status
from nba.data.staging import ERROR, Context

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
    if not prepared.report.accepted.rows:
        return {}
    columns = sorted(prepared.columns)
    counts = ", ".join(f"count({sql.name(column)}) / count(*)" for column in columns)
    row = context.connection.execute(
        f"SELECT {counts} FROM {prepared.rows} WHERE {ERROR} IS NULL"
    ).fetchone()
    assert row is not None
    return dict(zip(columns, (round(float(share), 4) for share in row), strict=True))


def _span(context: Context, prepared: Prepared, time: str) -> dict[str, Any]:
    local = f"timezone({sql.text(context.zone)}, {time})"
    rows = context.connection.execute(
        f"SELECT strftime({local}, '%Y-%m') AS month, count(*) FROM {prepared.rows} "
        f"WHERE {ERROR} IS NULL GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return {"months": {month: int(count) for month, count in rows}}


def _lines(context: Context, report: IngestReport, prepared: Prepared) -> None:
    """Count customers, orders and products; find gaps in time and outliers."""
    facts = prepared.report.facts
    customer = "customer_id" if "customer_id" in prepared.columns else "CAST(NULL AS VARCHAR)"
    rows = f"(SELECT * FROM {prepared.rows} WHERE {ERROR} IS NULL)"
    row = context.connection.execute(
        f"SELECT approx_count_distinct({customer}), approx_count_distinct(order_id), "
        f"count(DISTINCT product_id) FROM {rows}"
    ).fetchone()
    assert row is not None
    facts.update(customers_about=row[0], orders_about=row[1], products=row[2])
    gaps = context.connection.execute(
        f"""SELECT day, gap - 1 FROM (
            SELECT day, day - lag(day) OVER (ORDER BY day) AS gap
            FROM (SELECT DISTINCT CAST(ts AS DATE) AS day FROM {rows}))
        WHERE gap > {GAP_DAYS} ORDER BY gap DESC, day"""
    ).fetchall()
    facts["gaps"] = [{"until": day.isoformat(), "days": int(days)} for day, days in gaps]
    if gaps:
        report.add(
            Status.WARN,
            "transactions",
            "gaps",
            f"{len(gaps)} gaps of more than {GAP_DAYS} days without a line",
            len(gaps),
            f"{gaps[0][1]} days until {gaps[0][0]}",
        )
    if prepared.report.has_money:
        _outliers(context, report, prepared, rows)


def _outliers(context: Context, report: IngestReport, prepared: Prepared, rows: str) -> None:
    row = context.connection.execute(
        f"""WITH amounts AS (
            SELECT order_id, abs(quantity * unit_price)::DOUBLE AS amount FROM {rows}),
        typical AS (SELECT quantile_cont(amount, 0.5) AS amount FROM amounts WHERE amount > 0)
        SELECT count(*), max_by(order_id, a.amount), max(a.amount), any_value(t.amount)
        FROM amounts AS a, typical AS t WHERE a.amount > t.amount * {OUTLIER_RATIO}"""
    ).fetchone()
    assert row is not None
    number, order, largest, typical = row
    prepared.report.facts["outliers"] = int(number)
    if number:
        report.add(
            Status.WARN,
            "transactions",
            "outliers",
            f"{number:,} lines are worth more than {OUTLIER_RATIO} times the typical "
            f"{typical:,.2f}",
            number,
            f"order {order} with {largest:,.2f}",
        )
