"""From what a file holds to the types of the contract, as DuckDB expressions.

Each function returns SQL over one source expression. A value that cannot be read becomes
NULL where the source was not empty, and validation calls that a `type` error.
"""

from __future__ import annotations

from collections.abc import Sequence

from nba.data import clock, moments, readings, sql
from nba.data.readings import EPOCH_MILLISECONDS, EPOCH_SECONDS, EXCEL_SERIAL, ISO
from nba.schema.tables import Kind

DECIMAL = "DECIMAL(18, 4)"
TRUE_WORDS = ("true", "t", "yes", "y", "1", "1.0", "是")
FALSE_WORDS = ("false", "f", "no", "n", "0", "0.0", "否")
_FLOATS = ("DOUBLE", "FLOAT")
_NUMBERS = (
    *_FLOATS,
    "DECIMAL",
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
)
_TIMES = ("TIMESTAMP", "DATE")
#: The source types that a kind accepts besides text.
ACCEPTS: dict[Kind, tuple[str, ...]] = {
    Kind.ID: (*_NUMBERS, "BOOLEAN", "UUID", "ENUM", "DATE"),
    Kind.TEXT: (*_NUMBERS, "BOOLEAN", "UUID", "ENUM", *_TIMES, "TIME"),
    Kind.TIMESTAMP: _TIMES,
    Kind.DATE: _TIMES,
    Kind.BIRTHDAY: _TIMES,
    Kind.MONEY: _NUMBERS,
    Kind.QUANTITY: _NUMBERS,
    Kind.NUMBER: _NUMBERS,
    Kind.INTEGER: _NUMBERS,
    Kind.BOOLEAN: ("BOOLEAN", *_NUMBERS),
    Kind.ID_LIST: (),
    Kind.ZONE: (),
}
#: What a kind is called in messages.
EXPECTED: dict[Kind, str] = {
    Kind.ID: "an id",
    Kind.TEXT: "text",
    Kind.TIMESTAMP: "an ISO 8601 time such as 2026-03-01T09:30:00",
    Kind.DATE: "an ISO 8601 date such as 2026-03-01",
    Kind.BIRTHDAY: "a day that exists, as YYYY-MM-DD or MM-DD",
    Kind.MONEY: "an amount such as 12.50, with a point and without separators",
    Kind.QUANTITY: "a decimal number such as 2 or 0.75",
    Kind.NUMBER: "a finite number",
    Kind.INTEGER: "a whole number",
    Kind.BOOLEAN: "true or false",
    Kind.ZONE: "an IANA time zone such as Asia/Shanghai",
    Kind.ID_LIST: "ids as a list, a JSON array, or separated by |",
}


def is_text(source_type: str) -> bool:
    """Whether a DuckDB type is text."""
    return source_type == "VARCHAR"


def accepts(kind: Kind, source_type: str, times: Sequence[str] = ()) -> bool:
    """Whether values of a source type can become `kind` without guessing."""
    if {*times} & {EPOCH_MILLISECONDS, EPOCH_SECONDS, EXCEL_SERIAL}:
        return not source_type.endswith("[]")
    if is_text(source_type) or source_type.startswith('"NULL"'):
        return True
    if kind is Kind.ID_LIST:
        return source_type.endswith("[]")
    return source_type.startswith(ACCEPTS[kind]) and not source_type.endswith("[]")


def empty(expression: str, source_type: str, nulls: Sequence[str] = ()) -> str:
    """Return `expression` with NULL for what counts as no value."""
    if not is_text(source_type):
        return expression
    result = f"nullif({expression}, '')"
    if nulls:
        result = f"CASE WHEN {expression} IN ({sql.texts(nulls)}) THEN NULL ELSE {result} END"
    return result


def parse(
    kind: Kind,
    raw: str,
    source_type: str,
    *,
    zone: str,
    times: Sequence[str] = (),
    mark: str = "",
) -> str:
    """Return the SQL that turns `raw` (a column of `source_type`) into `kind`.

    Parameters
    ----------
    kind : Kind
    raw : str
        SQL of the value, already NULL where empty.
    source_type : str
        DuckDB type of the value.
    zone : str
        Zone in which naive times stand.
    times : sequence of str
        Readings of moments that are not ISO 8601, see `nba.data.readings`; of one order.
    mark : str
        `point` or `comma` where numbers have groups, currencies or a decimal comma.
    """
    match kind:
        case Kind.ID | Kind.TEXT | Kind.ZONE:
            return _identifier(raw, source_type)
        case Kind.TIMESTAMP:
            return _timestamp(raw, source_type, zone, times)
        case Kind.DATE:
            return _date(raw, source_type, zone, times)
        case Kind.BIRTHDAY:
            return _birthday(raw, source_type, times)
        case Kind.MONEY | Kind.QUANTITY:
            return f"TRY_CAST({_number_text(raw, source_type, mark)} AS {DECIMAL})"
        case Kind.NUMBER:
            return _number(_number_text(raw, source_type, mark))
        case Kind.INTEGER:
            return _integer(_number_text(raw, source_type, mark))
        case Kind.BOOLEAN:
            return _boolean(raw)
        case Kind.ID_LIST:
            return _id_list(raw, source_type)


