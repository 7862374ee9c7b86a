"""Calls over HTTP: the token is renewed, limits are waited out, and no secret is ever shown."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from time import monotonic, sleep
from typing import Any, Final

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from nba.connect.chat.port import ChatError, ThrottledError, UncertainError
from nba.errors import UnavailableError

#: Seconds that one call may take.
TIMEOUT_SECONDS: Final = 30.0
#: How often a call is made in all before it is given up.
ATTEMPTS: Final = 8
#: The longest pause between two attempts, in seconds.
LONGEST_PAUSE: Final = 60.0
#: A token is renewed so many seconds before it ends.
EARLY_SECONDS: Final = 300.0
#: The token is unknown, wrong or has ended.
BAD_TOKEN: Final = (40001, 40014, 42001)
#: Too many calls in a minute, or at once: nothing was done.
TOO_MANY: Final = (45009, 45033)
#: The platform is busy and does not say whether it did anything.
BUSY: Final = -1


@dataclass
class Session:
    """An authenticated way to a platform that answers `errcode` in JSON.

    Parameters
    ----------
    base_url : str
    corp_id : str
    secret : str
    pause : callable
        Sleeps for some seconds.

    Notes
    -----
    The token travels in the query, as the platform wants it: no URL is ever part of an error or a
    log line.
    """

    base_url: str
    corp_id: str
    secret: str = field(repr=False)
    pause: Callable[[float], None] = sleep
    calls: int = 0
    _token: str = field(default="", init=False, repr=False)
    _ends: float = field(default=0.0, init=False, repr=False)

    def get(self, call: str, **parameters: str) -> dict[str, Any]:
        """Return the answer to a question; it is repeated until it is answered."""
        return self._patiently(call, None, parameters, repeats=True)

    def ask(self, call: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a question with a body, or to a call that changes nothing twice."""
        return self._patiently(call, body, {}, repeats=True)

    def do(self, call: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make a call that must not be made twice.

        Raises
        ------
        UncertainError
            Where nobody knows whether it was done.
        """
        return self._patiently(call, body, {}, repeats=False)

    def _patiently(
        self,
        call: str,
        body: Mapping[str, Any] | None,
        parameters: Mapping[str, str],
        *,
        repeats: bool,
    ) -> dict[str, Any]:
        again = (ThrottledError, UncertainError) if repeats else (ThrottledError,)
        for attempt in Retrying(
            retry=retry_if_exception_type(again),
            wait=wait_random_exponential(multiplier=0.5, max=LONGEST_PAUSE),
            stop=stop_after_attempt(ATTEMPTS),
            sleep=self.pause,
            reraise=True,
        ):
            with attempt:
                return self._with_token(call, body, parameters)
        raise AssertionError("retrying ends with an answer or an error")

    def _with_token(
        self, call: str, body: Mapping[str, Any] | None, parameters: Mapping[str, str]
    ) -> dict[str, Any]:
        """Make a call; a token that the platform no longer knows is renewed once."""
        for is_last in (False, True):
            answer = self._send(call, body, {"access_token": self._fresh(), **parameters})
            code = int(answer.get("errcode", 0))
            if code in BAD_TOKEN and not is_last:
                self._ends = 0.0
                continue
            return self._judged(call, code, answer)
        raise AssertionError("the second answer is judged")

    def _fresh(self) -> str:
        """Return a token that holds for some minutes more."""
        if monotonic() >= self._ends:
            given = {"corpid": self.corp_id, "corpsecret": self.secret}
            answer = self._send("gettoken", None, given)
            answer = self._judged("gettoken", int(answer.get("errcode", 0)), answer)
            self._token = str(answer["access_token"])
            self._ends = monotonic() + float(answer["expires_in"]) - EARLY_SECONDS
        return self._token

    def _judged(self, call: str, code: int, answer: dict[str, Any]) -> dict[str, Any]:
        if code == 0:
            return answer
        said = self._masked(str(answer.get("errmsg", "")))
        if code in TOO_MANY:
            raise ThrottledError(
                "the chat platform takes no more calls for now",
                found=f"{call}: {code}",
                next_step="try again in some minutes",
            )
        if code == BUSY:
            raise _uncertain(call, f"{code} {said}")
        raise ChatError(call, code, said)

    def _send(
        self, call: str, body: Mapping[str, Any] | None, parameters: Mapping[str, str]
    ) -> dict[str, Any]:
        self.calls += 1
        query = urllib.parse.urlencode(parameters)
        request = urllib.request.Request(
            f"{self.base_url}/cgi-bin/{call}?{query}",
            data=None if body is None else json.dumps(body, ensure_ascii=False).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                answer = json.loads(response.read())
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == HTTPStatus.TOO_MANY_REQUESTS:
                raise ThrottledError(
                    "the chat platform takes no more calls for now", found=f"{call}: {error.code}"
                ) from None
            raise _uncertain(call, f"HTTP {error.code}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise _uncertain(call, type(error).__name__) from None
        if not isinstance(answer, dict):
            raise _uncertain(call, "an answer that is no object")
        return answer

    def _masked(self, said: str) -> str:
        for secret in (self._token, self.secret):
            if secret:
                said = said.replace(secret, "***")
        return said


def _uncertain(call: str, found: str) -> UnavailableError:
    return UncertainError(
        "the chat platform did not answer", found=f"{call}: {found}", next_step="try again"
    )
