"""From what a file holds to the types of the contract, as DuckDB expressions.

Each function returns SQL over one source expression. A value that cannot be read becomes
NULL where the source was not empty, and validation calls that a `type` error.
"""

from __future__ import annotations

from collections.abc import Sequence

from nba.data import clock, sql
from nba.schema.tables import Kind

DECIMAL = "DECIMAL(18, 4)"
TRUE_WORDS = ("true", "t", "yes", "y", "1", "1.0", "是")
FALSE_WORDS = ("false", "f", "no", "n", "0", "0.0", "否")
_ZONE = r"[ T]\d{2}:?\d{2}.*(Z|z|[+-]\d{2}(:?\d{2})?)$"
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
    Kind.ID_LIST: "ids as a list, a JSON array, or separated by |",
}


def is_text(source_type: str) -> bool:
    """Whether a DuckDB type is text."""
    return source_type == "VARCHAR"


def accepts(kind: Kind, source_type: str) -> bool:
    """Whether values of a source type can become `kind` without guessing."""
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


def parse(kind: Kind, raw: str, source_type: str, zone: str, formats: Sequence[str] = ()) -> str:
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
    formats : sequence of str
        strptime formats for times that are not ISO 8601.
    """
    match kind:
        case Kind.ID | Kind.TEXT:
            return _identifier(raw, source_type)
        case Kind.TIMESTAMP:
            return _timestamp(raw, source_type, zone, formats)
        case Kind.DATE:
            return _date(raw, source_type, formats)
        case Kind.BIRTHDAY:
            return _birthday(raw)
        case Kind.MONEY | Kind.QUANTITY:
            return f"TRY_CAST({_number_text(raw, source_type)} AS {DECIMAL})"
        case Kind.NUMBER:
            return _number(raw, source_type)
        case Kind.INTEGER:
            return _integer(raw, source_type)
        case Kind.BOOLEAN:
            return _boolean(raw)
        case Kind.ID_LIST:
            return _id_list(raw, source_type)


def _number_text(raw: str, source_type: str) -> str:
    return f"trim({raw})" if is_text(source_type) else raw


def _identifier(raw: str, source_type: str) -> str:
    """Text as it is, byte for byte; a float that holds a whole number loses its `.0`."""
    if not source_type.startswith(_FLOATS):
        return f"CAST({raw} AS VARCHAR)"
    return (
        f"CASE WHEN isfinite({raw}) AND {raw} = floor({raw}) AND abs({raw}) <= 9007199254740992 "
        f"THEN CAST(CAST({raw} AS BIGINT) AS VARCHAR) END"
    )


def _timestamp(raw: str, source_type: str, zone: str, formats: Sequence[str]) -> str:
    if source_type == "TIMESTAMP WITH TIME ZONE":
        return f"CASE WHEN isfinite({raw}) THEN {raw} END"
    if not is_text(source_type):
        naive = f"CAST({raw} AS TIMESTAMP)"
        return f"CASE WHEN isfinite({naive}) THEN {clock.moment(naive, zone)} END"
    tries = [f"TRY_CAST({raw} AS TIMESTAMP)"]
    tries += [f"try_strptime({raw}, {sql.text(format_)})" for format_ in formats]
    naive = tries[0] if len(tries) == 1 else f"coalesce({', '.join(tries)})"
    # The plain form, by far the most frequent, is known without a regular expression.
    plain = f"strlen({raw}) = 19 AND {raw}[17] = ':' AND {raw}[5] = '-'"
    return (
        f"CASE WHEN {plain} THEN {clock.moment(tries[0], zone, raw)} "
        f"WHEN regexp_matches({raw}, '^\\s*\\d') THEN "
        f"CASE WHEN regexp_matches({raw}, {sql.text(_ZONE)}) THEN TRY_CAST({raw} AS TIMESTAMPTZ) "
        f"ELSE timezone({sql.text(zone)}, {naive}) END END"
    )


def naive(raw: str, source_type: str) -> str:
    """Return the SQL of the local time as written, NULL where the text names a zone."""
    if not is_text(source_type):
        return f"CAST({raw} AS TIMESTAMP)"
    zoned = f"regexp_matches({raw}, {sql.text(_ZONE)})"
    return f"CASE WHEN NOT {zoned} THEN TRY_CAST({raw} AS TIMESTAMP) END"


def _date(raw: str, source_type: str, formats: Sequence[str]) -> str:
    if not is_text(source_type):
        return f"CAST({raw} AS DATE)"
    tries = [f"TRY_CAST({raw} AS TIMESTAMP)"]
    tries += [f"try_strptime({raw}, {sql.text(format_)})" for format_ in formats]
    return (
        f"CASE WHEN regexp_matches({raw}, '^\\s*\\d') "
        f"THEN TRY_CAST(coalesce({', '.join(tries)}) AS DATE) END"
    )


def _birthday(raw: str) -> str:
    value = f"CAST({raw} AS VARCHAR)"
    return (
        f"CASE WHEN regexp_full_match({value}, '\\d{{2}}-\\d{{2}}') "
        f"THEN CASE WHEN TRY_CAST('2000-' || {value} AS DATE) IS NOT NULL THEN {value} END "
        f"WHEN regexp_full_match({value}, '\\d{{4}}-\\d{{2}}-\\d{{2}}([ T].*)?') "
        f"THEN CAST(TRY_CAST(left({value}, 10) AS DATE) AS VARCHAR) END"
    )


def _number(raw: str, source_type: str) -> str:
    value = f"TRY_CAST({_number_text(raw, source_type)} AS DOUBLE)"
    return f"CASE WHEN isfinite({value}) THEN {value} END"


def _integer(raw: str, source_type: str) -> str:
    value = f"TRY_CAST({_number_text(raw, source_type)} AS DECIMAL(30, 6))"
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
