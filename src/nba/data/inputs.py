"""Where the rows of a table come from: Parquet, CSV, a query over several, rows tried again.

Each input yields a relation with the columns `_file` and `_line`, and keeps apart the CSV lines
that are no records.
"""

from __future__ import annotations

from collections.abc import Mapping as Dict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from nba.data import quotes, sql
from nba.data.folder import SourceFile
from nba.data.readers import FileGroup
from nba.errors import InputRefusedError

FILE, LINE = "_file", "_line"
#: What DuckDB calls a quote that never ends; it swallows the lines after it.
_QUOTE_ERRORS = ("UNQUOTED VALUE", "LINE SIZE OVER MAXIMUM")
#: What is expected of a line of CSV, by what DuckDB says is wrong with it.
_EXPECTED: Final = {
    "TOO MANY COLUMNS": "as many fields as the header has",
    "MISSING COLUMNS": "as many fields as the header has",
    "INVALID ENCODING": "text in the encoding of the other lines",
}
_numbers = count()


@dataclass(frozen=True)
class Source:
    """A relation that rows are taken from, and what is known about it.

    Parameters
    ----------
    relation : str
        SQL of the FROM clause; has the columns `_file` and `_line` besides its own.
    columns : dict of str to str
        Source column to DuckDB type.
    shown : str
        The file, for messages.
    header : dict of str to str
        For CSV, where a header can stand twice: column to its name in the header.
    """

    relation: str
    columns: dict[str, str]
    shown: str
    header: dict[str, str] = field(default_factory=dict)


