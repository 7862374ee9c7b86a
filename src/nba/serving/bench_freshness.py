"""`nba bench freshness`: from an accepted sale to the list and the card that know of it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from nba.errors import UnavailableError, UsageError
from nba.serving.bench import Server, opened, served
from nba.serving.bench_copy import copied

#: Connections over which sales are sent.
_SENDERS: Final = 32
#: Of so many sales, at most one is of a customer whose list and card are watched.
_EVERY: Final = 20
#: Customers of lists without whom nothing can be watched.
_LEAST: Final = 5
#: How long, in seconds, until a watched answer is asked for again.
_LOOK_SECONDS: Final = 0.1
#: The longest that a change is waited for.
_LONGEST: Final = 30.0
#: The longest that is waited before anything is measured.
_FIRST: Final = 180.0
#: A connection that was idle for so many seconds is opened anew.
_IDLE: Final = 2.0


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
    """Send sales at a steady rate over all books, and watch some customers' lists and cards.

    Parameters
    ----------
    project : str
        A project's folder with a published plan; the bench works on a copy of it.
    rate : int
        Sales a second.
    seconds : float

    Notes
    -----
    Sales follow a timetable, whether the service keeps up or not. Senders and watchers are threads
    of this process; the server is one of its own. A watched answer is asked for again 100 ms after
    the last: so much of what is measured may be the watcher's.
    """
    with (
        copied(project) as copy,
        opened(copy) as (admin, till),
        served(Path(copy)) as port,
    ):
        return _run(Server(port, admin), Server(port, till), rate, seconds)


def _run(clerk: Server, till: Server, rate: int, seconds: float) -> Freshness:
    with closing(Line(clerk)) as line:
        _require_begun(line)
        listed, others = _listed(line), _book(line)
        if len(listed) < _LEAST:
            raise UsageError(
                "the plan lists too few customers", expected=f"{_LEAST}", found=str(len(listed))
            )
        product = line.ask(f"/v1/customers/{others[0]}/products")["products"][0]["product_id"]
        with closing(Line(till)) as other:
            _sell(other, listed[-1][1], product)
        # the first waits until the day's queries are compiled
        _until(lambda: _card_knows(line, listed[-1][1]), longest=_FIRST)
    count = int(rate * seconds)
    watched = listed[: min(len(listed) - 1, count // _EVERY)]
    others = [one for one in others if one not in {customer for _, customer in watched}]
    looks: list[Future[tuple[float, float]]] = []
    began = time.perf_counter()
    with ThreadPoolExecutor(len(watched)) as watchers:

        def send(first: int) -> None:
            with closing(Line(till)) as line:
                for number in range(first, count, _SENDERS):
                    time.sleep(max(0.0, began + number / rate - time.perf_counter()))
                    place, is_other = divmod(number * len(watched), count)
                    if is_other >= len(watched):
                        _sell(line, others[number % len(others)], product)
                        continue
                    _sell(line, watched[place][1], product)
                    sold = time.perf_counter()
                    looks.append(watchers.submit(_watch, clerk, *watched[place], sold))

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


class Line:
    """A connection to the service that stays open between questions.

    Parameters
    ----------
    server : Server
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._open = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_LONGEST)
        self._asked = 0.0

    def close(self) -> None:
        """Close the connection."""
        self._open.close()

    def ask(self, path: str, content: Any = None) -> Any:
        """Return the answer to a question, which posts `content` where there is any."""
        if time.monotonic() - self._asked > _IDLE:  # the server closes what is idle
            self._open.close()
        self._asked = time.monotonic()
        body = None if content is None else json.dumps(content)
        self._open.request("POST" if body else "GET", path, body, self._server.headers(body))
        answer = self._open.getresponse()
        found = answer.read()
        if answer.status != 200:
            raise UnavailableError(f"{path} answered {answer.status}", found=found.decode())
        return json.loads(found)


def _require_begun(line: Line) -> None:
    """Refuse a plan of a day that is still to come: sales of now would lie before its features."""
    clerks = [one["clerk_id"] for one in line.ask("/v1/clerks")["clerks"] if one["planned"]]
    page = line.ask(f"/v1/clerks/{clerks[0]}/actions?limit=1") if clerks else None
    if page is not None and page["as_of"] > page["now"][:10]:
        raise UsageError(
            "the plan is of a day that is still to come",
            expected=f"a plan of {page['now'][:10]} or before",
            found=f"one of {page['as_of']}",
            next_step="give a project whose newest plan is of today",
        )


def _listed(line: Line) -> list[tuple[str, str]]:
    """Return clerk and customer of every listed action whose customer did not just buy.

    Of who refused profiling no card ever says when they bought: they are left out.
    """
    clerks = [one["clerk_id"] for one in line.ask("/v1/clerks")["clerks"] if one["planned"]]
    pages = [line.ask(f"/v1/clerks/{clerk}/actions?limit=200") for clerk in clerks]
    found = [(page["clerk_id"], row["customer_id"]) for page in pages for row in page["actions"]]
    since = [_days_since(line, customer_id) for _, customer_id in found]
    return [one for one, days in zip(found, since, strict=True) if days is not None and days >= 1]


def _book(line: Line) -> list[str]:
    """Return customers of all clerks, the clerks in turns."""
    clerks = [one["clerk_id"] for one in line.ask("/v1/clerks")["clerks"] if one["planned"]]
    pages = [line.ask(f"/v1/clerks/{clerk}/customers?limit=200")["customers"] for clerk in clerks]
    return [
        page[place]["customer_id"] for place in range(200) for page in pages if place < len(page)
    ]


def _watch(server: Server, clerk_id: str, customer_id: str, sold: float) -> tuple[float, float]:
    """Return the seconds from a sale until a customer left the list, and until the card knows."""
    with closing(Line(server)) as line:

        def has_left() -> bool:
            actions = line.ask(f"/v1/clerks/{clerk_id}/actions?limit=200")["actions"]
            return all(row["customer_id"] != customer_id for row in actions)

        left = _until(has_left, sold)
        return left, _until(lambda: _card_knows(line, customer_id), sold)


def _card_knows(line: Line, customer_id: str) -> bool:
    days = _days_since(line, customer_id)
    return days is not None and days < 1


def _days_since(line: Line, customer_id: str) -> float | None:
    card = line.ask(f"/v1/customers/{customer_id}")
    days: float | None = card["behaviour"].get("days_since_purchase")
    return days


def _until(
    holds: Callable[[], bool], began: float | None = None, *, longest: float = _LONGEST
) -> float:
    began = time.perf_counter() if began is None else began
    while not holds():
        if time.perf_counter() - began > longest:
            raise UnavailableError(f"nothing changed within {longest:.0f} seconds")
        time.sleep(_LOOK_SECONDS)
    return time.perf_counter() - began


def _sell(line: Line, customer_id: str, product_id: str) -> None:
    moment = time.time_ns()
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    row = {"order_id": f"{moment}-{customer_id}", "line_no": "1", "customer_id": customer_id}
    sale = {**row, "product_id": product_id, "ts": now, "quantity": 1, "unit_price": 10.0}
    found = line.ask("/v1/events", {"transactions": [sale]})
    if found["accepted"] != 1:
        raise UnavailableError("a sale was refused", found=json.dumps(found["rows"]))
