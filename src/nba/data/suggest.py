"""Draft a mapping from a folder of unknown files, by names, types and all their values.

The draft is a start for a person: what was guessed is said, what is missing is marked, and where
two readings of a column fit, the draft asks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import yaml

from nba.data import alike, keys, moments, readings, sql
from nba.data.alike import Alike
from nba.data.folder import KINDS, Folder, check_folder, open_folder
from nba.data.lake import connect
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
from nba.data.wordlist import EXPORTS, LINE_ATTRIBUTES, RATES, SYNONYMS, folded_name, is_no_sale
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
    no_sale : tuple of str
        The values of a column of few words by which a line is no sale.
    """

    name: str
    times: float
    numbers: float
    time: Choice
    number: Choice
    example: str = ""
    largest: float = 0.0
    no_sale: tuple[str, ...] = ()

    def shown(self) -> str:
        """Return the column with an example, for a comment."""
        return f"{self.name} (like {self.example!r})" if self.example else self.name


@dataclass(frozen=True)
class _Guess:
    """One file, or files that are alike, taken for one table."""

    files: Alike
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
        with connect() as connection:
            sources = alike.put_together(connection, files, encoding, Path(scratch) / "plain")
            guesses = _best([guess for one in sources for guess in _guesses(connection, one)])
    taken = {one for guess in guesses for one in alike.source(opened, guess.files.files)[1]}
    unused = [one.short for one in files if one not in taken]
    unused += [one.line() for one in opened.unread]
    return _draft(opened, guesses, unused, encoding)


def _guesses(connection: duckdb.DuckDBPyConnection, files: Alike) -> list[_Guess]:
    files.read(connection)
    seen = [_look_at(connection, name) for name in files.columns]
    return [_match(files, table, seen) for table in TABLES.values()]


def _look_at(connection: duckdb.DuckDBPyConnection, name: str) -> _Seen:
    """Read every value of a column and say what they are."""
    value = sql.trimmed(f"CAST({sql.name(name)} AS VARCHAR)")
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


def _no_sale(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Return the values by which a line is a return or was called off, of a column of few words."""
    words = connection.execute(f"SELECT v FROM seen ORDER BY v LIMIT {_FEW_WORDS + 1}").fetchall()
    return tuple(v for (v,) in words if is_no_sale(v)) if len(words) <= _FEW_WORDS else ()


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


def _match(files: Alike, table: Table, seen: list[_Seen]) -> _Guess:
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
    guess = _Guess(files, table, columns, left, 0.0)
    required = max(1, len([c for c in table.columns if is_required(table, c)]))
    share = 1 - len(guess.missing) / required
    score = share * (2 + files.called(table.name) * 2) + score / 10
    return replace(guess, score=score)


def _names_of_export(table: Table, seen: Sequence[_Seen]) -> dict[str, str]:
    """Return source column to column where the header is that of a known shop system."""
    header = {folded_name(source.name) for source in seen}
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
    name = folded_name(source.name)
    synonyms = SYNONYMS.get(column.name.removeprefix("attr_product_"), ())
    if name in known:
        return 2.0 if known[name] == column.name else 0.0
    if name == folded_name(column.name):
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
    """One table per source and one source per table, the best guesses first.

    Files with the columns of a source that is taken are more of it, or of what is called so.
    """
    chosen: list[_Guess] = []
    for guess in sorted(guesses, key=lambda guess: (-guess.score, guess.files.shown)):
        tables = {other.table.name for other in chosen}
        is_taken = any(
            other.files is guess.files
            or (other.files.words == guess.files.words and not guess.files.called(guess.table.name))
            for other in chosen
        )
        key = [column for column in guess.table.key if column in guess.columns]
        if not is_taken and guess.table.name not in tables and key and guess.score > 1:
            chosen.append(guess)
    order = list(TABLES)
    return sorted(chosen, key=lambda guess: order.index(guess.table.name))


def _draft(folder: Folder, guesses: list[_Guess], unused: list[str], encoding: str) -> str:
    lines = [
        f"# Drafted from {folder.path.name}; read every line, then try it with "
        "`nba ingest --check`.",
        "description: a draft",
    ]
    if encoding:
        lines.append(f"encoding: {_scalar(encoding)}")
    lines.append("tables:" if guesses else "tables: {} # name at least `transactions`")
    for guess in guesses:
        lines += _drafted(folder, guess)
    if unused:
        lines.append(f"# no table was found for: {', '.join(unused)}")
    return "\n".join(lines) + "\n"


def _drafted(folder: Folder, guess: _Guess) -> list[str]:
    """Return the lines of one table."""
    lines = _source(folder, guess)
    spellings = {column: guess.files.columns[seen.name] for column, seen in guess.columns.items()}
    renamed = {column: _scalars(names) for column, names in spellings.items() if names != (column,)}
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
            f"    # {seen.name} holds {', '.join(map(repr, seen.no_sale))}: lines that are no "
            "sales; `filter` leaves them out, `derive` makes their quantity negative"
            for seen in guess.left
            if seen.no_sale
        ]
    return lines


def _source(folder: Folder, guess: _Guess) -> list[str]:
    """Return the lines that say which files are read."""
    pattern, files = alike.source(folder, guess.files.files)
    shown = ", ".join(one.short for one in files)
    lines = [f"  {guess.table.name}: # from {shown}", f"    source: {_scalar(pattern)}"]
    if len(files) > 1:
        lines.append(
            f"    # {len(files)} files with the same columns, read as one; where they hold the "
            "same lines, add `overlap: true`"
        )
    return lines


def _reading(choice: Choice, what: str) -> str:
    """Return a reading as it stands in the draft, with a question where nobody can tell."""
    if not choice.rivals:
        return _scalar(choice.chosen)
    rivals = " or ".join(choice.rivals)
    if choice.is_mixed:
        return f"{ASK} # the column mixes {rivals}, as in {choice.example!r}: correct the export"
    return f"{ASK} # {choice.example!r} and all other {what} read as {rivals}: write the right one"


def _scalars(texts: Sequence[str]) -> str:
    """Return one text as it stands in the draft, or several as a list."""
    if len(texts) == 1:
        return _scalar(texts[0])
    return yaml.safe_dump(list(texts), allow_unicode=True, width=1000, default_flow_style=True)[:-1]


def _scalar(text: str) -> str:
    return yaml.safe_dump(text, allow_unicode=True, width=1000).splitlines()[0]
