"""Feedback over HTTP: idempotent, each row by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from nba.serving import Services

Client = Callable[..., TestClient]
URL = "/v1/actions/k1-1/feedback"
JSON = {"Content-Type": "application/json"}


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"reason": "\ud800"},
        {"feedback_id": "f\x00"},
        {"ts": "yesterday"},
        {"ts": "0001-01-01T00:00:00+08:00"},
        {"kind": "loved"},
        {"position": -1},
        {"unknown": 1},
        {"reason": "x" * 1_000_000},
    ],
)
def test_an_item_that_breaks_its_shape_takes_nothing_from_the_others(
    client: Client, services: Services, wrong: dict[str, Any]
) -> None:
    good = [body(action_id=f"k1-{n}", feedback_id=f"f{n}") for n in (1, 2)]
    rows = [good[0], body(action_id="k1-3", feedback_id="f3") | wrong, good[1]]
    caller = client("clerk")
    for status in ("accepted", "repeated"):
        answer = caller.post("/v1/feedback", content=json.dumps({"feedback": rows}), headers=JSON)
        assert answer.status_code == 200
        told = answer.json()["rows"]
        assert [row["status"] for row in told] == [status, "refused", status]
        assert (told[1]["index"], told[1]["problem"]["code"]) in {
            (1, "invalid_request"), (1, "bad_request"),
        }  # fmt: skip
    assert len(services.store.new_events()["feedback"]) == 2


@pytest.mark.parametrize("item", [5, None, "x", [], {"problem": {}}])
def test_an_item_that_is_none_is_refused_by_itself(client: Client, item: Any) -> None:
    rows = {"feedback": [body(action_id="k1-1"), item]}
    told = client("clerk").post("/v1/feedback", json=rows).json()["rows"]
    assert [row["status"] for row in told] == ["accepted", "refused"]


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
