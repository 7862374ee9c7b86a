"""Who is told when a night failed: a command, a webhook, or both.

The webhook keeps Standard Webhooks (https://www.standardwebhooks.com): its signature is the
HMAC-SHA256 of `id.timestamp.body` under the shared secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import shlex
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Final

from nba.logs import log, new_id
from nba.settings import Alerts

NIGHT_FAILED: Final = "night.failed"
#: Seconds that a command, or one attempt at the webhook, may take.
TIMEOUT_SECONDS: Final = 10
ATTEMPTS: Final = 3


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


def alert(alerts: Alerts, kind: str, facts: Mapping[str, Any]) -> None:
    """Run every hook that the settings name; a hook that fails is logged and stops nothing.

    Parameters
    ----------
    alerts : Alerts
    kind : str
        What happened, such as `night.failed`.
    facts : mapping
        What JSON can hold; nothing that says who a customer is.
    """
    now = time.time()
    body = json.dumps(
        {"type": kind, "timestamp": _iso(now), "data": dict(facts)}, default=str, ensure_ascii=False
    )
    if alerts.command:
        _attempt("command", lambda: _run(alerts.command, kind, body), attempts=1)
    if alerts.webhook_url:
        message_id = f"msg_{new_id()}"
        _attempt("webhook", lambda: _post(alerts, message_id, body), attempts=ATTEMPTS)


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _attempt(hook: str, call: Callable[[], None], *, attempts: int) -> None:
    for attempt in range(1, attempts + 1):
        try:
            call()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            log().error("alert failed", hook=hook, attempt=attempt, error=type(error).__name__)
            time.sleep(0 if attempt == attempts else attempt)
        else:
            log().info("alert sent", hook=hook)
            return


def _run(command: str, kind: str, body: str) -> None:
    """Run a command without a shell; it finds the message on its standard input."""
    subprocess.run(
        shlex.split(command),
        input=body.encode(),
        env={**os.environ, "NBA_ALERT_TYPE": kind},
        timeout=TIMEOUT_SECONDS,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _post(alerts: Alerts, message_id: str, body: str) -> None:
    sent_at = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
    }
    secret = alerts.secret
    if secret:
        headers["webhook-signature"] = sign(secret, message_id, sent_at, body)
    request = urllib.request.Request(alerts.webhook_url, data=body.encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
        pass
