"""Write files so that a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, and put what was written there in its place.

    The content is on disk before it counts; where the block fails, nothing changes.

    Examples
    --------
    ``with replacing(out) as partial: table.write_parquet(partial)``
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Write a text in UTF-8 to `path`, as a whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def write_parquet(table: pl.DataFrame | pl.LazyFrame, path: Path) -> None:
    """Write a table to `path`, as a whole or not at all; a lazy one in batches."""
    with replacing(path) as temporary:
        if hasattr(table, "sink_parquet"):
            table.sink_parquet(temporary)
        else:
            table.write_parquet(temporary)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
