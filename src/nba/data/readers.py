"""Find and describe the files of a source: Parquet, CSV, gzipped CSV, folders of parts.

Nothing is read here beyond a header or a footer; what comes out is SQL that DuckDB runs.
CSV columns always arrive as text, Parquet columns with the types that the file declares.
"""

from __future__ import annotations

import gzip
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from nba.data import encodings, sql
from nba.errors import InputRefusedError

SUFFIXES = (".parquet", ".csv", ".csv.gz")
JSON_SUFFIXES = tuple(
    f".{name}{end}" for name in ("jsonl", "ndjson", "json") for end in ("", ".gz")
)
#: What other programs call a file that they have not finished.
UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".inprogress", ".filepart", ".swp")
DELIMITERS = (",", ";", "\t", "|")
HEADER_BYTES = 1 << 20
#: The header of an export stands in one of so many lines: a title may stand above it.
ABOVE = 12
#: How its lines end shows in so many bytes.
_START = 1 << 16
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
    header : tuple of str
        The columns of files without a header line; empty where the first line names them.
    """

    delimiter: str = ""
    encoding: str = "utf-8"
    header: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceFile:
    """One file, with its size and time when it was found."""

    path: Path
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> SourceFile:
        """Stat `path`."""
        status = path.stat()
        return cls(path, status.st_size, status.st_mtime_ns)

    @property
    def unchanged(self) -> bool:
        """Whether the file still has the size and time that it had when it was found."""
        return self.path.exists() and SourceFile.of(self.path) == self


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
        Where the bytes really are (an expanded or cleaned copy): path read to path shown.
    has_header : bool
        Whether the first line of a CSV file names its columns.
    above : int
        Lines above the one that names the columns, such as a title.
    encoding : str
        Of CSV files, where it was recognised by other than a mark, and is not UTF-8.
    """

    files: tuple[SourceFile, ...]
    columns: dict[str, str]
    is_text: bool
    delimiter: str = ","
    read_from: dict[str, str] = field(default_factory=dict)
    has_header: bool = True
    above: int = 0
    encoding: str = ""

    @property
    def first_line(self) -> int:
        """The number of the line before the first row."""
        return self.above + int(self.has_header)

    @property
    def paths(self) -> list[str]:
        """The paths that are read."""
        return list(self.read_from) or [str(file.path) for file in self.files]

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


def base_name(path: Path) -> str:
    """Return the name of a source file or folder of parts, without its extension.

    >>> base_name(Path("in/transactions.csv.gz"))
    'transactions'
    """
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name


def _is_data(path: Path) -> bool:
    return path.is_file() and path.name.endswith(SUFFIXES) and not path.name.startswith((".", "_"))


