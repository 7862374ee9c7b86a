"""The committed OpenAPI document: complete, true to the code, and kept by the service."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel
from tests.serving.conftest import NOW, PLAN, Shop, actions_frame
from tests.serving.test_envelope import FILL, is_problem

from nba.schema.words import FeedbackKind
from nba.serving import Services, create_app, document, errors, rows, schemas
from nba.serving.examples import EXAMPLES
from nba.serving.webhooks import EVENTS
from nba.stores import hooks
from nba.stores.feedback import Feedback
from nba.stores.hooks import HookEvent
from nba.stores.operational import OperationalStore

Client = Callable[..., TestClient]


@pytest.fixture
def contract(services: Services) -> dict[str, Any]:
    app = create_app(Services(services.store, services.cards, preview=lambda changes: {}))
    return app.openapi()


def test_the_committed_document_is_that_of_the_code(repository: Path) -> None:
    kept = (repository / document.PLACE).read_text(encoding="utf-8")
    assert kept == document.text(), "run `python -m nba.serving.document`"


def test_the_check_fails_on_a_document_of_another_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    assert document.main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().err
    assert document.main([]) == 0
    assert document.main(["--check"]) == 0


def _operations(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for item in part.values() for operation in item.values()]


def test_operations_have_short_ids_of_their_own(contract: dict[str, Any]) -> None:
    ids = [
        operation["operationId"]
        for operation in _operations(contract["paths"]) + _operations(contract["webhooks"])
    ]
    assert len(set(ids)) == len(ids)
    assert all(one.isidentifier() for one in ids)
    assert {"list_actions", "read_card", "give_feedback", "post_events"} <= set(ids)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_what_they_are_examples_of(name: str, contract: dict[str, Any]) -> None:
    model = getattr(schemas, name, None) or getattr(errors, name)
    assert issubclass(model, BaseModel)
    model.model_validate(EXAMPLES[name])
    assert contract["components"]["schemas"][name]["examples"] == [EXAMPLES[name]]


def test_rows_of_the_example_batch_keep_the_data_contract(services: Services) -> None:
    for table, examples in EXAMPLES["EventBatch"].items():
        for example in examples:
            rows.parse_row(table, example, zone=services.zone, now=NOW)


def test_every_request_and_path_has_an_example(contract: dict[str, Any]) -> None:
    shown = contract["components"]["schemas"]
    for operation in _operations(contract["paths"]):
        if "requestBody" in operation:
            body = operation["requestBody"]["content"]["application/json"]["schema"]
            assert shown[body["$ref"].rpartition("/")[2]]["examples"], operation["operationId"]
        for parameter in operation.get("parameters", ()):
            assert parameter["in"] != "path" or "example" in parameter, parameter


def test_every_webhook_event_is_described(contract: dict[str, Any]) -> None:
    assert set(EVENTS) == set(HookEvent)
    assert set(contract["webhooks"]) == {f"{hooks.TYPE_PREFIX}{event}" for event in HookEvent}


def test_what_webhooks_are_sent_is_what_the_document_says(store: OperationalStore) -> None:
    wanted = list(HookEvent)
    hook_id, _ = store.add_hook("https://crm.example/nba", wanted)
    store.publish(PLAN, actions_frame())
    store.record([Feedback("f1", "k1-1", "k1", NOW, FeedbackKind.SENT)])
    store.tell(HookEvent.TEST, {"hook_id": hook_id})
    store.tell(HookEvent.ERASURE_DONE, {"receipt_id": "r1"})
    store.tell(HookEvent.NIGHT_FAILED, {"as_of": PLAN["as_of"], "step": "score", "error": "X"})
    store.tell(HookEvent.EXPERIMENT_STOPPED, {"as_of": PLAN["as_of"], "arm": "random"})
    change = {"as_of": PLAN["as_of"], "clerk_id": "k1", "action_id": "k1-1", "reason": "bought"}
    for event in (HookEvent.ACTION_ADDED, HookEvent.ACTION_WITHDRAWN):
        store.tell(event, {**change, "version": 2})
    late = {"action_id": "k1-1", "clerk_id": "k1", "channel": "mini_program", "deadline": NOW}
    store.tell(HookEvent.ACTION_FALLBACK, late)
    seen = set()
    for _ in wanted:
        with store.writing() as writer:
            due = hooks.take(writer.connection, NOW)
            assert due is not None
            body = json.loads(due.body)
            event = HookEvent(body["type"].removeprefix(hooks.TYPE_PREFIX))
            EVENTS[event].model_validate(body)
            hooks.settle(writer.connection, due, None, NOW)
            seen.add(event)
    assert seen == set(wanted)


def test_a_wrong_method_is_told_all_methods_of_its_path(
    client: Client, contract: dict[str, Any]
) -> None:
    caller = client("admin", preview=lambda changes: {})
    for path, item in contract["paths"].items():
        answer = caller.request("PATCH", path.format(**FILL))
        is_problem(answer, 405)
        there = {method.upper() for method in item}
        there |= {"HEAD"} if "GET" in there else set()
        assert set(answer.headers["allow"].split(", ")) == there, path


def test_head_answers_as_get_does_without_a_body(client: Client, contract: dict[str, Any]) -> None:
    caller = client("admin")
    for path, item in contract["paths"].items():
        if "get" in item:
            head, read = (caller.request(how, path.format(**FILL)) for how in ("HEAD", "GET"))
            assert (head.status_code, head.content) == (read.status_code, b""), path
            assert head.headers["content-type"] == read.headers["content-type"]


def test_a_body_that_is_no_text_is_a_documented_problem(
    client: Client, contract: dict[str, Any]
) -> None:
    caller = client("admin", preview=lambda changes: {})
    for path, item in contract["paths"].items():
        for method, operation in item.items():
            if "requestBody" not in operation:
                continue
            answer = caller.request(
                method,
                path.format(**FILL),
                content=b"\xff\xfe{",
                headers={"Content-Type": "application/json"},
            )
            is_problem(answer, answer.status_code)
            assert str(answer.status_code) in operation["responses"], path


# -- preconditions of tags ----------------------------------------------------------------

TAG = "/v1/customers/c11/tags/tea"


def test_a_tag_is_changed_only_as_it_was_read(client: Client) -> None:
    clerk = client("clerk")
    made = clerk.put(TAG, json={"value": "green"}, headers={"If-None-Match": "*"})
    assert made.status_code == 200
    etag = made.headers["etag"]
    read = clerk.get(TAG)
    assert read.headers["etag"] == etag
    assert clerk.get(TAG, headers={"If-None-Match": etag}).status_code == 304

    changed = clerk.put(TAG, json={"value": "black"}, headers={"If-Match": etag})
    assert changed.status_code == 200
    stale = clerk.put(TAG, json={"value": "white"}, headers={"If-Match": etag})
    assert is_problem(stale, 412).code == "changed"
    assert clerk.get(TAG).json()["tags"][0]["value"] == "black"

    assert is_problem(clerk.delete(TAG, headers={"If-Match": etag}), 412)
    assert clerk.delete(TAG, headers={"If-Match": changed.headers["etag"]}).status_code == 204
    assert is_problem(clerk.delete(TAG, headers={"If-Match": "*"}), 412)
    assert clerk.put(TAG, json={}, headers={"If-None-Match": "*"}).status_code == 200
    assert is_problem(clerk.put(TAG, json={}, headers={"If-None-Match": "*"}), 412)


def test_a_tag_of_a_rule_has_a_state_too(client: Client) -> None:
    clerk = client("clerk")
    rule = "/v1/customers/c11/tags/loyal"
    etag = clerk.get(rule).headers["etag"]
    assert clerk.put(rule, json={}, headers={"If-Match": '"other"'}).status_code == 412
    assert clerk.put(rule, json={}, headers={"If-Match": f'"other", {etag}'}).status_code == 200


def test_who_comes_between_reading_and_writing_is_noticed(
    services: Services, client: Client
) -> None:
    class Racing(Shop):
        def card(self, customer_id: str) -> Any:
            app.state.race()
            return super().card(customer_id)

    clerk = client("clerk", cards=Racing())
    app = clerk.app
    assert isinstance(app, FastAPI)
    other = client("clerk")
    app.state.race = lambda: None
    etag = clerk.put(TAG, json={"value": "green"}).headers["etag"]

    def race() -> None:
        app.state.race = lambda: None
        # after the card was read, before the change is written
        mark = services.store.tag_mark("c11", "tea")
        assert mark > 0
        other.put(TAG, json={"value": "black"})

    app.state.race = race
    answer = clerk.put(TAG, json={"value": "white"}, headers={"If-Match": etag})
    assert is_problem(answer, 412)
    assert other.get(TAG).json()["tags"][0]["value"] == "black"
