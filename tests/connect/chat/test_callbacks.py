"""Callbacks are checked, taken once, and count at once where a friendship ended."""

from __future__ import annotations

import base64
from datetime import timedelta

import polars as pl
import pytest
from fastapi.testclient import TestClient
from tests.connect.chat.conftest import Shop

from nba.connect.chat.callbacks import Envelope, fields_of
from nba.connect.chat.listen import PATH, listener
from nba.connect.chat.played import CORP_ID
from nba.errors import ConfigError, NotPermittedError
from nba.settings import Chat, Project
from nba.stores import chat
from nba.wiring import Wiring

TOKEN = "QDG6eK"
KEY = base64.b64encode(bytes(range(32))).decode().rstrip("=")
ENVELOPE = Envelope(TOKEN, KEY, CORP_ID)


def event(change: str, **fields: object) -> str:
    given = {
        "ToUserName": CORP_ID, "FromUserName": "sys", "MsgType": "event",
        "Event": "change_external_contact", "ChangeType": change, **fields,
    }  # fmt: skip
    inner = "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in given.items())
    return f"<xml>{inner}</xml>"


@pytest.fixture
def told(shop: Shop) -> Shop:
    shop.played.befriend("xiaomei", "wm1", createtime=shop.played.now - 86400)
    shop.sync()
    settings = shop.wiring.settings.model_copy(
        update={"chat": Chat(welcome="您好，我是{clerk}，欢迎！")}
    )
    shop.wiring.settings = settings
    return shop


@pytest.fixture
def client(told: Shop) -> TestClient:
    return TestClient(listener(told.wiring, ENVELOPE, told.platform, told.clock))


def send(client: TestClient, shop: Shop, text: str, *, at: int | None = None) -> int:
    encrypted = ENVELOPE.encrypt(text)
    timestamp = str(shop.played.now if at is None else at)
    query = {
        "msg_signature": ENVELOPE.sign(timestamp, "n", encrypted),
        "timestamp": timestamp,
        "nonce": "n",
    }
    body = f"<xml><ToUserName>{CORP_ID}</ToUserName><Encrypt>{encrypted}</Encrypt></xml>"
    return client.post(PATH, params=query, content=body).status_code


def marks(shop: Shop) -> dict[str, list[str]]:
    with shop.wiring.plan_store.database.reading() as connection:
        return chat.marked(connection)[1]


def test_the_address_is_checked_with_the_platforms_own_question(
    client: TestClient, told: Shop
) -> None:
    question = ENVELOPE.encrypt("1234567890")
    now = str(told.played.now)
    query = {
        "msg_signature": ENVELOPE.sign(now, "n", question),
        "timestamp": now, "nonce": "n", "echostr": question,
    }  # fmt: skip
    assert client.get(PATH, params=query).text == "1234567890"
    assert client.get(PATH, params={**query, "nonce": "m"}).status_code == 403


def test_a_friend_who_leaves_is_off_the_lists_at_once(client: TestClient, told: Shop) -> None:
    told.clock.later(hours=1)
    text = event(
        "del_follow_user", UserID="xiaomei", ExternalUserID="wm1", CreateTime=told.played.now
    )
    assert [send(client, told, text) for _ in range(3)] == [200, 200, 200]
    rows = told.wiring.plan_store.new_events()["friendships"]
    assert rows.select("customer_id", "clerk_id", "ended_by").rows() == [("C1", "K1", "customer")]
    assert marks(told)["contact"] == ["wm1"]
    assert told.sync(full=False).ended == 1
    assert told.sync().ended == 0
    row = told.lake("friendships").row(0, named=True)
    assert row["ended_at"] == told.clock.now


def test_the_clerk_who_deletes_a_friend_is_not_the_customer(client: TestClient, told: Shop) -> None:
    told.clock.later(hours=1)
    told.played.unfriend("xiaomei", "wm1")
    text = event(
        "del_external_contact", UserID="xiaomei", ExternalUserID="wm1", CreateTime=told.played.now
    )
    send(client, told, text)
    told.sync(full=False)
    assert told.lake("friendships")["ended_by"].to_list() == ["clerk"]


