"""Tell what the files of a folder are by the names in their headers, in any order."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from nba.data import encodings
from nba.data.exports.kinds import ExportKind, export_kinds
from nba.data.exports.unpack import Readable, unpack
from nba.data.readers import (
    JSON_SUFFIXES,
    Dialect,
    FileGroup,
    SourceFile,
    base_name,
    group,
    headings,
)
from nba.data.wordlist import plain_name
from nba.errors import InputRefusedError
from nba.schema.tables import TABLES

#: A file looks like an export where it has so many of the columns by which that is known.
_LOOKS_LIKE = 0.6
#: The first object of a file of JSON stands within so many characters.
_START = 1 << 20


@dataclass(frozen=True)
class Found:
    """A file that is a known export.

    Parameters
    ----------
    kind : ExportKind
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
        return self.group.read_from[self.path]

    @property
    def name(self) -> str:
        """The last part of what it is called."""
        return self.shown.removeprefix(f"{self.group.files[0].path.parent}/")

    @property
    def is_json(self) -> bool:
        """Whether the file holds JSON."""
        return self.path.lower().endswith(JSON_SUFFIXES)

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
            other = self.unknown
            unknown = f"; not known of it: {', '.join(other)}" if other else ""
            return f"{what}, but lacks {', '.join(self.missing)}{unknown}"
        return f"{what}, but {self.flaw}" if self.flaw else ""


def recognise(
    connection: duckdb.DuckDBPyConnection, folder: Path, scratch: Path, encoding: str = ""
) -> tuple[list[Found], list[str]]:
    """Return the known exports among the files of a folder, and what could not be read.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    folder : Path
        Files and folders of parts; those that keep the contract by name and columns are passed by.
    scratch : Path
        A folder for expanded copies.
    encoding : str
        Of the files of text; empty: recognised.
    """
    exports: list[Found] = []
    readable, problems = unpack(folder, scratch)
    for one in readable:
        try:
            export = _look_at(connection, one, scratch, encoding)
        except InputRefusedError as error:
            if base_name(one.path) not in TABLES:
                problems.append(f"{one.path.name}: {error.found or error}")
            continue
        if export is not None:
            named = replace(export.group, files=(one.file,), read_from={export.path: one.shown})
            exports.append(replace(export, group=named))
    return exports, problems


def _look_at(
    connection: duckdb.DuckDBPyConnection, one: Readable, scratch: Path, encoding: str
) -> Found | None:
    if one.name.endswith(JSON_SUFFIXES):
        return _json(one.path)
    if one.name.endswith(".parquet"):
        described = iter(group(connection, [one.path], Dialect(), scratch))
    else:
        described = headings(one.path, encoding, scratch / "headings", _hints())
    best: Found | None = None
    for files in described:
        if _keeps_contract(one.path, files.columns):
            return None
        found = _match(files, {plain_name(name): name for name in reversed(files.columns)})
        if found is not None and not found.missing:
            return _flawed(found, one, encoding)
        best = best or found
    return best


def _flawed(found: Found, one: Readable, encoding: str) -> Found:
    """Note where nobody can tell in which encoding a file is."""
    if encoding or not found.group.is_text or encodings.detect(one.path) != encodings.OTHER:
        return found
    flaw = (
        "is neither in UTF-8 nor in UTF-16 or GB18030: say which encoding it has, "
        "such as `--encoding windows-1252`"
    )
    return replace(found, flaw=flaw)


def _hints() -> frozenset[str]:
    return frozenset(name for kind in export_kinds() for name in kind.marks)


def _keeps_contract(path: Path, columns: Iterable[str]) -> bool:
    """Whether a file is called as a table of the contract and has what that requires."""
    names = {base_name(path), *(parent.name for parent in path.parents)} & set(TABLES)
    return any(set(TABLES[name].required) <= set(columns) for name in names)


def _match(files: FileGroup, names: dict[str, str]) -> Found | None:
    """Return the export that a header is of, or the one it looks like most."""
    candidates = []
    for kind in export_kinds():
        columns = {kind.aliases.get(plain, plain): name for plain, name in names.items()}
        missing = tuple(name for name in kind.required if name not in columns)
        share = sum(mark in columns for mark in kind.marks) / len(kind.marks)
        if share >= _LOOKS_LIKE or (not missing and share >= _LOOKS_LIKE / 2):
            candidates.append((not missing, share, Found(kind, files, columns, missing)))
    return max(candidates, key=lambda one: one[:2])[2] if candidates else None


def _json(path: Path) -> Found | None:
    """Return the export that JSON is of, by the names in the first object."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig") as text:
            first = _first_object(text.read(_START).lstrip())
    except (OSError, ValueError):
        return None
    columns = dict.fromkeys(first, "JSON")
    files = FileGroup((SourceFile.of(path),), columns, True, read_from={str(path): str(path)})
    return _match(files, {plain_name(name): name for name in first})


def _first_object(text: str) -> dict[str, Any]:
    """Return the first object of lines of JSON, or of an array of objects."""
    found, _ = json.JSONDecoder().raw_decode(text.removeprefix("[").lstrip())
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found
