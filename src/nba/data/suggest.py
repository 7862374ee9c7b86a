"""Draft a mapping from a folder of unknown files, by names, types and all their values.

The draft is a start for a person: what was guessed is said, what is missing is marked, and where
two readings of a column fit, the draft asks.
"""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import yaml

from nba.data import keys, moments, readings, sql
from nba.data.folder import KINDS, Readable, check_folder, open_folder
from nba.data.lake import connect
from nba.data.readers import Dialect, group
from nba.data.readings import (
    ASK,
    COMMA,
    DAY_FIRST,
    EPOCH_MILLISECONDS,
    EPOCH_SECONDS,
    EXCEL_SERIAL,
    ISO,
    MONTH_FIRST,
    POINT,
    YEAR_FIRST,
    Choice,
)
from nba.data.rules import input_columns, is_required
from nba.data.staging import reading
from nba.data.wordlist import EXPORTS, FILE_WORDS, LINE_ATTRIBUTES, RATES, RETURNS, SYNONYMS
from nba.errors import InputRefusedError
from nba.schema.tables import LIMITS, TABLES, Column, Kind, Table

_TIMES = (Kind.TIMESTAMP, Kind.DATE, Kind.BIRTHDAY)
#: Ways to write a day with the month's name, or without anything between.
_NAMED = (
    *(
        day + time
        for day in (
            "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y",
            "%b %d %Y", "%B %d %Y", "%a, %d %b %Y", "%Y%m%d",
        )
        for time in ("", " %H:%M", " %H:%M:%S", " %I:%M %p")
    ),
    "%Y%m%d%H%M", "%Y%m%d%H%M%S",
)  # fmt: skip
#: A number that is a day of a spreadsheet (1982 to 2064), or the time since 1970 (from 1990 on).
_SPANS = {
    EXCEL_SERIAL: (30_000, 60_000),
    EPOCH_SECONDS: (631_152_000, 4_000_000_000),
    EPOCH_MILLISECONDS: (631_152_000_000, 4_000_000_000_000),
}
#: A column of words says what kind a line is where it holds so few different ones.
_FEW_WORDS = 12
#: A column is of a kind where so many of its values read as it.
_MOST = 0.5


@dataclass(frozen=True)
class _Seen:
    """One source column: its name, and what its values read as.

    Parameters
    ----------
    name : str
    times, numbers : float
        Shares of values that read as a moment or a number.
    time, number : Choice
        How; `iso` and an empty mark where nothing needs to be said.
    example : str
    largest : float
        Of its numbers, without their sign.
    no_sale : str
        A value of a column of few words by which a line is no sale; empty where there is none.
    """

    name: str
    times: float
    numbers: float
    time: Choice
    number: Choice
    example: str = ""
    largest: float = 0.0
    no_sale: str = ""

    def shown(self) -> str:
        """Return the column with an example, for a comment."""
        return f"{self.name} (like {self.example!r})" if self.example else self.name


@dataclass(frozen=True)
class _Guess:
    """One file taken for one table."""

    file: Readable
    table: Table
    columns: dict[str, _Seen]
    left: tuple[_Seen, ...]
    score: float

    @property
    def missing(self) -> list[str]:
        """Required columns for which nothing was found."""
        return [
            column.name
            for column in self.table.columns
            if is_required(self.table, column) and column.name not in self.columns
        ]


def suggest_mapping(folder: Path | str, *, encoding: str = "") -> str:
    """Return the draft of a mapping for the files of `folder`, as YAML with comments.

    Parameters
    ----------
    folder : Path or str
    encoding : str
        Of files of text; empty: recognised.

    Returns
    -------
    str
        Tables with `source`, `rename`, `times` and `numbers`; comments name required columns
        that were not found, source columns that were left over, and readings to choose from.

    Raises
    ------
    InputRefusedError
        Where the folder is missing or holds no file that can be read.
    """
    folder = Path(folder)
    check_folder(folder)
    with tempfile.TemporaryDirectory(prefix="nba-suggest-") as scratch:
        opened = open_folder(folder, Path(scratch) / "opened")
        files = [one for one in opened.files if not one.is_json]
        if not files:
            raise InputRefusedError(
                f"the folder {folder} holds no tables",
                expected=KINDS,
                found=", ".join(path.name for path in sorted(folder.glob("*"))[:10]) or "nothing",
                next_step="check the path; save tables of other programs as one of these",
            )
        guesses = _best(
            [guess for one in files for guess in _guesses(one, encoding, Path(scratch))]
        )
    taken = {guess.file for guess in guesses}
    unused = [one.short for one in files if one not in taken]
    unused += [one.line() for one in opened.unread]
    return _draft(folder, guesses, unused, encoding)


