"""Where the public data sets lie: the one place that names the folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from nba.errors import InputRefusedError

REPOSITORY: Final = Path(__file__).resolve().parents[2]


def public_data() -> Path:
    """Return the folder of public data sets: NBA_DATA, else `shared/data` beside the repository."""
    return Path(os.environ.get("NBA_DATA", REPOSITORY.parent / "shared" / "data"))


def data_folder(name: str) -> Path:
    """Return the folder of one public data set.

    Raises
    ------
    InputRefusedError
        It is not there; says how to point to it.
    """
    return _there(public_data() / name, Path.is_dir, "folder")


def read_public(name: str, file: str, columns: list[str] | None = None) -> pl.DataFrame:
    """Return a Parquet table of a public data set, or some columns of it.

    Raises
    ------
    InputRefusedError
        It is not there; says how to point to it.
    """
    return pl.read_parquet(
        _there(public_data() / name / file, Path.is_file, "file"), columns=columns
    )


def _there(path: Path, check: Callable[[Path], bool], kind: str) -> Path:
    if not check(path):
        raise InputRefusedError(
            f"the data set {path.relative_to(public_data()).parts[0]} is not there",
            expected=f"a {kind} {path}",
            found=f"no such {kind}",
            next_step="set NBA_DATA to the folder that holds the public data sets",
        )
    return path
