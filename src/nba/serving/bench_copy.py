"""A copy of a project on which a bench works, so that what it posts stays nowhere."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from nba.settings import SETTINGS_FILE, Project

#: What a service does not read.
_LEFT: Final = ("mlflow.db", "mlflow-artifacts", "tmp", "*-wal", "*-shm")


@contextmanager
def copied(project: str) -> Iterator[str]:
    """Copy a project to a temporary folder beside it; give that, and remove it at the end.

    What is no project, or has its operational store elsewhere, is given as it is: a copy would
    use the same store.

    Parameters
    ----------
    project : str
        Its folder; something may run in it.
    """
    root = Path(project).resolve()
    if not (root / SETTINGS_FILE).is_file() or not _keeps_its_own(Project.open(root)):
        yield project
        return
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-bench-", dir=root.parent) as made:
        place = Path(made, root.name)
        shutil.copytree(root, place, ignore=shutil.ignore_patterns(*_LEFT), symlinks=True)
        for path in root.rglob("*.db"):
            copy = place / path.relative_to(root)
            if copy.exists():
                _copy_database(path, copy)
        yield str(place)


def _keeps_its_own(project: Project) -> bool:
    """Whether the operational store is a file of the project that no setting names."""
    return not project.settings.operational_url and f"{project.root}/" in project.operational_url


def _copy_database(path: Path, copy: Path) -> None:
    """Copy a SQLite file whole, also while somebody writes to it."""
    copy.unlink()
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
