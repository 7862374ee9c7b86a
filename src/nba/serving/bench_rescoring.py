"""`nba bench rescoring`: a customer's next actions now, beside the plain way to get a score."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import numpy as np
from fastapi.routing import APIRoute

from nba.errors import UnavailableError, UsageError
from nba.serving.bench import Make, Server, ask, in_turns, opened, served
from nba.serving.bench_copy import copied
from nba.settings import Project
from nba.wiring import Wiring

_PLAIN: Final = "/bench/plain/{customer_id}"
#: What the plain way reads through Feast and asks its booster.
_SERVICE: Final = "timing"
#: A booster as large as those that ship, asked for so many candidates of a customer.
_TREES, _LEAVES, _CANDIDATES = 300, 31, 20
#: The longest that models for rescoring are waited for.
_READY_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Rescored:
    """One way to a customer's next actions, measured.

    Parameters
    ----------
    way : str
        `first`: each customer for the first time; `again`: of whom nothing was heard since;
        `plain`: FastAPI, Feast's `get_online_features` of one service and one booster.
    p50_ms, p99_ms : float
        Latency over one connection, one request at a time.
    requests_per_second : float
        Over several connections.
    plain_ratio : float
        Of requests per second, to the plain way.
    """

    way: str
    p50_ms: float
    p99_ms: float
    requests_per_second: float
    plain_ratio: float


def bench_rescoring(
    project: str = "demo", seconds: float = 4.0, connections: int = 4
) -> list[Rescored]:
    """Ask for next actions of customers of all lists, and for a score the plain way, in turns.

    Parameters
    ----------
    project : str
        A project's folder with a published plan; the bench works on a copy of it.
    seconds : float
        For each way, once for latency and once for throughput.
    connections : int
        Of the throughput measurement.

    Notes
    -----
    The plain way reads the features of the service `timing` through Feast from the project's own
    online store and asks one booster for twenty candidates. It draws up no candidates, has no
    rules, no reasons and no texts: it answers less than it is compared with.
    """
    with (
        copied(project) as copy,
        opened(copy) as (key, _),
        served(Path(copy), plain_routes) as port,
    ):
        return _measured(Server(port, key), seconds, connections)


def _measured(server: Server, seconds: float, connections: int) -> list[Rescored]:
    customers = _listed(server)
    _until_ready(server, customers[0])
    few, all_of_them = cycle(customers[:_CANDIDATES]), cycle(customers[_CANDIDATES:])
    for one in customers[:_CANDIDATES]:
        ask(server, f"/v1/customers/{one}/actions")
    ways: dict[str, Make] = {
        "first": lambda: ("GET", f"/v1/customers/{next(all_of_them)}/actions", None),
        "again": lambda: ("GET", f"/v1/customers/{next(few)}/actions", None),
        "plain": lambda: ("GET", _PLAIN.format(customer_id=next(few)), None),
    }
    found = in_turns([(server, make) for make in ways.values()], seconds, connections)
    plain = found[-1].rate
    return [
        Rescored(
            way,
            round(one.p50, 2),
            round(one.p99, 2),
            round(one.rate, 1),
            round(one.rate / plain, 3),
        )
        for way, one in zip(ways, found, strict=True)
    ]


def _listed(server: Server) -> list[str]:
    """Return the customers of all lists, the clerks in turns."""
    clerks = [one["clerk_id"] for one in ask(server, "/v1/clerks")["clerks"] if one["planned"]]
    pages = [ask(server, f"/v1/clerks/{one}/actions?limit=50")["actions"] for one in clerks[:300]]
    longest = max(map(len, pages), default=0)
    found = [page[place] for place in range(longest) for page in pages if place < len(page)]
    customers = list(dict.fromkeys(row["customer_id"] for row in found))
    if len(customers) <= _CANDIDATES:
        raise UsageError("the project's plan lists too few", found=f"{len(customers)} customers")
    return customers


def _until_ready(server: Server, customer_id: str) -> None:
    until = time.monotonic() + _READY_SECONDS
    while not ask(server, f"/v1/customers/{customer_id}/actions")["rescored"]:
        if time.monotonic() > until:
            raise UnavailableError("the models for rescoring did not get ready")
        time.sleep(1.0)


def plain_routes(project: Project) -> Sequence[APIRoute]:
    """Return the plain way as it is often built: features through Feast, a booster, a request."""
    import lightgbm

    repository = Wiring(project).feature_store.repository
    feast = repository.feast
    service = feast.get_feature_service(_SERVICE)
    width = sum(len(names) for _, names in repository.service(_SERVICE))
    drawn = np.random.default_rng(0).normal(size=(2_000, width))
    options = {"objective": "binary", "num_leaves": _LEAVES, "num_threads": 1, "verbose": -1}
    data = lightgbm.Dataset(drawn, drawn[:, 0] > 0)
    booster = lightgbm.train(options, data, num_boost_round=_TREES)
    alone = threading.Lock()  # a booster gives one thread another's answers

    def plain(customer_id: str) -> dict[str, Any]:
        found = feast.get_online_features(
            features=service, entity_rows=[{"customer_id": customer_id}]
        ).to_dict()
        values = [column[0] for name, column in found.items() if name != "customer_id"]
        row = [float(one) if isinstance(one, int | float) else np.nan for one in values]
        with alone:
            scores = np.asarray(booster.predict(np.tile([row], (_CANDIDATES, 1))))
        return {"customer_id": customer_id, "scores": scores.tolist()}

    return [APIRoute(_PLAIN, plain, methods=["GET"])]
