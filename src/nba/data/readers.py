"""Describe the files of a source: Parquet, text in columns, gzipped or not.

Nothing is read here beyond a header or a footer; what comes out is SQL that DuckDB runs.
CSV columns always arrive as text, Parquet columns with the types that the file declares.
"""

from __future__ import annotations

import gzip
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from nba.data import encodings, sql
from nba.data.folder import PARQUET, Readable, SourceFile
from nba.errors import InputRefusedError

DELIMITERS = (",", ";", "\t", "|")
HEADER_BYTES = 1 << 20
#: The header of an export stands in one of so many lines: a title may stand above it.
ABOVE = 12
#: The first line by which Excel is told the separator.
_SEPARATOR = re.compile(r'"?sep=([^\w\s"]|\t)"?[,;\t|]*', re.IGNORECASE)
#: A line with so many of the expected columns is the header.
_KNOWN = 2
#: How its lines end shows in so many bytes.
_START = 1 << 16
_EMPTY = "an empty file (0 bytes)"
#: A name of a column that is a number, a date or a time.
_DATA_LIKE = re.compile(r"[-+]?\d+([.,:/-]\d+)*( \d+:\d+(:\d+)?)?", re.ASCII)


@dataclass(frozen=True)
class Dialect:
    """How CSV files are written.

    Parameters
    ----------
    delimiter : str
        Found from the header if empty.
    encoding : str
        Recognised if empty.
    header : tuple of str
        The columns of files without a header line; empty where the first line names them.
    """

    delimiter: str = ""
    encoding: str = ""
    header: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileGroup:
    """Files with the same columns, read by one scan.

    Parameters
    ----------
    files : tuple of SourceFile
    columns : dict of str to str
        Source column to DuckDB type.
    is_text : bool
        Whether the columns are CSV text.
    delimiter : str
        Of the CSV files.
    read_from : dict of str to str
        Where the bytes really are (the file, or an expanded or cleaned copy): path read to what
        reports call it.
    has_header : bool
        Whether the first line of a CSV file names its columns.
    above : int
        Lines above the one that names the columns, such as a title.
    titles : dict of str to str
        What reports call a CSV file to the first of these lines, where it is more than a
        separator for Excel.
    encoding : str
        Of CSV files, where it was recognised by other than a mark, and is not UTF-8;
        `nba.data.encodings.OTHER` where nobody can tell.
    """

    files: tuple[SourceFile, ...]
    columns: dict[str, str]
    is_text: bool
    delimiter: str = ","
    read_from: dict[str, str] = field(default_factory=dict)
    has_header: bool = True
    above: int = 0
    encoding: str = ""
    titles: dict[str, str] = field(default_factory=dict)

    @property
    def first_line(self) -> int:
        """The number of the line before the first row."""
        return self.above + int(self.has_header)

    @property
    def paths(self) -> list[str]:
        """The paths that are read."""
        return list(self.read_from)

    @property
    def shown(self) -> str:
        """What reports call the first of them."""
        return next(iter(self.read_from.values()))

    def scan(self, rejects: str = "") -> str:
        """Return the FROM expression; lines that are no records go to the table `rejects`."""
        listed = sql.texts(self.paths)
        if not self.is_text:
            return f"read_parquet([{listed}], filename = '_file', file_row_number = true)"
        columns = ", ".join(f"{sql.text(column)}: 'VARCHAR'" for column in self.columns)
        options = [
            f"columns = {{{columns}}}",
            f"auto_detect = false, header = {str(self.has_header).lower()}, skip = {self.above}",
            "quote = '\"', escape = '\"'",
            f"delim = {sql.text(self.delimiter)}, filename = '_file', null_padding = false",
        ]
        if rejects:
            options.append(
                f"store_rejects = true, rejects_limit = 0, rejects_table = {sql.text(rejects)}, "
                f"rejects_scan = {sql.text(rejects + '_scan')}"
            )
        return f"read_csv([{listed}], {', '.join(options)})"


def group(
    connection: duckdb.DuckDBPyConnection,
    files: Iterable[Readable],
    dialect: Dialect,
    scratch: Path,
    hints: frozenset[str] = frozenset(),
) -> list[FileGroup]:
    """Describe files and put those with equal columns together.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    files : iterable of Readable
    dialect : Dialect
    scratch : Path
        A folder for expanded copies.
    hints : frozenset of str
        Column names to be expected; they decide between possible delimiters.

    Raises
    ------
    InputRefusedError
        Where a file is empty, truncated, not what its name says, or in an encoding that nobody
        can tell.
    """
    groups: dict[tuple[object, ...], FileGroup] = {}
    for one in files:
        described = (
            _describe_parquet(connection, one)
            if one.name.endswith(PARQUET)
            else _describe_csv(one, dialect, scratch, hints)
        )
        written = (described.is_text, described.delimiter, described.encoding, described.above)
        key = (*written, tuple(described.columns.items()))
        seen = groups.get(key)
        groups[key] = described if seen is None else _joined(seen, described)
    return list(groups.values())


