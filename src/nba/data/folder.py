"""The files of a folder as they can be read: archives opened, workbooks as text, each by its names.

A table may be called by what stands in the folder (a file, or a folder of parts), by a name within
an archive, or by the title of a sheet.
"""

from __future__ import annotations

import csv
import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final

from nba.errors import InputRefusedError

#: What files of text are called, in lower case; what separates their columns, the header shows.
TEXTS: Final = tuple(f".{name}{end}" for name in ("csv", "tsv", "txt") for end in ("", ".gz"))
PARQUET, ARCHIVE, WORKBOOKS = ".parquet", ".zip", (".xlsx", ".xlsm")
JSON_SUFFIXES: Final = tuple(
    f".{name}{end}" for name in ("jsonl", "ndjson", "json") for end in ("", ".gz")
)
#: What else tables come in, and how it becomes what can be read.
_OTHERS: Final = {
    **dict.fromkeys((".xls", ".xlsb", ".ods", ".numbers"), "save it as .xlsx or CSV"),
    **dict.fromkeys((".7z", ".rar", ".tar", ".tgz", ".tar.gz"), "unpack it, or pack it as .zip"),
    **dict.fromkeys((".csv.bz2", ".csv.xz", ".csv.zst"), "expand it, or pack it as .gz or .zip"),
    **dict.fromkeys((".feather", ".arrow", ".orc", ".avro", ".dbf"), "write it as Parquet or CSV"),
}
_READ: Final = (*TEXTS, PARQUET, ARCHIVE, *WORKBOOKS, *JSON_SUFFIXES)
_SUFFIXES: Final = sorted((*_READ, *_OTHERS), key=len, reverse=True)
#: In words, for messages.
KINDS: Final = ".csv, .tsv, .txt, .xlsx or .parquet, also gzipped or zipped"
#: What other programs call a file that they have not finished.
UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".inprogress", ".filepart", ".swp")
#: What a damaged or locked archive or workbook is told by.
_DAMAGED: Final = (zipfile.BadZipFile, RuntimeError, KeyError, ValueError, EOFError)
#: The format of a number that a workbook shows with noughts before it, in groups or after letters.
_PADDED: Final = re.compile(r'("[A-Za-z_-]*"|\\[A-Za-z_-])*0(0|(\\?[ -]|"[ -]")(?=0))*0(;.*)?')
#: One of several names within a pattern.
_EITHER: Final = re.compile(r"\{([^{}]*,[^{}]*)\}")


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
class Readable:
    """A file that can be read, and where it comes from.

    Parameters
    ----------
    path : Path
        Where its bytes are: the file itself, or what was unpacked of it.
    shown : str
        What reports call it: its path, with the name inside the archive or of the sheet.
    file : SourceFile
        The file in the folder.
    entry : Path
        What stands in the folder itself: the file, or the folder that it is a part of.
    names : tuple of str
        What a table may call it, the best name first.
    """

    path: Path
    shown: str
    file: SourceFile
    entry: Path
    names: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, entry: Path | None = None) -> Readable:
        """Return a file that is read as it stands."""
        entry = entry or path
        return cls(path, str(path), SourceFile.of(path), entry, (base_name(entry),))

    @property
    def plain_names(self) -> tuple[str, ...]:
        """Its names apart from that of a sheet with its workbook before it."""
        return tuple(name for name in self.names if "/" not in name)

    @property
    def own_name(self) -> str:
        """The name that tells it from its neighbours: a sheet's with its workbook's before it."""
        return next((name for name in self.names if "/" in name), self.names[0])

    @property
    def name(self) -> str:
        """Its name in lower case, which tells what it holds."""
        return self.path.name.lower()

    @property
    def short(self) -> str:
        """What people call it: the last part of what reports do."""
        return self.shown.removeprefix(f"{self.file.path.parent}/")

    @property
    def is_packed(self) -> bool:
        """Whether it comes out of an archive."""
        return self.file.path.name.lower().endswith(ARCHIVE)

    @property
    def is_json(self) -> bool:
        """Whether it holds JSON, which some exports are and no table is."""
        return self.name.endswith(JSON_SUFFIXES)


@dataclass(frozen=True)
class Unread:
    """A file that looks like data and cannot be read.

    Parameters
    ----------
    path : Path
    names : tuple of str
        What a table may call it.
    reason, remedy : str
    """

    path: Path
    names: tuple[str, ...]
    reason: str
    remedy: str

    def line(self) -> str:
        """Return it as one line of text."""
        return f"{self.path.name}: {self.reason}; {self.remedy}"