def _guesses(one: Readable, encoding: str, scratch: Path) -> list[_Guess]:
    with connect() as connection:
        files = group(connection, [one], Dialect(encoding=encoding), scratch / "plain")[0]
        with reading("the draft", one.short):
            # lines that are no records are for the load to tell
            rows = f"CREATE TEMP TABLE whole AS SELECT * FROM {files.scan('broken')}"
            connection.execute(rows)
            seen = [_look_at(connection, name) for name in files.columns]
    return [_match(one, table, seen) for table in TABLES.values()]


def _look_at(connection: duckdb.DuckDBPyConnection, name: str) -> _Seen:
    """Read every value of a column and say what they are."""
    value = f"trim(CAST({sql.name(name)} AS VARCHAR))"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE seen AS SELECT {value} AS v, count(*) AS n "
        f"FROM whole WHERE {value} <> '' GROUP BY 1"
    )
    row = connection.execute("SELECT coalesce(sum(n), 0), min(v) FROM seen").fetchone()
    assert row is not None
    total, example = max(int(row[0]), 1), row[1] or ""
    number = _numbers(connection)
    time = _numbered_times(connection, total) if number.values > _MOST * total else None
    time = time or _times(connection)
    plain = f"TRY_CAST({readings.number_sql('v', POINT)} AS DOUBLE)"
    largest = connection.execute(f"SELECT coalesce(max(abs({plain})), 0) FROM seen").fetchone()
    assert largest is not None
    shares = time.values / total, number.values / total
    no_sale = _no_sale(connection)
    return _Seen(name, *shares, time, number, example[:20], float(largest[0]), no_sale)


def _no_sale(connection: duckdb.DuckDBPyConnection) -> str:
    """Return a value by which a line is a return or was called off, of a column of few words."""
    words = " OR ".join(f"contains(lower(v), {sql.text(word)})" for word in RETURNS)
    row = connection.execute(
        f"SELECT min(v) FILTER (WHERE {words}) FROM seen HAVING count(*) <= {_FEW_WORDS}"
    ).fetchone()
    return row[0] if row is not None and row[0] else ""


def _numbers(connection: duckdb.DuckDBPyConnection) -> Choice:
    """Say how numbers are written; an empty mark where they need no reading."""
    marks = {mark: readings.number_sql("v", mark) for mark in (POINT, COMMA)}
    values = {
        mark: f"CAST(TRY_CAST({text} AS DECIMAL(30, 6)) AS VARCHAR)" for mark, text in marks.items()
    }
    choice = readings.choose(connection, "seen", values)
    if choice.chosen != POINT:
        return choice
    row = connection.execute(
        "SELECT coalesce(sum(n) FILTER (WHERE TRY_CAST(v AS DECIMAL(30, 6)) IS NOT NULL), 0) "
        "FROM seen"
    ).fetchone()
    assert row is not None
    return Choice("" if row[0] >= choice.values else POINT, choice.values)


