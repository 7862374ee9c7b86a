"""The operational store locked, full or killed under writes: 503 in time, and nothing lost."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event
from tests.serving.conftest import NOW, PLAN, actions_frame, admin_of, answers

from nba.serving import Services
from nba.stores.operational import OperationalStore
from nba.stores.outbox import Event

WAIT_SECONDS = 0.3
FEEDBACK = {"feedback_id": "f", "kind": "opened", "ts": "2026-03-02T09:00"}
CONSENT = {"consent_contact": True, "consent_profiling": True, "consent_at": "2026-03-02T09:00"}
READS = ("/v1/clerks", "/v1/clerks/k1/actions", "/v1/customers/c11", "/healthz")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OperationalStore]:
    opened = OperationalStore(
        f"sqlite:///{tmp_path / 'operational.db'}", clock=lambda: NOW, wait_seconds=WAIT_SECONDS
    )
    opened.publish(PLAN, actions_frame())
    yield opened
    opened.close()


@pytest.fixture
def admin(services: Services, store: OperationalStore) -> TestClient:
    return admin_of(services, store)


def test_a_locked_store_is_said_in_time_and_nothing_is_kept_twice(
    admin: TestClient, store: OperationalStore
) -> None:
    def post(number: int) -> Any:
        return admin.post("/v1/events", json=answers(number))

    with ThreadPoolExecutor(8) as pool:
        with store.database.writing():
            began = time.monotonic()
            refused = list(pool.map(post, range(8)))
            taken = time.monotonic() - began
            assert [admin.get(path).status_code for path in READS] == [200] * len(READS)
        accepted = list(pool.map(post, range(8)))
        repeated = list(pool.map(post, range(8)))
    assert {one.status_code for one in refused} == {503}
    assert all(one.headers["retry-after"] for one in refused)
    assert taken < 20  # the eight did not wait one after another for a store of a long wait
    assert [one.json()["accepted"] for one in accepted] == [1] * 8
    assert [one.json()["repeated"] for one in repeated] == [1] * 8


def test_a_full_disk_is_said_and_what_was_begun_is_undone(
    admin: TestClient, store: OperationalStore
) -> None:
    pages = {"most": 1}  # SQLite takes it for the size that the file has

    @event.listens_for(store.database.engine, "checkout")
    def limit(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages['most']}").close()

    batch = answers(0, rows=300, note="n" * 1500)
    full = admin.post("/v1/events", json=batch)
    assert (full.status_code, full.json()["code"]) == (503, "unavailable")
    assert [admin.get(path).status_code for path in READS] == [200] * len(READS)
    pages["most"] = 1_000_000
    assert admin.post("/v1/events", json=batch).json()["accepted"] == 300


def test_a_store_without_the_right_to_write_answers_and_takes_nothing(
    admin: TestClient, store: OperationalStore
) -> None:
    right = {"query_only": "ON"}  # what SQLite says then is what it says of a read-only file

    @event.listens_for(store.database.engine, "checkout")
    def limit(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA query_only = {right['query_only']}").close()

    calls: list[tuple[str, str, Any]] = [
        ("POST", "/v1/events", answers(0)),
        ("POST", "/v1/actions/k1-1/feedback", FEEDBACK),
        ("PUT", "/v1/customers/c11/tags/vip", {}),
        ("PUT", "/v1/customers/c11/consent", CONSENT),
    ]
    for method, path, body in calls:
        refused = admin.request(method, path, json=body)
        assert (path, refused.status_code) == (path, 503)
        assert refused.json()["code"] == "unavailable"
        assert refused.headers["retry-after"]
    assert [admin.get(path).status_code for path in READS] == [200] * len(READS)
    right["query_only"] = "OFF"
    for method, path, body in calls:
        assert admin.request(method, path, json=body).status_code == 200
    assert store.new_events()["responses"]["response_id"].to_list() == ["r0-0"]


#: Writes by six threads until it is killed, and says what was acknowledged.
def write_until_killed(url: str, run: int, said: Connection) -> None:
    """Write from six threads, and say each key once it was acknowledged."""
    store = OperationalStore(url)

    def write(thread: int) -> None:
        for number in count():
            key = f"{run}-{thread}-{number}"
            row = {"response_id": key, "customer_id": "c", "ts": datetime.now(UTC), "kind": "read"}
            taken = store.write(lambda writer, row=row: writer.accept(Event("responses", row)))
            assert taken == "accepted"
            os.write(said.fileno(), f"{key}\n".encode())

    for thread in range(6):
        threading.Thread(target=write, args=(thread,)).start()


def killed(url: str, run: int, after_lines: int) -> list[str]:
    """Let a process write until it has acknowledged so much, kill it, return what it said."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.serving.test_store_faults", "alembic.command"])
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=write_until_killed, args=(url, run, theirs))
    process.start()
    theirs.close()
    with mine, os.fdopen(os.dup(mine.fileno()), "rb") as answers:
        said = [answers.readline() for _ in range(after_lines)]
        process.kill()
        said += answers.readlines()
    process.join()
    return [line.decode().strip() for line in said if line.endswith(b"\n")]


@pytest.mark.parametrize("kills", [2, pytest.param(200, marks=pytest.mark.proof)])
def test_what_was_acknowledged_outlives_a_kill(
    tmp_path: Path, store: OperationalStore, kills: int
) -> None:
    outlives(f"sqlite:///{tmp_path / 'operational.db'}", store, kills)


def outlives(url: str, store: OperationalStore, kills: int) -> None:
    """Kill so many processes that write to a store, and find every acknowledged write in it."""
    acknowledged = [key for run in range(kills) for key in killed(url, run, 5 + 7 * (run % 9))]
    kept = set(store.new_events()["responses"]["response_id"])
    lost = set(acknowledged) - kept
    print(f"{kills} kills, {len(acknowledged):,} acknowledged writes, {len(lost)} lost")
    assert not lost
    assert len(set(acknowledged)) == len(acknowledged) >= 5 * kills