@dataclass(frozen=True)
class Folder:
    """What stands in a folder."""

    path: Path
    files: tuple[Readable, ...] = ()
    unread: tuple[Unread, ...] = ()

    def without(self, shown: set[str]) -> Folder:
        """Return the folder without files that something else has been made of."""
        return replace(self, files=tuple(one for one in self.files if one.shown not in shown))

    def find(self, patterns: Sequence[str]) -> list[Readable]:
        """Return the files of the first pattern that matches anything.

        Raises
        ------
        InputRefusedError
            Where what is called so cannot be read, or stands in the folder more than once.
        """
        for pattern in patterns:
            found = [one for one in self.files if _matches(one.names, pattern) and not one.is_json]
            # an archive beside what was unpacked of it says nothing new
            found = [one for one in found if not one.is_packed] or found
            if found:
                _refuse_copies(found, pattern)
                return found
        for pattern in patterns:
            self._refuse_unread(pattern)
        return []

    def _refuse_unread(self, pattern: str) -> None:
        barred = [one for one in self.unread if _matches(one.names, pattern)]
        barred += [
            Unread(one.path, one.names, "a file of JSON", "write it as Parquet or CSV")
            for one in self.files
            if one.is_json and _matches(one.names, pattern)
        ]
        if barred:
            first = barred[0]
            raise InputRefusedError(
                f"the file {first.path} cannot be read as a table",
                expected=KINDS,
                found=first.reason,
                next_step=f"{first.remedy}, then repeat the load; nothing was loaded",
            )


def _matches(names: Sequence[str], pattern: str) -> bool:
    return bool(_called(names, pattern))


def _called(names: Sequence[str], pattern: str) -> str:
    """Return the first of the names that a pattern matches, whatever the size of letters.

    The names of sheets have their workbook's and `/` before them, which `*` does not match.
    """
    choices = [(one, one.count("/")) for one in _choices(pattern.lower())]
    return next(
        (
            name
            for name in map(str.lower, names)
            if any(depth == name.count("/") and fnmatchcase(name, one) for one, depth in choices)
        ),
        "",
    )


def _choices(pattern: str) -> list[str]:
    """Return what a pattern stands for: `{a,b}` is either.

    >>> _choices("{jan,feb}-2024"), _choices("{x}")
    (['jan-2024', 'feb-2024'], ['{x}'])
    """
    found = _EITHER.search(pattern)
    if found is None:
        return [pattern]
    start, end = pattern[: found.start()], pattern[found.end() :]
    return [f"{start}{one}{rest}" for one in found.group(1).split(",") for rest in _choices(end)]


def _refuse_copies(found: Sequence[Readable], pattern: str) -> None:
    """Refuse a table that stands twice, such as a workbook beside the CSV that was saved of it."""
    places: dict[str, dict[Path, str]] = {}
    for one in found:
        places.setdefault(_called(one.names, pattern), {})[one.entry] = one.short
    for name, entries in places.items():
        if len(entries) > 1:
            raise InputRefusedError(
                f"{name} stands more than once in {found[0].entry.parent}",
                expected="one file, or one folder of parts",
                found=", ".join(entries.values()),
                next_step=f"take out what is a copy; put parts into one folder {name}",
            )


def base_name(path: Path) -> str:
    """Return the name of a source file or folder of parts, without its extension.

    >>> base_name(Path("in/transactions.csv.gz"))
    'transactions'
    """
    name = path.name.lower()
    suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")
    return path.name[: len(name) - len(suffix)]


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


def open_folder(folder: Path, scratch: Path) -> Folder:
    """Return what can be read of a folder, and why the rest of what looks like data cannot.

    Parameters
    ----------
    folder : Path
        Searched with all below it; names that begin with `.`, `_` or `~` are passed by.
    scratch : Path
        Where archives and workbooks are unpacked.
    """
    found: list[Readable] = []
    unread: list[Unread] = []
    for entry, path in _files(folder):
        name = path.name.lower()
        whole = Readable.of(path, entry)
        space = scratch / f"unpacked-{len(found)}-{len(unread)}"
        try:
            if name.endswith(ARCHIVE):
                found += _members(whole, space)
            elif name.endswith(WORKBOOKS):
                found += _sheets(whole, space)
            elif name.endswith(_READ):
                found.append(whole)
            else:
                kind = next(suffix for suffix in _SUFFIXES if name.endswith(suffix))
                reason = f"a file of the kind {kind}, which is not read"
                unread.append(Unread(path, whole.names, reason, _OTHERS[kind]))
        except _DAMAGED as error:
            reason = f"cannot be opened ({error})"
            unread.append(Unread(path, whole.names, reason, "export it again"))
    return Folder(folder, tuple(found), tuple(unread))


