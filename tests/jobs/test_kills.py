"""Killed at random moments: nothing acknowledged is lost, and plans are as undisturbed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path

import httpx2 as httpx
import polars as pl
import pytest
from tests.jobs.conftest import DAY, wiring

from nba.stores.access import Scope

#: How often something is killed; fewer where the machine is busy.
KILLS = int(os.environ.get("NBA_KILLS", "200"))
NURSERY = Path(__file__).with_name("nursery.py")


class Nursery:
    """Forks nights and services that can be killed at once."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(NURSERY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def fork(self, *words: object) -> int:
        """Start a child and return its pid."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the nursery."""
        assert self._process.stdin is not None
        self._process.stdin.write("quit\n")
        self._process.stdin.close()
        self._process.wait()


def runs(pid: int) -> bool:
    """Return whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ended(pid: int, seconds: float) -> bool:
    """Wait for a process to end; return whether it did."""
    until = time.monotonic() + seconds
    while runs(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    assert ended(pid, 30)


class Poster(threading.Thread):
    """Posts sales and keeps the ids of those that were acknowledged; asks again after a failure."""

    def __init__(self, url: str, token: str, customers: list[str]) -> None:
        super().__init__()
        self.acknowledged: set[str] = set()
        self.failures = self.refused = 0
        self.go, self.stop = threading.Event(), threading.Event()
        self._url, self._customers = url, customers
        self._headers = {"Authorization": f"Bearer {token}"}

    def run(self) -> None:
        """Post batch after batch."""
        draw, number = random.Random(2), 0
        while not self.stop.is_set():
            if not self.go.wait(0.05):
                continue
            number += 1
            rows = [self._row(draw, f"{number}-{n}") for n in range(draw.randint(1, 5))]
            while not self._posted(rows) and not self.stop.is_set():
                self.failures += 1
                time.sleep(0.05)
            time.sleep(draw.random() * 0.5)

    def _row(self, draw: random.Random, order_id: str) -> dict[str, object]:
        return {
            "order_id": order_id,
            "line_no": "1",
            "customer_id": draw.choice(self._customers),
            "product_id": "p",
            "ts": "2026-01-01T10:00:00",
            "quantity": 1,
            "unit_price": draw.randint(1, 99),
        }

    def _posted(self, rows: list[dict[str, object]]) -> bool:
        try:
            answer = httpx.post(
                f"{self._url}/v1/events",
                json={"transactions": rows},
                headers=self._headers,
                timeout=60,
            )
        except httpx.HTTPError:
            return False
        if answer.status_code != 200:
            return False
        body = answer.json()
        self.refused += body["refused"]
        self.acknowledged |= {f"POS:{row['order_id']}" for row in rows}
        return True


@contextmanager
def nursery() -> Iterator[Nursery]:
    nest = Nursery()
    try:
        yield nest
    finally:
        nest.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_published(project: Path, day: date) -> bool:
    store = wiring(project).plan_store
    try:
        return store.plan(day) is not None
    finally:
        store.close()


def plans(project: Path, days: list[date]) -> list[pl.DataFrame]:
    """Return the published actions but for the numbers of the models' versions."""
    store = wiring(project).plan_store
    found = [store.actions(day) for day in days]
    store.close()
    return [frame.drop("model_versions", "details", strict=False) for frame in found]


@pytest.mark.proof
def test_kills_lose_nothing_and_change_no_plan(made: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(made, tmp_path / "shop"))
    undisturbed = Path(shutil.copytree(made, tmp_path / "undisturbed"))
    wired = wiring(shop)
    customers = wired.lake.polars("customers")["customer_id"].to_list()
    token = wired.plan_store.create_key(Scope.SOURCE, subject="POS").token
    wired.plan_store.close()
    draw, port = random.Random(1), free_port()
    days, day, kills, longest = [], DAY + timedelta(days=1), 0, 20.0
    with nursery() as nest:
        service = nest.fork("serve", shop, port)
        poster = Poster(f"http://127.0.0.1:{port}", token, customers)
        poster.start()
        try:
            while kills < KILLS:
                # in every other round nothing new comes in, so that a run goes on where it ended
                (poster.go.set if draw.random() < 0.5 else poster.go.clear)()
                began = time.monotonic()
                pid = nest.fork("night", shop, day)
                if ended(pid, draw.random() * longest):
                    longest = max(2.0, 1.2 * (time.monotonic() - began))
                else:
                    kill(pid)
                    kills += 1
                if draw.random() < 0.25:
                    kill(service)
                    kills += 1
                    service = nest.fork("serve", shop, port)
                if is_published(shop, day):
                    days.append(day)
                    day += timedelta(days=1)
            poster.go.set()
            time.sleep(1)
        finally:
            poster.stop.set()
            poster.join()
            kill(service)
        days.append(day)
        for last in (day, day):  # the last call is the scheduler's second one
            assert ended(nest.fork("night", shop, last), 600)
        for one in days:
            assert ended(nest.fork("night", undisturbed, one), 600)
    wired = wiring(shop)
    kept = set(wired.lake.polars("transactions")["order_id"].to_list())
    assert wired.plan_store.backlog()[0] == 0
    assert wired.plan_store.refused_rows() == 0
    wired.plan_store.close()
    lost = poster.acknowledged - kept
    print(
        f"{kills} kills over {len(days)} nights, {len(poster.acknowledged)} rows acknowledged, "
        f"{poster.failures} posts tried again: {len(lost)} lost"
    )
    assert poster.refused == 0
    assert poster.acknowledged
    assert lost == set()
    for one, mine, theirs in zip(days, plans(shop, days), plans(undisturbed, days), strict=True):
        assert mine.equals(theirs), f"the plan of {one} differs"
