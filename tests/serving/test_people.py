"""Tags, consent, erasure, quota and preview over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient

from nba.serving import Services

Client = Callable[..., TestClient]
TAG = "/v1/customers/c11/tags/likes_tea"


def names(response: Any) -> list[str]:
    return [tag["tag"] for tag in response.json()["tags"]]


def test_a_clerk_sets_reads_and_removes_a_tag(client: Client) -> None:
    caller = client("clerk")
    put = caller.put(TAG, json={"value": "green", "expires_at": "2026-04-01T00:00:00"})
    assert put.json()["tags"][0] == {
        "tag": "likes_tea",
        "value": "green",
        "source": "clerk",
        "ts": "2026-03-02T10:00:00+08:00",
        "expires_at": "2026-04-01T00:00:00+08:00",
        "value_name": None,
    }
    assert caller.get(TAG).json() == put.json()
    assert names(caller.get("/v1/customers/c11/tags")) == ["likes_tea", "loyal", "vip"]
    assert caller.delete(TAG).status_code == 204
    assert caller.delete(TAG).status_code == 204
    assert caller.get(TAG).status_code == 404


def test_a_removed_rule_tag_stays_away_and_can_be_set_again(
    client: Client, services: Services
) -> None:
    caller = client("clerk")
    caller.delete("/v1/customers/c11/tags/loyal")
    assert names(caller.get("/v1/customers/c11/tags")) == ["vip"]
    assert caller.get("/v1/customers/c11").json()["tags"][0]["tag"] == "vip"
    caller.put("/v1/customers/c11/tags/loyal", json={})
    assert names(caller.get("/v1/customers/c11/tags")) == ["loyal", "vip"]
    assert len(services.store.new_events()["tags"]) == 2


def test_a_tag_cannot_expire_in_the_past(client: Client) -> None:
    assert client("clerk").put(TAG, json={"expires_at": "2020-01-01T00:00:00"}).status_code == 422


def consent(caller: TestClient, contact: bool, at: str) -> dict[str, Any]:
    body = {"consent_contact": contact, "consent_profiling": True, "consent_at": at}
    response = caller.put("/v1/customers/c11/consent", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_consent_takes_effect_at_once_and_the_latest_wins(client: Client) -> None:
    admin = client("admin")
    assert consent(admin, False, "2026-03-02T09:00:00")["consent_contact"] is False
    assert consent(admin, True, "2026-02-01T00:00:00")["consent_contact"] is False
    listed = client("clerk").get("/v1/clerks/k1/actions").json()["actions"]
    assert "c11" not in [action["customer_id"] for action in listed]
    assert client("clerk").get("/v1/customers/c11/actions").json()["actions"] == []
    consent(admin, True, "2026-03-02T09:30:00")
    assert client("clerk").get("/v1/customers/c11/actions").json()["actions"] != []


def test_erasure_answers_with_one_receipt_and_closes_every_door(
    client: Client, services: Services
) -> None:
    admin = client("admin")
    admin.put(TAG, json={})
    first = admin.delete("/v1/customers/c11").json()
    assert first["completed_at"] is None
    assert first["counts"]["actions"] == 1
    assert first["requested_by"]
    assert admin.delete("/v1/customers/c11").json()["receipt_id"] == first["receipt_id"]
    for path in ("", "/tags", "/actions", "/products"):
        assert admin.get(f"/v1/customers/c11{path}").status_code == 404
    assert admin.put(TAG, json={}).status_code == 404
    sale = {
        "order_id": "o",
        "line_no": "1",
        "customer_id": "c11",
        "product_id": "05",
        "ts": "2026-03-02",
        "quantity": 1,
    }
    result = client("source").post("/v1/events", json={"transactions": [sale]}).json()
    assert result["rows"][0]["problem"]["code"] == "not_permitted"
    assert services.store.new_events() == {}


def test_an_unknown_customer_is_not_erased(client: Client) -> None:
    assert client("admin").delete("/v1/customers/zzz").status_code == 404


def test_quotas_show_what_the_platform_still_allows(client: Client) -> None:
    caller = client("clerk")
    body = {"feedback_id": "f", "kind": "sent", "ts": "2026-03-02T09:00:00"}
    caller.post("/v1/actions/k1-1/feedback", json=body)
    quota = client("marketer").get("/v1/quotas/c11").json()
    chat = next(one for one in quota["channels"] if one["channel"] == "chat")
    assert quota["month"] == "2026-03"
    assert chat == {"channel": "chat", "limit": 31, "reserved": 0, "spent": 1, "remaining": 30}


def test_preview_is_there_when_wired_and_gets_only_what_changes(client: Client) -> None:
    seen: list[Any] = []

    def preview(changes: Any) -> dict[str, int]:
        seen.append(changes)
        return {"customers_moved": 3}

    marketer = client("marketer", preview=preview)
    answer = marketer.post("/v1/plans/preview", json={"levers": {"groups": {"care": 10}}})
    assert answer.json() == {"difference": {"customers_moved": 3}}
    assert seen == [{"levers": {"groups": {"care": 10}}}]
    assert client("marketer").post("/v1/plans/preview", json={}).status_code in (404, 405)
