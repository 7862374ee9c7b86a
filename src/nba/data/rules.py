"""The rules that a row must keep, built from the contract as SQL conditions.

A row that breaks several rules is reported with the first, in the order of the contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from nba.data import sql
from nba.data.parsing import EXPECTED
from nba.schema.tables import VALID_FROM, Column, Kind, Table

#: Facts older than this are taken for a mistake (an empty date that became 1970, for one).
EARLIEST = datetime(1990, 1, 1)
#: How far a fact may lie ahead of the load: clocks differ, and simulated shops run ahead.
AHEAD = timedelta(days=366)
LATEST_PLAN = datetime(9999, 12, 31)
ID_BYTES = 1024
#: The raw value of a column, as the source had it, stands under this prefix.
RAW = "r_"


@dataclass(frozen=True)
class Rule:
    """One condition that quarantines a row.

    Parameters
    ----------
    column : str
    name : str
        `record`, `repeated_header`, `required`, `type`, `id_length`, `values`, `pattern`,
        `range`, `time_range` or `one_of`.
    expected : str
        What the rule expects, for people.
    broken : str
        SQL that is true for a row that breaks the rule.
    """

    column: str
    name: str
    expected: str
    broken: str


def history_column(table: Table) -> tuple[Column, ...]:
    """Return the column `valid_from` of a table with history, else nothing."""
    if not table.history:
        return ()
    return (Column(VALID_FROM, Kind.TIMESTAMP, planned=True),)


def input_columns(table: Table) -> tuple[Column, ...]:
    """Return the columns that an input may have: the contract's, and `valid_from`."""
    return (*table.columns, *history_column(table))


def is_required(table: Table, column: Column) -> bool:
    """Whether an input must fill `column`; a line number can be derived."""
    return column.required and not (table.name == "transactions" and column.name == "line_no")


def build(
    table: Table, present: dict[str, str], now: datetime, header: dict[str, str]
) -> list[Rule]:
    """Return the rules of `table` for an input that has the columns `present`.

    Parameters
    ----------
    table : Table
    present : dict of str to str
        Column to its DuckDB type in the source.
    now : datetime
        The moment of the load; facts far after it are refused.
    header : dict of str to str
        For CSV: source column name per column, to find a header that stands twice.
    """
    rules: list[Rule] = []
    if header:
        same = " AND ".join(
            f"{sql.name(RAW + column)} = {sql.text(source)}" for column, source in header.items()
        )
        first = next(iter(header))
        rules.append(Rule(first, "repeated_header", "one header line per file", same))
    for column in input_columns(table):
        if column.name in present:
            rules.extend(_column_rules(table, column, now))
    if table.one_of and set(table.one_of) <= set(present):
        empty = " AND ".join(f"{sql.name(column)} IS NULL" for column in table.one_of)
        expected = f"one of {', '.join(table.one_of)} filled"
        rules.append(Rule(table.one_of[0], "one_of", expected, empty))
    return rules


def _column_rules(table: Table, column: Column, now: datetime) -> list[Rule]:
    value, raw = sql.name(column.name), sql.name(RAW + column.name)
    rules = []
    if is_required(table, column):
        rules.append(Rule(column.name, "required", "a value", f"{raw} IS NULL"))
    rules.append(
        Rule(
            column.name,
            "type",
            EXPECTED[column.kind],
            f"({raw} IS NOT NULL AND {value} IS NULL)",
        )
    )
    if column.kind is Kind.ID:
        rules.append(
            Rule(
                column.name,
                "id_length",
                f"at most {ID_BYTES} bytes",
                f"strlen({value}) > {ID_BYTES}",
            )
        )
    if column.values:
        rules.append(_values_rule(column, value))
    if column.pattern:
        broken = f"NOT regexp_full_match({value}, {sql.text(column.pattern)})"
        rules.append(Rule(column.name, "pattern", f"text like {column.pattern}", broken))
    if column.minimum is not None or column.maximum is not None:
        rules.append(_range_rule(column, value))
    if column.kind in (Kind.TIMESTAMP, Kind.DATE):
        rules.append(_time_rule(column, value, now))
    return rules


def _values_rule(column: Column, value: str) -> Rule:
    allowed = sql.texts(column.values)
    broken = (
        f"NOT list_has_all([{allowed}], {value})"
        if column.kind is Kind.ID_LIST
        else f"{value} NOT IN ({allowed})"
    )
    return Rule(column.name, "values", f"one of {', '.join(column.values)}", broken)


def _range_rule(column: Column, value: str) -> Rule:
    if column.maximum is None:
        return Rule(
            column.name, "range", f"at least {column.minimum:g}", f"{value} < {column.minimum}"
        )
    return Rule(
        column.name,
        "range",
        f"between {column.minimum:g} and {column.maximum:g}",
        f"{value} NOT BETWEEN {column.minimum} AND {column.maximum}",
    )


def _time_rule(column: Column, value: str, now: datetime) -> Rule:
    latest = LATEST_PLAN if column.planned else now.replace(tzinfo=None) + AHEAD
    kind = "DATE" if column.kind is Kind.DATE else "TIMESTAMPTZ"
    zone = "" if column.kind is Kind.DATE else " 00:00:00+00"
    return Rule(
        column.name,
        "time_range",
        f"between {EARLIEST:%Y-%m-%d} and {latest:%Y-%m-%d}",
        f"{value} NOT BETWEEN {kind} '{EARLIEST:%Y-%m-%d}{zone}' "
        f"AND {kind} '{latest:%Y-%m-%d}{zone}'",
    )
