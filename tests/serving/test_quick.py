"""The short way answers as the framework does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from nba.serving import Services
from nba.serving.quick import QuickEvents, QuickRoute
from nba.stores.access import Scope

Client = Callable[..., TestClient]
PLAIN = [
    "/v1/clerks",
    "/v1/clerks/k1/actions",
    "/v1/clerks/k1/actions?limit=2",
    "/v1/customers/c11",
]


def by_framework(caller: TestClient) -> TestClient:
    """Return the client of an app without the short way."""
    app: Any = caller.app
    short = (QuickRoute, QuickEvents)
    quick = [route for route in app.router.routes if isinstance(route, short)]
    for route in quick:
        app.router.routes.remove(route)
    return caller


def said(answer: Any) -> tuple[int, Any, dict[str, str]]:
    body = {name: value for name, value in answer.json().items() if name != "now"}
    body.pop("request_id", None)
    own = ("x-request-id", "date", "content-length")
    return (
        answer.status_code,
        body,
        {name: value for name, value in answer.headers.items() if name not in own},
    )


@pytest.mark.parametrize("scope", ["clerk", "store", "admin", "source"])
@pytest.mark.parametrize("path", [*PLAIN, "/v1/clerks/k9/actions", "/v1/customers/c99"])
def test_both_ways_say_the_same(client: Client, scope: str, path: str) -> None:
    caller = client(scope)
    short = [said(caller.get(path)), said(caller.get(path, headers={"Authorization": "Bearer x"}))]
    tag = caller.get(path).headers.get("etag")
    again = caller.get(path, headers={"If-None-Match": tag}) if tag else None
    long = by_framework(caller)
    assert short[0] == said(long.get(path))
    assert short[1] == said(long.get(path, headers={"Authorization": "Bearer x"}))
    if again is not None:
        assert again.status_code == 304


ROW = {"customer_id": "c11", "ts": "2026-03-02T09:00", "kind": "read"}


@pytest.mark.parametrize("scope", ["clerk", "store", "source"])
@pytest.mark.parametrize(
    "body",
    [
        '{"responses": [%s, {"kind": 1}, 5], "service_cases": []}',
        "{}",
        '{"responses": {}}',
        '{"unknown": []}',
        "[]",
        "{",
        "",
        '{"responses": [{"response_id": "\\ud800"}]}',
    ],
)
def test_a_batch_of_events_is_answered_alike(client: Client, scope: str, body: str) -> None:
    caller = client(scope)
    json_type = {"Content-Type": "application/json"}

    def post(number: int) -> tuple[int, Any, dict[str, str]]:
        row = json.dumps({"response_id": f"r{number}", **ROW})
        content = body % row if "%s" in body else body
        return said(caller.post("/v1/events", content=content, headers=json_type))

    short, unknown = post(1), caller.post("/v1/events", headers={"Authorization": "Bearer x"})
    by_framework(caller)
    assert short == post(2)
    assert unknown.status_code == 401


def test_what_is_no_plain_batch_goes_the_long_way(client: Client) -> None:
    app: Any = client("source").app
    (quick,) = (route for route in app.router.routes if isinstance(route, QuickEvents))
    headers = [(b"authorization", b"Bearer key"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/events", "headers": headers}
    assert quick.matches(scope)[0].value == 2
    for unusual in (
        {"headers": headers[1:]},
        {"headers": headers[:1]},
        {"headers": [*headers, (b"idempotency-key", b"k")]},
        {"method": "GET"},
        {"path": "/v1/feedback"},
        {"root_path": "/api"},
    ):
        assert quick.matches({**scope, **unusual})[0].value == 0


@pytest.mark.parametrize("path", PLAIN)
def test_it_is_taken_where_nothing_is_unusual(client: Client, path: str) -> None:
    app: Any = client("clerk").app
    (quick,) = (route for route in app.router.routes if isinstance(route, QuickRoute))
    at, _, query = path.partition("?")
    scope = {"type": "http", "method": "GET", "path": at, "query_string": query.encode()}
    headers = [(b"authorization", b"Bearer key")]
    assert quick.matches({**scope, "headers": headers})[0].value == 2
    unusual = (
        {"headers": []},
        {"headers": [*headers, *headers]},
        {"headers": headers, "method": "POST"},
        {"headers": headers, "raw_path": b"/v1/clerks/k%2F1/actions"},
        {"headers": headers, "query_string": b"limit=0"},
        {"headers": headers, "query_string": b"limit=201"},
        {"headers": headers, "query_string": b"cursor=x"},
    )
    for change in unusual:
        assert quick.matches({**scope, **change})[0].value == 0


def test_a_revoked_key_opens_nothing_at_once(client: Client, services: Services) -> None:
    made = services.store.create_key(Scope.CLERK, subject="k1")
    headers = {"Authorization": f"Bearer {made.token}"}
    caller = client("clerk")
    assert caller.get("/v1/customers/c11", headers=headers).status_code == 200
    assert caller.get("/v1/customers/c11", headers=headers).status_code == 200
    services.store.revoke_key(made.key.key_id)
    assert caller.get("/v1/customers/c11", headers=headers).status_code == 401