def _joined(left: FileGroup, right: FileGroup) -> FileGroup:
    return replace(
        left,
        files=left.files + right.files,
        read_from={**left.read_from, **right.read_from},
        titles={**left.titles, **right.titles},
    )


def _unreadable(shown: str, expected: str, found: str) -> InputRefusedError:
    return InputRefusedError(
        f"the file {shown} cannot be read",
        expected=expected,
        found=found,
        next_step="export or copy the file again, then repeat the load; nothing was loaded",
    )


def _describe_parquet(connection: duckdb.DuckDBPyConnection, one: Readable) -> FileGroup:
    size = one.path.stat().st_size
    if size == 0:
        raise _unreadable(one.shown, "a Parquet file", _EMPTY)
    try:
        pq.read_metadata(one.path)
        rows = connection.execute(
            f"DESCRIBE SELECT * FROM read_parquet({sql.text(str(one.path))})"
        ).fetchall()
    except (pa.ArrowException, OSError, duckdb.Error) as error:
        reason = str(error).splitlines()[0]
        raise _unreadable(
            one.shown, "a complete Parquet file", f"{size} bytes: {reason}"
        ) from error
    columns = {row[0]: row[1] for row in rows}
    return FileGroup((one.file,), columns, False, read_from={str(one.path): one.shown})


def _describe_csv(
    one: Readable, dialect: Dialect, scratch: Path, hints: frozenset[str]
) -> FileGroup:
    plain, recognised = _plain(one, dialect.encoding, scratch)
    if recognised == encodings.OTHER:
        raise encodings.refusal(one.shown, plain)
    lines = _first_lines(plain, one.shown)
    said = _SEPARATOR.fullmatch(lines[0])
    above = start = int(said is not None)
    known = dialect.delimiter or (said[1] if said else "")
    if not dialect.header:
        above += _lines_above(lines[start:], known, hints)
    header = _checked_header(lines[above] if above < len(lines) else "", one.shown)
    delimiter = known or _delimiter(header, hints)
    columns = list(dialect.header) or _header_columns(header, delimiter, one.shown)
    title = next(filter(str.strip, lines[start:above]), "")
    return FileGroup(
        (one.file,),
        dict.fromkeys(columns, "VARCHAR"),
        True,
        delimiter,
        {str(plain): one.shown},
        has_header=not dialect.header,
        above=above,
        encoding=recognised,
        titles={one.shown: title} if above > start else {},
    )


def _lines_above(lines: Sequence[str], delimiter: str, hints: frozenset[str]) -> int:
    """Return how many lines stand above the header: some where one line alone looks like it."""
    known = [len(hints & set(_split(line, delimiter or _delimiter(line, hints)))) for line in lines]
    headers = [place for place, number in enumerate(known) if number >= _KNOWN]
    return headers[0] if len(headers) == 1 and not any(known[: headers[0]]) else 0


def headings(
    one: Readable, encoding: str, scratch: Path, hints: frozenset[str]
) -> Iterator[FileGroup]:
    """Describe a CSV file as if each of its first lines named its columns.

    Parameters
    ----------
    one : Readable
    encoding : str
        Of the file; empty: recognised.
    scratch : Path
        A folder for an expanded copy.
    hints : frozenset of str
        Column names to be expected; they decide between possible delimiters.

    Yields
    ------
    FileGroup
        A name that stands twice has a number.

    Raises
    ------
    InputRefusedError
        Where the file is empty, damaged, or not in the encoding that was named.
    """
    plain, recognised = _plain(one, encoding, scratch)
    with plain.open("rb") as stream:
        for above, raw in enumerate(islice(stream, ABOVE)):
            header = raw[:HEADER_BYTES].decode("utf-8-sig", errors="replace").strip("\r\n\ufeff")
            delimiter = _delimiter(header, hints)
            columns = _numbered(_split(header, delimiter))
            yield FileGroup(
                (one.file,),
                dict.fromkeys(columns, "VARCHAR"),
                True,
                delimiter,
                {str(plain): one.shown},
                above=above,
                encoding=recognised,
            )


def _ended_alike(plain: Path, scratch: Path) -> Path:
    """Return the file, or a copy where its first lines do not all end in one of the usual ways."""
    with plain.open("rb") as stream:
        start = stream.read(_START)
    ends = {line.endswith(b"\r") for line in start.split(b"\n")[:ABOVE]}
    if start.count(b"\r") == start.count(b"\r\n") and len(ends) == 1:
        return plain
    target = _new_file(plain, scratch)
    with (
        plain.open(encoding=encodings.UTF_8, errors="surrogateescape") as source,
        target.open("w", encoding=encodings.UTF_8, errors="surrogateescape", newline="\n") as copy,
    ):
        shutil.copyfileobj(source, copy, 1 << 20)
    return target


