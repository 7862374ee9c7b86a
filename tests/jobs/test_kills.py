"""Killed at random moments: nothing acknowledged is lost, and plans are as undisturbed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path

import httpx2 as httpx
import polars as pl
import pytest
from tests.jobs.conftest import DAY, wiring

from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.jobs.nightly import STEPS
from nba.simulation import WorldConfig, simulate
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
        assert self._process.stdout is not None
        self._process.stdout.close()


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
        time.sleep(0.02)
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
                time.sleep(0.2)
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


@pytest.fixture(
    params=[{}, {"partitions": 2, "workers": 2, "threads": 2}], ids=["whole", "workers"]
)
def small(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, float]:
    """Return a project of sixty customers with two plans, and how long its nights take."""
    config = WorldConfig(
        customers=60, clerks=2, stores=1, start=DAY - timedelta(days=60), days=60, seed=7
    )
    simulate(config, tmp_path / "tables", tmp_path / "truth")
    project = tmp_path / "made"
    init_project(project, request.param)
    wired = wiring(project)
    ingest_folder(wired, tmp_path / "tables")
    wired.plan_store.close()
    with nursery() as nest:
        for day in (DAY - timedelta(days=1), DAY):
            began = time.monotonic()
            assert ended(nest.fork("night", project, day), 600)
            assert is_published(project, day)
    return project, time.monotonic() - began


class Disturber:
    """Kills nights and the service at moments drawn evenly on a scale of factors.

    A night goes on where it ended, so that early and late steps are struck alike.

    Parameters
    ----------
    nest : Nursery
    shop : Path
    port : int
    longest : float
        Seconds within which a night is killed at first: a little more than it takes.
    """

    def __init__(self, nest: Nursery, shop: Path, port: int, longest: float) -> None:
        self.nest, self.shop, self.port = nest, shop, port
        self.struck: Counter[str] = Counter()
        self.draw, self.longest = random.Random(1), longest
        self.service = nest.fork("serve", shop, port)

    @property
    def kills(self) -> int:
        """How often something was killed."""
        return self.struck.total()

    def round(self, day: date) -> None:
        """Begin or go on with a night, and kill it, the service, or both."""
        began = time.monotonic()
        pid = self.nest.fork("night", self.shop, day)
        moment = self.longest * (0.02 ** self.draw.random())
        if self.draw.random() < 0.8:
            ended(pid, moment * self.draw.random())
            kill(self.service)
            self.struck["service"] += 1
            self.service = self.nest.fork("serve", self.shop, self.port)
        if ended(pid, began + moment - time.monotonic()):
            self.longest = max(1.3 * (time.monotonic() - began), 0.9 * self.longest)
            return
        kill(pid)
        self.struck[self.next_step(day)] += 1
        self.longest *= 1.02  # a slower machine, too, is given time to end a night

    def next_step(self, day: date) -> str:
        """Return the step that a killed night was at."""
        manifest = self.shop / "data" / "runs" / str(day) / "manifest.json"
        done = json.loads(manifest.read_text())["steps"] if manifest.exists() else {}
        return next((step for step in STEPS if step not in done), "end")


@pytest.mark.proof
def test_kills_lose_nothing_and_change_no_plan(small: tuple[Path, float], tmp_path: Path) -> None:
    made, night_seconds = small
    shop = Path(shutil.copytree(made, tmp_path / "shop"))
    undisturbed = Path(shutil.copytree(made, tmp_path / "undisturbed"))
    wired = wiring(shop)
    customers = wired.lake.polars("customers")["customer_id"].to_list()
    token = wired.plan_store.create_key(Scope.SOURCE, subject="POS").token
    wired.plan_store.close()
    began, port = time.monotonic(), free_port()
    days, day = [], DAY + timedelta(days=1)
    with nursery() as nest:
        disturber = Disturber(nest, shop, port, 1.3 * night_seconds)
        poster = Poster(f"http://127.0.0.1:{port}", token, customers)
        poster.start()
        try:
            while disturber.kills < KILLS:
                # in most rounds nothing new comes in, so that a run goes on where it ended
                (poster.go.set if disturber.draw.random() < 0.35 else poster.go.clear)()
                disturber.round(day)
                if is_published(shop, day):
                    days.append(day)
                    day += timedelta(days=1)
            poster.go.set()
            until = time.monotonic() + 60
            while not poster.acknowledged and time.monotonic() < until:
                time.sleep(0.1)
        finally:
            poster.stop.set()
            poster.join()
            kill(disturber.service)
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
        f"{disturber.kills} kills {dict(disturber.struck)} over {len(days)} nights in "
        f"{(time.monotonic() - began) / 60:.1f} min, {len(poster.acknowledged)} rows acknowledged, "
        f"{poster.failures} posts tried again: {len(lost)} lost"
    )
    assert poster.refused == 0
    assert poster.acknowledged
    assert lost == set()
    for one, mine, theirs in zip(days, plans(shop, days), plans(undisturbed, days), strict=True):
        assert mine.equals(theirs), f"the plan of {one} differs"
