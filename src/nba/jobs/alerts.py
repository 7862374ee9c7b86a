"""Who is told when a night failed: a command, a webhook, or both."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from nba.logs import log, new_id
from nba.settings import Alerts
from nba.stores.signing import TIMEOUT_SECONDS, post

NIGHT_FAILED: Final = "night.failed"
ATTEMPTS: Final = 3


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
        secrets = [alerts.secret] if alerts.secret else []
        url = alerts.webhook_url
        _attempt("webhook", lambda: post(url, message_id, body, secrets), attempts=ATTEMPTS)


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
