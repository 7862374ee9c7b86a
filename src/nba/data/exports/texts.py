"""The cells of a file of text: what a column holds, how amounts are written, idle lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb

from nba.data import readings, sql
from nba.data.exports.kinds import ExportKind
from nba.data.exports.recognise import Found
from nba.data.inputs import LINE

#: A long number as a spreadsheet shows it: its last digits are lost.
_CUT: Final = r"\d([.,]\d+)?[eE]\+?\d+"
#: Amounts end in a mark and one or two digits, or in more than three; of three nobody can tell.
_DECIMALS: Final = r"(\d{1,2}|\d{4,})[^\d]*$"
_THREE: Final = r"\D*[1-9]\d{0,2}[.,]\d{3}\D*"


@dataclass(frozen=True)
class Marks:
    """How the amounts of a file are written.

    Parameters
    ----------
    decimal : str
        What stands before the decimals, see `nba.data.readings.NUMBER_WORDS`.
    unclear : int
        Amounts that may be thousands or have three decimals, where no other amount shows which.
    example : str
        One of them.
    read_as : str
        What it counts as.
    """

    decimal: str = readings.POINT
    unclear: int = 0
    example: str = ""
    read_as: str = ""


def cell(one: Found, name: str, mark: str) -> str:
    """Return the SQL of one column of a file: trimmed, NULL where empty, absent or cut.

    Parameters
    ----------
    one : Found
    name : str
        The column's plain name.
    mark : str
        What stands before the decimals of amounts, see `nba.data.readings.NUMBER_WORDS`; empty:
        not known yet.
    """
    value = _trimmed(one, name)
    if name in one.columns and _is_key(one.kind, name):
        value = f"CASE WHEN {_is_cut(value)} THEN NULL ELSE {value} END"
    if mark == readings.COMMA and name in one.kind.numbers:
        value = f"coalesce({readings.number_sql(value, mark)}, {value})"
    absent = sql.texts(("", *one.kind.nulls))
    return f"CASE WHEN upper({value}) NOT IN ({absent}) THEN {value} END AS {sql.name(name)}"


def cut(one: Found) -> str:
    """Return the SQL of whether a spreadsheet has cut an id or a phone number of the line."""
    checked = [
        _is_cut(_trimmed(one, name))
        for name in one.kind.used
        if name in one.columns and _is_key(one.kind, name)
    ]
    return f"coalesce({' OR '.join(checked)}, false)" if checked else "false"


def marks_of(connection: duckdb.DuckDBPyConnection, one: Found, rows: str) -> Marks:
    """Return how the amounts of a file are written, which is as most of them show.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    one : Found
    rows : str
        The relation of its cells.
    """
    names = [name for name in one.kind.numbers if name in one.columns]
    if not names:
        return Marks()
    counts = [
        " + ".join(
            f"count(*) FILTER (WHERE contains({column}, '{mark}') "
            f"AND regexp_matches({column}, '[{mark}]{_DECIMALS}'))"
            for column in map(sql.name, names)
        )
        for mark in ",."
    ]
    row = connection.execute(f"SELECT {', '.join(counts)} FROM {rows}").fetchone()
    assert row is not None
    if any(row):
        return Marks(readings.COMMA if row[0] > row[1] else readings.POINT)
    values = " UNION ALL ".join(
        f"SELECT {column} AS v FROM {rows}" for column in map(sql.name, names)
    )
    found = connection.execute(
        "SELECT count(*), min(v), "
        f"TRY_CAST({readings.number_sql('min(v)', readings.POINT)} AS DOUBLE) "
        f"FROM ({values}) WHERE regexp_full_match(v, '{_THREE}')"
    ).fetchone()
    assert found is not None
    read_as = "" if found[2] is None else f"{found[2]:g}"
    return Marks(readings.POINT, int(found[0]), found[1] or "", read_as)


def says_something(one: Found) -> str:
    """Return the SQL of whether a line is neither blank nor the header once more."""
    return f"NOT ({is_blank(one)}) AND NOT ({repeats_header(one)})"


def is_blank(one: Found) -> str:
    """Return the SQL of whether a line holds nothing that the queries use."""
    names = [name for name in one.kind.used if name in one.columns]
    return " AND ".join(f"{sql.name(name)} IS NULL" for name in names)


def repeats_header(one: Found) -> str:
    """Return the SQL of whether a line is the header once more, as in files put end to end."""
    names = [name for name in one.kind.required if name in one.kind.used]
    same = [f"{sql.name(name)} = {sql.text(one.columns[name].strip())}" for name in names]
    return f"coalesce({' AND '.join([*same, f'{LINE} IS NOT NULL'])}, false)"


def _trimmed(one: Found, name: str) -> str:
    if name not in one.columns:
        return "CAST(NULL AS VARCHAR)"
    value = f"trim(CAST({sql.name(one.columns[name])} AS VARCHAR))"
    return f"ltrim({value}, '''')" if name in one.kind.ids else value


def _is_key(kind: ExportKind, name: str) -> bool:
    return name in kind.ids or name.endswith(("phone", "_id"))


def _is_cut(value: str) -> str:
    return f"(contains({value}, 'E+') AND regexp_full_match({value}, '{_CUT}'))"
