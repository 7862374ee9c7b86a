"""The packed online store behind Feast: what Feast's own store gets wrong, and ours does not."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nba.stores.online_packed import OnlineView, PackedStore

NOON = datetime(2025, 9, 2, 12, tzinfo=UTC)
SQLITE = "sqlite"
PACKED = "nba.stores.online_feast.PackedOnlineStore"


def feast_store(folder: Path, online: str, **knobs: Any) -> Any:
    """Return a Feast store with one view of one day's life over snapshots of two moments."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.data_format import ParquetFormat
    from feast.repo_config import RegistryConfig
    from feast.types import Array, Bool, Float64, Int64, String, UnixTimestamp

    folder.mkdir(parents=True)
    for days in (0, 1, 2):
        moment = NOON - timedelta(days=days)
        pl.DataFrame(
            {
                "customer_id": ["05", "7"] if days < 2 else ["05", "gone"],
                "spend": [100.25 - days, None],
                "orders": [9 - days, 1],
                "is_friend": [True, False],
                "city": ["上海", None],
                "modes": [["a", "b"], []],
                "since": [datetime(2024, 2, 29, 8), None],
                "event_timestamp": [moment] * 2,
                "created_timestamp": [NOON] * 2,
            }
        ).write_parquet(folder / f"{days}.parquet")
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    types = {
        "customer_id": String, "spend": Float64, "orders": Int64, "is_friend": Bool,
        "city": String, "modes": Array(String), "since": UnixTimestamp,
    }  # fmt: skip
    view = FeatureView(
        name="facts",
        entities=[customer],
        ttl=timedelta(days=1),
        schema=[Field(name=name, dtype=dtype) for name, dtype in types.items()],
        source=FileSource(
            name="facts_source",
            path=str(folder / "*.parquet"),
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        ),
    )
    store = FeatureStore(
        config=RepoConfig(
            project="test",
            provider="local",
            registry=RegistryConfig(registry_type="file", path=str(folder / "registry.db")),
            offline_store={"type": "duckdb"},
            online_store={"type": online, "path": str(folder / "online.db"), **knobs},
            entity_key_serialization_version=3,
        )
    )
    store.apply([customer, view])
    return store


def materialise(store: Any, moment: datetime) -> None:
    with warnings.catch_warnings():
        # ibis fetches Arrow tables from DuckDB by a name that DuckDB has renamed; Feast's
        # SQLite store hands datetimes to sqlite3 in a way that Python has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        store.materialize(moment - timedelta(hours=1), moment + timedelta(hours=1))


