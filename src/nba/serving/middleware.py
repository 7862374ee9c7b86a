"""What surrounds every request: its id, its size, its time, its count, its log line."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nba.logs import log, new_id

#: Answers carry it, and the request's log line; whoever reports a problem can name it.
REQUEST_ID = "X-Request-Id"

#: Larger requests are refused; batches are to be sent in parts.
MAX_BODY_BYTES = 4 * 1024 * 1024


class Metrics:
    """The service's own metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "nba_http_requests",
            "Requests by route, method and status.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "nba_http_request_seconds",
            "Seconds from request to answer, by route.",
            ["route"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
            registry=self.registry,
        )
        self.rows = Counter(
            "nba_rows",
            "Rows taken in by the API, by table and outcome.",
            ["table", "outcome"],
            registry=self.registry,
        )
        self.outbox_waiting = Gauge(
            "nba_outbox_waiting", "Rows that the lake does not hold yet.", registry=self.registry
        )
        self.outbox_refused = Gauge(
            "nba_outbox_refused", "Accepted rows that the lake refused.", registry=self.registry
        )
        self.night_failed = Gauge(
            "nba_night_failed",
            "1 where the last run of the nightly job failed or was broken off.",
            registry=self.registry,
        )
        self.night_began = Gauge(
            "nba_night_began_timestamp_seconds",
            "When the last run of the nightly job began, in seconds since 1970.",
            registry=self.registry,
        )
        self.plan_age_seconds = Gauge(
            "nba_plan_age_seconds",
            "Seconds since the current plan was published.",
            registry=self.registry,
        )


class Observe:
    """ASGI middleware that counts, times and logs requests by route, never by path.

    A log line holds the request's id, method, route, status and milliseconds. Ids of customers
    and clerks stand in paths, queries and bodies, which are therefore never logged.

    Parameters
    ----------
    app : ASGIApp
    metrics : Metrics
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, request_id = time.perf_counter(), 500, new_id()

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        error = ""
        try:
            await self._app(scope, receive, observed)
        except Exception as raised:
            error = type(raised).__name__
            raise
        finally:
            self._note(scope, request_id, status, time.perf_counter() - started, error)

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float, error: str) -> None:
        route, method = getattr(scope.get("route"), "path", "(none)"), scope["method"]
        self._metrics.requests.labels(route, method, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        facts: dict[str, Any] = {
            "request": request_id,
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
        }
        if error:
            log().error("request failed", **facts, error=error)
        else:
            log().info("request", **facts)


#: What every answer of the API tells browsers: not to guess, to frame, to store or to send on.
_GUARDS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware: headers of the API's answers for browsers, and `HEAD` as `GET` everywhere.

    A client that keeps an answer itself may still ask with `If-None-Match`.

    Parameters
    ----------
    app : ASGIApp
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_head, is_api = scope["method"] == "HEAD", scope["path"].startswith("/v1/")

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start" and is_api:
                headers = MutableHeaders(scope=message)
                for name, value in _GUARDS.items():
                    headers.setdefault(name, value)
            elif is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"} if is_head else scope, receive, guarded)


class LimitBody:
    """ASGI middleware that refuses bodies larger than `MAX_BODY_BYTES`, stated or streamed.

    FastAPI's own limit answers in plain text; this one raises where the body is read, so
    that the answer is a problem like every other.

    Parameters
    ----------
    app : ASGIApp
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stated = dict(scope["headers"]).get(b"content-length", b"")
        size = int(stated) if stated.isdigit() else 0

        async def limited() -> Message:
            nonlocal size
            message = await receive() if size <= MAX_BODY_BYTES else None
            if message is not None and not stated.isdigit():
                size += len(message.get("body", b""))
            if message is None or size > MAX_BODY_BYTES:
                raise HTTPException(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"a body has at most {MAX_BODY_BYTES} bytes; send smaller batches",
                )
            return message

        await self._app(scope, limited, send)
