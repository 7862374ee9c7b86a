"""The calls that a clerk's page makes all day, on a short way to the same functions.

Matching every route in turn, solving dependencies one by one and changing threads for each costs
more than the answer. A plain request for a list, a card or the clerks takes no model of the
request, and no thread where its answer lies ready in a file of this machine: sixteen threads that
take turns answer half as many. Whatever is not plain (an unusual id, a cursor, no key) takes the
framework's way. So does a batch of events; one that is no batch goes on to the framework, which
says what is wrong. Documents, checks and errors are the framework's for both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Message, Receive, Scope, Send

from nba.serving.auth import caller_of
from nba.serving.batches import meter
from nba.serving.routes import events
from nba.serving.routes.clerks import MAX_PAGE, list_actions, list_clerks
from nba.serving.routes.customers import next_actions, read_card
from nba.serving.schemas import EventBatch
from nba.serving.services import Services
from nba.stores.database import NotAtOnceError, at_once

_LIMIT: Final = re.compile(rb"limit=([1-9][0-9]{0,2})")
_BEARER: Final = b"bearer "


def _clerks(found: re.Match[str], query: bytes) -> dict[str, Any] | None:
    return None if query else {}


def _actions(found: re.Match[str], query: bytes) -> dict[str, Any] | None:
    limit = _LIMIT.fullmatch(query)
    if query and (limit is None or int(limit[1]) > MAX_PAGE):
        return None
    plain = {"day": None, "mode": None, "cursor": None, "limit": int(limit[1]) if limit else 50}
    return {"clerk_id": found[1], **plain}


def _card(found: re.Match[str], query: bytes) -> dict[str, Any] | None:
    return None if query else {"customer_id": found[1]}


@dataclass(frozen=True)
class _Call:
    """A call: its path as documented and as a pattern, what reads its query, what answers."""

    path: str
    pattern: re.Pattern[str]
    parameter: str
    parse: Callable[[re.Match[str], bytes], dict[str, Any] | None]
    answer: Callable[..., Response]


_CALLS: Final = (
    _Call(
        "/v1/clerks/{clerk_id}/actions",
        re.compile(r"/v1/clerks/([\w.:-]{1,200})/actions", re.ASCII),
        "clerk_id",
        _actions,
        list_actions,
    ),
    _Call(
        "/v1/customers/{customer_id}",
        re.compile(r"/v1/customers/([\w.:-]{1,200})", re.ASCII),
        "customer_id",
        _card,
        read_card,
    ),
    _Call(
        "/v1/customers/{customer_id}/actions",
        re.compile(r"/v1/customers/([\w.:-]{1,200})/actions", re.ASCII),
        "customer_id",
        _card,
        next_actions,
    ),
    _Call("/v1/clerks", re.compile(r"/v1/clerks"), "", _clerks, list_clerks),
)


class QuickRoute(BaseRoute):
    """Takes plain requests of a few calls; stands before all other routes."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request that is plain."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope.get("root_path"):
            return Match.NONE, {}
        path = scope["path"]
        if not path.startswith("/v1/c") or b"%" in (scope.get("raw_path") or b""):
            return Match.NONE, {}
        for call in _CALLS:
            found = call.pattern.fullmatch(path)
            if found is not None:
                return self._matched(call, found, scope)
        return Match.NONE, {}

    def _matched(self, call: _Call, found: re.Match[str], scope: Scope) -> tuple[Match, Scope]:
        arguments = call.parse(found, scope.get("query_string", b""))
        token = _token(scope)
        if arguments is None or token is None:
            return Match.NONE, {}
        parameters = {call.parameter: found[1]} if call.parameter else {}
        return Match.FULL, {
            "route": call,
            "path_params": parameters,
            "quick": (arguments, token),
        }

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive, send)
        asked = (request, scope["route"], *scope["quick"])
        response = self._at_once(*asked)
        if response is None:
            response = await run_in_threadpool(self._answer, *asked)
        await response(scope, receive, send)

    def _at_once(
        self, request: Request, call: _Call, arguments: dict[str, Any], token: str
    ) -> Response | None:
        """Return the answer where it lies ready; None where something has to be waited for."""
        if not request.app.state.services.answers_at_once:
            return None
        try:
            with at_once():
                return self._answer(request, call, arguments, token)
        except NotAtOnceError:
            return None

    def _answer(
        self, request: Request, call: _Call, arguments: dict[str, Any], token: str
    ) -> Response:
        services: Services = request.app.state.services
        caller = caller_of(request, services, _bearer(token))
        return call.answer(**arguments, caller=caller, services=services, request=request)

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        """Name no path: the framework's routes do."""
        raise NoMatchFound(name, path_params)


class QuickEvents(BaseRoute):
    """Takes plain batches of events; stands before all other routes.

    Parameters
    ----------
    route : APIRoute
        The framework's, for whatever is not plain.
    """

    def __init__(self, route: APIRoute) -> None:
        self._route = route
        self.path = route.path

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request that is plain."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != self.path:
            return Match.NONE, {}
        headers = dict(scope["headers"])
        token = _token(scope)
        is_json = headers.get(b"content-type", b"") == b"application/json"
        if token is None or not is_json or b"idempotency-key" in headers or scope.get("root_path"):
            return Match.NONE, {}
        return Match.FULL, {"route": self._route, "path_params": {}, "quick": token}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive, send)
        body = await request.body()
        batch = _batch(body)
        if batch is None:
            await self._route.handle(scope, _again(body, receive), send)
            return
        response = await run_in_threadpool(self._answer, request, batch, scope["quick"])
        await response(scope, receive, send)

    def _answer(self, request: Request, batch: EventBatch, token: str) -> Response:
        services: Services = request.app.state.services
        found = events.post_events(
            body=batch,
            caller=caller_of(request, services, _bearer(token)),
            services=services,
            request=request,
            metered=meter(request),
        )
        return Response(found.model_dump_json(), media_type="application/json")

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        """Name no path: the framework's routes do."""
        raise NoMatchFound(name, path_params)


def _batch(body: bytes) -> EventBatch | None:
    """Return the batch that a body is, None where it is none."""
    try:
        return EventBatch.model_validate(json.loads(body))
    except (ValueError, RecursionError, ValidationError):
        return None


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what hands out a body that was read already, once."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def first() -> Message:
        return parts.pop() if parts else await receive()

    return first


def _bearer(token: str) -> HTTPAuthorizationCredentials:
    return HTTPAuthorizationCredentials(scheme="Bearer", credentials=token)


def _token(scope: Scope) -> str | None:
    """Return the key that a request brings, None without one."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) != 1 or given[0][: len(_BEARER)].lower() != _BEARER:
        return None
    return str(given[0][len(_BEARER) :].strip().decode("latin-1")) or None
