"""Clients generated from the committed document compile, and run against the service."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from nba.serving import Services, create_app
from nba.stores.access import Scope

HERE = Path(__file__).parent / "clients"

pytestmark = [pytest.mark.proof, pytest.mark.requires("npm")]


@pytest.fixture(scope="module")
def clients(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which `make clients` left both."""
    folder = tmp_path_factory.mktemp("clients")
    command = ["make", "clients", f"CLIENTS={folder}", f"PYTHON={sys.executable}"]
    made = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


@pytest.fixture
def address(services: Services) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(create_app(services), host="127.0.0.1", port=port, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def _run(*command: object, cwd: Path | None = None) -> str:
    words = list(map(str, command))
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_the_python_client_runs_against_the_service(
    clients: Path, services: Services, address: str
) -> None:
    token = services.store.create_key(Scope.CLERK, subject="k1").token
    python = clients / "tools" / "bin" / "python"
    assert _run(python, HERE / "use.py", address, token) == "accepted tea"


def test_the_typescript_client_compiles_strictly_and_runs_against_the_service(
    clients: Path, services: Services, address: str
) -> None:
    token = services.store.create_key(Scope.CLERK, subject="k1").token
    folder = clients / "typescript"
    shutil.copy(HERE / "use.ts", folder)
    options = ("--strict", "--target", "es2022", "--module", "commonjs", "--skipLibCheck")
    _run(folder / "node_modules" / ".bin" / "tsc", *options, "use.ts", cwd=folder)
    assert _run("node", folder / "use.js", address, token) == "accepted c11"