def _numbered(names: Sequence[str]) -> list[str]:
    """Return names of columns of which none is empty and none stands twice.

    >>> _numbered(["Tags", "", "Tags"])
    ['Tags', 'column_2', 'Tags (2)']
    """
    found: list[str] = []
    for place, name in enumerate(names, start=1):
        times = list(names[:place]).count(name)
        found.append((f"{name} ({times})" if times > 1 else name) if name else f"column_{place}")
    return found


def _plain(one: Readable, encoding: str, scratch: Path) -> tuple[Path, str]:
    """Return a plain UTF-8 file, and the encoding where nothing but its bytes says it.

    The file is the path itself, or an expanded copy of it. Where no encoding is named it is
    recognised; what is in another one is left as it is.
    """
    path = one.path
    if path.stat().st_size == 0:
        raise _unreadable(one.shown, "a header line with the column names", _EMPTY)
    is_packed = one.name.endswith(".gz")
    try:
        recognised = "" if encoding else encodings.detect(path)
        written = encoding or recognised
        if encodings.is_utf8(written) or written == encodings.OTHER:
            plain = _expanded(path, scratch) if is_packed else path
        else:
            plain = _new_file(path, scratch)
            encodings.transcode(path, written, plain)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _unreadable(one.shown, "a complete gzip file", f"a damaged one: {error}") from error
    except (LookupError, UnicodeError) as error:
        raise _unreadable(one.shown, f"text in the encoding {written}", str(error)) from error
    said = recognised in (encodings.UTF_8, encodings.UTF_16, encodings.UTF_32)
    return _ended_alike(plain, scratch), "" if said else recognised


def _expanded(path: Path, scratch: Path) -> Path:
    """Expand a file: DuckDB reads a truncated gzip without a word, Python checks length and CRC."""
    target = _new_file(path, scratch)
    with gzip.open(path, "rb") as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
    return target


def _new_file(path: Path, scratch: Path) -> Path:
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch / f"{len(list(scratch.iterdir()))}-{path.stem}.csv"


def _first_lines(plain: Path, shown: str) -> list[str]:
    with plain.open("rb") as stream:
        raw = [stream.readline(HEADER_BYTES) for _ in range(ABOVE)]
    if raw[0].startswith(b"PK\x03\x04"):
        raise _unreadable(shown, "CSV text", "a spreadsheet or zip file; export it as CSV")
    return [line.decode("utf-8-sig", "surrogateescape").strip("\r\n\ufeff") for line in raw]


def _checked_header(header: str, shown: str) -> str:
    try:
        header.encode()
    except UnicodeEncodeError as error:
        raise _unreadable(shown, "text in UTF-8", str(error)) from error
    if not header.strip():
        raise _unreadable(shown, "a header line with the column names", "an empty first line")
    return header


def _delimiter(header: str, hints: frozenset[str]) -> str:
    """Return the delimiter that yields most of the expected columns, then most columns."""

    def merit(delimiter: str) -> tuple[int, int, int]:
        names = _split(header, delimiter)
        return len(hints & set(names)), len(names), -DELIMITERS.index(delimiter)

    return max(DELIMITERS, key=merit)


def _split(header: str, delimiter: str) -> list[str]:
    """Split a header line; quoted names may hold the delimiter."""
    return [part.strip() for part in _fields(header, delimiter)]


def _fields(header: str, delimiter: str) -> Iterator[str]:
    current, quoted = "", False
    for character in header:
        if character == '"':
            quoted = not quoted
        elif character == delimiter and not quoted:
            yield current
            current = ""
        else:
            current += character
    yield current


def _header_columns(header: str, delimiter: str, shown: str) -> list[str]:
    columns = [
        column or f"column_{number}"
        for number, column in enumerate(_split(header, delimiter), start=1)
    ]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise _unreadable(
            shown, "each column name once in the header", f"{', '.join(twice)} more than once"
        )
    return columns


def looks_like_data(header: Sequence[str]) -> str:
    """Return the first name of a header that looks like a value; empty where none does.

    >>> looks_like_data(["C001", "2026-03-01", "3"])
    '2026-03-01'
    """
    return next((name for name in header if _DATA_LIKE.fullmatch(name)), "")


def looks_like_title(header: Sequence[str]) -> bool:
    """Whether a header has one name at most, and nothing or no names beside it.

    >>> looks_like_title(["Sales 2024", "column_2", "column_3"]), looks_like_title(["a", "b"])
    (True, False)
    """
    return all(name == f"column_{place}" for place, name in enumerate(header[1:], start=2))
