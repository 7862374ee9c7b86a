"""`nba bench serving`: what a request costs beside a handler that returns the same bytes."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from itertools import count, cycle
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from fastapi import Body, Response
from fastapi.routing import APIRoute

from nba.errors import UnavailableError, UsageError
from nba.serving.app import create_app
from nba.serving.bench_copy import copied
from nba.serving.processes import answering, refreshing, serve_api
from nba.serving.services import Access
from nba.settings import Project
from nba.stores.access import Scope
from nba.stores.operational import OperationalStore
from nba.wiring import Wiring

_CONSTANT: Final = "/bench/constant"
_START_SECONDS: Final = 180.0
#: Connections over which a loaded service is asked, and the share of its throughput.
_CALLERS: Final = 16
_LOAD: Final = 0.7
#: In so many turns a kind of request and its base are measured.
_ROUNDS: Final = 4

#: One request: method, path, body.
Request = tuple[str, str, str | None]
#: Returns the next request of a kind.
Make = Callable[[], Request]


#: Returns routes that a server of the bench answers beside its own.
Routes = Callable[[Project], Sequence[APIRoute]]


def constant_routes(project: Project) -> Sequence[APIRoute]:
    """Return the handler that answers with the bytes which it was given, by GET and by POST."""
    given = {"content": b"{}"}

    def keep(content: Annotated[Any, Body()]) -> None:
        given["content"] = json.dumps(content, ensure_ascii=False).encode()

    def constant() -> Response:
        return Response(given["content"], media_type="application/json")

    def constant_post(content: Annotated[dict[str, Any], Body()]) -> Response:
        return Response(given["content"], media_type="application/json")

    return [
        APIRoute(_CONSTANT, constant, methods=["GET"]),
        APIRoute(_CONSTANT, constant_post, methods=["POST"]),
        APIRoute(_CONSTANT, keep, methods=["PUT"]),
    ]


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
        Against a handler of the same server that returns the same bytes, and reads the same body,
        measured in turns with it; 1 is free of cost.
    loaded_p99_ms : float
        Latency over sixteen connections at 70 % of the throughput, from when each request was due.
    base_loaded_p99_ms : float
        The same of the handler that returns the same bytes, at the same rate: what the machine and
        the client make of it.
    client_share : float
        Cores that the client took while throughput was measured: what the server did not have.
    bytes : int
        Of the answer.
    """

    request: str
    p50_ms: float
    p99_ms: float
    requests_per_second: float
    p50_ratio: float
    throughput_ratio: float
    loaded_p99_ms: float
    base_loaded_p99_ms: float
    client_share: float
    bytes: int


def bench_serving(project: str = "demo", seconds: float = 3.0, connections: int = 4) -> list[Timed]:
    """Measure clerks, lists, cards, feedback and events of a project with a published plan.

    Parameters
    ----------
    project : str
        A project's folder; the bench works on a copy of it.
    seconds : float
        How long each kind is measured, once for latency and once for throughput.
    connections : int
        Connections of the throughput measurement.

    Notes
    -----
    The load comes from threads of this process and the standard library's HTTP client; the server
    is a process of its own. Lists, cards and their customers take turns over the whole plan.
    """
    with copied(project) as copy, opened(copy) as (key, _), served(Path(copy)) as port:
        server = Server(port, key)
        return [
            _timed(server, name, make, seconds, connections)
            for name, make in requests_of(server).items()
        ]


@dataclass(frozen=True)
class Server:
    """Where the service answers, and the key that opens it."""

    port: int
    token: str = field(repr=False)

    def headers(self, body: str | bytes | None) -> dict[str, str]:
        """Return the headers of a request."""
        known = {"Authorization": f"Bearer {self.token}"}
        return known | {"Content-Type": "application/json"} if body else known


#: A kind of request, and whom it is sent to.
Asked = tuple[Server, Make]


