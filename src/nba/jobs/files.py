"""Write so that a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from nba.data.lake import write_atomically

__all__ = ["write_atomically", "write_parquet"]


def write_parquet(table: pl.DataFrame, path: Path) -> None:
    """Write a table to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    table.write_parquet(temporary)
    temporary.replace(path)
