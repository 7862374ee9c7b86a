"""The files of a folder as they can be read: zip archives opened, workbooks as text."""

from __future__ import annotations

import csv
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path, PurePosixPath
from typing import Any, Final

from nba.data.readers import JSON_SUFFIXES, SourceFile

#: What files of text are called, in lower case; what separates their columns, the header shows.
TEXTS: Final = tuple(f".{name}{end}" for name in ("csv", "tsv", "txt") for end in ("", ".gz"))
WORKBOOK, OLD_WORKBOOK, ARCHIVE = ".xlsx", ".xls", ".zip"
_READ: Final = (*TEXTS, *JSON_SUFFIXES, ".parquet", WORKBOOK, OLD_WORKBOOK, ARCHIVE)


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
    """

    path: Path
    shown: str
    file: SourceFile

    @property
    def name(self) -> str:
        """Its name in lower case, which tells what it holds."""
        return self.path.name.lower()


def unpack(folder: Path, scratch: Path) -> tuple[list[Readable], list[str]]:
    """Return what can be read of a folder, and why the rest of what looks like data cannot.

    Parameters
    ----------
    folder : Path
        Searched with all below it; names that begin with `.`, `_` or `~` are passed by.
    scratch : Path
        Where archives and workbooks are unpacked.
    """
    found: list[Readable] = []
    problems: list[str] = []
    for path in _files(folder):
        name = path.name.lower()
        file = SourceFile.of(path)
        space = scratch / f"unpacked-{len(found)}-{len(problems)}"
        try:
            if name.endswith(ARCHIVE):
                found += _members(path, file, space)
            elif name.endswith(WORKBOOK):
                found += _sheets(path, str(path), file, space)
            elif name.endswith(OLD_WORKBOOK):
                problems.append(f"{path.name}: a workbook of an old kind; save it as .xlsx or CSV")
            else:
                found.append(Readable(path, str(path), file))
        except _DAMAGED as error:
            problems.append(f"{path.name}: cannot be opened ({error}); export it again")
    return found, problems


#: What a damaged or locked archive or workbook is told by.
_DAMAGED: Final = (zipfile.BadZipFile, RuntimeError, KeyError, ValueError, EOFError)


def _files(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if _is_hidden(entry.name):
            continue
        for path in sorted(entry.rglob("*")) if entry.is_dir() else [entry]:
            if path.is_file() and path.name.lower().endswith(_READ) and not _is_hidden(path.name):
                yield path


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_", "~"))


def _members(path: Path, file: SourceFile, space: Path) -> list[Readable]:
    """Unpack the members of an archive that may be exports."""
    space.mkdir(parents=True)
    found: list[Readable] = []
    with zipfile.ZipFile(path) as archive:
        for number, member in enumerate(archive.infolist()):
            inner = PurePosixPath(member.filename)
            name = inner.name.lower()
            if member.is_dir() or any(_is_hidden(part) for part in inner.parts):
                continue
            if not name.endswith((*TEXTS, *JSON_SUFFIXES, ".parquet", WORKBOOK)):
                continue
            target = space / f"{number}-{inner.name}"
            with archive.open(member) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
            shown = f"{path}/{member.filename}"
            if name.endswith(WORKBOOK):
                found += _sheets(target, shown, file, space / f"{number}-sheets")
            else:
                found.append(Readable(target, shown, file))
    return found


def _sheets(path: Path, shown: str, file: SourceFile, space: Path) -> list[Readable]:
    """Write every sheet of a workbook that holds anything as CSV."""
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    space.mkdir(parents=True)
    try:
        workbook = load_workbook(path, read_only=True, data_only=True)
    except InvalidFileException as error:
        raise ValueError(str(error)) from error
    found: list[Readable] = []
    for number, sheet in enumerate(workbook.worksheets):
        target = space / f"{number}.csv"
        with target.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            rows = 0
            for row in sheet.iter_rows(values_only=True):
                writer.writerow([_text(value) for value in row])
                rows += any(value is not None for value in row)
        if rows:
            name = shown if len(workbook.worksheets) == 1 else f"{shown}/{sheet.title}"
            found.append(Readable(target, name, file))
    workbook.close()
    return found


def _text(value: Any) -> str:
    """Return a cell as exports write it: ISO times, whole numbers without a point."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
