"""Webhooks: a receiver with the reference libraries takes every message once, whatever happens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cloudevents.core.formats.json import JSONFormat
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.jobs.test_alerts import Receiver
from typer.testing import CliRunner

from nba.cli import app
from nba.connect.courier import CONTENT_TYPE, Round, courier, deliver_due
from nba.jobs.init import init_project
from nba.stores import hooks
from nba.stores.hooks import BACKOFF, HookEvent
from nba.stores.nightly_runs import NightlyRunFailure
from nba.stores.operational import OperationalStore

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[OperationalStore]:
    opened = OperationalStore(f"sqlite:///{tmp_path / 'o.db'}", clock=clock)
    yield opened
    opened.close()


def fail_a_night(store: OperationalStore) -> None:
    night = store.begin_night(date(2026, 3, 2))
    store.end_night(night, NightlyRunFailure("train", "ModelError", "C0001 is a customer"))


def test_a_message_is_signed_and_a_cloud_event(
    store: OperationalStore,
    receiver: Receiver,
) -> None:
    _, secret = store.add_hook(receiver.url, [HookEvent.NIGHT_FAILED])
    fail_a_night(store)
    assert deliver_due(store).delivered == 1
    ((headers, body),) = receiver.received
    Webhook(secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(hooks.new_secret()).verify(body, headers)
    assert headers["content-type"] == CONTENT_TYPE
    event = from_structured_event(HTTPMessage(headers, body.encode()), JSONFormat())
    assert event.get_type() == "nba.night.failed"
    assert event.get_id() == headers["webhook-id"]
    assert event.get_data() == {"as_of": "2026-03-02", "step": "train", "error": "ModelError"}
    assert "C0001" not in body


def test_both_secrets_sign_for_a_day_after_a_rotation(
    store: OperationalStore,
    receiver: Receiver,
    clock: Clock,
) -> None:
    hook_id, old = store.add_hook(receiver.url, [HookEvent.NIGHT_FAILED])
    new = store.rotate_hook(hook_id)
    fail_a_night(store)
    deliver_due(store, clock=clock)
    clock.now += timedelta(days=1, seconds=1)
    fail_a_night(store)
    deliver_due(store, clock=clock)
    (first, first_body), (second, second_body) = receiver.received
    for secret in (old, new):
        Webhook(secret).verify(first_body, first)
    Webhook(new).verify(second_body, second)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(second_body, second)


def test_retries_back_off_and_end_as_a_dead_letter(
    store: OperationalStore,
    receiver: Receiver,
    clock: Clock,
) -> None:
    hook_id, _ = store.add_hook(receiver.url, [HookEvent.NIGHT_FAILED])
    fail_a_night(store)
    receiver.answers = [500] * (len(BACKOFF) + 1)
    for seconds in BACKOFF:
        assert deliver_due(store, clock=clock).failed == 1
        clock.now += timedelta(seconds=seconds - 1)
        assert deliver_due(store, clock=clock) == Round()
        clock.now += timedelta(seconds=1)
    assert deliver_due(store, clock=clock).dead == 1
    (letter,) = store.dead_letters()
    assert (letter["attempts"], letter["failure"]) == (len(BACKOFF) + 1, "answered 500")
    assert store.revive_hook(hook_id) == 1
    assert deliver_due(store, clock=clock).delivered == 1
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == 1


def test_a_receiver_that_is_gone_gets_nothing_more(
    store: OperationalStore,
    receiver: Receiver,
    clock: Clock,
) -> None:
    hook_id, _ = store.add_hook(receiver.url, [HookEvent.NIGHT_FAILED])
    fail_a_night(store)
    receiver.answers = [410]
    deliver_due(store, clock=clock)
    fail_a_night(store)
    clock.now += timedelta(days=1)
    deliver_due(store, clock=clock)
    assert len(receiver.received) == 1
    store.revive_hook(hook_id)
    assert deliver_due(store, clock=clock).delivered == 1


def test_a_message_taken_by_a_process_that_died_is_sent_again(
    store: OperationalStore,
    receiver: Receiver,
    clock: Clock,
) -> None:
    store.add_hook(receiver.url, [HookEvent.NIGHT_FAILED])
    fail_a_night(store)
    with store.database.writing() as connection:
        assert hooks.take(connection, clock.now) is not None
    assert deliver_due(store, clock=clock).delivered == 0
    clock.now += hooks.LEASE
    assert deliver_due(store, clock=clock).delivered == 1


def test_what_is_not_committed_is_told_to_nobody(
    store: OperationalStore,
    receiver: Receiver,
) -> None:
    store.add_hook(receiver.url, list(HookEvent))

    def break_off() -> None:
        with store.writing() as writer:
            hooks.emit(writer.connection, HookEvent.ERASURE_DONE, {}, writer.now)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    deliver_due(store)
    assert receiver.received == []


def test_redirects_are_not_followed(
    store: OperationalStore,
    receiver: Receiver,
) -> None:
    store.add_hook(receiver.url, [HookEvent.NIGHT_FAILED])
    fail_a_night(store)
    receiver.answers = [302]
    assert deliver_due(store).failed == 1


def test_a_running_service_delivers_by_itself(
    store: OperationalStore,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nba.connect.courier.PAUSE_SECONDS", 0.02)
    store.add_hook(receiver.url, [HookEvent.NIGHT_FAILED])
    with courier(store):
        fail_a_night(store)
        for _ in range(500):
            if receiver.received:
                break
            time.sleep(0.01)
    assert len(receiver.received) == 1


def test_the_verbs(tmp_path: Path, receiver: Receiver) -> None:
    init_project(tmp_path / "shop", {})

    def nba(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["--project", str(tmp_path / "shop"), "hooks", *words])
        assert done.exit_code == code, done.output
        return done.output

    hook_id, secret = nba("add", receiver.url, "--event", "plan.published").split()
    assert nba("test", hook_id) == "1 delivered, 0 to be tried again, 0 given up\n"
    Webhook(secret).verify(receiver.received[0][1], receiver.received[0][0])
    row = json.loads(nba("list"))
    assert (row["hook_id"], row["events"], row["delivered"]) == (hook_id, ["plan.published"], 1)
    rotated = nba("rotate", hook_id).strip()
    assert rotated != secret
    shown = nba("list") + nba("dead")
    assert secret not in shown
    assert rotated not in shown
    receiver.answers = [500]
    said = nba("test", hook_id, code=1)
    assert said == f"0 delivered, 1 to be tried again, 0 given up\n{hook_id}: answered 500\n"
    nba("remove", hook_id)
    assert nba("list") == "no webhooks: `nba hooks add URL` adds one\n"
    hook_id, _ = nba("add", "http://127.0.0.1:9/nobody").split()
    assert f"{hook_id}: Connection refused" in nba("test", hook_id, code=1)