class Input:
    """Files of equal columns, or rows that are tried again.

    Attributes
    ----------
    files : list of SourceFile
    names : dict of str to str
        File as read to file as shown.
    rejected : str
        The temporary table (file, line, column, content, message) of CSV lines that are no
        records; empty where there can be none.
    encoding : str
        Of CSV files, where only their bytes say it and it is not UTF-8.
    titles : dict of str to (int, str)
        CSV file as shown to how many lines stand above its header, and the first of them.
    """

    def __init__(self, files: list[SourceFile]) -> None:
        self.files = files
        self.names: dict[str, str] = {}
        self.rejected = ""
        self.encoding = ""
        self.titles: dict[str, tuple[int, str]] = {}

    @property
    def shown(self) -> list[str]:
        """What reports call the files."""
        return list(self.names.values()) or [str(file.path) for file in self.files]

    def source(self, *, with_lines: bool = False) -> Source:
        """Return the relation; CSV lines are numbered only on demand, since that is slow."""
        raise NotImplementedError

    def settle(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """After a scan: take note of rejected lines; return whether to scan once more."""
        return False


class ParquetInput(Input):
    """Parquet files with equal columns."""

    def __init__(self, group: FileGroup, aliases: Dict[str, str]) -> None:
        super().__init__(list(group.files))
        self._group = group
        self._aliases = aliases
        self.names = dict(group.read_from)

    def source(self, *, with_lines: bool = False) -> Source:
        """Return the relation; rows of Parquet know their number."""
        return _renamed(self._group, self._aliases, "file_row_number + 1", "")


class CsvInput(Input):
    """CSV files with an equal header."""

    def __init__(self, group: FileGroup, aliases: Dict[str, str], scratch: Path) -> None:
        super().__init__(list(group.files))
        self._group = group
        self._aliases = aliases
        self._scratch = scratch
        self._repaired = False
        self._scan = ""
        self.names = dict(group.read_from)
        self.encoding = group.encoding
        self.titles = {shown: (group.above, title) for shown, title in group.titles.items()}

    def source(self, *, with_lines: bool = False) -> Source:
        """Return the relation of a new scan."""
        line = "NULL::BIGINT"
        if with_lines:
            over = "" if len(self._group.paths) == 1 else f"PARTITION BY {FILE}"
            line = f"row_number() OVER ({over}) + {self._group.first_line}"
        self._scan = f"rejects_{next(_numbers)}"
        return _renamed(self._group, self._aliases, line, self._scan)

    def settle(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Collect rejected lines; where a quote is broken, set those lines aside."""
        if not self.rejected:
            self.rejected = f"rejected_{next(_numbers)}"
            connection.execute(
                f"CREATE TEMP TABLE {self.rejected} (file VARCHAR, line BIGINT, "
                '"column" VARCHAR, content VARCHAR, message VARCHAR)'
            )
        if self._has_broken_quotes(connection) and not self._repaired:
            self._repaired = True
            self._group = _without_broken_quotes(
                connection, self._group, self.rejected, self._scratch
            )
            self.names = dict(self._group.read_from)
            return True
        cases = " ".join(
            f"WHEN {sql.text(kind)} THEN {sql.text(text)}" for kind, text in _EXPECTED.items()
        )
        expected = f"CASE CAST(r.error_type AS VARCHAR) {cases} ELSE r.error_message END"
        connection.execute(
            f"""INSERT INTO {self.rejected}
            SELECT s.file_path, r.line, coalesce(first(r.column_name), ''), first(r.csv_line),
                first({expected})
            FROM {self._scan} AS r JOIN {self._scan}_scan AS s USING (scan_id, file_id)
            WHERE NOT EXISTS (SELECT 1 FROM {self.rejected} AS k
                WHERE k.file = s.file_path AND k.content = r.csv_line)
            GROUP BY ALL"""
        )
        return False

    def _has_broken_quotes(self, connection: duckdb.DuckDBPyConnection) -> bool:
        row = connection.execute(
            f"SELECT 1 FROM {self._scan} WHERE error_type IN ({sql.texts(_QUOTE_ERRORS)}) LIMIT 1"
        ).fetchone()
        return row is not None


class QueryInput(Input):
    """A mapping's SELECT over named sources, each of which is a view."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, query: str, inputs: Sequence[Input]
    ) -> None:
        super().__init__([file for incoming in inputs for file in incoming.files])
        for incoming in inputs:
            self.names |= incoming.names
            self.titles |= incoming.titles
        self._query = query
        self._shown = " + ".join(Path(name).name for name in self.names.values())
        try:
            rows = connection.execute(f"DESCRIBE SELECT * FROM ({query})").fetchall()
        except (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException) as error:
            raise InputRefusedError(
                f"the query of the mapping does not fit {self._shown}",
                expected="columns that the files have",
                found=str(error).splitlines()[0],
                next_step="check the files, or correct `query` in the mapping",
            ) from error
        self._columns = {row[0]: row[1] for row in rows}

    def source(self, *, with_lines: bool = False) -> Source:
        """Return the query's relation; a line is the number of the query's row."""
        relation = (
            f"(SELECT *, {sql.text(self._shown)} AS {FILE}, row_number() OVER () AS {LINE} "
            f"FROM ({self._query}))"
        )
        return Source(relation, self._columns, self._shown)


class RowsInput(Input):
    """Rows that know where they come from: a Parquet file of text with `_file` and `_line`.

    What the quarantine held, or what was made of files that are named.
    """

    def __init__(self, path: Path, columns: list[str], files: Sequence[SourceFile] = ()) -> None:
        super().__init__(list(files))
        self._path = path
        self._columns = columns

    def source(self, *, with_lines: bool = False) -> Source:
        """Return the relation; file and line are those of the rows."""
        shown = " + ".join(file.path.name for file in self.files) or "the quarantine"
        return Source(sql.parquet([self._path]), dict.fromkeys(self._columns, "VARCHAR"), shown)


def _renamed(group: FileGroup, aliases: Dict[str, str], line: str, rejects: str) -> Source:
    known = {old: new for old, new in aliases.items() if old in group.columns}
    renamed = ", ".join(
        f"{sql.trimmed(sql.name(name)) if type_ == 'VARCHAR' else sql.name(name)} "
        f"AS {sql.name(known.get(name, name))}"
        for name, type_ in group.columns.items()
    )
    relation = f"(SELECT {renamed}, {FILE}, {line} AS {LINE} FROM {group.scan(rejects)})"
    columns = {known.get(name, name): type_ for name, type_ in group.columns.items()}
    header = {known.get(name, name): name for name in group.columns}
    header = header if group.is_text and group.has_header else {}
    return Source(relation, columns, group.shown, header)


def _without_broken_quotes(
    connection: duckdb.DuckDBPyConnection, group: FileGroup, rejected: str, scratch: Path
) -> FileGroup:
    """Return copies of the files without the lines whose quote does not end in their record."""
    copies: dict[str, str] = {}
    grammar = quotes.Grammar(group.delimiter, len(group.columns))
    for path, shown in group.read_from.items():
        target = scratch / f"repaired-{next(_numbers)}.csv"
        broken = quotes.set_aside(Path(path), target, grammar, group.first_line)
        connection.register("broken_lines", pl.DataFrame(broken, ("line", "content"), orient="row"))
        connection.execute(
            f"INSERT INTO {rejected} SELECT {sql.text(str(target))}, line, '', content, "
            "'quotes that end within their record' FROM broken_lines"
        )
        connection.unregister("broken_lines")
        copies[str(target)] = shown
    return replace(group, read_from=copies)


def materialise(connection: duckdb.DuckDBPyConnection, incoming: Input, target: Path) -> str:
    """Write an input's rows to Parquet once, and return the relation of that file."""
    for _ in range(2):
        source = incoming.source()
        columns = sql.names(source.columns)
        connection.execute(
            f"COPY (SELECT {columns} FROM {source.relation}) TO {sql.text(str(target))} "
            "(FORMAT parquet, COMPRESSION lz4)"
        )
        if not incoming.settle(connection):
            break
    return sql.parquet([target])
