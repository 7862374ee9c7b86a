"""One error envelope and one auth rule for every endpoint there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from nba.errors import NbaError
from nba.serving import Services, create_app
from nba.serving.errors import STATUS_OF, Problem

Client = Callable[..., TestClient]
OPEN = {"/healthz", "/readyz", "/metrics"}
FILL = {
    "clerk_id": "k1",
    "customer_id": "c11",
    "action_id": "k1-1",
    "tag": "t",
    "audience": "moments:k1",
    "store_id": "s1",
    "handover_id": "h1",
    "external_id": "x1",
}


def endpoints(app: FastAPI) -> list[tuple[str, str]]:
    """Return (method, path) of every endpoint, with path parameters filled in."""
    document = app.openapi()
    return [
        (method.upper(), path.format(**FILL))
        for path, operations in document["paths"].items()
        for method in operations
        if path not in OPEN
    ]


def is_problem(response: Any, status: int) -> Problem:
    assert response.status_code == status, (response.request.url, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate(response.json())
    assert problem.status == status
    assert problem.type.startswith("urn:nba:problem:")
    assert problem.detail
    return problem


def test_there_are_endpoints(services: Services) -> None:
    assert len(endpoints(create_app(services))) >= 8


def test_every_endpoint_wants_a_key(services: Services, client: Client) -> None:
    for headers in ({}, {"Authorization": "Bearer nba_x_y"}, {"Authorization": "Basic eDp5"}):
        anyone = client(None)
        for method, path in endpoints(create_app(services)):
            response = anyone.request(method, path, headers=headers)
            problem = is_problem(response, 401)
            assert response.headers["www-authenticate"] == "Bearer"
            assert problem.code == "not_authenticated"


def test_every_endpoint_answers_a_fault_of_ours_with_the_same_envelope(
    services: Services, client: Client
) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("secret detail")

    caller = client("admin")
    caller.app.state.services = replace(services, store=Broken())  # type: ignore[attr-defined]
    for method, path in endpoints(create_app(services)):
        response = caller.request(method, path)
        is_problem(response, 500)
        assert "secret" not in response.text


def test_every_endpoint_documents_its_problems(services: Services) -> None:
    document = create_app(services).openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path in OPEN:
                continue
            assert {"401", "403"} <= operation["responses"].keys(), (method, path)
            for status, response in operation["responses"].items():
                if status.startswith(("4", "5")):
                    assert list(response["content"]) == ["application/problem+json"], path


def test_unknown_paths_methods_bodies_and_fields(client: Client) -> None:
    caller = client("clerk")
    is_problem(caller.get("/v1/nope"), 404)
    is_problem(caller.post("/v1/clerks/k1/actions"), 405)
    problem = is_problem(caller.get("/v1/clerks/k1/actions?limit=0"), 422)
    assert problem.errors[0].field == "query.limit"
    is_problem(caller.post("/v1/feedback", content=b"{"), 422)
    problem = is_problem(
        caller.post(
            "/v1/actions/k1-1/feedback",
            json={"feedback_id": "f", "kind": "sent", "ts": "2026-03-02", "extra": 1},
        ),
        422,
    )
    assert problem.errors[0].field == "body.extra"
    is_problem(caller.get("/v1/clerks/k1/actions?cursor=nonsense"), 400)
    is_problem(caller.post("/v1/feedback", content=b"x" * (5 * 1024 * 1024)), 413)


def test_a_streamed_body_is_limited_too(client: Client) -> None:
    chunks = (b"x" * 1024 * 1024 for _ in range(6))
    is_problem(client("clerk").post("/v1/feedback", content=chunks), 413)


def test_every_error_of_the_tree_has_a_status() -> None:
    def leaves(kind: type[NbaError]) -> list[type[NbaError]]:
        return [kind, *(leaf for child in kind.__subclasses__() for leaf in leaves(child))]

    mapped = {kind for kind, _, _ in STATUS_OF}
    for kind in leaves(NbaError):
        assert any(issubclass(kind, known) for known in mapped)


#: path → scopes that may: clerk k1, store s1, another clerk k3, another store s2, marketer, admin.
MATRIX = {
    "/v1/clerks/k1/actions": ("clerk", "store", "admin"),
    "/v1/clerks/k2/actions": ("store", "admin"),
    "/v1/clerks/k3/actions": ("clerk:k3", "store:s2", "admin"),
    "/v1/clerks": ("clerk", "store", "clerk:k3", "store:s2", "admin"),
    "/v1/customers/c11": ("clerk", "store", "admin"),
    "/v1/customers/c11/actions": ("clerk", "store", "admin"),
    "/v1/customers/c11/products": ("clerk", "store", "admin"),
    "/v1/customers/c31": ("clerk:k3", "store:s2", "admin"),
    "/v1/plans/current": ("clerk", "store", "clerk:k3", "store:s2", "marketer", "admin"),
}
CALLERS = ("clerk", "store", "clerk:k3", "store:s2", "marketer", "admin")


@pytest.mark.parametrize("path", MATRIX)
def test_who_may_read_what(client: Client, path: str) -> None:
    allowed = set()
    for caller in CALLERS:
        scope, _, subject = caller.partition(":")
        response = client(scope, subject or None).get(path)
        if response.status_code == 200:
            allowed.add(caller)
        else:
            is_problem(response, 403)
    assert allowed == set(MATRIX[path])


@pytest.mark.parametrize("action", ["k1-1", "k2-1", "k3-1"])
def test_who_may_give_feedback(client: Client, action: str) -> None:
    may = {"k1-1": {"clerk", "store", "admin"}, "k2-1": {"store", "admin"}}.get(
        action, {"clerk:k3", "store:s2", "admin"}
    )
    allowed = set()
    for caller in CALLERS:
        scope, _, subject = caller.partition(":")
        body = {"feedback_id": caller, "kind": "opened", "ts": "2026-03-02T09:00:00"}
        response = client(scope, subject or None).post(f"/v1/actions/{action}/feedback", json=body)
        if response.status_code == 200:
            allowed.add(caller)
        else:
            is_problem(response, 403)
    assert allowed == may


#: (method, path, body) → callers who may.
WRITES: dict[tuple[str, str], tuple[Any, tuple[str, ...]]] = {
    ("PUT", "/v1/customers/c11/tags/t"): ({}, ("clerk", "store", "admin")),
    ("GET", "/v1/customers/c11/tags"): (None, ("clerk", "store", "admin")),
    ("DELETE", "/v1/customers/c11/tags/t"): (None, ("clerk", "store", "admin")),
    ("PUT", "/v1/customers/c11/consent"): (
        {"consent_contact": True, "consent_profiling": True, "consent_at": "2026-03-01T00:00:00"},
        ("admin",),
    ),
    ("GET", "/v1/quotas/c11"): (None, ("clerk", "store", "marketer", "admin")),
    ("DELETE", "/v1/customers/c11"): (None, ("admin",)),
    ("POST", "/v1/plans/preview"): ({}, ("marketer", "admin")),
}


@pytest.mark.parametrize("call", WRITES)
def test_who_may_write_what(client: Client, call: tuple[str, str]) -> None:
    body, may = WRITES[call]
    allowed = set()
    for caller in CALLERS:
        scope, _, subject = caller.partition(":")
        one = client(scope, subject or None, preview=lambda changes: {"moved": 0})
        response = one.request(*call, json=body)
        if response.is_success:
            allowed.add(caller)
        else:
            is_problem(response, 403)
    assert allowed == set(may)


def test_a_stranger_learns_nothing_about_who_exists(client: Client) -> None:
    caller = client("clerk")
    known = is_problem(caller.get("/v1/customers/c31"), 403).model_dump()
    unknown = is_problem(caller.get("/v1/customers/zzz"), 403).model_dump()
    assert known["detail"].replace("c31", "zzz") == unknown["detail"]
    is_problem(client("admin").get("/v1/customers/zzz"), 404)


def test_a_revoked_key_closes_at_once(client: Client, services: Services) -> None:
    caller = client("clerk")
    assert caller.get("/v1/clerks/k1/actions").status_code == 200
    services.store.revoke_key(services.store.keys()[0]["key_id"])
    is_problem(caller.get("/v1/clerks/k1/actions"), 401)


@pytest.mark.parametrize(
    ("address", "host", "status"),
    [
        ("127.0.0.1", "localhost", 200),
        ("::1", "127.0.0.1:8000", 200),
        ("192.168.1.5", "localhost", 403),
        ("127.0.0.1", "evil.example", 403),
    ],
)
def test_open_access_serves_this_machine_alone(
    open_client: Client, address: str, host: str, status: int
) -> None:
    assert open_client(address, host).get("/v1/clerks/k1/actions").status_code == status