def _parts(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(part for part in path.rglob("*") if _is_data(part))
    return [path] if _is_data(path) else []


def check_folder(folder: Path) -> None:
    """Refuse a folder that is missing or that another program is still writing."""
    if not folder.is_dir():
        raise InputRefusedError(
            f"the input folder {folder} does not exist",
            expected="a folder with one file or folder of parts per table",
            found="a file" if folder.is_file() else "nothing at that path",
            next_step="check the path; relative paths start at the current directory",
        )
    unfinished = [
        path
        for path in sorted(folder.rglob("*"))
        if path.name.endswith(UNFINISHED) or path.name == "_temporary"
    ]
    if unfinished:
        raise InputRefusedError(
            f"the input folder {folder} is still being written",
            expected="complete files only",
            found=f"the unfinished file {unfinished[0]}",
            next_step="load again when the export has ended, or remove the left-over",
        )


def find(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the files of the first pattern that matches anything, folders expanded."""
    entries = sorted(folder.iterdir())
    for pattern in patterns:
        parts = [
            part
            for entry in entries
            if fnmatchcase(base_name(entry), pattern)
            for part in _parts(entry)
        ]
        if parts:
            return parts
    return []


def group(
    connection: duckdb.DuckDBPyConnection,
    paths: Iterable[Path],
    dialect: Dialect,
    scratch: Path,
    hints: frozenset[str] = frozenset(),
) -> list[FileGroup]:
    """Describe `paths` and put those with equal columns together.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    paths : iterable of Path
    dialect : Dialect
    scratch : Path
        A folder for expanded copies.
    hints : frozenset of str
        Column names to be expected; they decide between possible delimiters.

    Raises
    ------
    InputRefusedError
        Where a file is empty, truncated or not what its name says.
    """
    groups: dict[tuple[object, ...], FileGroup] = {}
    for path in paths:
        described = (
            _describe_parquet(connection, path)
            if path.suffix == ".parquet"
            else _describe_csv(path, dialect, scratch, hints)
        )
        written = (described.is_text, described.delimiter, described.encoding)
        key = (*written, tuple(described.columns.items()))
        seen = groups.get(key)
        groups[key] = described if seen is None else _joined(seen, described)
    return list(groups.values())


def _joined(left: FileGroup, right: FileGroup) -> FileGroup:
    return FileGroup(
        left.files + right.files,
        left.columns,
        left.is_text,
        left.delimiter,
        {**left.read_from, **right.read_from},
        left.has_header,
        encoding=left.encoding,
    )


def _unreadable(path: Path, expected: str, found: str) -> InputRefusedError:
    return InputRefusedError(
        f"the file {path} cannot be read",
        expected=expected,
        found=found,
        next_step="export or copy the file again, then repeat the load; nothing was loaded",
    )


def _describe_parquet(connection: duckdb.DuckDBPyConnection, path: Path) -> FileGroup:
    file = SourceFile.of(path)
    if file.size == 0:
        raise _unreadable(path, "a Parquet file", "an empty file (0 bytes)")
    try:
        pq.read_metadata(path)
        rows = connection.execute(
            f"DESCRIBE SELECT * FROM read_parquet({sql.text(str(path))})"
        ).fetchall()
    except (pa.ArrowException, OSError, duckdb.Error) as error:
        reason = str(error).splitlines()[0]
        raise _unreadable(
            path, "a complete Parquet file", f"{file.size} bytes: {reason}"
        ) from error
    return FileGroup((file,), {row[0]: row[1] for row in rows}, is_text=False)


def _describe_csv(path: Path, dialect: Dialect, scratch: Path, hints: frozenset[str]) -> FileGroup:
    file = _not_empty(path)
    plain, recognised = _plain(path, dialect.encoding, scratch)
    plain = _ended_alike(plain, scratch)
    header = _header_line(plain, path)
    delimiter = dialect.delimiter or _delimiter(header, hints)
    columns = list(dialect.header) or _header_columns(header, delimiter, path)
    # Always as "read: shown", so that the same code serves copies and originals.
    return FileGroup(
        (file,),
        dict.fromkeys(columns, "VARCHAR"),
        True,
        delimiter,
        {str(plain): str(path)},
        has_header=not dialect.header,
        encoding=recognised,
    )


def _not_empty(path: Path) -> SourceFile:
    """Return a file of text that holds anything."""
    file = SourceFile.of(path)
    if file.size == 0:
        raise _unreadable(path, "a header line with the column names", "an empty file (0 bytes)")
    return file


def headings(
    path: Path, encoding: str, scratch: Path, hints: frozenset[str]
) -> Iterator[FileGroup]:
    """Describe a CSV file as if each of its first lines named its columns.

    Parameters
    ----------
    path : Path
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
    file = _not_empty(path)
    plain, recognised = _plain(path, encoding or encodings.UTF_8, scratch)
    plain = _ended_alike(plain, scratch)
    with plain.open("rb") as stream:
        for above, raw in enumerate(islice(stream, ABOVE)):
            header = raw[:HEADER_BYTES].decode("utf-8-sig", errors="replace").strip("\r\n\ufeff")
            delimiter = _delimiter(header, hints)
            columns = _numbered(_split(header, delimiter))
            yield FileGroup(
                (file,),
                dict.fromkeys(columns, "VARCHAR"),
                True,
                delimiter,
                {str(plain): str(path)},
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
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / f"{len(list(scratch.iterdir()))}-ended.csv"
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


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("_", "-") in {"utf-8", "utf8"}


def _plain(path: Path, encoding: str, scratch: Path) -> tuple[Path, str]:
    """Return a plain UTF-8 file, and the encoding where nothing but its bytes says it.

    The file is the path itself, or an expanded copy of it. Where nothing else is said, UTF-16
    and GB18030 are recognised.
    """
    recognised = _detected(path) if _is_utf8(encoding) else ""
    encoding = recognised or encoding
    is_utf8 = _is_utf8(encoding)
    recognised = "" if is_utf8 or recognised == encodings.UTF_16 else recognised
    if path.suffix != ".gz" and is_utf8:
        return path, ""
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / f"{len(list(scratch.iterdir()))}-{base_name(path)}.csv"
    try:
        if is_utf8:
            # DuckDB reads a truncated gzip without a word; Python checks length and CRC.
            with gzip.open(path, "rb") as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        else:
            _transcode(path, encoding, target)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _unreadable(path, "a complete gzip file", f"a damaged one: {error}") from error
    except (LookupError, UnicodeError) as error:
        raise _unreadable(path, f"text in the encoding {encoding}", str(error)) from error
    return target, recognised


def _detected(path: Path) -> str:
    try:
        found = encodings.detect(path)
        return "" if found == encodings.OTHER else found
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return encodings.UTF_8  # a damaged file is refused where it is expanded


def _transcode(path: Path, encoding: str, target: Path) -> None:
    opener = gzip.open if path.suffix == ".gz" else open
    with (
        opener(path, "rt", encoding=encoding, newline="") as source,
        target.open("w", encoding="utf-8", newline="") as copy,
    ):
        shutil.copyfileobj(source, copy, 1 << 20)


def _header_line(plain: Path, shown: Path) -> str:
    with plain.open("rb") as stream:
        raw = stream.readline(HEADER_BYTES)
    if raw.startswith(b"PK\x03\x04"):
        raise _unreadable(shown, "CSV text", "a spreadsheet or zip file; export it as CSV")
    try:
        header = raw.decode("utf-8-sig").strip("\r\n\ufeff")
    except UnicodeDecodeError as error:
        raise _unreadable(
            shown, "UTF-8", f"{error}; set `encoding: latin-1` (or gb18030) in the mapping"
        ) from error
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


def _header_columns(header: str, delimiter: str, path: Path) -> list[str]:
    columns = [
        column or f"column_{number}"
        for number, column in enumerate(_split(header, delimiter), start=1)
    ]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise _unreadable(
            path, "each column name once in the header", f"{', '.join(twice)} more than once"
        )
    return columns


def looks_like_data(header: Sequence[str]) -> str:
    """Return the first name of a header that looks like a value; empty where none does.

    >>> looks_like_data(["C001", "2026-03-01", "3"])
    '2026-03-01'
    """
    return next((name for name in header if _DATA_LIKE.fullmatch(name)), "")
