"""`nba bench freshness`: from an accepted sale to the list and the card that know of it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from nba.errors import UnavailableError, UsageError
from nba.serving.bench import Server, planned_store, served
from nba.stores.access import Scope

#: Connections over which sales are sent.
_SENDERS: Final = 8
#: Every so many sales, one is of a customer whose list and card are watched.
_EVERY: Final = 20
#: How often, in seconds, a watched answer is asked for.
_LOOK_SECONDS: Final = 0.02
#: The longest that a change is waited for.
_LONGEST: Final = 30.0


@dataclass(frozen=True)
class Freshness:
    """How long changes took, in milliseconds from the answer to the sale.

    Parameters
    ----------
    sales : int
        Sent, each accepted.
    rate : float
        A second, as it came out.
    watched : int
        Sales whose list and card were watched.
    list_p50_ms, list_p99_ms : float
        Until the customer had left the clerk's list.
    card_p50_ms, card_p99_ms : float
        Until the card's `days_since_purchase` was that of the sale.
    """

    sales: int
    rate: float
    watched: int
    list_p50_ms: float
    list_p99_ms: float
    card_p50_ms: float
    card_p99_ms: float


def bench_freshness(project: str = "demo", rate: int = 200, seconds: float = 10.0) -> Freshness:
    """Send sales at a steady rate, and watch lists and cards of some of the customers.

    Parameters
    ----------
    project : str
        A project's folder with a published plan; the sales stay in its outbox: use a copy.
    rate : int
        Sales a second.
    seconds : float

    Notes
    -----
    Sales follow a timetable, whether the service keeps up or not. Senders and watchers are threads
    of this process; the server is one of its own.
    """
    store = planned_store(project)
    admin = store.create_key(Scope.ADMIN, label="bench")
    till = store.create_key(Scope.SOURCE, subject=f"bench-{time.time_ns()}", label="bench")
    try:
        with served(Path(project)) as port:
            return _run(Server(port, admin.token), Server(port, till.token), rate, seconds)
    finally:
        for key in (admin, till):
            store.revoke_key(key.key.key_id)
        store.close()


def _run(clerk: Server, till: Server, rate: int, seconds: float) -> Freshness:
    listed = _listed(clerk)
    product = _ask(clerk, f"/v1/customers/{listed[0][1]}/products")["products"][0]["product_id"]
    count, watched = int(rate * seconds), int(rate * seconds) // _EVERY
    if len(listed) < watched + 2:
        raise UsageError(
            "the plan lists too few customers", expected=f"{watched + 2}", found=str(len(listed))
        )
    _sell(till, listed[-1][1], product)
    _until(lambda: _card_knows(clerk, listed[-1][1]))  # the day's queries are compiled now
    others = [customer for _, customer in listed[watched:-1]]
    looks: list[Future[tuple[float, float]]] = []
    began = time.perf_counter()
    with ThreadPoolExecutor(2 * max(4, rate // _EVERY)) as watchers:

        def send(first: int) -> None:
            for number in range(first, count, _SENDERS):
                time.sleep(max(0.0, began + number / rate - time.perf_counter()))
                is_watched = number % _EVERY == 0
                place = number // _EVERY
                customer = listed[place][1] if is_watched else others[number % len(others)]
                _sell(till, customer, product)
                if is_watched:
                    looks.append(watchers.submit(_watch, clerk, *listed[place]))

        with ThreadPoolExecutor(_SENDERS) as senders:
            list(senders.map(send, range(_SENDERS)))
        sent = time.perf_counter() - began
        times = 1000 * np.array([look.result() for look in looks])
    (list_50, card_50), (list_99, card_99) = (np.quantile(times, q, axis=0) for q in (0.5, 0.99))
    return Freshness(
        count,
        round(count / sent, 1),
        len(looks),
        *(round(float(one), 1) for one in (list_50, list_99, card_50, card_99)),
    )


def _listed(server: Server) -> list[tuple[str, str]]:
    """Return clerk and customer of every listed action whose customer did not just buy.

    Of who refused profiling no card ever says when they bought: they are left out.
    """
    clerks = [one["clerk_id"] for one in _ask(server, "/v1/clerks")["clerks"] if one["planned"]]
    pages = [_ask(server, f"/v1/clerks/{clerk}/actions?limit=200") for clerk in clerks]
    found = [(page["clerk_id"], row["customer_id"]) for page in pages for row in page["actions"]]
    since = [_days_since(server, customer_id) for _, customer_id in found]
    return [one for one, days in zip(found, since, strict=True) if days is not None and days >= 1]


def _watch(server: Server, clerk_id: str, customer_id: str) -> tuple[float, float]:
    """Return the seconds until a customer has left the list, and until the card knows."""
    began = time.perf_counter()

    def has_left() -> bool:
        actions = _ask(server, f"/v1/clerks/{clerk_id}/actions?limit=200")["actions"]
        return all(row["customer_id"] != customer_id for row in actions)

    left = _until(has_left, began)
    return left, _until(lambda: _card_knows(server, customer_id), began)


def _card_knows(server: Server, customer_id: str) -> bool:
    days = _days_since(server, customer_id)
    return days is not None and days < 1


def _days_since(server: Server, customer_id: str) -> float | None:
    card = _ask(server, f"/v1/customers/{customer_id}")
    days: float | None = card["behaviour"].get("days_since_purchase")
    return days


def _until(holds: Callable[[], bool], began: float | None = None) -> float:
    began = time.perf_counter() if began is None else began
    while not holds():
        if time.perf_counter() - began > _LONGEST:
            raise UnavailableError(f"nothing changed within {_LONGEST:.0f} seconds")
        time.sleep(_LOOK_SECONDS)
    return time.perf_counter() - began


def _sell(server: Server, customer_id: str, product_id: str) -> None:
    moment = time.time_ns()
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    row = {"order_id": f"{moment}-{customer_id}", "line_no": "1", "customer_id": customer_id}
    sale = {**row, "product_id": product_id, "ts": now, "quantity": 1, "unit_price": 10.0}
    found = _ask(server, "/v1/events", {"transactions": [sale]})
    if found["accepted"] != 1:
        raise UnavailableError("a sale was refused", found=json.dumps(found["rows"]))


def _ask(server: Server, path: str, content: Any = None) -> Any:
    body = None if content is None else json.dumps(content)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_LONGEST)
    connection.request("POST" if body else "GET", path, body, server.headers(body))
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    if answer.status != 200:
        raise UnavailableError(f"{path} answered {answer.status}", found=found.decode())
    return json.loads(found)
