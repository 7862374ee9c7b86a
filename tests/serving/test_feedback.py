"""Feedback over HTTP: idempotent, each row by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient

from nba.serving import Services

Client = Callable[..., TestClient]
URL = "/v1/actions/k1-1/feedback"


def body(**changes: Any) -> dict[str, Any]:
    return {"feedback_id": "f1", "kind": "sent", "ts": "2026-03-02T09:30:00"} | changes


def test_sent_is_kept_once_and_leaves_the_list(client: Client, services: Services) -> None:
    caller = client("clerk")
    first = caller.post(URL, json=body(position=1))
    again = caller.post(URL, json=body(position=1))
    assert (first.status_code, first.json()["status"]) == (200, "accepted")
    assert again.json()["status"] == "repeated"
    waiting = services.store.new_events()
    assert len(waiting["feedback"]) == len(waiting["interactions"]) == 1
    assert waiting["feedback"]["ts"][0].isoformat() == "2026-03-02T01:30:00+00:00"
    listed = caller.get("/v1/clerks/k1/actions").json()["actions"]
    assert [action["customer_id"] for action in listed] == ["c12", "c13"]


def test_the_same_id_with_other_content_is_a_conflict(client: Client) -> None:
    caller = client("clerk")
    caller.post(URL, json=body())
    response = caller.post(URL, json=body(kind="skipped"))
    assert (response.status_code, response.json()["code"]) == (409, "conflict")


def test_an_unknown_action_is_not_found(client: Client) -> None:
    assert client("clerk").post("/v1/actions/nope/feedback", json=body()).status_code == 404


def test_feedback_from_the_future_is_refused(client: Client) -> None:
    response = client("clerk").post(URL, json=body(ts="2026-03-05T00:00:00"))
    assert response.json()["code"] == "bad_request"


def test_many_are_accepted_and_refused_each_by_itself(client: Client) -> None:
    rows = [
        body(action_id="k1-1"),
        body(action_id="k3-1", feedback_id="f2"),
        body(action_id="nope", feedback_id="f3"),
        body(action_id="k1-1"),
    ]
    result = client("clerk").post("/v1/feedback", json={"feedback": rows}).json()
    assert [row["status"] for row in result["rows"]] == [
        "accepted",
        "refused",
        "refused",
        "repeated",
    ]
    assert [row["problem"]["code"] for row in result["rows"][1:3]] == [
        "not_permitted",
        "not_found",
    ]
    assert (result["accepted"], result["repeated"], result["refused"]) == (1, 1, 2)


def test_an_idempotency_key_gives_the_same_answer_again(client: Client) -> None:
    caller = client("clerk")
    headers = {"Idempotency-Key": "batch-1"}
    rows = {"feedback": [body(action_id="k1-1")]}
    first = caller.post("/v1/feedback", json=rows, headers=headers)
    again = caller.post("/v1/feedback", json=rows, headers=headers)
    assert first.json() == again.json()
    other = {"feedback": [body(action_id="k1-2", feedback_id="f9")]}
    assert caller.post("/v1/feedback", json=other, headers=headers).status_code == 409


def test_a_store_may_report_for_a_colleague(client: Client, services: Services) -> None:
    response = client("store").post(URL, json=body(clerk_id="k2"))
    assert response.status_code == 200
    assert services.store.feedback("k1-1")[0]["clerk_id"] == "k2"
    assert client("clerk").post(URL, json=body(feedback_id="f2", clerk_id="k2")).status_code == 403
