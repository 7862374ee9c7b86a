"""Tell what the files of a folder are by the names in their headers, in any order."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from nba.data.exports.kinds import ExportKind, export_kinds
from nba.data.readers import (
    JSON_SUFFIXES,
    SUFFIXES,
    Dialect,
    FileGroup,
    SourceFile,
    base_name,
    group,
)
from nba.data.wordlist import plain_name
from nba.errors import InputRefusedError
from nba.schema.tables import TABLES

#: A file looks like an export where it has so many of the columns by which that is known.
_LOOKS_LIKE = 0.6


@dataclass(frozen=True)
class Found:
    """A file that is a known export.

    Parameters
    ----------
    kind : ExportKind
    group : FileGroup
        The file as it is read; no columns for JSON lines.
    columns : dict of str to str
        Plain name, with the kind's aliases resolved, to the name in the header.
    missing : tuple of str
        Required columns that are absent: the file cannot be used.
    """

    kind: ExportKind
    group: FileGroup
    columns: dict[str, str]
    missing: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file."""
        return self.group.files[0].path

    @property
    def is_json(self) -> bool:
        """Whether the file holds JSON lines."""
        return self.path.name.endswith(JSON_SUFFIXES)

    @property
    def unknown(self) -> list[str]:
        """Columns that the export is not known to have, as they are written."""
        return [name for plain, name in self.columns.items() if not self.kind.knows(plain)]

    @property
    def problem(self) -> str:
        """Why nothing can be made of the file; empty where something can."""
        what = f"{self.path.name} looks like {self.kind.title}"
        if self.kind.unusable:
            return f"{what}: {self.kind.unusable}"
        if not self.missing:
            return ""
        other = self.unknown
        unknown = f"; not known of it: {', '.join(other)}" if other else ""
        return f"{what}, but lacks {', '.join(self.missing)}{unknown}"


def recognise(
    connection: duckdb.DuckDBPyConnection, folder: Path, scratch: Path
) -> tuple[list[Found], list[str]]:
    """Return the known exports among the files of a folder, and what could not be read.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    folder : Path
        Files and folders of parts; those that keep the contract by name and columns are passed by.
    scratch : Path
        A folder for expanded copies.
    """
    exports: list[Found] = []
    unreadable: list[str] = []
    for path in _files(folder):
        try:
            export = _look_at(connection, path, scratch)
        except InputRefusedError as error:
            if base_name(path) not in TABLES:
                unreadable.append(f"{path.name}: {error.found or error}")
            continue
        if export is not None:
            exports.append(export)
    return exports, unreadable


def _files(folder: Path) -> list[Path]:
    suffixes = (*SUFFIXES, *JSON_SUFFIXES)
    return [
        path
        for entry in sorted(folder.iterdir())
        if not entry.name.startswith((".", "_"))
        for path in (sorted(entry.rglob("*")) if entry.is_dir() else [entry])
        if path.is_file() and path.name.endswith(suffixes)
        and not path.name.startswith((".", "_"))
    ]  # fmt: skip


def _look_at(connection: duckdb.DuckDBPyConnection, path: Path, scratch: Path) -> Found | None:
    if path.name.endswith(JSON_SUFFIXES):
        return _json(path)
    files = group(connection, [path], Dialect(), scratch, _hints())[0]
    names = {plain_name(name): name for name in reversed(files.columns)}
    if _keeps_contract(path, files.columns):
        return None
    return _match(files, names)


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
    """Return the export that JSON lines are of, by the names in the first object."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig") as lines:
            first = json.loads(lines.readline())
    except (OSError, ValueError):
        return None
    if not isinstance(first, dict):
        return None
    files = FileGroup((SourceFile.of(path),), dict.fromkeys(first, "JSON"), is_text=True)
    return _match(files, {plain_name(name): name for name in first})
