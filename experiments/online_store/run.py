"""A million customers with all features that are keyed by them, written online and read again.

The same values go into the packed store, and through Feast into its own SQLite store and Redis.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import polars as pl
import yaml

from nba.features.engine import CREATED_TIMESTAMP, EVENT_TIMESTAMP, packed_sql
from nba.features.view import View
from nba.jobs.init import init_project
from nba.schema.words import CUSTOMER_ID
from nba.settings import Project
from nba.stores.feature_store import FeastFeatureStore, microseconds
from nba.wiring import Wiring

MOMENT: Final = datetime(2026, 3, 2)
#: Customers whose values are drawn; others repeat them.
DRAWN: Final = 100_000
SIZES, CALLERS = (1, 100, 1_000), (1, 4, 16)
#: Feast takes seconds for each thousand: it is not asked for more at once by all callers together.
MOST_OF_FEAST: Final = 1_600
_RANDOM: Final = {
    "float64": "round(random() * 1000, 4)",
    "int64": "CAST(random() * 400 AS BIGINT)",
    "bool": "random() < .5",
    "string": "'value ' || CAST(random() * 40 AS INTEGER)",
    "timestamp": "TIMESTAMP '2026-01-01' + to_seconds(CAST(random() * 5000000 AS BIGINT))",
    "list<string>": "['tea', 'value ' || CAST(random() * 40 AS INTEGER)]",
}
#: Asks for all features of some customers.
Ask = Callable[[Sequence[str]], object]


def online_store(
    *, customers: int = 1_000_000, in_feast: int = 1_000, seconds: float = 1.0, seed: int = 1
) -> dict[str, Any]:
    """Write customers with every feature keyed by them, and read 1, 100 and 1,000 of them.

    Parameters
    ----------
    customers : int
        In the packed store.
    in_feast : int
        In Feast's own stores, which take a row per feature; their cost is per customer.
    seconds : float
        For which each read is repeated.
    seed : int
        Of the values and of who is asked for.

    Returns
    -------
    dict
        `features`, `write` (customers a second by store, and bytes of the packed one) and
        `reads`: customers a second by store, number asked for and callers.
    """
    with tempfile.TemporaryDirectory(prefix="nba-online-") as scratch:
        root = Path(scratch)
        packed = _store(root / "packed", {})
        views = [view for view in packed.views.values() if view.entity_keys == (CUSTOMER_ID,)]
        files = {view.name: _draw(view, root, min(customers, DRAWN), seed) for view in views}
        wrote = {"packed": _write_packed(packed, views, files, customers)}
        asks: dict[str, Ask] = {
            "packed": lambda ids: _read_packed(packed, views, ids),
            "raw": lambda ids: _read_raw(packed, views, ids),
        }
        known = {"packed": customers, "raw": customers}
        with _redis(root) as address:
            chosen: dict[str, dict[str, Any]] = {
                "feast_sqlite": {"type": "sqlite", "path": str(root / "feast.db")}
            }
            if address:
                chosen["feast_redis"] = {"type": "redis", "connection_string": address}
            for name, online in chosen.items():
                store = _store(root / name, {"online_store": online})
                wrote[name] = _write_feast(store, views, files, in_feast)
                asks[name] = _feast_ask(store, views)
                known[name] = in_feast
            reads = _reads(asks, known, seconds, seed)
        size = (root / "packed" / "data" / "feast" / "online.db").stat().st_size
    return {
        "customers": customers,
        "in_feast": in_feast,
        "views": len(views),
        "features": sum(len(view.features) for view in views),
        "write": {name: round(rate, 1) for name, rate in wrote.items()},
        "packed_bytes": size,
        "reads": reads,
    }


def _store(root: Path, settings: Mapping[str, Any]) -> FeastFeatureStore:
    init_project(root, {})
    path = root / "features" / "feature_store.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **settings}))
    return Wiring(Project.open(root)).feature_store


def _draw(view: View, root: Path, rows: int, seed: int) -> Path:
    """Write drawn values of a view as a snapshot would have them."""
    path = root / f"{view.name}.parquet"
    columns = ", ".join(f'{_RANDOM[one.dtype]} AS "{one.name}"' for one in view.features)
    moment = f"TIMESTAMP '{MOMENT.isoformat(' ')}'"
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"SELECT setseed({seed / 100})")
        connection.execute(
            f"COPY (SELECT 'c' || i AS {CUSTOMER_ID}, {moment} AS {EVENT_TIMESTAMP}, "
            f"{moment} AS {CREATED_TIMESTAMP}, {columns} FROM range({rows}) AS r(i)) "
            f"TO '{path}' (FORMAT parquet)"
        )
    return path


def _write_packed(
    store: FeastFeatureStore, views: Sequence[View], files: Mapping[str, Path], customers: int
) -> float:
    """Bring all customers online as a night does; return customers a second."""
    began = time.perf_counter()
    with store.online_store.transaction():
        for view in views:
            rows = _packed_rows(view, files[view.name], customers)
            store.online_store.replace(
                store.online_view(view), rows, moment_us=microseconds(MOMENT)
            )
    return customers / (time.perf_counter() - began)


def _packed_rows(view: View, path: Path, customers: int) -> Iterator[Any]:
    with duckdb.connect(config={"threads": 1}) as connection:
        cursor = connection.execute(
            f"SELECT {CUSTOMER_ID} || '-' || t AS id, epoch_us({EVENT_TIMESTAMP}), "
            f"epoch_us({CREATED_TIMESTAMP}), {packed_sql(view)} FROM read_parquet('{path}'), "
            f"range({-(-customers // DRAWN)}) AS times(t) ORDER BY id LIMIT {customers}"
        )
        while rows := cursor.fetchmany(50_000):
            for one, event, created, values in rows:
                yield (one,), event, created, values


def _read_packed(store: FeastFeatureStore, views: Sequence[View], ids: Sequence[str]) -> object:
    keys = [(f"{one}-0",) for one in ids]
    return [store.online_store.read(store.online_view(view), keys) for view in views]


def _read_raw(store: FeastFeatureStore, views: Sequence[View], ids: Sequence[str]) -> object:
    """Read the same rows and parse nothing."""
    connection, marks = store.online_store.connection, ", ".join("?" * len(ids))
    keys = [f"{one}-0" for one in ids]
    return [
        connection.execute(
            f'SELECT {CUSTOMER_ID}, packed FROM "view_{view.name}" '
            f"WHERE {CUSTOMER_ID} IN ({marks})",
            keys,
        ).fetchall()
        for view in views
    ]


def _write_feast(
    store: FeastFeatureStore, views: Sequence[View], files: Mapping[str, Path], customers: int
) -> float:
    """Write customers through Feast into its own store; return customers a second."""
    frames = {
        view.name: pl.read_parquet(files[view.name], n_rows=customers).with_columns(
            pl.lit(MOMENT.replace(tzinfo=UTC)).alias(name)
            for name in (EVENT_TIMESTAMP, CREATED_TIMESTAMP)
        )
        for view in views
    }
    feast = store.repository.feast
    began = time.perf_counter()
    for name, frame in frames.items():
        feast.write_to_online_store(name, frame.to_pandas())
    return customers / (time.perf_counter() - began)


def _feast_ask(store: FeastFeatureStore, views: Sequence[View]) -> Ask:
    feast = store.repository.feast
    names = [f"{view.name}:{one.name}" for view in views for one in view.features]

    def ask(ids: Sequence[str]) -> object:
        rows = [{CUSTOMER_ID: one} for one in ids]
        return feast.get_online_features(
            features=names, entity_rows=rows, full_feature_names=True
        ).to_dict()

    return ask


@contextmanager
def _redis(root: Path) -> Iterator[str]:
    """Give the address of a Redis server, nothing where there is none to start."""
    program = shutil.which("redis-server")
    if program is None:
        yield ""
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(root),
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


def _reads(
    asks: Mapping[str, Ask], known: Mapping[str, int], seconds: float, seed: int
) -> dict[str, dict[str, float]]:
    """Return customers a second by store, for each number asked for and of callers, in turns."""
    found: dict[str, dict[str, float]] = {name: {} for name in asks}
    for size in SIZES:
        for callers in CALLERS:
            for name, ask in asks.items():
                if name.startswith("feast") and size * callers > MOST_OF_FEAST:
                    continue
                rate = _rate(ask, min(known[name], DRAWN), size, callers, seconds, seed)
                found[name][f"{size} by {callers}"] = round(rate, 1)
    return found


def _rate(ask: Ask, known: int, size: int, callers: int, seconds: float, seed: int) -> float:
    def call(caller: int) -> int:
        rng, done = np.random.default_rng([seed, caller]), 0
        ask(["c0"])  # its connection is open now
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            ask([f"c{one}" for one in rng.integers(0, known, size)])
            done += size
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        done = sum(pool.map(call, range(callers)))
    return done / (time.perf_counter() - began)
