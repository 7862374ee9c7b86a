"""The platforms that are known, by the name in `nba.yaml`."""

from __future__ import annotations

from nba.connect.chat.port import ChatPlatform
from nba.connect.chat.session import Session
from nba.connect.chat.wecom import WeCom
from nba.errors import ConfigError
from nba.settings import Settings


def platform_of(settings: Settings) -> ChatPlatform:
    """Return the platform that a project names.

    Raises
    ------
    ConfigError
        Where it names none, or not how to get in.
    """
    chat = settings.chat
    missing = [
        text
        for text, value in (
            ("chat.platform", chat.platform),
            ("chat.corp_id", chat.corp_id),
            ("NBA_CHAT_SECRET", chat.app_secret),
        )
        if not value
    ]
    if missing:
        raise ConfigError(
            "no chat platform can be reached",
            expected="chat.platform and chat.corp_id in nba.yaml, the secret in NBA_CHAT_SECRET",
            found=f"nothing in {', '.join(missing)}",
            next_step="set them; docs/chat.md shows where the platform has them",
        )
    return WeCom(Session(chat.url, chat.corp_id, chat.app_secret))
