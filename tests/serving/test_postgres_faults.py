"""PostgreSQL read-only, gone or slow by five seconds: 503 in time, and nothing kept twice."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, make_url, text
from tests.serving.conftest import NOW, PLAN, actions_frame, admin_of, answers
from tests.serving.test_store_faults import outlives
from tests.stores.conftest import create_database
from tests.stores.conftest import postgres_url as postgres_url  # a fixture

from nba.serving import Services
from nba.stores.operational import OperationalStore

pytestmark = pytest.mark.requires("postgres")

WAIT_SECONDS = 0.5
#: Longer than all that a request waits for, on a machine that is busy.
IN_TIME = 20.0
LIST = "/v1/clerks/k1/actions"


class Line:
    """A line to a server that can be slow, or cut."""

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.is_cut = False
        self._far = port
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close every connection, and take no other until it is mended."""
        self.is_cut = True
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._listening.accept()[0]
                if self.is_cut:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._far))
                self._open += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(65_536):
                time.sleep(self.delay)
                target.sendall(content)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def database(postgres_url: str) -> str:
    return create_database(postgres_url)


@pytest.fixture
def line(database: str) -> Iterator[Line]:
    opened = Line(int(make_url(database).port or 0))
    yield opened
    opened.close()


@pytest.fixture
def store(database: str, line: Line) -> Iterator[OperationalStore]:
    url = make_url(database).set(port=line.port).render_as_string(hide_password=False)
    opened = OperationalStore(
        url, clock=lambda: NOW, wait_seconds=WAIT_SECONDS, silence_seconds=WAIT_SECONDS
    )
    opened.publish(PLAN, actions_frame())
    yield opened
    opened.close()


@pytest.fixture
def admin(services: Services, store: OperationalStore) -> TestClient:
    return admin_of(services, store)


def refused_in_time(admin: TestClient) -> None:
    for ask in (lambda: admin.get(LIST), lambda: admin.post("/v1/events", json=answers(1))):
        began = time.monotonic()
        answer = ask()
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert time.monotonic() - began < IN_TIME


def recovered(admin: TestClient, store: OperationalStore) -> None:
    assert admin.get(LIST).status_code == 200
    rows = admin.post("/v1/events", json=answers(1, rows=2)).json()
    assert rows["accepted"] + rows["repeated"] == 2
    assert sorted(store.new_events()["responses"]["response_id"]) == ["r1-0", "r1-1"]


def test_a_server_that_is_slow_by_five_seconds_is_not_waited_for(
    admin: TestClient, store: OperationalStore, line: Line
) -> None:
    assert admin.get(LIST).status_code == 200
    line.delay = 5.0
    refused_in_time(admin)
    line.delay = 0.0
    recovered(admin, store)


def test_a_server_that_is_gone_is_said_and_found_again(
    admin: TestClient, store: OperationalStore, line: Line
) -> None:
    line.cut()
    refused_in_time(admin)
    line.is_cut = False
    recovered(admin, store)


def test_a_read_only_server_answers_and_takes_nothing(
    admin: TestClient, store: OperationalStore, database: str
) -> None:
    def set_read_only(state: str) -> None:
        name = make_url(database).database
        engine = create_engine(database, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("SET default_transaction_read_only = off"))
            connection.execute(
                text(f"ALTER DATABASE {name} SET default_transaction_read_only = {state}")
            )
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = :name AND pid <> pg_backend_pid()"
                ),
                {"name": name},
            )
        engine.dispose()

    set_read_only("on")
    assert admin.get(LIST).status_code == 200
    refused = admin.post("/v1/events", json=answers(1))
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
    set_read_only("off")
    recovered(admin, store)


@pytest.mark.parametrize("kills", [1, pytest.param(200, marks=pytest.mark.proof)])
def test_what_was_acknowledged_outlives_a_kill(
    database: str, store: OperationalStore, kills: int
) -> None:
    outlives(database, store, kills)