def _times(connection: duckdb.DuckDBPyConnection) -> Choice:
    """Say how moments are written that are not numbers."""
    body = moments.body_sql("v")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE bodies AS "
        f"SELECT v, n, body, {moments.iso_sql('body')} AS iso "
        f"FROM (SELECT v, n, {body} AS body FROM seen WHERE regexp_matches(v, '\\d'))"
    )
    connection.execute("CREATE OR REPLACE TEMP TABLE no_iso AS FROM bodies WHERE iso IS NULL")
    plain = keys.single_number(
        connection, "SELECT coalesce(sum(n), 0) FROM bodies WHERE iso IS NOT NULL"
    )
    values = {
        reading: f"CAST({readings.naive_sql('body', reading)} AS VARCHAR)"
        for reading in (YEAR_FIRST, DAY_FIRST, MONTH_FIRST)
    }
    choice = readings.choose(connection, "no_iso", values)
    choice = _named_times(connection, choice)
    if not choice.values:
        return Choice(ISO, plain)
    return replace(choice, values=choice.values + plain)


def _named_times(connection: duckdb.DuckDBPyConnection, choice: Choice) -> Choice:
    """Return the one format with names of months that reads more than the choice so far."""
    counts = ", ".join(
        f"coalesce(sum(n) FILTER (WHERE try_strptime(body, {sql.text(format_)}) IS NOT NULL), 0)"
        for format_ in _NAMED
    )
    row = connection.execute(f"SELECT {counts} FROM no_iso").fetchone()
    assert row is not None
    best = max(range(len(_NAMED)), key=lambda place: (row[place], -place))
    return Choice(_NAMED[best], int(row[best])) if row[best] > choice.values else choice


def _numbered_times(connection: duckdb.DuckDBPyConnection, total: int) -> Choice | None:
    """Say which count of days or seconds numbers may be; None where they are none."""
    for count, (low, high) in _SPANS.items():
        row = connection.execute(
            f"SELECT coalesce(sum(n), 0) FROM seen "
            f"WHERE TRY_CAST(v AS DOUBLE) BETWEEN {low} AND {high}"
        ).fetchone()
        assert row is not None
        if row[0] > _MOST * total:
            return Choice(count, int(row[0]))
    return None


def _plain(name: str) -> str:
    """Return a name in lower case, without signs, and Latin letters without accents."""
    return "".join(map(_base, re.sub(r"[\W_]+", "", name.lower())))


def _base(letter: str) -> str:
    first = unicodedata.normalize("NFKD", letter)[0]
    return first if first.isascii() else letter


def _match(file: Readable, table: Table, seen: list[_Seen]) -> _Guess:
    """Give each column of the table the source column that fits best, each used once."""
    known = _names_of_export(table, seen)
    wanted = [*input_columns(table), *LINE_ATTRIBUTES.get(table.name, ())]
    pairs = sorted(
        (
            (_fit(column, source, table, known), -position, column.name)
            for column in wanted
            for position, source in enumerate(seen)
        ),
        reverse=True,
    )
    columns: dict[str, _Seen] = {}
    score = 0.0
    for fit, place, column in pairs:
        source = seen[-place]
        if fit > 0 and column not in columns and source not in columns.values():
            columns[column] = source
            score += fit
    left = tuple(source for source in seen if source not in columns.values())
    guess = _Guess(file, table, columns, left, 0.0)
    named = any(
        word in name.lower()
        for name in file.names
        for word in FILE_WORDS.get(table.name, (table.name,))
    )
    required = max(1, len([c for c in table.columns if is_required(table, c)]))
    share = 1 - len(guess.missing) / required
    return _Guess(file, table, columns, left, share * (2 + named * 2) + score / 10)


def _names_of_export(table: Table, seen: Sequence[_Seen]) -> dict[str, str]:
    """Return source column to column where the header is that of a known shop system."""
    header = {_plain(source.name) for source in seen}
    return next(
        (
            {source: column for column, source in export.columns.items()}
            for export in EXPORTS
            if export.table == table.name and set(export.columns.values()) <= header
        ),
        {},
    )


def _fit(column: Column, source: _Seen, table: Table, known: dict[str, str]) -> float:
    """Return how well a source column fits, 0 for not at all."""
    name = _plain(source.name)
    synonyms = SYNONYMS.get(column.name.removeprefix("attr_product_"), ())
    if name in known:
        return 2.0 if known[name] == column.name else 0.0
    if name == _plain(column.name):
        fit = 1.0
    elif name in synonyms:
        fit = 0.9 - 0.4 * synonyms.index(name) / len(synonyms)
    elif column.name == "name" and name == f"{table.name.rstrip('s')}name":
        fit = 0.9
    else:
        return 0.0
    if column.kind is Kind.TIMESTAMP and source.times < _MOST:
        fit *= 0.3
    if column.kind in LIMITS and source.numbers < _MOST:
        return 0.0
    return fit