def served(store: Any, *ids: str) -> dict[str, list[Any]]:
    names = ["spend", "orders", "is_friend", "city", "modes", "since"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found: dict[str, list[Any]] = store.get_online_features(
            features=[f"facts:{name}" for name in names],
            entity_rows=[{"customer_id": key} for key in ids],
        ).to_dict()
    return found


@pytest.fixture
def sqlite(tmp_path: Path) -> Any:
    return feast_store(tmp_path / "sqlite", SQLITE)


@pytest.fixture
def packed(tmp_path: Path) -> Any:
    return feast_store(tmp_path / "packed", PACKED)


def test_both_stores_serve_the_same_fresh_values(sqlite: Any, packed: Any) -> None:
    for store in (sqlite, packed):
        materialise(store, NOON)
    found = served(packed, "05", "7", "unknown")
    assert found == served(sqlite, "05", "7", "unknown")
    assert found["customer_id"] == ["05", "7", "unknown"]
    assert found["spend"] == [100.25, None, None]
    assert found["modes"][0] == ["a", "b"]


def test_upstream_a_backfill_overwrites_newer_values(sqlite: Any) -> None:
    materialise(sqlite, NOON)
    materialise(sqlite, NOON - timedelta(days=1))
    assert served(sqlite, "05")["orders"] == [8]


def test_ours_a_backfill_changes_nothing(packed: Any) -> None:
    materialise(packed, NOON)
    materialise(packed, NOON - timedelta(days=1))
    assert served(packed, "05")["orders"] == [9]


def test_upstream_values_past_their_time_to_live_are_served(sqlite: Any) -> None:
    materialise(sqlite, NOON - timedelta(days=2))
    materialise(sqlite, NOON)
    assert served(sqlite, "gone")["orders"] == [1]


def test_ours_a_value_past_its_time_to_live_is_not_served(packed: Any) -> None:
    materialise(packed, NOON - timedelta(days=2))
    assert served(packed, "gone")["orders"] == [1]
    materialise(packed, NOON)
    assert served(packed, "gone", "05")["orders"] == [None, 9]


def test_ours_counts_age_by_the_wall_clock_where_told(tmp_path: Path) -> None:
    store = feast_store(tmp_path / "wall", PACKED, clock="wall")
    materialise(store, NOON)
    assert served(store, "05")["orders"] == [None]


def test_what_feast_pushes_is_served(packed: Any) -> None:
    import pandas as pd

    materialise(packed, NOON)
    row = {
        "customer_id": "7", "spend": 1.5, "orders": 2, "is_friend": True, "city": "杭州",
        "modes": ["c"], "since": pd.Timestamp("2025-01-01", tz="UTC"),
        "event_timestamp": NOON + timedelta(minutes=1), "created_timestamp": NOON,
    }  # fmt: skip
    packed.write_to_online_store("facts", pd.DataFrame([row]))
    assert served(packed, "7")["orders"] == [2]
    assert served(packed, "7")["city"] == ["杭州"]


VIEW = OnlineView("pairs", ("customer_id", "product_id"), ("n",), ttl_us=10)


@pytest.fixture
def store(tmp_path: Path) -> PackedStore:
    return PackedStore(tmp_path / "online.db")


def numbers(store: PackedStore, *keys: tuple[str, str]) -> list[int | None]:
    return [found and found[1]["n"] for found in store.read(VIEW, keys)]


def test_a_snapshot_forgets_what_it_does_not_hold_but_keeps_later_pushes(
    store: PackedStore,
) -> None:
    rows = [(("c1", "p1"), 5, 5, "[1]"), (("c1", "p2"), 5, 5, "[2]")]
    store.replace(VIEW, rows, moment_us=5)
    store.push(VIEW, [(("c2", "p1"), 8, 8, "[3]")])
    store.replace(VIEW, [(("c1", "p1"), 7, 7, "[4]")], moment_us=7)
    assert numbers(store, ("c1", "p1"), ("c1", "p2"), ("c2", "p1")) == [4, None, 3]
    assert [row[0] for row in store.scan(VIEW, ["c1"])] == [("c1", "p1")]


def test_a_push_older_than_the_snapshot_does_not_bring_an_entity_back(store: PackedStore) -> None:
    store.replace(VIEW, [], moment_us=5)
    store.push(VIEW, [(("c1", "p1"), 4, 4, "[1]")])
    assert numbers(store, ("c1", "p1")) == [None]


def test_a_push_long_after_the_snapshot_ends_no_other_entity(store: PackedStore) -> None:
    store.replace(VIEW, [(("c1", "p1"), 5, 5, "[1]"), (("c2", "p1"), 5, 5, "[2]")], moment_us=5)
    store.push(VIEW, [(("c2", "p1"), 900, 900, "[3]")])
    assert numbers(store, ("c1", "p1"), ("c2", "p1")) == [1, 3]


def test_a_broken_snapshot_leaves_the_old_one(store: PackedStore) -> None:
    store.replace(VIEW, [(("c1", "p1"), 5, 5, "[1]")], moment_us=5)

    def broken() -> Any:
        yield (("c1", "p1"), 6, 6, "[2]")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.replace(VIEW, broken(), moment_us=6)
    assert numbers(store, ("c1", "p1")) == [1]
    assert store.snapshot_us("pairs") == 5


def test_values_written_under_an_older_schema_are_read_by_name(store: PackedStore) -> None:
    store.replace(VIEW, [(("c1", "p1"), 5, 5, "[1]")], moment_us=5)
    wider = OnlineView("pairs", VIEW.keys, ("m", "n"), ttl_us=10)
    store.push(wider, [(("c1", "p2"), 6, 6, "[7, 2]")])
    assert numbers(store, ("c1", "p1"), ("c1", "p2")) == [1, 2]


def test_more_keys_than_a_statement_takes(store: PackedStore) -> None:
    rows = [((f"c{i}", "p"), 5, 5, f"[{i}]") for i in range(40_000)]
    store.replace(VIEW, rows, moment_us=5)
    assert numbers(store, *[row[0] for row in rows]) == list(range(40_000))


def test_another_process_reads_while_one_writes(store: PackedStore) -> None:
    store.replace(VIEW, [(("c1", "p1"), 5, 5, "[1]")], moment_us=5)
    reader = PackedStore(store.path)
    with store.transaction():
        store.replace(VIEW, [(("c1", "p1"), 6, 6, "[2]")], moment_us=6)
        assert numbers(reader, ("c1", "p1")) == [1]
    assert numbers(reader, ("c1", "p1")) == [2]
    reader.close()
