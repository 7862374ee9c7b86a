"""Alerts: a command and a webhook, signed as Standard Webhooks are."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from nba.jobs import alerts as module
from nba.jobs.alerts import alert
from nba.settings import Alerts
from nba.stores.signing import sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver(HTTPServer):
    """Keeps what it was sent; answers as told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[dict[str, str], str]] = []
        self.answers: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append((headers, body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_webhook_is_signed_and_says_what_happened(receiver: Receiver) -> None:
    alert(
        Alerts(webhook_url=receiver.url, webhook_secret=SECRET), "night.failed", {"step": "score"}
    )
    ((headers, body),) = receiver.received
    message = json.loads(body)
    assert (message["type"], message["data"]) == ("night.failed", {"step": "score"})
    expected = sign(SECRET, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == expected
    assert headers["webhook-id"].startswith("msg_")


def test_a_receiver_that_fails_once_is_asked_again_with_the_same_id(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    receiver.answers = [500]
    alert(Alerts(webhook_url=receiver.url), "night.failed", {})
    first, second = (headers for headers, _ in receiver.received)
    assert first["webhook-id"] == second["webhook-id"]
    assert "webhook-signature" not in first


def test_the_environment_gives_the_secret(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBA_ALERT_SECRET", SECRET)
    alert(Alerts(webhook_url=receiver.url), "night.failed", {})
    ((headers, body),) = receiver.received
    made = sign(SECRET, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == made


def test_a_command_gets_the_message_and_one_that_fails_stops_nothing(tmp_path: Path) -> None:
    script = "import os, sys; open(sys.argv[1], 'w').write(os.environ['NBA_ALERT_TYPE'] + input())"
    out = tmp_path / "said"
    alert(Alerts(command=f'{sys.executable} -c "{script}" {out}'), "night.failed", {"error": "X"})
    assert out.read_text().startswith('night.failed{"type": "night.failed"')
    alert(Alerts(command="/no/such/program"), "night.failed", {})


def test_the_secret_shows_nowhere() -> None:
    settings = Alerts(webhook_secret=SECRET)
    assert SECRET not in str(settings) + str(settings.model_dump()) + settings.model_dump_json()
