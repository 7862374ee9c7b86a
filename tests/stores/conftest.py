"""A store per backend: every store test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from nba.stores.operational import OperationalStore
from nba.stores.schema import metadata

DAY = date(2026, 3, 2)
INITDB = ("-A", "trust", "-U", "nba", "-E", "UTF8", "--no-sync")
POSTGRES = ("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-F")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, **delta: float) -> None:
        self.moment += timedelta(**delta)


def _postgres_binaries() -> Path:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else Path(str(shutil.which("initdb"))).parent


def _as_other_user() -> list[str]:
    """Return the prefix that runs a command as a user PostgreSQL accepts: never root."""
    return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binaries = _postgres_binaries()
    # short, world-readable path: the server's user must reach it, and sockets have a length limit
    folder = Path("/tmp") / f"nba-pg-{uuid.uuid4().hex[:8]}"
    folder.mkdir(mode=0o755)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run = _as_other_user()
    subprocess.run(
        [*run, str(binaries / "initdb"), "-D", str(folder / "data"), *INITDB],
        check=True,
        capture_output=True,
        cwd="/tmp",
    )
    server = subprocess.Popen(
        [*run, str(binaries / "postgres"), "-p", str(port), "-D", str(folder / "data"), *POSTGRES],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/tmp",
    )
    address = f"postgresql://nba@127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/postgres")
        yield address
    finally:
        subprocess.run(
            [*run, str(binaries / "pg_ctl"), "-D", str(folder / "data"), "-m", "fast", "stop"],
            check=False,
            capture_output=True,
            cwd="/tmp",
        )
        server.wait(timeout=20)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str) -> None:
    engine = create_engine(url)
    deadline = time.monotonic() + 30
    while True:
        try:
            engine.connect().close()
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            engine.dispose()
            return


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 3, 2, 1, 0, tzinfo=UTC))


BACKENDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.requires("postgres"))]


def create_database(server: str) -> str:
    name = f"t{uuid.uuid4().hex[:12]}"
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server}/{name}"


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database without a schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return create_database(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="session", params=BACKENDS)
def migrated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URL of a database migrated once, for tests to copy or to empty."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('operations') / 'operations.db'}"
    else:
        url = create_database(request.getfixturevalue("postgres_url"))
    OperationalStore(url).close()
    return url


@pytest.fixture
def store(migrated: str, tmp_path: Path, clock: Clock) -> Iterator[OperationalStore]:
    if migrated.startswith("sqlite"):
        shutil.copy(migrated.removeprefix("sqlite:///"), tmp_path / "operations.db")
        opened = OperationalStore(f"sqlite:///{tmp_path / 'operations.db'}", clock=clock)
    else:
        opened = OperationalStore(migrated, clock=clock)
        names = ", ".join(metadata.tables)
        with opened.database.writing() as connection:
            connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    yield opened
    opened.close()


@pytest.fixture
def make_actions() -> Callable[..., pl.DataFrame]:
    return actions_frame


def actions_frame(
    day: date = DAY, clerks: int = 2, per_clerk: int = 3, salt: str = ""
) -> pl.DataFrame:
    """Return a small plan: `per_clerk` actions for each clerk, and one held-out customer."""
    start = datetime(day.year, day.month, day.day)
    rows = [
        {
            "action_id": f"{day:%m%d}-{clerk}-{rank}{salt}",
            "as_of": start,
            "clerk_id": f"k{clerk}",
            "rank": rank,
            "customer_id": f"c{clerk}{rank}",
            "mode": "private_partner" if rank % 2 else "shopping_assistant",
            "action_type": "care_call",
            "channel": "chat",
            "product_ids": ["05", "7"],
            "content_id": None,
            "contact_from": start + timedelta(hours=10),
            "contact_to": start + timedelta(hours=12),
            "minutes": 4.0,
            "value": 10.0 / rank,
            "uplift": 12.5,
            "p_repurchase_30d": 0.25,
            "propensity": 0.9,
            "explored": False,
            "arm": "engine",
            "reasons": [{"code": "due", "zh": "快用完了", "en": "running low"}],
            "talking_point": "您好",
            "policy_version": "p1",
            "model_versions": {"timing": "1"},
            "expires_at": start + timedelta(days=1),
            "caution": "ask first",
        }
        for clerk in range(1, clerks + 1)
        for rank in range(1, per_clerk + 1)
    ]
    held_out = dict.fromkeys(rows[0]) | {
        "action_id": f"{day:%m%d}-held{salt}",
        "as_of": start,
        "clerk_id": "k1",
        "customer_id": "held",
        "mode": "none",
        "arm": "holdout",
    }
    frame = pl.DataFrame([*rows, held_out], infer_schema_length=None)
    return frame.with_columns(pl.col("content_id").cast(pl.String))
