"""`nba bench serving`: what a request costs beside a constant handler on the same server."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np

from nba.errors import UnavailableError, UsageError

_CONSTANT: Final = "/bench/constant"
_START_SECONDS: Final = 60.0

#: One request: method, path, body.
Request = tuple[str, str, str | None]


@dataclass(frozen=True)
class Timed:
    """One kind of request, measured.

    Parameters
    ----------
    p50_ms, p99_ms : float
        Latency over one connection, one request at a time.
    requests_per_second : float
        Throughput over several connections.
    p50_ratio, throughput_ratio : float
        Against the constant handler in the same run; 1 is free of cost.
    """

    request: str
    p50_ms: float
    p99_ms: float
    requests_per_second: float
    p50_ratio: float
    throughput_ratio: float


def bench_serving(project: str = "demo", seconds: float = 3.0, connections: int = 4) -> list[Timed]:
    """Measure list, card, feedback and events of a project with a published plan.

    Parameters
    ----------
    project : str
        A project's folder. Rows that the bench posts stay in its outbox: use a copy.
    seconds : float
        How long each kind is measured, once for latency and once for throughput.
    connections : int
        Connections of the throughput measurement.
    """
    if not Path(project, "nba.yaml").is_file():
        raise UsageError(
            "the bench needs a project with a plan",
            expected="a folder made by `nba demo --no-serve`",
            found=project,
            next_step="give it with --option project=FOLDER",
        )
    with _served(Path(project)) as port:
        measured = {
            name: _measure(port, make, seconds, connections)
            for name, make in _requests(port).items()
        }
    base = measured["constant handler"]
    return [
        Timed(
            name,
            round(p50, 3),
            round(p99, 3),
            round(rate, 1),
            round(p50 / base[0], 2),
            round(rate / base[2], 3),
        )
        for name, (p50, p99, rate) in measured.items()
    ]


def _requests(port: int) -> Mapping[str, Callable[[], Request]]:
    clerks = _read(port, "/v1/clerks")["clerks"]
    clerk = max(clerks, key=lambda one: int(one["planned"]))["clerk_id"]
    page = _read(port, f"/v1/clerks/{clerk}/actions?limit=20")
    if not page["actions"]:
        raise UsageError("the project's plan lists nobody", next_step="run `nba run` first")
    action, now = page["actions"][0], page["now"]
    numbers, run = count(), time.time_ns()

    def feedback() -> Request:
        row = {"feedback_id": f"bench-{run}-{next(numbers)}", "kind": "opened", "ts": now}
        return "POST", f"/v1/actions/{action['action_id']}/feedback", json.dumps(row)

    def events() -> Request:
        number = next(numbers)
        rows = [
            {
                "response_id": f"bench-{run}-{number}-{index}",
                "customer_id": action["customer_id"],
                "ts": now,
                "kind": "read",
            }
            for index in range(100)
        ]
        return "POST", "/v1/events", json.dumps({"responses": rows})

    return {
        "constant handler": lambda: ("GET", _CONSTANT, None),
        "clerk's list, 20 actions": lambda: ("GET", f"/v1/clerks/{clerk}/actions?limit=20", None),
        "customer's card": lambda: ("GET", f"/v1/customers/{action['customer_id']}", None),
        "feedback, durable": feedback,
        "events, 100 rows, durable": events,
    }


def _measure(
    port: int, make: Callable[[], Request], seconds: float, connections: int
) -> tuple[float, float, float]:
    """Return p50 and p99 in milliseconds, and requests per second."""
    _loop(port, make, min(1.0, seconds / 3))
    latencies = 1000 * np.array(_loop(port, make, seconds))
    with ThreadPoolExecutor(connections) as pool:
        started = time.perf_counter()
        loops = list(pool.map(lambda _: _loop(port, make, seconds), range(connections)))
        elapsed = time.perf_counter() - started
    rate = sum(map(len, loops)) / elapsed
    return float(np.median(latencies)), float(np.quantile(latencies, 0.99)), rate


def _loop(port: int, make: Callable[[], Request], seconds: float) -> list[float]:
    """Send requests over one connection and return the seconds that each took."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    assert connection.sock is not None
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        method, path, body = make()
        headers = {"Content-Type": "application/json"} if body else {}
        started = time.perf_counter()
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
        taken.append(time.perf_counter() - started)
        if response.status != 200:
            raise UnavailableError(
                f"{method} {path} answered {response.status}", found=str(content)
            )
    connection.close()
    return taken


def _read(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


@contextmanager
def _served(project: Path) -> Iterator[int]:
    """Serve a project from a process of its own, so that the client's work is not counted."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(project, port))
    process.start()
    try:
        _wait(port)
        yield port
    finally:
        process.terminate()
        process.join()


def _wait(port: int) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            _read(port, "/healthz")
        except OSError as error:
            if time.monotonic() > until:
                raise UnavailableError("the service did not start") from error
            time.sleep(0.1)
        else:
            return


def _serve(project: Path, port: int) -> None:
    import uvicorn

    from nba.serving.app import create_app
    from nba.serving.run import services_of
    from nba.serving.services import Access
    from nba.settings import Project
    from nba.wiring import Wiring

    app = create_app(services_of(Wiring(Project.open(project)), Access.OPEN))

    def constant() -> dict[str, str]:
        return {"status": "ok"}

    app.router.routes.insert(0, _route(constant))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def _route(handler: Callable[[], dict[str, str]]) -> Any:
    from fastapi.routing import APIRoute

    return APIRoute(_CONSTANT, handler)
