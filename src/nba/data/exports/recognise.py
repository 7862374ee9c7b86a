"""Tell what the files of a folder are by the names in their headers, in any order."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from nba.data import encodings
from nba.data.exports.kinds import ExportKind, export_kinds
from nba.data.folder import PARQUET, Folder, Readable
from nba.data.readers import Dialect, FileGroup, group, headings
from nba.data.wordlist import plain_name
from nba.errors import InputRefusedError
from nba.schema.tables import TABLES

#: A file looks like an export where it has so many of the columns by which that is known.
_LOOKS_LIKE = 0.6
#: JSON is known by the objects that stand within so many characters, at most so many of them.
_START = 1 << 20
_OBJECTS = 1000
#: What stands before an object, in lines or in an array.
_BETWEEN = re.compile(r"[\[\],\s]*")


@dataclass(frozen=True)
class Found:
    """A file that is a known export.

    Parameters
    ----------
    kind : ExportKind
    file : Readable
    group : FileGroup
        The file as it is read; no columns for JSON.
    columns : dict of str to str
        Plain name, with the kind's aliases resolved, to the name in the header.
    missing : tuple of str
        Required columns that are absent: the file cannot be used.
    flaw : str
        What else keeps the file from being used.
    """

    kind: ExportKind
    file: Readable
    group: FileGroup
    columns: dict[str, str]
    missing: tuple[str, ...] = ()
    flaw: str = ""

    @property
    def path(self) -> str:
        """Where it is read from."""
        return self.group.paths[0]

    @property
    def shown(self) -> str:
        """What reports call it: its path, with the name inside an archive or of a sheet."""
        return self.file.shown

    @property
    def name(self) -> str:
        """The last part of what it is called."""
        return self.file.short

    @property
    def unknown(self) -> list[str]:
        """Columns that the export is not known to have, as they are written."""
        return [name for plain, name in self.columns.items() if not self.kind.knows(plain)]

    @property
    def problem(self) -> str:
        """Why nothing can be made of the file; empty where something can."""
        what = f"{self.name} looks like {self.kind.title}"
        if self.kind.unusable:
            return f"{what}: {self.kind.unusable}"
        if self.missing:
            known = f"{len(self.columns) - len(self.unknown)} others that are known of it"
            other = f"; not known of it: {', '.join(self.unknown)}" if self.unknown else ""
            error = InputRefusedError(
                f"{what}, but lacks {', '.join(self.missing)}",
                expected=f"all of {', '.join(self.kind.required)}",
                found=known + other,
                next_step="export it again with what it lacks, or take it out of the folder",
            )
            return str(error)
        return f"{what}, but {self.flaw}" if self.flaw else ""


def recognise(
    connection: duckdb.DuckDBPyConnection, folder: Folder, scratch: Path, encoding: str = ""
) -> tuple[list[Found], list[str]]:
    """Return the known exports among the files of a folder, and what could not be read.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    folder : Folder
        Files that keep the contract by name and columns are passed by.
    scratch : Path
        A folder for expanded copies.
    encoding : str
        Of the files of text; empty: recognised.
    """
    exports: list[Found] = []
    problems = [one.line() for one in folder.unread]
    for one in folder.files:
        try:
            export = _look_at(connection, one, scratch, encoding)
        except InputRefusedError as error:
            if not _tables_called(one):
                problems.append(f"{one.short}: {error.found or error}")
            continue
        if export is not None:
            exports.append(export)
    return exports, problems


def _look_at(
    connection: duckdb.DuckDBPyConnection, one: Readable, scratch: Path, encoding: str
) -> Found | None:
    if one.is_json:
        return _json(one)
    if one.name.endswith(PARQUET):
        described = iter(group(connection, [one], Dialect(), scratch))
    else:
        described = headings(one, encoding, scratch / "headings", _hints())
    best: Found | None = None
    for files in described:
        if _keeps_contract(one, files.columns):
            return None
        found = _match(one, files, {plain_name(name): name for name in reversed(files.columns)})
        if found is not None and not found.missing:
            return _flawed(found)
        best = best or found
    return best


def _flawed(found: Found) -> Found:
    """Note where nobody can tell in which encoding a file is."""
    if found.group.encoding != encodings.OTHER:
        return found
    error = encodings.refusal(found.shown, Path(found.path))
    return replace(found, flaw=f"{error.found}: {error.next_step}")


def _hints() -> frozenset[str]:
    return frozenset(name for kind in export_kinds() for name in kind.marks)


def _keeps_contract(one: Readable, columns: Iterable[str]) -> bool:
    """Whether a file is called as a table of the contract and has what that requires."""
    return any(set(TABLES[name].required) <= set(columns) for name in _tables_called(one))


def _tables_called(one: Readable) -> set[str]:
    return set(TABLES) & {name.lower() for name in one.names}


def _match(one: Readable, files: FileGroup, names: dict[str, str]) -> Found | None:
    """Return the export that a header is of, or the one it looks like most."""
    candidates = []
    for kind in export_kinds():
        columns = {kind.aliases.get(plain, plain): name for plain, name in names.items()}
        missing = tuple(name for name in kind.required if name not in columns)
        share = sum(mark in columns for mark in kind.marks) / len(kind.marks)
        if share >= _LOOKS_LIKE or (not missing and share >= _LOOKS_LIKE / 2):
            candidates.append((not missing, share, Found(kind, one, files, columns, missing)))
    return max(candidates, key=lambda one: one[:2])[2] if candidates else None


def _json(one: Readable) -> Found | None:
    """Return the export that JSON is of, by the names in its first objects."""
    opener: Any = gzip.open if one.name.endswith(".gz") else open
    try:
        with opener(one.path, "rt", encoding="utf-8-sig") as text:
            objects = list(islice(_objects(text.read(_START)), _OBJECTS))
    except (OSError, ValueError):
        return None
    names = {plain_name(name): name for members in reversed(objects) for name in members}
    files = FileGroup(
        (one.file,), dict.fromkeys(names.values(), "JSON"), True,
        read_from={str(one.path): one.shown},
    )  # fmt: skip
    found = _match(one, files, names)
    if found is not None and all(found.kind.is_beside(members) for members in objects):
        return replace(found, missing=())
    return found


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of lines of JSON, or of an array, as far as a text holds them whole."""
    decode = json.JSONDecoder().raw_decode
    text = text.lstrip()
    is_array, place = text.startswith("["), 0
    while match := _BETWEEN.match(text, place):
        try:
            found, place = decode(text, match.end())
        except ValueError:
            place = text.find("\n", match.end())
            if is_array or place < 0:
                return
            continue
        if isinstance(found, dict):
            yield found