def test_a_new_friend_is_greeted_once_and_read_at_the_next_sync(
    client: TestClient, told: Shop
) -> None:
    code = told.played.befriend("xiaomei", "wm7", name="Seven")
    text = event(
        "add_external_contact", UserID="xiaomei", ExternalUserID="wm7", WelcomeCode=code,
        CreateTime=told.played.now, State="till",
    )  # fmt: skip
    send(client, told, text)
    send(client, told, text)
    assert told.played.greeted == {code: "您好，我是小美，欢迎！"}
    assert told.played.calls["externalcontact/send_welcome_msg"] == 1
    assert told.sync(full=False).new == 1
    assert "wecom:wm7" in set(told.lake("friendships")["customer_id"])


def test_changes_of_groups_are_read_again(client: TestClient, told: Shop) -> None:
    told.played.create_group("g1", "xiaomei", "群", ["wm1"])
    text = event("update", ChatId="g1", UpdateDetail="add_member").replace(
        "change_external_contact", "change_external_chat"
    )
    send(client, told, text)
    assert marks(told) == {"contact": [], "group": ["g1"]}
    assert told.sync(full=False).members == 1


def test_what_is_not_the_platforms_is_refused(client: TestClient, told: Shop) -> None:
    text = event("edit_external_contact", UserID="xiaomei", ExternalUserID="wm1")
    old = told.played.now - 3600
    assert send(client, told, text, at=old) == 403
    other = Envelope(TOKEN, KEY, "another")
    with pytest.raises(NotPermittedError, match="somebody else"):
        ENVELOPE.decrypt(other.encrypt(text))
    for body in ("no xml", "<xml><Encrypt>%%%</Encrypt></xml>", "<!DOCTYPE a><xml/>", ""):
        assert client.post(PATH, content=body).status_code == 403
    assert client.post(PATH, content=b"x" * 70_000).status_code == 413
    assert marks(told) == {"contact": [], "group": []}


def test_the_documented_example_of_encryption_is_read() -> None:
    # developer.work.weixin.qq.com 90968: the example of the platform's own libraries
    known = Envelope("QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C", "wx5823bf96d3bd56c7")
    question = (
        "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ=="
    )
    signature = "5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3"
    assert known.sign("1409659589", "263014780", question) == signature
    assert known.decrypt(question) == "1616140317555161061"


def test_a_list_of_members_is_part_of_the_event() -> None:
    one = fields_of("<xml><MemChangeList><Item>a</Item><Item>b</Item></MemChangeList></xml>")
    assert one == {"MemChangeList": "a,b"}


@pytest.mark.parametrize(("token", "key"), [("", KEY), (TOKEN, ""), (TOKEN, KEY[:-2])])
def test_wrong_secrets_say_what_is_expected(token: str, key: str) -> None:
    with pytest.raises(ConfigError, match="NBA_CHAT_KEY"):
        Envelope(token, key, CORP_ID)


def test_no_secret_is_shown() -> None:
    assert TOKEN not in repr(ENVELOPE)
    assert KEY not in repr(ENVELOPE)


def test_the_lists_are_settled_by_an_end_within_the_day(client: TestClient, told: Shop) -> None:
    old = told.lake("friendships").row(0, named=True)["since"]
    late = event(
        "del_follow_user", UserID="xiaomei", ExternalUserID="wm1",
        CreateTime=int((old - timedelta(days=1)).timestamp()),
    )  # fmt: skip
    send(client, told, late)
    # an end before this friendship began is of an earlier one
    assert "friendships" not in told.wiring.plan_store.new_events()
    assert told.lake("friendships").filter(pl.col("ended_at").is_not_null()).is_empty()


def test_a_project_reads_the_secrets_of_callbacks_from_its_settings(
    told: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nba.connect.chat.callbacks import envelope_of

    monkeypatch.setenv("NBA_CHAT_TOKEN", TOKEN)
    monkeypatch.setenv("NBA_CHAT_KEY", KEY)
    wiring = Wiring(Project.open(told.wiring.project.root))
    wiring.settings = wiring.settings.model_copy(update={"chat": Chat(corp_id=CORP_ID)})
    assert envelope_of(wiring) == ENVELOPE
