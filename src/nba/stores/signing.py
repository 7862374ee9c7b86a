"""Messages to a webhook: signed as Standard Webhooks say, sent by POST.

https://www.standardwebhooks.com: the signature is the HMAC-SHA256 of `id.timestamp.body` under the
shared secret; while a secret is replaced, both sign.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
import urllib.request
from collections.abc import Sequence
from http.client import HTTPMessage
from typing import IO, Final

#: Seconds that one attempt may take.
TIMEOUT_SECONDS: Final = 10


def sign(secret: str, message_id: str, timestamp: int, body: str) -> str:
    """Return the signature header of a message.

    Parameters
    ----------
    secret : str
        `whsec_` and base64; a secret that is no base64 counts as its own bytes.
    message_id : str
    timestamp : int
        Seconds since 1970.
    body : str

    Examples
    --------
    The example of the specification's own libraries:

    >>> sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
    ...      1614265330, '{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    plain = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(plain, validate=True)
    except binascii.Error:
        key = plain.encode()
    content = f"{message_id}.{timestamp}.{body}".encode()
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A message goes where it was meant to go, or nowhere."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """Return no request: the answer counts as an error."""


_opener = urllib.request.build_opener(_NoRedirects)


def post(
    url: str,
    message_id: str,
    body: str,
    secrets: Sequence[str],
    *,
    content_type: str = "application/json",
) -> None:
    """Send a message once.

    Parameters
    ----------
    url : str
    message_id : str
        The same for every attempt: the receiver's idempotency key.
    body : str
    secrets : sequence of str
        Each signs; none for a message without a signature.
    content_type : str

    Raises
    ------
    urllib.error.HTTPError
        Where the answer is no success; its `code` says which.
    OSError
        Where nobody answers.
    """
    sent_at = int(time.time())
    headers = {
        "Content-Type": content_type,
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
    }
    if secrets:
        headers["webhook-signature"] = " ".join(
            sign(secret, message_id, sent_at, body) for secret in secrets
        )
    request = urllib.request.Request(url, data=body.encode(), headers=headers)
    with _opener.open(request, timeout=TIMEOUT_SECONDS):
        pass
