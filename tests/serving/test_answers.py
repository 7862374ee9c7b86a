"""Answers that are serialised once."""

from __future__ import annotations

import gzip
import json
import random
import string
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel

from nba.serving import Services
from nba.serving.answers import Answers, Ready
from nba.serving.shapes import CustomerCard

Client = Callable[..., TestClient]
NOW = datetime(2026, 3, 2, tzinfo=UTC)


class Content(BaseModel):
    text: str
    now: str = ""


def ready(text: str = "x", until: datetime | None = None) -> Ready:
    return Ready.of(Content(text=text), '"t"', leave="now", until=until)


def texts(size: int) -> list[str]:
    """Return texts that no compression makes much smaller."""
    draw = random.Random(1)
    return ["".join(draw.choices(string.printable[:90], k=size)) for _ in range(8)]


def test_the_least_used_answers_are_compressed_and_then_go() -> None:
    given = {name: ready(text) for name, text in zip("abcdefgh", texts(4000), strict=True)}
    answers = Answers(budget=3 * given["a"].size)
    for name in "abc":
        answers.put(name, given[name])
    assert answers.get("a", NOW) is given["a"]
    answers.put("d", given["d"])
    again = answers.get("b", NOW)
    assert again is not None
    assert again is not given["b"]
    assert (again.head, again.tag, again.until) == (given["b"].head, '"t"', None)
    for name in "efgh":
        answers.put(name, given[name])
    kept = [name for name in given if answers.get(name, NOW) is not None]
    assert kept[-3:] == ["f", "g", "h"]
    assert 3 < len(kept) < len(given)
    assert "c" not in kept


def test_what_lies_ready_elsewhere_is_not_kept_when_others_are_used_more() -> None:
    laid, *others = (ready(text) for text in texts(4000))
    laid = replace(laid, is_laid=True)
    answers = Answers(budget=2 * laid.size)
    answers.put("laid", laid)
    assert answers.get("laid", NOW) is laid
    for number, one in enumerate(others[:2]):
        answers.put(number, one)
    assert answers.get("laid", NOW) is None
    answers.put(2, others[2])
    assert answers.get(0, NOW) is not None


def test_an_answer_ends_at_its_moment() -> None:
    answers = Answers()
    answers.put("a", ready(until=NOW))
    assert answers.get("a", NOW - timedelta(seconds=1)) is not None
    assert answers.get("a", NOW) is None


@pytest.mark.parametrize("path", ["/v1/clerks/k1/actions", "/v1/customers/c11"])
def test_compressed_and_plain_answers_say_the_same(client: Client, path: str) -> None:
    caller = client("clerk")
    plain = caller.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    with caller.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["etag"] == plain.headers["etag"]
    assert len(raw) < len(plain.content)
    assert json.loads(gzip.decompress(raw)).keys() == plain.json().keys()


@pytest.mark.parametrize("path", ["/v1/clerks", "/v1/customers/c11"])
def test_what_a_client_holds_is_not_sent_again(client: Client, path: str) -> None:
    caller = client("clerk")
    known = {"If-None-Match": caller.get(path).headers["etag"]}
    assert caller.get(path, headers=known).status_code == 304


def test_a_card_is_made_once_until_something_is_heard(client: Client, services: Services) -> None:
    made: list[str] = []
    card = services.cards.card

    def counted(customer_id: str) -> CustomerCard | None:
        made.append(customer_id)
        return card(customer_id)

    services.cards.card = counted  # type: ignore[method-assign]
    caller = client("clerk")
    first = caller.get("/v1/customers/c11")
    assert caller.get("/v1/customers/c11").json() == first.json()
    assert made == ["c11"]
    row = {"response_id": "r", "customer_id": "c11", "ts": "2026-03-02T09:00:00", "kind": "replied"}
    assert caller.post("/v1/events", json={"responses": [row]}).json()["accepted"] == 1
    assert [one["kind"] for one in caller.get("/v1/customers/c11").json()["news"]] == ["replied"]
    services.store.erase("c11")
    assert caller.get("/v1/customers/c11").status_code == 404


def test_answers_tell_browsers_what_they_may_not_do(client: Client) -> None:
    for path in ("/v1/customers/c11", "/v1/customers/c99"):
        headers = client("clerk").get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "frame-ancestors 'none'"


def test_head_answers_as_get_without_the_body(client: Client) -> None:
    caller = client("clerk")
    got, head = caller.get("/v1/customers/c11"), caller.head("/v1/customers/c11")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == got.headers["etag"]
    assert head.headers["content-length"] == got.headers["content-length"]
    refused = caller.head("/v1/events")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
