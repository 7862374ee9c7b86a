"""Draft a mapping from a folder of unknown files, by names, types and values.

The draft is a start for a person: what was guessed is said, what is missing is marked.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
import yaml

from nba.data import sql
from nba.data.lake import connect
from nba.data.readers import SUFFIXES, Dialect, FileGroup, base_name, group
from nba.data.rules import input_columns, is_required
from nba.data.wordlist import FILE_WORDS, SYNONYMS
from nba.errors import InputRefusedError
from nba.schema.tables import TABLES, Column, Kind, Table

SAMPLE_ROWS = 5000
#: Times that are not ISO 8601, the most telling first.
TIME_FORMATS = (
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y%m%d",
)
_NUMERIC = (Kind.MONEY, Kind.QUANTITY, Kind.NUMBER, Kind.INTEGER)


@dataclass(frozen=True)
class _Seen:
    """One source column: its name, and what its values read as.

    Parameters
    ----------
    name : str
    times, numbers : float
        Shares of values that read as a time or a number.
    time_format : str
        Of times that are not ISO 8601, else empty.
    comma : bool
        Numbers have a decimal comma.
    example : str
    """

    name: str
    times: float
    numbers: float
    time_format: str = ""
    comma: bool = False
    example: str = ""

    def shown(self) -> str:
        """Return the column with an example, for a comment."""
        return f"{self.name} (like {self.example!r})" if self.example else self.name


@dataclass(frozen=True)
class _Guess:
    """One file taken for one table."""

    path: Path
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


def suggest_mapping(folder: Path | str) -> str:
    """Return the draft of a mapping for the files of `folder`, as YAML with comments.

    Parameters
    ----------
    folder : Path or str

    Returns
    -------
    str
        Tables with `source` and `rename`; comments name required columns that were not found
        and source columns that were left over.

    Raises
    ------
    InputRefusedError
        Where the folder is missing or holds no file that can be read.
    """
    folder = Path(folder)
    paths = [path for path in sorted(folder.glob("*")) if path.name.endswith(SUFFIXES)]
    if not paths:
        raise InputRefusedError(
            f"the folder {folder} holds no tables",
            expected="CSV or Parquet files",
            found=", ".join(path.name for path in sorted(folder.glob("*"))[:10]) or "nothing",
            next_step="check the path",
        )
    guesses = _best([guess for path in paths for guess in _guesses(path)])
    unused = [path.name for path in paths if path not in {guess.path for guess in guesses}]
    return _draft(folder, guesses, unused)


def _guesses(path: Path) -> list[_Guess]:
    with connect() as connection, tempfile.TemporaryDirectory(prefix="nba-suggest-") as scratch:
        one = group(connection, [path], Dialect(), Path(scratch))[0]
        seen = _look(connection, one)
    return [_match(path, table, seen) for table in TABLES.values()]


def _look(connection: duckdb.DuckDBPyConnection, one: FileGroup) -> list[_Seen]:
    """Read a sample and say what its columns hold."""
    return [_look_at(connection, one, name) for name in one.columns]


def _look_at(connection: duckdb.DuckDBPyConnection, one: FileGroup, name: str) -> _Seen:
    number, iso = "TRY_CAST(v AS DOUBLE)", "TRY_CAST(v AS TIMESTAMP)"
    comma = "TRY_CAST(replace(replace(v, '.', ''), ',', '.') AS DOUBLE)"
    shares = [f"count(*) FILTER (WHERE {iso} IS NOT NULL AND {number} IS NULL)"]
    shares.append(f"count({number})")
    shares.append(f"count(*) FILTER (WHERE {number} IS NOT NULL OR {comma} IS NOT NULL)")
    shares += [f"count(try_strptime(v, {sql.text(format_)}))" for format_ in TIME_FORMATS]
    value = f"nullif(CAST({sql.name(name)} AS VARCHAR), '')"
    row = connection.execute(
        f"SELECT count(v), min(v), {', '.join(shares)} "
        f"FROM (SELECT {value} AS v FROM {one.scan()} LIMIT {SAMPLE_ROWS})"
    ).fetchone()
    assert row is not None
    filled, example, times, numbers, with_comma, *formats = row
    total = max(filled, 1)
    best = max(range(len(formats)), key=lambda place: formats[place])
    named = formats[best] > times and formats[best] > total / 2
    return _Seen(
        name,
        max(times, formats[best] if named else 0) / total,
        max(numbers, with_comma) / total,
        TIME_FORMATS[best] if named else "",
        with_comma > numbers and not named,
        (example or "")[:20],
    )


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _match(path: Path, table: Table, seen: list[_Seen]) -> _Guess:
    """Give each column of the table the source column that fits best, each used once."""
    pairs = sorted(
        (
            (_fit(column, source, table), -position, column.name)
            for column in input_columns(table)
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
    guess = _Guess(path, table, columns, left, 0.0)
    name = base_name(path).lower()
    words = FILE_WORDS.get(table.name, (table.name,))
    named = max((1.0 - 0.1 * rank for rank, word in enumerate(words) if word in name), default=0.0)
    required = max(1, len([c for c in table.columns if is_required(table, c)]))
    share = 1 - len(guess.missing) / required
    return _Guess(path, table, columns, left, share * (2 + named * 2) + score / 10)


def _fit(column: Column, source: _Seen, table: Table) -> float:
    """Return how well a source column fits, 0 for not at all."""
    name = _plain(source.name)
    synonyms = SYNONYMS.get(column.name, ())
    if name == _plain(column.name):
        fit = 1.0
    elif name in synonyms:
        fit = 0.9 - 0.4 * synonyms.index(name) / len(synonyms)
    elif column.name == "name" and name == f"{table.name.rstrip('s')}name":
        fit = 0.9
    else:
        return 0.0
    if column.kind is Kind.TIMESTAMP and source.times < 0.5:
        fit *= 0.3
    if column.kind in _NUMERIC and source.numbers < 0.5:
        return 0.0
    return fit


def _best(guesses: list[_Guess]) -> list[_Guess]:
    """One table per file and one file per table, the best guesses first."""
    chosen: list[_Guess] = []
    for guess in sorted(guesses, key=lambda guess: (-guess.score, str(guess.path))):
        taken = {other.path for other in chosen} | {other.table.name for other in chosen}
        key = [column for column in guess.table.key if column in guess.columns]
        if guess.path not in taken and guess.table.name not in taken and key and guess.score > 1:
            chosen.append(guess)
    order = list(TABLES)
    return sorted(chosen, key=lambda guess: order.index(guess.table.name))


def _draft(folder: Path, guesses: list[_Guess], unused: list[str]) -> str:
    lines = [
        f"# Drafted from {folder.name}; read every line, then try it with `nba ingest --check`.",
        "description: a draft",
    ]
    found = {seen.time_format for guess in guesses for seen in guess.columns.values()}
    formats = [format_ for format_ in TIME_FORMATS if format_ in found]
    if formats:
        lines.append(f"time_formats: {yaml.safe_dump(formats, default_flow_style=True).strip()}")
    lines.append("tables:" if guesses else "tables: {} # name at least `transactions`")
    for guess in guesses:
        lines += _drafted(guess)
    if unused:
        lines.append(f"# no table was found for: {', '.join(unused)}")
    return "\n".join(lines) + "\n"


def _drafted(guess: _Guess) -> list[str]:
    """Return the lines of one table."""
    source = _scalar(base_name(guess.path))
    lines = [f"  {guess.table.name}: # from {guess.path.name}", f"    source: {source}"]
    derived = {
        column: f"replace(replace({sql.name(seen.name)}, '.', ''), ',', '.')"
        for column, seen in guess.columns.items()
        if seen.comma and guess.table.by_name[column].kind in _NUMERIC
    }
    renamed = {
        column: seen.name
        for column, seen in guess.columns.items()
        if column != seen.name and column not in derived
    }
    for key, pairs in (("rename", renamed), ("derive", derived)):
        if pairs:
            lines.append(f"    {key}:")
            lines += [f"      {column}: {_scalar(text)}" for column, text in pairs.items()]
    if guess.missing:
        lines.append(
            f"    # required and not found: {', '.join(guess.missing)} (use `derive` or "
            "`constants`)"
        )
    if guess.left:
        shown = ", ".join(seen.shown() for seen in guess.left)
        lines.append(f"    # left over: {shown} (keep one as attr_…)")
    return lines


def _scalar(text: str) -> str:
    return yaml.safe_dump(text, allow_unicode=True, width=1000).splitlines()[0]