def _best(guesses: list[_Guess]) -> list[_Guess]:
    """One table per file and one file per table, the best guesses first."""
    chosen: list[_Guess] = []
    for guess in sorted(guesses, key=lambda guess: (-guess.score, guess.file.shown)):
        taken = {other.file for other in chosen} | {other.table.name for other in chosen}
        key = [column for column in guess.table.key if column in guess.columns]
        if guess.file not in taken and guess.table.name not in taken and key and guess.score > 1:
            chosen.append(guess)
    order = list(TABLES)
    return sorted(chosen, key=lambda guess: order.index(guess.table.name))


def _draft(folder: Path, guesses: list[_Guess], unused: list[str], encoding: str) -> str:
    lines = [
        f"# Drafted from {folder.name}; read every line, then try it with `nba ingest --check`.",
        "description: a draft",
    ]
    if encoding:
        lines.append(f"encoding: {_scalar(encoding)}")
    lines.append("tables:" if guesses else "tables: {} # name at least `transactions`")
    for guess in guesses:
        lines += _drafted(guess)
    if unused:
        lines.append(f"# no table was found for: {', '.join(unused)}")
    return "\n".join(lines) + "\n"


def _drafted(guess: _Guess) -> list[str]:
    """Return the lines of one table."""
    source = _scalar(guess.file.names[0])
    lines = [f"  {guess.table.name}: # from {guess.file.short}", f"    source: {source}"]
    renamed = {
        column: _scalar(seen.name) for column, seen in guess.columns.items() if column != seen.name
    }
    kinds = {column.name: column.kind for column in input_columns(guess.table)}
    times = {
        column: _reading(seen.time, "moments")
        for column, seen in guess.columns.items()
        if kinds.get(column) in _TIMES and seen.time.chosen != ISO
    }
    numbers = {
        column: _reading(seen.number, "numbers")
        for column, seen in guess.columns.items()
        if kinds.get(column) in LIMITS and (seen.number.chosen or seen.number.rivals)
    }
    discount = guess.columns.get("discount")
    if discount is not None and (0 < discount.largest <= 1 or discount.name in RATES):
        numbers["discount"] = (
            f"{ASK} # like {discount.example!r}: write `point` where it is money off the line; "
            "`derive` it where it is a share"
        )
    for key, pairs in (("rename", renamed), ("times", times), ("numbers", numbers)):
        if pairs:
            lines.append(f"    {key}:")
            lines += [f"      {column}: {text}" for column, text in pairs.items()]
    if guess.missing:
        lines.append(
            f"    # required and not found: {', '.join(guess.missing)} (use `derive` or "
            "`constants`)"
        )
    if guess.left:
        shown = ", ".join(seen.shown() for seen in guess.left)
        lines.append(f"    # left over: {shown} (keep one as attr_…)")
    if guess.table.name == "transactions":
        lines += [
            f"    # {seen.name} holds {seen.no_sale!r}: lines that are no sales; `filter` leaves "
            "them out, `derive` makes their quantity negative"
            for seen in guess.left
            if seen.no_sale
        ]
    return lines


def _reading(choice: Choice, what: str) -> str:
    """Return a reading as it stands in the draft, with a question where nobody can tell."""
    if not choice.rivals:
        return _scalar(choice.chosen)
    rivals = " or ".join(choice.rivals)
    if choice.is_mixed:
        return f"{ASK} # the column mixes {rivals}, as in {choice.example!r}: correct the export"
    return f"{ASK} # {choice.example!r} and all other {what} read as {rivals}: write the right one"


def _scalar(text: str) -> str:
    return yaml.safe_dump(text, allow_unicode=True, width=1000).splitlines()[0]
