"""What is written is there as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from nba.files import replacing, write_parquet, write_text


def test_a_text_and_a_table_come_back(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "note.txt", "你好")
    assert (tmp_path / "a" / "note.txt").read_text(encoding="utf-8") == "你好"
    table = pl.DataFrame({"n": [1, 2]})
    write_parquet(table, tmp_path / "b" / "table.parquet")
    assert pl.read_parquet(tmp_path / "b" / "table.parquet").equals(table)


def _fail_half_way(path: Path) -> None:
    path.write_text("half")
    raise OSError("the disk is full")


def test_a_write_that_fails_leaves_what_stood_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")
    with pytest.raises(OSError, match="full"), replacing(path) as partial:
        _fail_half_way(partial)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
