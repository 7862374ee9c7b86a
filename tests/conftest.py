"""What every test may use: requirements that skip by name or fail where all are demanded."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest import mock
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from experiments.common.data import REPOSITORY, public_data

DATA = public_data()


def _postgres_bin() -> Path | None:
    candidates = [*Path("/usr/lib/postgresql").glob("*/bin"), *map(Path, os.get_exec_path())]
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


FOUND = {
    "java": lambda: shutil.which("java") is not None,
    "redis": lambda: shutil.which("redis-server") is not None,
    "postgres": lambda: _postgres_bin() is not None,
    "npm": lambda: shutil.which("npm") is not None,
    "chromium": lambda: shutil.which("chromium") is not None,
    "data": DATA.is_dir,
}


#: Begun first, the longest first, so that no worker is left alone with one of them at the end.
LONG = (
    "tests/simulation/test_families.py",
    "tests/experiments/test_worlds.py",
    "tests/jobs/test_nights.py",
    "tests/features/test_engines.py",
    "tests/test_end_to_end.py",
    "tests/jobs/test_live_arms.py",
    "tests/jobs/test_live_units.py",
    "tests/stores/test_erasure.py",
    "tests/experiments/test_closed_loop.py",
    "tests/jobs/test_moved_projects.py",
    "tests/models/mode/test_residual_effects.py",
    "tests/models/timing/test_hazard.py",
    "tests/models/timing/test_contract.py",
    "tests/models/mode/test_learner.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of `LONG` first."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(LONG)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose requirement is missing, or fail it under NBA_REQUIRE=all."""
    for marker in item.iter_markers("requires"):
        for name in marker.args:
            if FOUND[name]():
                continue
            message = f"{name} is not on this machine"
            if os.environ.get("NBA_REQUIRE") == "all":
                pytest.fail(f"{message}, and NBA_REQUIRE=all demands it")
            pytest.skip(message)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real public data; use with `requires("data")`."""
    return DATA


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the repository's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[str]:
    """Yield the address of an empty bucket of a local S3 server; the environment names it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    variables = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }
    with mock.patch.dict(os.environ, variables):
        urlopen(Request(f"{endpoint}/retailer", method="PUT"), timeout=10).close()
        yield "s3://retailer"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return an empty prefix: of a folder, and of a bucket."""
    if request.param == "folder":
        return (tmp_path / "bucket").as_uri()
    return f"{request.getfixturevalue('s3_bucket')}/{uuid4().hex}"
