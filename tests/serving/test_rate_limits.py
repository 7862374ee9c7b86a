"""Requests of a key and of an address are limited; whoever counts them stops nobody by failing."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.serving.test_envelope import is_problem

from nba.errors import ConfigError
from nba.serving.errors import TooManyRequestsError
from nba.serving.rate_limits import REST_SECONDS, Limiter
from nba.settings import RateLimits

Client = Callable[..., TestClient]


def _allowed(limiter: Limiter, which: str, calls: int, whose: str = "key") -> int:
    allowed = 0
    for _ in range(calls):
        try:
            limiter.count(whose, which)
        except TooManyRequestsError:
            continue
        allowed += 1
    return allowed


def test_a_key_that_asks_too_often_is_told_when_to_come_again(client: Client) -> None:
    caller = client("clerk", limiter=Limiter(RateLimits(per_key="3/hour")))
    statuses = [caller.get("/v1/clerks").status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    refused = caller.get("/v1/clerks")
    assert is_problem(refused, 429).code == "too_many_requests"
    assert 1 <= int(refused.headers["retry-after"]) <= 3600
    assert caller.get("/healthz").status_code == 200


def test_an_address_is_limited_before_its_keys_are_looked_at(client: Client) -> None:
    limiter = Limiter(RateLimits(per_address="2/hour"))
    guest = client(None, limiter=limiter)
    statuses = [guest.get("/v1/clerks").status_code for _ in range(4)]
    assert statuses == [401, 401, 429, 429]


def test_keys_are_counted_apart() -> None:
    limiter = Limiter(RateLimits(per_key="5/minute"))
    assert [_allowed(limiter, one, 9) for one in ("a", "b")] == [5, 5]
    assert _allowed(limiter, "192.0.2.1", 9, "address") == 9


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(shutil.which("redis-server")), "--port", str(port), "--save", "", "--dir"]
    server = subprocess.Popen([*command, str(tmp_path)], stdout=subprocess.DEVNULL)
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)
    yield f"redis://127.0.0.1:{port}/2", server
    server.kill()
    server.wait()


@pytest.mark.requires("redis")
def test_several_processes_count_together_in_redis_and_nobody_is_stopped_by_its_end(
    redis_url: tuple[str, subprocess.Popen[bytes]],
) -> None:
    url, server = redis_url
    now = [0.0]
    limits = RateLimits(per_key="6/hour")
    one, two = (Limiter(limits, url, clock=lambda: now[0]) for _ in range(2))
    assert _allowed(one, "a", 4) + _allowed(two, "a", 4) == 6
    server.kill()
    server.wait()
    assert _allowed(one, "a", 5) == 5
    began = time.monotonic()
    assert _allowed(one, "a", 1000) == 1000  # it rests, and asks nobody
    assert time.monotonic() - began < REST_SECONDS
    now[0] = REST_SECONDS
    assert _allowed(one, "a", 1) == 1


def test_wrong_settings_are_told() -> None:
    with pytest.raises(ConfigError, match="rate limits"):
        Limiter(RateLimits(per_key="1/minute"), "carrier-pigeon://x")
    with pytest.raises(ValueError, match="600/minute"):
        RateLimits(per_key="many")
    assert not RateLimits().are_set


def test_the_environment_says_where_counts_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RateLimits().storage == "memory://"
    assert RateLimits(storage_url="redis://a:1").storage == "redis://a:1"
    monkeypatch.setenv("NBA_RATE_LIMITS_URL", "redis://b:1")
    assert RateLimits(storage_url="redis://a:1").storage == "redis://b:1"
