"""How the texts of a column are read: which order of day and month, which decimal mark.

A reading is settled for a column as a whole. Where two readings fit all of its values and
differ, nobody can tell, and a person is asked; a value is never read by trying one reading
after another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import duckdb

from nba.data import sql

#: What a draft says where a person must choose; a load with it is refused.
ASK: Final = "ask"
ISO: Final = "iso"
DAY_FIRST, MONTH_FIRST, YEAR_FIRST = "day_first", "month_first", "year_first"
#: In which order a date writes its parts.
ORDERS: Final = (DAY_FIRST, MONTH_FIRST, YEAR_FIRST)
EXCEL_SERIAL: Final = "excel_serial"
EPOCH_SECONDS, EPOCH_MILLISECONDS = "epoch_seconds", "epoch_milliseconds"
#: Readings of moments that are no strptime format.
TIME_WORDS: Final[Mapping[str, str]] = {
    ISO: "as 2026-03-01 09:30",
    DAY_FIRST: "as 1.3.2026, 01/03/26 9:30 PM",
    MONTH_FIRST: "as 3/1/2026, 03/01/26 9:30 PM",
    YEAR_FIRST: "as 2026/3/1, 26/3/1, 2026年3月1日 上午9:30",
    EXCEL_SERIAL: "days since 1899-12-30, as 46082.39",
    EPOCH_SECONDS: "seconds since 1970 in UTC",
    EPOCH_MILLISECONDS: "milliseconds since 1970 in UTC",
}
POINT, COMMA = "point", "comma"
#: Readings of numbers; both know currency signs, spaces and signs for groups of thousands,
#: full-width digits, and minus as `-1`, `1-` or `(1)`.
NUMBER_WORDS: Final[Mapping[str, str]] = {POINT: "as 1,234.50", COMMA: "as 1.234,50"}
#: So large a share of a column may be mistyped and still not tell its order.
MISTYPED: Final = 0.01

#: Full-width, Arabic and Persian digits and signs, each with the plain one below it.
_WIDE: Final = "０１２３４５６７８９：．／－，　＋（）٠١٢٣٤٥٦٧٨٩٫٬۰۱۲۳۴۵۶۷۸۹"
_NARROW: Final = "0123456789:./-, +()0123456789.,0123456789"
_CHINESE: Final = "年月时時点點分"
_DATE: Final = (
    r"^(\d{1,4})([-./])(\d{1,2})[-./](\d{1,4})\.?(?:[T, ]+(AM|PM)? *"
    r"(\d{1,2})[:.h](\d{1,2})(?:[:.](\d{1,2})(?:[.,]\d+)?)?:? *([AaPp]\.?[Mm]\.?)?)?$"
)
_DATE_PARTS: Final = "['a', 'sep', 'b', 'c', 'before', 'h', 'i', 's', 'after']"
_CURRENCY: Final = (
    r"(?:US\$|HK\$|NT\$|R\$|[$€£¥￥₹₽₩₺₫฿₴₦₱＄]|元|圆|円|원|zł|Kč|kr\.?|Rs\.?|RMB|[A-Z]{3})"
)
_GROUPS: Final = " '’\u00a0\u202f\u2009"


def narrow(text: str) -> str:
    """Return the SQL of a text with digits and signs of other scripts as plain ones."""
    return f"translate({text}, {sql.text(_WIDE)}, {sql.text(_NARROW)})"


# ------------------------------------------------------------------ moments


def naive_sql(text: str, reading: str) -> str:
    """Return the SQL of the local time that a text writes, NULL where it does not fit.

    Parameters
    ----------
    text : str
        SQL of the text, without a zone.
    reading : str
        A word of `TIME_WORDS` (but `iso`), or a strptime format.
    """
    if reading in ORDERS:
        return _ordered(text, reading)
    number = f"TRY_CAST({narrow(text)} AS DOUBLE)"
    if reading == EXCEL_SERIAL:
        micros = f"CAST(round({number} * 86400) AS BIGINT) * 1000000"
        return (
            f"CASE WHEN {number} BETWEEN 1 AND 200000 "
            f"THEN TIMESTAMP '1899-12-30' + to_microseconds({micros}) END"
        )
    return f"try_strptime({text}, {sql.text(without_zone(reading))})"


def epoch_sql(text: str, reading: str) -> str:
    """Return the SQL of the moment that a number since 1970 says."""
    scale = {EPOCH_SECONDS: 1_000_000, EPOCH_MILLISECONDS: 1000}[reading]
    number = f"TRY_CAST(CAST({text} AS VARCHAR) AS DOUBLE)"
    return (
        f"CASE WHEN abs({number}) < {4e15 / scale!r} "
        f"THEN make_timestamptz(CAST(round({number} * {scale}) AS BIGINT)) END"
    )


def without_zone(format_: str) -> str:
    """Return a strptime format without the zone at its end, which is read apart."""
    return re.sub(r"\s*%[zZ]\s*$", "", format_)


def _cleaned(text: str) -> str:
    """Return the SQL of a date with Chinese words and half days as signs."""
    signs = f"translate({narrow(text)}, {sql.text(_CHINESE)}, '--:::::')"
    bare = f"regexp_replace({signs}, '(星期|周|週)[一二三四五六日天]', ' ')"
    days = f"regexp_replace({bare}, '[日号號]', ' ', 'g')"
    # twelve at night may be the end of the day or its beginning
    clear = f"regexp_replace({days}, '(晚上|夜里|夜裡|半夜) *12', '?')"
    morning = f"regexp_replace({clear}, '上午|早上|早晨|凌晨|清晨', ' AM ')"
    evening = f"regexp_replace({morning}, '下午|晚上|中午|傍晚|夜里|夜裡', ' PM ')"
    return f"trim(replace({evening}, '秒', ''))"


def _ordered(text: str, reading: str) -> str:
    parts = f"regexp_extract({_cleaned(text)}, {sql.text(_DATE)}, {_DATE_PARTS})"
    year, month, day = {
        DAY_FIRST: ("_p.c", "_p.b", "_p.a"),
        MONTH_FIRST: ("_p.c", "_p.a", "_p.b"),
        YEAR_FIRST: ("_p.a", "_p.b", "_p.c"),
    }[reading]
    # No one writes the month first with points.
    possible = "_p.a <> ''" + (" AND _p.sep <> '.'" if reading == MONTH_FIRST else "")
    century = f"CASE WHEN {year} < '70' THEN '20' ELSE '19' END || {year}"
    full = f"CASE length({year}) WHEN 4 THEN {year} WHEN 2 THEN {century} END"
    half = "upper(left(_p.before || _p.after, 1))"
    hour = "coalesce(TRY_CAST(_p.h AS INTEGER), 0)"
    hours = (
        f"CASE WHEN {half} = 'P' AND {hour} < 12 THEN {hour} + 12 "
        f"WHEN {half} = 'A' AND {hour} = 12 THEN 0 ELSE {hour} END"
    )
    iso = (
        f"{full} || '-' || {month} || '-' || {day} || ' ' || lpad(CAST({hours} AS VARCHAR), 2, '0')"
        " || ':' || lpad(_p.i, 2, '0') || ':' || lpad(_p.s, 2, '0')"
    )
    chosen = f"CASE WHEN {possible} AND length({day}) <= 2 THEN TRY_CAST({iso} AS TIMESTAMP) END"
    return sql.bound(parts, "_p", chosen)


def order_of(reading: str) -> str:
    """Return the order of day, month and year of a reading; empty where it has none.

    >>> order_of("%m/%d/%Y %H:%M")
    'month_first'
    """
    if reading in TIME_WORDS:
        return reading
    letters = "".join(re.findall(r"%-?([dmyY])", reading))
    if len(letters) < 3:
        return ""
    return {"d": DAY_FIRST, "m": MONTH_FIRST}.get(letters[0], YEAR_FIRST)


# ------------------------------------------------------------------ numbers


def number_sql(text: str, mark: str) -> str:
    """Return the SQL of a number as plain text, NULL where the text does not fit.

    Parameters
    ----------
    text : str
        SQL of the text.
    mark : str
        `point` or `comma`: what stands before the decimals.
    """
    point, comma = (r"\.", ",") if mark == POINT else (",", r"\.")
    trimmed = f"replace(trim({narrow(text)}, ' \u00a0\u202f\t'), '−', '-')"
    before, after = (
        sql.text(pattern)
        for pattern in (rf"^([-+(]*)\s*{_CURRENCY}\s*", rf"\s*{_CURRENCY}\s*([-)]*)$")
    )
    bare = f"regexp_replace({trimmed}, {before}, '\\1')"
    bare = f"regexp_replace({bare}, {after}, '\\1')"
    negative = f"regexp_matches({bare}, '^-|-$|^\\(.*\\)$')"
    digits = f"regexp_replace({bare}, '^[-+(]+\\s*|\\s*[-)]+$', '', 'g')"
    group = f"[{comma}{_GROUPS}]"
    shape = (
        rf"(\d+|[1-9]\d{{0,2}}({group}\d{{3}})+|[1-9]\d?({group}\d{{2}})+{group}\d{{3}})?"
        rf"({point}\d*)?([eE][-+]?\d+)?"
    )
    plain = f"regexp_replace({digits}, {sql.text(group)}, '', 'g')"
    plain = f"replace({plain}, ',', '.')" if mark == COMMA else plain
    return (
        f"CASE WHEN regexp_full_match({digits}, {sql.text(shape)}) "
        f"AND regexp_matches({digits}, '\\d') "
        f"THEN CASE WHEN {negative} THEN '-' ELSE '' END || {plain} END"
    )


# ------------------------------------------------------------------ choice


@dataclass(frozen=True)
class Choice:
    """Which of several readings a column has.

    Parameters
    ----------
    chosen : str
        The reading; empty where none reads anything, or where it cannot be told.
    values : int
        How many values it reads.
    rivals : tuple of str
        The readings between which nobody can tell.
    example : str
        A value that they read differently.
    is_mixed : bool
        Some values fit one reading only, some another one only.
    """

    chosen: str = ""
    values: int = 0
    rivals: tuple[str, ...] = ()
    example: str = ""
    is_mixed: bool = False


def choose(
    connection: duckdb.DuckDBPyConnection, values: str, readings: Mapping[str, str]
) -> Choice:
    """Find the reading that fits the values of a column.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    values : str
        A relation with the texts `v`, each once, and how often they stand, `n`.
    readings : mapping of str to str
        Reading to the SQL of what it makes of `v`, NULL where it does not fit.
    """
    names = list(readings)
    pairs = list(combinations(range(len(names)), 2))
    columns = ", ".join(f"{term} AS e{place}" for place, term in enumerate(readings.values()))
    counts = [
        f"coalesce(sum(n) FILTER (WHERE e{place} IS NOT NULL), 0)" for place in range(len(names))
    ]
    for left, right in pairs:
        both = f"e{left} IS NOT NULL AND e{right} IS NOT NULL AND e{left} <> e{right}"
        counts += [
            f"coalesce(sum(n) FILTER (WHERE e{left} IS NOT NULL AND e{right} IS NULL), 0)",
            f"coalesce(sum(n) FILTER (WHERE e{left} IS NULL AND e{right} IS NOT NULL), 0)",
            f"min(v) FILTER (WHERE {both})",
            f"min(v) FILTER (WHERE (e{left} IS NULL) <> (e{right} IS NULL))",
        ]
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE readings_tried AS SELECT v, n, {columns} FROM {values}"
    )
    row = connection.execute(f"SELECT {', '.join(counts)} FROM readings_tried").fetchone()
    assert row is not None
    read = [int(count) for count in row[: len(names)]]
    best = max(range(len(names)), key=lambda place: (read[place], -place))
    if not read[best]:
        return Choice()
    chosen = Choice(names[best], read[best])
    for number, pair in enumerate(pairs):
        if best not in pair:
            continue
        only_left, only_right, differs, alone = row[len(names) + 4 * number :][:4]
        mine, theirs = (only_left, only_right) if pair[0] == best else (only_right, only_left)
        other = names[pair[1] if pair[0] == best else pair[0]]
        if theirs and theirs > MISTYPED * mine:
            return Choice("", read[best], (names[best], other), str(alone), is_mixed=True)
        if not mine and differs is not None:
            rivals = tuple(sorted({*chosen.rivals, names[best], other}, key=names.index))
            chosen = Choice("", read[best], rivals, str(differs))
    return chosen


def groups_of(readings: Sequence[str]) -> dict[str, list[str]]:
    """Return readings by their order; those of one order never contradict each other."""
    groups: dict[str, list[str]] = {}
    for reading in readings:
        groups.setdefault(order_of(reading), []).append(reading)
    return groups
