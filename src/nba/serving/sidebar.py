"""Short-lived signed tokens for a sidebar of the chat app: one customer, by the clerk in charge."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from nba.serving.errors import NotAuthenticatedError

_PREFIX: Final = "nbas_"
#: The longest token that is looked at, in characters.
_LONGEST: Final = 2048
#: What a token of a sidebar may call: methods by path.
ALLOWED: Final = {
    "/v1/clerks": ("GET",),
    "/v1/names": ("GET",),
    "/v1/customers/{customer_id}": ("GET",),
    "/v1/customers/{customer_id}/actions": ("GET",),
    "/v1/customers/{customer_id}/tags": ("GET",),
    "/v1/customers/{customer_id}/tags/{tag}": ("GET", "PUT", "DELETE"),
}


@dataclass(frozen=True)
class Grant:
    """Whom a token shows, for whom, and until when."""

    customer_id: str
    clerk_id: str
    expires_at: datetime


def is_sidebar_token(text: str) -> bool:
    """Return whether a bearer's text has the shape of a sidebar's token.

    >>> is_sidebar_token("nbas_e30.c2ln"), is_sidebar_token("nba_1f0c_2a9d")
    (True, False)
    """
    return text.startswith(_PREFIX)


class SidebarTokens:
    """Makes and reads tokens; all processes that share the project's secret read each other's.

    Parameters
    ----------
    secret : bytes
        The project's; tokens are signed by a key derived from it.
    clock : callable
        Returns the present moment, aware.
    lasts : timedelta
        How long a token is valid.
    """

    def __init__(self, secret: bytes, clock: Callable[[], datetime], lasts: timedelta) -> None:
        self._key = hmac.new(secret, b"nba sidebar", hashlib.sha256).digest()
        self._clock = clock
        self._lasts = lasts

    def issue(self, customer_id: str, clerk_id: str) -> tuple[str, datetime]:
        """Return a token for one customer's card, and when it ends."""
        ends = (self._clock() + self._lasts).astimezone(UTC).replace(microsecond=0)
        content = json.dumps([customer_id, clerk_id, int(ends.timestamp())], ensure_ascii=False)
        body = _text(content.encode())
        return f"{_PREFIX}{body}.{_text(self._sign(body))}", ends

    def read(self, token: str) -> Grant:
        """Return what a token grants.

        Raises
        ------
        NotAuthenticatedError
            When it was not made here, was changed, or its time is over.
        """
        body, _, signature = token[:_LONGEST].removeprefix(_PREFIX).partition(".")
        try:
            given = _bytes(signature)
        except (ValueError, binascii.Error):
            given = b""
        if not hmac.compare_digest(given, self._sign(body)):
            raise _refused("a token that was not made here")
        customer_id, clerk_id, seconds = json.loads(_bytes(body))
        ends = datetime.fromtimestamp(seconds, UTC)
        if ends <= self._clock():
            raise _refused("a token whose time is over")
        return Grant(customer_id, clerk_id, ends)

    def _sign(self, body: str) -> bytes:
        return hmac.new(self._key, body.encode(), hashlib.sha256).digest()


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _refused(found: str) -> NotAuthenticatedError:
    return NotAuthenticatedError(
        "this call needs a valid token of the sidebar",
        expected="a token of `POST /v1/sidebar-tokens`, not yet ended",
        found=found,
        next_step="open the sidebar again",
    )
