"""Tokens of a sidebar: one customer, a short time, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.serving.conftest import NOW

from nba.serving.errors import NotAuthenticatedError
from nba.serving.sidebar import SidebarTokens
from nba.stores.access import Scope

Client = Callable[..., TestClient]


def tokens(minutes: int = 15, secret: bytes = b"s3cret") -> SidebarTokens:
    return SidebarTokens(secret, lambda: NOW, timedelta(minutes=minutes))


def with_token(client: Client, sidebar: SidebarTokens, token: str) -> TestClient:
    made = client(None, sidebar=sidebar)
    made.headers["Authorization"] = f"Bearer {token}"
    return made


def test_a_token_says_whom_and_until_when_and_cannot_be_changed() -> None:
    made = tokens()
    token, ends = made.issue("客户/1", "k1")
    grant = made.read(token)
    assert (grant.customer_id, grant.clerk_id, grant.expires_at) == ("客户/1", "k1", ends)
    assert ends == NOW + timedelta(minutes=15)
    body, signature = token.split(".")
    for wrong in (body, f"{body}.", f"{body}x.{signature}", f"{body}.{signature[:-2]}AA", "nbas_."):
        with pytest.raises(NotAuthenticatedError):
            made.read(wrong)
    with pytest.raises(NotAuthenticatedError):
        tokens(secret=b"other").read(token)
    late = SidebarTokens(b"s3cret", lambda: ends, timedelta(minutes=15))
    with pytest.raises(NotAuthenticatedError, match="token"):
        late.read(token)


def test_the_chat_app_gets_a_token_for_a_customer_it_may_see(client: Client) -> None:
    sidebar = tokens()
    store = client(Scope.STORE, sidebar=sidebar)
    answer = store.post("/v1/sidebar-tokens", json={"external_id": "wmc13"})
    assert answer.status_code == 200
    made = answer.json()
    assert made["customer_id"] == "c13"
    assert made["path"] == f"/#sidebar={made['token']}&customer=c13"
    assert sidebar.read(made["token"]).clerk_id == "k1"
    assert client(Scope.CLERK, sidebar=sidebar).post(
        "/v1/sidebar-tokens", json={"external_id": "wmc21"}
    ).status_code == 403  # a colleague's  # fmt: skip
    admin = client(Scope.ADMIN, sidebar=sidebar)
    unknown = admin.post("/v1/sidebar-tokens", json={"external_id": "nobody"})
    assert unknown.status_code == 404
    assert admin.post("/v1/sidebar-tokens", json={}).status_code == 422


def test_the_chat_platforms_id_says_nothing_of_others_and_of_who_was_erased(
    client: Client,
) -> None:
    sidebar = tokens()
    clerk, admin = client(Scope.CLERK, sidebar=sidebar), client(Scope.ADMIN, sidebar=sidebar)

    def asked(caller: TestClient, one: str) -> list[Any]:
        return [
            caller.get(f"/v1/external-ids/{one}"),
            caller.post("/v1/sidebar-tokens", json={"external_id": one}),
        ]

    for strange, nobody in zip(asked(clerk, "wmc21"), asked(clerk, "wmc99"), strict=True):
        assert strange.status_code == nobody.status_code == 403
        assert strange.text.replace("wmc21", "wmc99") == nobody.text
    assert [one.status_code for one in asked(clerk, "wmc13")] == [200, 200]
    assert admin.delete("/v1/customers/c13").status_code == 200
    for caller in (clerk, admin):
        assert [one.status_code for one in asked(caller, "wmc13")] == [404, 404]


def test_a_token_opens_its_customer_and_nothing_else(client: Client) -> None:
    sidebar = tokens()
    token, _ = sidebar.issue("c13", "k1")
    frame = with_token(client, sidebar, token)
    for path in ("/v1/clerks", "/v1/names", "/v1/customers/c13", "/v1/customers/c13/tags"):
        assert frame.get(path).status_code == 200, path
    assert frame.put("/v1/customers/c13/tags/note", json={"value": "tea"}).status_code == 200
    refused = (
        ("GET", "/v1/customers/c12"),
        ("GET", "/v1/customers/c12/tags/note"),
        ("GET", "/v1/clerks/k1/actions"),
        ("GET", "/v1/clerks/k1/customers?q=c"),
        ("GET", "/v1/customers/c13/products"),
        ("POST", "/v1/feedback"),
        ("POST", "/v1/sidebar-tokens"),
        ("DELETE", "/v1/customers/c13"),
        ("GET", "/v1/plans/current"),
    )
    for method, path in refused:
        assert frame.request(method, path, json={}).status_code == 403, path
    assert with_token(client, tokens(secret=b"x"), token).get("/v1/names").status_code == 401
    assert with_token(client, sidebar, sidebar.issue("c21", "k1")[0]).get(
        "/v1/customers/c21"
    ).status_code == 403  # no longer this clerk's  # fmt: skip
