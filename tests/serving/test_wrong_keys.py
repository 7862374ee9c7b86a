"""Guessing keys is answered with 429 and seen in the log."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from fastapi.testclient import TestClient

from nba.serving.attempts import MOST_WRONG_KEYS, WINDOW_SECONDS, WrongKeys

Client = Callable[..., TestClient]


def test_a_flood_of_wrong_keys_is_slowed_and_logged_once(client: Client) -> None:
    guest = client(None)
    with structlog.testing.capture_logs() as lines:
        answers = [
            guest.get("/v1/clerks", headers={"Authorization": f"Bearer nba_{n:06}_guess"})
            for n in range(300)
        ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [401] * MOST_WRONG_KEYS + [429] * (300 - MOST_WRONG_KEYS)
    last = answers[-1]
    assert 1 <= int(last.headers["Retry-After"]) <= WINDOW_SECONDS
    assert (last.json()["code"], last.json()["status"]) == ("too_many_requests", 429)
    told = [line for line in lines if line["event"] == "too many wrong keys"]
    assert [(line["log_level"], line["address"]) for line in told] == [("warning", "testclient")]


def test_a_valid_key_is_served_all_the_same_and_no_key_is_no_guess(client: Client) -> None:
    known = client("clerk")
    key = known.headers["Authorization"]
    wrong = {"Authorization": "Bearer nba_0_x"}
    for _ in range(MOST_WRONG_KEYS + 1):
        known.get("/v1/clerks", headers=wrong)
    assert known.get("/v1/clerks", headers=wrong).status_code == 429
    assert known.get("/v1/clerks", headers={"Authorization": key}).status_code == 200
    guest = client(None)
    assert {guest.get("/v1/clerks").status_code for _ in range(MOST_WRONG_KEYS + 5)} == {401}


def test_a_window_ends_and_addresses_are_counted_apart_and_bounded() -> None:
    now = [0.0]
    attempts = WrongKeys(clock=lambda: now[0])
    found = [attempts.note("a") for _ in range(MOST_WRONG_KEYS + 2)]
    assert [one is None for one in found] == [True] * MOST_WRONG_KEYS + [False] * 2
    assert [one.first for one in found if one is not None] == [True, False]
    assert attempts.note("b") is None
    now[0] = WINDOW_SECONDS
    assert attempts.note("a") is None
    for n in range(30_000):
        attempts.note(f"192.0.2.{n}")
    assert len(attempts._windows) <= 10_001
