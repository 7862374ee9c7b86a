"""The rules that a row must keep, built from the contract as SQL conditions.

A row that breaks several rules is reported with the first, in the order of the contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

from nba.data import moments, sql
from nba.data.parsing import EXPECTED, is_text
from nba.schema.tables import (
    CLOCK,
    EARLIEST,
    ID_BYTES,
    MAX_MONEY,
    PHONE_TAIL,
    VALID_FROM,
    Column,
    Kind,
    Safe,
    Table,
)

#: How far a fact may lie ahead of the load: clocks differ, and simulated shops run ahead.
AHEAD = timedelta(days=366)
LATEST_PLAN = datetime(9999, 12, 31)
#: The raw value of a column, as the source had it, stands under this prefix.
RAW = "r_"


#: The forms of texts, for people.
_FORMS = {
    CLOCK: "a time of day such as 09:30, up to 24:00",
    "[1-7]*": "weekdays such as 12345, Monday being 1",
    PHONE_TAIL: "the last two to four digits of a telephone number",
}


@dataclass(frozen=True)
class Rule:
    """One condition that quarantines a row.

    Parameters
    ----------
    column : str
    name : str
        `record`, `repeated_header`, `required`, `type`, `zone`, `id_length`, `values`,
        `pattern`, `range`, `time_range` or `one_of`.
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
    """Return the columns that an input may have: the contract's, keys, and `valid_from`."""
    return (*table.columns, *table.known_by, *history_column(table))


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
        if column.name in present and not column.safe:
            rules.extend(_column_rules(table, column, present, now))
    if table.amount_of and set(table.amount_of) <= set(present):
        rules.append(_amount_rule(table))
    if table.one_of and set(table.one_of) <= set(present):
        empty = " AND ".join(f"{sql.name(column)} IS NULL" for column in table.one_of)
        expected = f"one of {', '.join(table.one_of)} filled"
        rules.append(Rule(table.one_of[0], "one_of", expected, empty))
    return rules


@dataclass(frozen=True)
class State:
    """A column that says how something stands: what counts where its value is none.

    Parameters
    ----------
    column : str
    safe : Safe
    broken : str
        SQL that is true where the value cannot be read or is out of range.
    """

    column: str
    safe: Safe
    broken: str

    @property
    def value(self) -> str:
        """The SQL of the safe value; the same in every load, so that repeats change nothing."""
        return {
            Safe.ZERO: "0",
            Safe.NO: "false",
            Safe.UNKNOWN: "NULL",
            Safe.PAST: sql.moment(EARLIEST.replace(tzinfo=UTC)),
        }[self.safe]


def states(table: Table, present: dict[str, str], now: datetime) -> list[State]:
    """Return the columns of an input whose bad values do not keep their row out."""
    rules = []
    for column in table.columns:
        if column.name in present and column.safe:
            every = _column_rules(table, column, present, now)
            broken = " OR ".join(f"({rule.broken})" for rule in every)
            rules.append(State(column.name, column.safe, f"coalesce({broken}, false)"))
    return rules


def _column_rules(
    table: Table, column: Column, present: dict[str, str], now: datetime
) -> list[Rule]:
    value, raw = sql.name(column.name), sql.name(RAW + column.name)
    rules = []
    if is_required(table, column):
        rules.append(Rule(column.name, "required", "a value", f"{raw} IS NULL"))
    if column.low is not None:
        rules.append(_range_rule(column, value, raw))
    if column.kind is Kind.TIMESTAMP and is_text(present[column.name]):
        unknown = moments.unknown_zone_sql(f"trim({raw})")
        lost = f"CASE WHEN {raw} IS NOT NULL AND {value} IS NULL THEN {unknown} ELSE false END"
        rules.append(Rule(column.name, "zone", moments.ZONE_EXPECTED, lost))
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
        rules.append(Rule(column.name, "pattern", _FORMS[column.pattern], broken))
    if column.kind is Kind.ZONE:
        known = sql.texts(sorted(available_timezones()))
        rules.append(Rule(column.name, "zone", EXPECTED[Kind.ZONE], f"{value} NOT IN ({known})"))
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


def _range_rule(column: Column, value: str, raw: str) -> Rule:
    """Refuse numbers outside their range, those too large for the lake's type among them."""
    bounds = f"NOT BETWEEN {column.low!r} AND {column.high!r}"
    large = f"TRY_CAST(CAST({raw} AS VARCHAR) AS DOUBLE)"
    outside = (
        f"CASE WHEN {value} IS NOT NULL THEN {value} {bounds} "
        f"WHEN {raw} IS NOT NULL THEN coalesce(isfinite({large}) AND {large} {bounds}, false) "
        "ELSE false END"
    )
    if column.nonzero:
        outside = f"({value} = 0 OR {outside})"
    return Rule(column.name, "range", column.expected_range, outside)


def _amount_rule(table: Table) -> Rule:
    quantity, price = table.amount_of
    amount = f"CAST({sql.name(quantity)} AS DOUBLE) * CAST({sql.name(price)} AS DOUBLE)"
    expected = f"{quantity} times {price} of at most {MAX_MONEY:,}"
    return Rule(quantity, "range", expected, f"coalesce(abs({amount}) > {MAX_MONEY}, false)")


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