def _timed(server: Server, name: str, make: Make, seconds: float, connections: int) -> Timed:
    """Measure one kind of request, and the handler that returns the same bytes."""
    method, path, body = make()
    content = _send(server, method, path, body)
    _send(server, "PUT", _CONSTANT, content)
    like = "GET" if method == "GET" else "POST"
    makes: list[Asked] = [(server, make), (server, lambda: (like, _CONSTANT, body))]
    ours, base = in_turns(makes, seconds, connections)
    loaded, base_loaded = (_loaded(*asked, _LOAD * ours.rate, seconds) for asked in makes)
    return Timed(
        name,
        round(ours.p50, 3),
        round(ours.p99, 3),
        round(ours.rate, 1),
        round(ours.p50 / base.p50, 2),
        round(ours.rate / base.rate, 3),
        round(loaded, 2),
        round(base_loaded, 2),
        round(ours.client, 2),
        len(content),
    )


def _loaded(server: Server, make: Make, rate: float, seconds: float) -> float:
    """Return the 99th percentile of milliseconds from when requests are due at a steady rate."""
    count, began = max(_CALLERS, int(rate * seconds)), time.perf_counter() + 0.05

    def call(first: int) -> list[float]:
        taken = []
        with closing(_connected(server)) as connection:
            for number in range(first, count, _CALLERS):
                due = began + number / rate
                time.sleep(max(0.0, due - time.perf_counter()))
                _answered(server, connection, make())
                taken.append(time.perf_counter() - due)
        return taken

    with ThreadPoolExecutor(_CALLERS) as pool:
        taken = [one for part in pool.map(call, range(_CALLERS)) for one in part]
    return 1000 * float(np.quantile(taken, 0.99))


def requests_of(server: Server) -> Mapping[str, Make]:
    """Return what makes the next request, by kind of request, over the whole plan."""
    clerks = ask(server, "/v1/clerks")["clerks"]
    busy = [one["clerk_id"] for one in clerks if one["planned"]]
    pages = [ask(server, f"/v1/clerks/{clerk}/actions?limit=30") for clerk in busy[:200]]
    actions = [action for page in pages for action in page["actions"]]
    if not actions:
        raise UsageError("the project's plan lists nobody", next_step="run `nba run` first")
    now = pages[0]["now"]
    numbers, run = count(), time.time_ns()
    lists, cards, listed = cycle(busy), cycle(actions), cycle(actions)

    def feedback() -> Request:
        row = {"feedback_id": f"bench-{run}-{next(numbers)}", "kind": "opened", "ts": now}
        return "POST", f"/v1/actions/{next(listed)['action_id']}/feedback", json.dumps(row)

    def events(size: int) -> Request:
        number = next(numbers)
        rows = [
            {
                "response_id": f"bench-{run}-{number}-{index}",
                "customer_id": next(listed)["customer_id"],
                "ts": now,
                "kind": "read",
            }
            for index in range(size)
        ]
        return "POST", "/v1/events", json.dumps({"responses": rows})

    return {
        "clerks": lambda: ("GET", "/v1/clerks", None),
        "clerk's list": lambda: ("GET", f"/v1/clerks/{next(lists)}/actions?limit=30", None),
        "customer's card": lambda: ("GET", f"/v1/customers/{next(cards)['customer_id']}", None),
        "feedback, durable": feedback,
        "event, 1 row, durable": lambda: events(1),
        "events, 100 rows, durable": lambda: events(100),
    }


@dataclass(frozen=True)
class Measured:
    """Milliseconds over one connection, requests per second over several, cores of the client."""

    p50: float
    p99: float
    rate: float
    client: float


def in_turns(makes: Sequence[Asked], seconds: float, connections: int) -> list[Measured]:
    """Measure kinds of requests in turns, so that what else the machine does falls on each alike.

    Parameters
    ----------
    makes : sequence of (Server, callable)
        Each returns the next request of its kind, for its server.
    seconds : float
        In all, of each kind: once for latency, once for throughput.
    connections : int
        Of the throughput measurement.
    """
    taken: list[list[float]] = [[] for _ in makes]
    done = [0] * len(makes)
    elapsed, busy = [0.0] * len(makes), [0.0] * len(makes)
    for server, make in makes:
        _loop(server, make, min(1.0, seconds / 3))
    with ThreadPoolExecutor(connections) as pool:
        for place in [*range(len(makes))] * _ROUNDS:

            def loop(_: int, asked: Asked = makes[place]) -> list[float]:
                return _loop(*asked, seconds / _ROUNDS)

            taken[place] += loop(0)
            started, worked = time.perf_counter(), time.process_time()
            done[place] += sum(map(len, pool.map(loop, range(connections))))
            elapsed[place] += time.perf_counter() - started
            busy[place] += time.process_time() - worked
    return [
        Measured(
            1000 * float(np.median(taken[place])),
            1000 * float(np.quantile(taken[place], 0.99)),
            done[place] / elapsed[place],
            busy[place] / elapsed[place],
        )
        for place in range(len(makes))
    ]


