"""Files of a folder that are one source: the months of an export, the sheets of a year."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path

import duckdb

from nba.data import sql
from nba.data.folder import PARQUET, Folder, Readable
from nba.data.readers import Dialect, FileGroup, group, headings
from nba.data.staging import reading
from nba.data.wordlist import FILE_WORDS, KNOWN_NAMES, folded_name
from nba.errors import InputRefusedError

_numbers = count()


@dataclass(frozen=True)
class Alike:
    """Files with the same columns whose names say the same.

    Parameters
    ----------
    files : tuple of Readable
    columns : dict of str to tuple of str
        Column of the first file to every way in which the files write its name, its own first.
    parts : tuple of (FileGroup, dict of str to str)
        Each file as it is read, with its own columns by those of the first.
    """

    files: tuple[Readable, ...]
    columns: dict[str, tuple[str, ...]]
    parts: tuple[tuple[FileGroup, dict[str, str]], ...]

    @property
    def shown(self) -> str:
        """The files as people call them."""
        return ", ".join(one.short for one in self.files)

    @property
    def words(self) -> frozenset[str]:
        """The names of the columns without regard to signs and letters' size."""
        return frozenset(map(folded_name, self.columns))

    def called(self, table: str) -> bool:
        """Whether a file's own name says that it holds `table`."""
        return any(table in _tables(name) for one in self.files for name in one.plain_names)

    def read(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Write all rows into the temporary table `whole`, as text, by the first file's columns."""
        selects = []
        for files, columns in self.parts:
            texts = ", ".join(
                f"CAST({sql.name(own)} AS VARCHAR) AS {sql.name(name)}"
                for name, own in columns.items()
            )
            # lines that are no records are for the load to tell
            selects.append(f"SELECT {texts} FROM {files.scan(f'broken_{next(_numbers)}')}")
        for number, select in enumerate(selects):
            start = "INSERT INTO whole" if number else "CREATE OR REPLACE TEMP TABLE whole AS"
            with reading("the draft", self.files[number].short):
                connection.execute(f"{start} {select}")


def put_together(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Readable],
    encoding: str,
    scratch: Path,
) -> list[Alike]:
    """Return the files by their columns; names of other tables keep files apart.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    files : sequence of Readable
    encoding : str
        Of files of text; empty: recognised.
    scratch : Path
        A folder for expanded copies.

    Raises
    ------
    InputRefusedError
        Where a file cannot be read.
    """
    found: dict[tuple[object, ...], list[tuple[Readable, FileGroup]]] = {}
    for one in files:
        hints = _known_names(one, encoding, scratch / "headings")
        described = group(connection, [one], Dialect(encoding=encoding), scratch, hints)[0]
        header = tuple(sorted(map(folded_name, described.columns)))
        tables = frozenset(table for name in one.names for table in _tables(name))
        found.setdefault((header, tables), []).append((one, described))
    return [_alike(parts) for parts in found.values()]


def _known_names(one: Readable, encoding: str, scratch: Path) -> frozenset[str]:
    """Return the names of columns in a file's first lines that a table may have."""
    if one.name.endswith(PARQUET):
        return frozenset()
    lines = headings(one, encoding, scratch, frozenset())
    names = {name for files in lines for name in files.columns}
    return frozenset(name for name in names if folded_name(name) in KNOWN_NAMES)


def _alike(parts: Sequence[tuple[Readable, FileGroup]]) -> Alike:
    first = sorted(parts[0][1].columns, key=_order)
    own = [dict(zip(first, sorted(one.columns, key=_order), strict=True)) for _, one in parts]
    columns = {
        name: tuple(dict.fromkeys(names[name] for names in own)) for name in parts[0][1].columns
    }
    described = [described for _, described in parts]
    return Alike(tuple(one for one, _ in parts), columns, tuple(zip(described, own, strict=True)))


def _order(name: str) -> tuple[str, str]:
    return folded_name(name), name


def _tables(name: str) -> set[str]:
    """Return the tables of which a file's name speaks."""
    return {
        table for table, words in FILE_WORDS.items() if any(word in name.lower() for word in words)
    }


def source(folder: Folder, files: Sequence[Readable]) -> tuple[str, list[Readable]]:
    """Return the pattern by which a mapping names files of a folder, and those that it finds.

    Where no `*` finds them and no others, they are listed.
    """
    short, full = (
        list(dict.fromkeys(names))
        for names in ([one.names[0] for one in files], [one.own_name for one in files])
    )
    patterns = [_wildcard(short), _wildcard(full), _listed(full)]
    best: tuple[str, list[Readable]] = patterns[-1], []
    for pattern in filter(None, patterns):
        try:
            found = folder.find([pattern])
        except InputRefusedError:
            continue  # told by the load
        if set(found) <= set(files) and len(found) > len(best[1]):
            best = pattern, found
    return best if best[1] else (best[0], list(files))


def _wildcard(names: Sequence[str]) -> str:
    """Return what names have in common, with `*` for the rest; empty where that is nothing.

    >>> _wildcard(["sales"])
    'sales'
    >>> _wildcard(["sales-2024-01", "sales-2024-02"]), _wildcard(["year/Jan", "year/Jun"])
    ('sales-2024-*', 'year/*')
    >>> _wildcard(["Jan", "Jun"])
    ''
    """
    if len(names) == 1:
        return glob.escape(names[0])
    pieces = [re.findall(r"\d+|[^\W\d_]+|[\W_]", name) for name in names]
    start = _common(pieces)
    rest = [piece[len(start) :][::-1] for piece in pieces]
    end = _common(rest)[::-1]
    if not any(piece.isalnum() for piece in (*start, *end)):
        return ""
    return f"{_escaped(''.join(start))}*{_escaped(''.join(end))}"


def _common(pieces: Sequence[Sequence[str]]) -> list[str]:
    """Return the pieces with which all begin."""
    same = takewhile(lambda column: len(set(column)) == 1, zip(*pieces, strict=False))
    return [column[0] for column in same]


def _listed(names: Sequence[str]) -> str:
    return f"{{{','.join(map(_escaped, names))}}}"


def _escaped(name: str) -> str:
    return re.sub("[{},]", "?", glob.escape(name))
