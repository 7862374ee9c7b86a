"""Ids with any character stand in paths, and never reach another resource."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from tests.serving.conftest import PLAN, Shop, actions_frame

from nba.serving import Services
from nba.serving.shapes import CustomerCard, Owner

Client = Callable[..., TestClient]
ODD = [
    "WX/0001",
    "a/b/c",
    "/",
    "C001/tags",
    "C001/",
    "a%2Fb",
    "100%",
    "a b?c#d&e=f",
    "顾客/一",
    "😀+1",
]


class OddShop(Shop):
    """A shop in which every id but `nobody` is a customer of k1."""

    def owner(self, customer_id: str) -> Owner | None:
        return Owner(customer_id=customer_id, clerk_id="k1", store_id="s1")

    def card(self, customer_id: str) -> CustomerCard | None:
        known = super().owner("c11")
        assert known is not None
        card = Shop().card("c11")
        assert card is not None
        return card.model_copy(update={"customer_id": customer_id})


@pytest.fixture
def admin(client: Client, services: Services) -> TestClient:
    return client("admin", cards=OddShop())


def path(customer_id: str, *rest: str) -> str:
    return "/v1/customers/" + "/".join(quote(part, safe="") for part in (customer_id, *rest))


@pytest.mark.parametrize("customer_id", ODD)
def test_every_route_of_a_customer_takes_any_id(admin: TestClient, customer_id: str) -> None:
    assert admin.get(path(customer_id)).json()["customer_id"] == customer_id
    for part in ("actions", "products", "tags"):
        assert admin.get(path(customer_id, part)).json()["customer_id"] == customer_id
    quota = admin.get(f"/v1/quotas/{quote(customer_id, safe='')}").json()
    assert quota["customer_id"] == customer_id
    consent = {"consent_contact": False, "consent_profiling": True, "consent_at": "2026-03-01"}
    assert admin.put(path(customer_id, "consent"), json=consent).json()["consent_contact"] is False
    assert admin.delete(path(customer_id)).status_code == 200
    assert admin.get(path(customer_id)).status_code == 404


@pytest.mark.parametrize("tag", ["复/购", "a%2Fb", "/", "x?y#z"])
def test_tags_with_any_name_are_set_read_and_removed(admin: TestClient, tag: str) -> None:
    where = path("C004/1", "tags", tag)
    assert admin.put(where, json={}).json()["tags"][0]["tag"] == tag
    assert admin.get(where).json() == admin.put(where, json={}).json()
    assert admin.delete(where).status_code == 204
    assert admin.get(where).status_code == 404


def test_an_id_that_looks_like_a_path_is_not_taken_for_one(admin: TestClient) -> None:
    admin.put(path("C001", "tags", "secret"), json={})
    answer = admin.get("/v1/customers/C001%2Ftags").json()
    assert (answer["customer_id"], "behaviour" in answer) == ("C001/tags", True)
    assert [tag for tag in answer["tags"] if tag["tag"] == "secret"] == []


def test_actions_and_clerks_with_a_slash(services: Services, client: Client) -> None:
    frame = actions_frame().with_columns(clerk_id=actions_frame()["clerk_id"] + "/x")
    frame = frame.with_columns(action_id=frame["action_id"] + "/1")
    services.store.publish(PLAN, frame)
    admin = client("admin")
    found = admin.get("/v1/clerks/k1%2Fx/actions").json()["actions"]
    assert [one["action_id"] for one in found] == ["k1-1/1", "k1-2/1", "k1-3/1"]
    body = {"feedback_id": "f/1", "kind": "shown", "ts": "2026-03-02T09:00:00"}
    answer = admin.post("/v1/actions/k1-1%2F1/feedback", json=body)
    assert answer.json() == {"feedback_id": "f/1", "action_id": "k1-1/1", "status": "accepted"}


def test_metrics_name_the_route_and_not_the_id(admin: TestClient) -> None:
    admin.get(path("WX/0001"))
    text = admin.get("/metrics").text
    assert 'route="/v1/customers/{customer_id}"' in text
    assert "WX" not in text


def test_erasure_reaches_the_very_customer(admin: TestClient, services: Services) -> None:
    assert admin.delete("/v1/customers/WX%2F0001").status_code == 200
    store: Any = replace(services).store
    assert store.receipt("WX/0001") is not None
    assert store.receipt("WX") is None
