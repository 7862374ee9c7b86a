"""MLflow on SQLite keeps absolute addresses of its files: they follow the store when it moves."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

#: The folders beside the store in which artifacts of experiments lie.
ARTIFACTS: Final = "mlflow-artifacts"
FILES: Final = "mlflow-files"
_ADDRESSES: Final = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow(store: Path) -> None:
    """Let a store that was copied or moved name the files beside it, and no others.

    Without this a copy would write into the folder of the original.

    Parameters
    ----------
    store : Path
        The SQLite file; one that does not exist, or has no experiment yet, is left alone.
    """
    if not store.exists():
        return
    here = store.resolve().parent
    with closing(sqlite3.connect(store, timeout=30)) as connection, connection:
        columns = [(table, name) for table, name in _ADDRESSES if _exists(connection, table, name)]
        if ("experiments", "artifact_location") not in columns:
            return
        rows = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        for old in {found for (address,) in rows if (found := _folder(address)) is not None}:
            if old != here:
                for table, name in columns:
                    _replace(connection, table, name, old.as_uri() + "/", here.as_uri() + "/")


def _exists(connection: sqlite3.Connection, table: str, name: str) -> bool:
    return name in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def _folder(address: str | None) -> Path | None:
    """Return the folder of the store that made an experiment, where it lies on this machine."""
    split = urlsplit(address or "")
    path = Path(unquote(split.path))
    if split.scheme != "file":
        return None
    if path.name == ARTIFACTS:
        return path.parent
    return path.parent.parent if path.parent.name == FILES else None


def _replace(connection: sqlite3.Connection, table: str, name: str, old: str, new: str) -> None:
    connection.execute(
        f"UPDATE {table} SET {name} = ? || substr({name}, ?) WHERE substr({name}, 1, ?) = ?",
        (new, len(old) + 1, len(old), old),
    )
