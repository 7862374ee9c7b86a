"""Feast with real servers: values in Redis, the registry in PostgreSQL."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import redis
import yaml

from nba.data.erasure import Leaving
from nba.data.ingest import ingest
from nba.data.lake import Lake
from nba.data.tables import load_tables
from nba.errors import NbaError
from nba.stores.feature_store import FeastFeatureStore

from .conftest import create_database

ZONE = "Asia/Shanghai"
FIRST, SECOND = datetime(2026, 3, 10), datetime(2026, 3, 11)
LINES = """order_id,line_no,customer_id,product_id,ts,quantity,unit_price
o1,1,05,p1,2026-03-01,1,10
o2,1,c2,p1,2026-03-02,2,10
o3,1,05,p2,2026-03-10 12:00:00,1,7
"""


@pytest.fixture(scope="module")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir",
         str(folder)],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    client = redis.Redis(port=port)
    deadline = time.monotonic() + 20
    while True:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    client.close()
    yield f"127.0.0.1:{port}"
    server.terminate()
    server.wait(timeout=20)


def project(root: Path, repository: Path, **settings: Any) -> FeastFeatureStore:
    """Return the store of a small shop whose `feature_store.yaml` says `settings`."""
    shutil.copytree(repository / "features", root / "features")
    path = root / "features" / "feature_store.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **settings}))
    (root / "in").mkdir()
    (root / "in" / "transactions.csv").write_text(LINES)
    lake = Lake(root / "lake")
    ingest(root / "in", lake, time_zone=ZONE, now=datetime(2026, 3, 12, tzinfo=UTC))
    return FeastFeatureStore(
        root / "data",
        root / "features",
        lambda at, connection: load_tables(lake, as_of=at, time_zone=ZONE, connection=connection),
        time_zone=ZONE,
    )


def from_redis(store: FeastFeatureStore, *ids: str) -> list[Any]:
    found = store.repository.feast.get_online_features(
        features=["customer_behaviour:spend_amount"],
        entity_rows=[{"customer_id": key} for key in ids],
    ).to_dict()
    values: list[Any] = found["spend_amount"]
    return values


@pytest.mark.requires("redis")
def test_redis_holds_what_the_packed_store_serves(
    tmp_path: Path, repository: Path, redis_address: str
) -> None:
    online = {"type": "redis", "connection_string": redis_address}
    store = project(tmp_path, repository, online_store=online)
    for moment in (FIRST, SECOND):
        store.build(moment, purpose="training")
    store.materialise(SECOND)
    assert from_redis(store, "05", "c2", "nobody") == [17.0, 20.0, None]
    served = store.online("customer_behaviour", pl.DataFrame({"customer_id": ["05", "c2"]}))
    assert served["spend_amount"].to_list() == [17.0, 20.0]
    # A backfill changes nothing, in neither.
    assert not any(store.materialise(FIRST).values())
    assert from_redis(store, "05") == [17.0]
    # A push is served at once, and an older one is not.
    row = store.snapshot("customer_behaviour", SECOND).filter(pl.col("customer_id") == "05")
    for hours, amount in ((9, 30.0), (1, 1.0)):
        pushed = row.with_columns(spend_amount=pl.lit(amount))
        store.push("customer_behaviour", pushed, moment=SECOND + timedelta(hours=hours))
        assert from_redis(store, "05") == [30.0]
        assert store.online_one("customer_behaviour", customer_id="05")["spend_amount"] == 30.0
    # What nobody refreshes ends with the time to live of the longest-lived view.
    host, _, port = redis_address.partition(":")
    client = redis.Redis(host=host, port=int(port))
    longest = max(view.ttl_days for view in store.views.values()) * 86_400
    lives = [client.ttl(key) for key in client.scan_iter()]
    client.close()
    assert lives
    assert all(0 < seconds <= longest for seconds in lives)
    forgets(store)
    assert from_redis(store, "05", "c2") == [None, 20.0]


def forgets(store: FeastFeatureStore) -> None:
    """Erase a customer, who must leave the store that Feast names; the others stay."""

    def keys() -> dict[str, int]:
        return dict(store.repository.keys_online(["05", "c2"], delete=False))

    before = keys()
    assert before["05"] > 3
    tally = store.erase(Leaving.of(["05"], {}))
    assert tally.rows["05"] > before["05"]
    assert keys() == {"c2": before["c2"]}


def test_erased_customers_leave_a_database_that_feast_names(
    tmp_path: Path, repository: Path
) -> None:
    online = {"type": "sqlite", "path": str(tmp_path / "feast.db")}
    store = project(tmp_path, repository, online_store=online)
    store.build(SECOND)
    store.materialise(SECOND)
    forgets(store)
    store.repository.feast._get_provider().online_store._conn.close()


def test_an_online_store_that_nothing_is_known_of_keeps_the_erasure_open(
    tmp_path: Path, repository: Path
) -> None:
    store = project(tmp_path, repository, online_store={"type": "faiss"})
    feast = SimpleNamespace(config=SimpleNamespace(online_store=SimpleNamespace(type="faiss")))
    store.repository._feast = feast  # type: ignore[assignment]
    with pytest.raises(NbaError, match="type 'faiss'"):
        store.repository.keys_online(["05"], delete=True)


@pytest.mark.requires("postgres")
def test_the_registry_stands_in_postgresql(
    tmp_path: Path, repository: Path, postgres_url: str
) -> None:
    registry = {"registry_type": "sql", "path": create_database(postgres_url)}
    store = project(tmp_path, repository, registry=registry)
    store.build(SECOND)
    asked = pl.DataFrame({"customer_id": ["05", "c2"], "event_timestamp": [SECOND, SECOND]})
    assert store.historical("customer_behaviour", asked)["spend_amount"].to_list() == [17.0, 20.0]
    assert not store.apply()
    feast = store.repository.feast
    assert {view.name for view in feast.list_feature_views()} == set(store.views)
    assert {item.name for item in feast.list_feature_services()} == set(store.repository.services)
    view = feast.get_feature_view("customer_behaviour")
    assert view.description == store.views["customer_behaviour"].meaning
    assert not (tmp_path / "data" / "feast" / "registry.db").exists()
    registered: Any = feast.registry
    for engine in (registered.write_engine, registered.read_engine):
        engine.dispose()