def _number_text(raw: str, source_type: str, mark: str) -> str:
    if not is_text(source_type):
        return raw
    return readings.number_sql(raw, mark) if mark else f"trim({raw})"


def _identifier(raw: str, source_type: str) -> str:
    """Text as it is, byte for byte; a float that holds a whole number loses its `.0`."""
    if not source_type.startswith(_FLOATS):
        return f"CAST({raw} AS VARCHAR)"
    return (
        f"CASE WHEN isfinite({raw}) AND {raw} = floor({raw}) AND abs({raw}) <= 9007199254740992 "
        f"THEN CAST(CAST({raw} AS BIGINT) AS VARCHAR) END"
    )


def _timestamp(raw: str, source_type: str, zone: str, times: Sequence[str]) -> str:
    if source_type == "TIMESTAMP WITH TIME ZONE":
        return f"CASE WHEN isfinite({raw}) THEN {raw} END"
    epochs = [readings.epoch_sql(raw, reading) for reading in times if reading in _EPOCHS]
    if epochs:
        return epochs[0]
    if is_text(source_type):
        return moments.moment_sql(raw, zone, _naives(moments.body_sql(f"trim({raw})"), times))
    local = _local(raw, source_type)
    return f"CASE WHEN isfinite({local}) THEN {clock.moment(local, zone)} END"


_EPOCHS = (EPOCH_SECONDS, EPOCH_MILLISECONDS)


def _naives(text: str, times: Sequence[str]) -> list[str]:
    return [readings.naive_sql(text, reading) for reading in times if reading != ISO]


def _local(raw: str, source_type: str) -> str:
    """SQL of the local time of a value that is no text; a number is a spreadsheet's day."""
    if source_type.startswith(_TIMES):
        return f"CAST({raw} AS TIMESTAMP)"
    return readings.naive_sql(f"CAST({raw} AS VARCHAR)", EXCEL_SERIAL)


def naive(raw: str, source_type: str, times: Sequence[str] = ()) -> str:
    """Return the SQL of the local time as written, NULL where the text names a zone."""
    if not is_text(source_type):
        return _local(raw, source_type)
    text = f"trim({raw})"
    local = ", ".join([moments.iso_sql(text), *_naives(text, times)])
    return f"CASE WHEN {moments.zone_sql(text)} = '' THEN coalesce({local}) END"


def _date(raw: str, source_type: str, zone: str, times: Sequence[str]) -> str:
    if not is_text(source_type):
        return f"CAST({_local(raw, source_type)} AS DATE)"
    moment = _timestamp(raw, source_type, zone, times)
    zoned = f"CAST(timezone({sql.text(zone)}, {moment}) AS DATE)"
    return f"coalesce(CAST({naive(raw, source_type, times)} AS DATE), {zoned})"


def _birthday(raw: str, source_type: str, times: Sequence[str]) -> str:
    value = f"CAST({raw} AS VARCHAR)"
    # a year of noughts is none
    short = f"regexp_replace({value}, '^0000-', '')"
    plain = (
        f"CASE WHEN regexp_full_match({short}, '\\d{{2}}-\\d{{2}}') "
        f"THEN CASE WHEN TRY_CAST('2000-' || {short} AS DATE) IS NOT NULL THEN {short} END "
        f"WHEN regexp_full_match({value}, '\\d{{4}}-\\d{{2}}-\\d{{2}}([ T].*)?') "
        f"THEN CAST(TRY_CAST(left({value}, 10) AS DATE) AS VARCHAR) END"
    )
    if not times or not is_text(source_type):
        return plain
    days = [f"strftime({local}, '%Y-%m-%d')" for local in _naives(f"trim({raw})", times)]
    return f"coalesce({', '.join([plain, *days])})"


def _number(text: str) -> str:
    value = f"TRY_CAST({text} AS DOUBLE)"
    return f"CASE WHEN isfinite({value}) THEN {value} END"


def _integer(text: str) -> str:
    value = f"TRY_CAST({text} AS DECIMAL(30, 6))"
    return f"CASE WHEN {value} = floor({value}) THEN TRY_CAST({value} AS BIGINT) END"


def _boolean(raw: str) -> str:
    value = f"lower(trim(CAST({raw} AS VARCHAR)))"
    return (
        f"CASE WHEN {value} IN ({sql.texts(TRUE_WORDS)}) THEN true "
        f"WHEN {value} IN ({sql.texts(FALSE_WORDS)}) THEN false END"
    )


def _id_list(raw: str, source_type: str) -> str:
    if not is_text(source_type):
        return f"CAST({raw} AS VARCHAR[])"
    return (
        f"CASE WHEN starts_with({raw}, '[') THEN coalesce("
        f"TRY_CAST(TRY_CAST({raw} AS JSON) AS VARCHAR[]), TRY_CAST({raw} AS VARCHAR[])) "
        f"ELSE list_filter(list_transform(string_split({raw}, '|'), x -> trim(x)), "
        "x -> x <> '') END"
    )
