"""Limits are waited out, what must not happen twice does not, and no secret is ever shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

import pytest

from nba.connect.chat.platforms import platform_of
from nba.connect.chat.played import CORP_ID, SECRET, Faults, PlayedWeCom, served
from nba.connect.chat.port import ChatError, Message, ThrottledError, UncertainError
from nba.connect.chat.session import ATTEMPTS, LONGEST_PAUSE, Session
from nba.connect.chat.wecom import WeCom
from nba.errors import ConfigError
from nba.settings import Settings

MESSAGE = Message("xiaomei", "您好", ("wm1",))


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def session(played: PlayedWeCom, pauses: list[float]) -> Iterator[Session]:
    played.befriend("xiaomei", "wm1")
    with served(played) as url:
        yield Session(url, CORP_ID, SECRET, pause=pauses.append)


def test_a_limit_is_waited_out_with_growing_pauses(
    session: Session, played: PlayedWeCom, pauses: list[float]
) -> None:
    session.get("externalcontact/get_follow_user_list")
    played.faults = Faults(calls_per_second=1)
    with pytest.raises(ThrottledError):
        session.get("externalcontact/get_follow_user_list")
    assert len(pauses) == ATTEMPTS - 1
    assert max(pauses) <= LONGEST_PAUSE


def test_a_token_that_is_forgotten_is_renewed(session: Session, played: PlayedWeCom) -> None:
    for _ in range(3):
        session.get("externalcontact/get_follow_user_list")
    assert played.calls["gettoken"] == 1
    played._token = "another"
    session.get("externalcontact/get_follow_user_list")
    assert played.calls["gettoken"] == 2


def test_a_call_that_must_not_be_made_twice_is_made_once(
    session: Session, played: PlayedWeCom
) -> None:
    session.get("externalcontact/get_follow_user_list")
    played.faults = Faults(cut=1.0)
    with pytest.raises(UncertainError):
        WeCom(session).create_message(MESSAGE)
    assert played.calls["externalcontact/add_msg_template"] == 1
    assert len(played.tasks) == 1


def test_a_task_whose_answer_was_lost_is_found_by_what_it_says(
    session: Session, played: PlayedWeCom
) -> None:
    platform = WeCom(session)
    other = platform.create_message(MESSAGE)
    mine = platform.create_message(MESSAGE)
    now = played.clock()
    found = platform.find_message(MESSAGE, now, now, {other.remote_id})
    assert found == mine
    assert platform.find_message(MESSAGE, now, now, {other.remote_id, mine.remote_id}) is None


@pytest.mark.parametrize("secret", [SECRET, "a-secret-that-is-wrong"])
def test_no_secret_is_shown(played: PlayedWeCom, secret: str) -> None:
    with served(played) as url:
        session = Session(url, CORP_ID, secret, pause=lambda seconds: None)
        with pytest.raises(ChatError) as caught:
            session.ask("externalcontact/no_such_call", {})
        session._token = "token-in-force"
        session._ends = float("inf")
        with pytest.raises(ChatError) as renewed:
            session.ask("externalcontact/no_such_call", {})
    texts = [str(caught.value), str(renewed.value), repr(session), repr(WeCom(session))]
    for shown in texts:
        assert secret not in shown
        assert "token-in-force" not in shown
        assert played._token not in shown or not played._token


def test_days_are_counted_in_the_platforms_zone(session: Session) -> None:
    rows = WeCom(session).statistics("xiaomei", date(2026, 3, 1), date(2026, 3, 2))
    assert [row.day for row in rows] == [date(2026, 3, 1), date(2026, 3, 2)]
    assert [row.new_contacts for row in rows] == [0, 1]
    assert rows[0].reply_share == 0.805


def test_a_project_without_a_platform_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NBA_CHAT_SECRET", raising=False)
    settings = Settings.model_validate({"chat": {"platform": "wecom"}})
    with pytest.raises(ConfigError, match=r"chat\.corp_id, NBA_CHAT_SECRET"):
        platform_of(settings)
    monkeypatch.setenv("NBA_CHAT_SECRET", SECRET)
    settings = Settings.model_validate({"chat": {"platform": "wecom", "corp_id": CORP_ID}})
    platform_of(settings)
    assert SECRET not in json.dumps(settings.model_dump(mode="json"))
