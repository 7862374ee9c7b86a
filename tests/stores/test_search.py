"""A search looks into every kind of file, compares ids whole, and says what is whose."""

from __future__ import annotations

import gzip
import json
import sqlite3
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nba.stores.search import Search, search_folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path


def looked_for(project: Path, customer_id: str) -> Search:
    search = Search(customer_id)
    search_folder(search, project, project / "data")
    return search


def places(search: Search) -> set[tuple[str, str]]:
    return {(one.place.removeprefix("data/"), one.where) for one in search.kept}


def test_every_kind_of_file_is_read(project: Path) -> None:
    data = project / "data"
    pl.DataFrame(
        {
            "customer_id": ["C1", "C10"],
            "members": [["C2", "C1"], []],
            "about": [{"who": "C1"}, {"who": "C3"}],
            "note": ["tell C1, please", "C11"],
        }
    ).write_parquet(data / "table.parquet")
    with sqlite3.connect(data / "kept.db") as connection:
        connection.execute("CREATE TABLE people (id TEXT, payload TEXT)")
        connection.execute("INSERT INTO people VALUES ('C1', '{\"who\":\"C1\"}'), ('C10', '')")
    connection.close()
    np.savez(data / "arrays.npz", ids=np.array(["C1", "C2"]))
    (data / "state.json").write_text(json.dumps({"neighbour_ids": ["C1", "C10"], "n": 3}))
    (data / "log.txt").write_text("C10 came\nC1 went\n")
    (data / "old.csv.gz").write_bytes(gzip.compress(b"C1,2\n"))
    search = looked_for(project, "C1")
    assert places(search) == {
        ("table.parquet", "customer_id"),
        ("table.parquet", "members"),
        ("table.parquet", "about.who"),
        ("table.parquet", "note"),
        ("kept.db", "people.id"),
        ("kept.db", "people.payload"),
        ("arrays.npz", "ids.npy"),
        ("state.json", "neighbour_ids"),
        ("log.txt", "text"),
        ("old.csv.gz", "text"),
    }
    assert search.looked["Parquet files"] == 1
    assert search.looked["tables of data/kept.db"] == 1
    assert looked_for(project, "C").findings == []


def test_pages_that_sqlite_freed_are_seen(project: Path) -> None:
    path = project / "data" / "kept.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA secure_delete=OFF")
    connection.execute("CREATE TABLE people (id TEXT)")
    connection.execute("INSERT INTO people VALUES ('person-4711')")
    connection.commit()
    connection.execute("DELETE FROM people")
    connection.commit()
    assert places(looked_for(project, "person-4711")) == {("kept.db", "freed pages")}
    connection.execute("VACUUM")
    connection.close()
    assert looked_for(project, "person-4711").findings == []


def test_numbers_count_where_customers_are_named(project: Path) -> None:
    table = pl.DataFrame({"customer_id": ["1"], "product_id": ["17850"]})
    table.write_parquet(project / "data" / "sales.parquet")
    search = looked_for(project, "17850")
    assert search.kept == []
    assert [(one.where, one.kept) for one in search.findings] == [("product_id", False)]
    assert places(looked_for(project, "1")) == {("sales.parquet", "customer_id")}


def test_files_of_the_user_are_told_apart(project: Path) -> None:
    (project / "export.csv").write_text("customer_id\nC1\n")
    search = looked_for(project, "C1")
    assert search.kept == []
    assert [one.place for one in search.findings] == ["export.csv"]


def test_what_cannot_be_read_is_said(project: Path) -> None:
    (project / "data" / "broken.parquet").write_bytes(b"PAR1 and no more")
    assert "broken.parquet" in looked_for(project, "C1").unseen[0]