def _files(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield what stands in the folder, and each file of data that it is or holds."""
    for entry in sorted(folder.iterdir()):
        for path in sorted(entry.rglob("*")) if entry.is_dir() else [entry]:
            hidden = any(_is_hidden(part) for part in path.relative_to(folder).parts)
            if path.is_file() and path.name.lower().endswith(tuple(_SUFFIXES)) and not hidden:
                yield entry, path


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_", "~"))


def _members(whole: Readable, space: Path) -> list[Readable]:
    """Unpack the members of an archive that may be tables."""
    space.mkdir(parents=True)
    found: list[Readable] = []
    with zipfile.ZipFile(whole.path) as archive:
        for number, member in enumerate(archive.infolist()):
            inner = PurePosixPath(member.filename)
            name = inner.name.lower()
            if member.is_dir() or any(_is_hidden(part) for part in inner.parts):
                continue
            if not name.endswith((*TEXTS, *JSON_SUFFIXES, PARQUET, *WORKBOOKS)):
                continue
            target = space / f"{number}-{inner.name}"
            with archive.open(member) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
            names = (base_name(Path(inner.name)), *whole.names)
            shown = f"{whole.shown}/{member.filename}"
            one = replace(whole, path=target, shown=shown, names=names)
            is_book = name.endswith(WORKBOOKS)
            found += _sheets(one, space / f"{number}-sheets") if is_book else [one]
    return found


def _sheets(whole: Readable, space: Path) -> list[Readable]:
    """Write every sheet of a workbook that holds anything as CSV.

    The workbook's own names are those of the sheet that is called so, or else of the first.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    space.mkdir(parents=True)
    try:
        workbook = load_workbook(whole.path, read_only=True, data_only=True)
    except InvalidFileException as error:
        raise ValueError(str(error)) from error
    sheets: list[Readable] = []
    for number, sheet in enumerate(workbook.worksheets):
        target = space / f"{number}.csv"
        if _write_sheet(sheet.iter_rows(), target):
            shown = f"{whole.shown}/{sheet.title}"
            title = sheet.title.strip()
            names = (title, f"{whole.names[0]}/{title}")
            sheets.append(replace(whole, path=target, shown=shown, names=names))
    alone = len(workbook.worksheets) == 1
    workbook.close()
    own = next((one for one in sheets if one.names[0] in whole.names), next(iter(sheets), None))
    return [
        replace(one, names=(*whole.names, *one.names), shown=whole.shown if alone else one.shown)
        if one is own
        else one
        for one in sheets
    ]


def _write_sheet(rows: Iterator[Sequence[Any]], target: Path) -> int:
    """Write rows as CSV without empty rows and columns at their end; return how many there are."""
    ragged = target.with_suffix(".ragged")
    width = last = 0
    with ragged.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for number, row in enumerate(rows, start=1):
            cells = [_text(cell) for cell in row]
            filled = next((place for place in range(len(cells), 0, -1) if cells[place - 1]), 0)
            writer.writerow(cells[:filled])
            width, last = max(width, filled), number if filled else last
    with (
        ragged.open(encoding="utf-8", newline="") as source,
        target.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        for cells in islice(csv.reader(source), last):
            writer.writerow([*cells, *[""] * (width - len(cells))])
    ragged.unlink()
    return last


def _text(cell: Any) -> str:
    """Return a cell as exports write it: ISO times, whole numbers without a point.

    A number that is shown with noughts before it is an id, and read as it is shown.
    """
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and value >= 0 and _PADDED.fullmatch(cell.number_format or ""):
        return _padded(value, cell.number_format)
    return str(value)


def _padded(value: int, number_format: str) -> str:
    r"""Return a whole number as a workbook shows it that fills it up with noughts.

    >>> _padded(42, "000000"), _padded(1234567, "000\\-000"), _padded(42, '"C-"0000;@')
    ('000042', '1234-567', 'C-0042')
    """
    shown = re.sub(r'["\\]', "", number_format.split(";")[0])
    digits = list(str(value).zfill(shown.count("0")))
    more = digits[: len(digits) - shown.count("0")]
    rest = iter(digits[len(more) :])
    first = shown.index("0")
    filled = "".join(next(rest) if sign == "0" else sign for sign in shown[first:])
    return f"{shown[:first]}{''.join(more)}{filled}"