def _loop(server: Server, make: Make, seconds: float) -> list[float]:
    """Send requests over one connection and return the seconds that each took."""
    taken: list[float] = []
    until = time.perf_counter() + seconds
    with closing(_connected(server)) as connection:
        while time.perf_counter() < until:
            request = make()
            started = time.perf_counter()
            _answered(server, connection, request)
            taken.append(time.perf_counter() - started)
    return taken


def _connected(server: Server) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.connect()
    assert connection.sock is not None
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _answered(server: Server, connection: http.client.HTTPConnection, request: Request) -> None:
    """Send a request and read its answer, which must be 200."""
    method, path, body = request
    connection.request(method, path, body, server.headers(body))
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise UnavailableError(f"{method} {path} answered {response.status}", found=str(content))


def ask(server: Server, path: str) -> Any:
    """Return the answer to a question, over a connection of its own."""
    return json.loads(_send(server, "GET", path, None))


def _send(server: Server, method: str, path: str, body: str | bytes | None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request(method, path, body, server.headers(body))
    return connection.getresponse().read()


def planned_store(project: str) -> OperationalStore:
    """Return the store of a project that a bench may ask.

    Raises
    ------
    UsageError
        The folder is no project.
    """
    if not Path(project, "nba.yaml").is_file():
        raise UsageError(
            "the bench needs a project with a plan",
            expected="a folder made by `nba demo --no-serve`",
            found=project,
            next_step="give it with --option project=FOLDER",
        )
    return Wiring(Project.open(Path(project))).plan_store


@contextmanager
def opened(project: str) -> Iterator[tuple[str, str]]:
    """Give the tokens of two keys to a project's service: an admin's and a till's.

    Parameters
    ----------
    project : str
    """
    store = planned_store(project)
    admin = store.create_key(Scope.ADMIN, label="bench")
    till = store.create_key(Scope.SOURCE, subject=f"bench-{time.time_ns()}", label="bench")
    try:
        yield admin.token, till.token
    finally:
        for key in (admin, till):
            store.revoke_key(key.key.key_id)
        store.close()


@contextmanager
def served(project: Path, routes: Routes = constant_routes) -> Iterator[int]:
    """Serve a project from a process of its own, so that the client's work is not counted.

    Parameters
    ----------
    project : Path
    routes : callable
        Returns what the server answers beside its own calls; a function of a module.
    """
    with _process(_serve, (project, routes)) as port, refreshing(project, Access.KEYS):
        yield port


@contextmanager
def served_by(project: Path, workers: int) -> Iterator[int]:
    """Serve a project as `nba serve --workers` does."""
    with _process(_serve_many, (project, workers)) as port:
        yield port


@contextmanager
def _process(serve: Callable[..., None], arguments: tuple[object, ...]) -> Iterator[int]:
    """Run a server in a process until the context ends; give its port once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(*arguments, port))
    process.start()
    try:
        _wait(Server(port, ""), process)
        yield port
    finally:
        process.terminate()
        process.join()


def _wait(server: Server, process: BaseProcess) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            ask(server, "/healthz")
        except OSError as error:
            if time.monotonic() > until or not process.is_alive():
                raise UnavailableError("the service did not start") from error
            time.sleep(0.1)
        else:
            return


def _serve(folder: Path, routes: Routes, port: int) -> None:
    import uvicorn

    project = Project.open(folder)
    app = create_app(answering(project, Access.KEYS))
    for route in reversed(routes(project)):
        app.router.routes.insert(0, route)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def _serve_many(folder: Path, workers: int, port: int) -> None:
    sys.stdin = None  # uvicorn would hand a closed one to its workers
    with redirect_stdout(sys.stderr):
        serve_api(
            Project.open(folder), host="127.0.0.1", port=port, access=Access.KEYS, workers=workers
        )
