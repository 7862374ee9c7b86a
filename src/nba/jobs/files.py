"""Write so that a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)


def write_parquet(table: pl.DataFrame, path: Path) -> None:
    """Write a table to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    table.write_parquet(temporary)
    temporary.replace(path)
