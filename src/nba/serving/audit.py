"""Notes who saw or changed whom, beside the requests and not in their way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from queue import Empty, SimpleQueue
from typing import Any, Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nba.errors import NbaError
from nba.logs import log
from nba.serving.background import Background
from nba.stores.audit import AuditEntry, Target

#: How often, in seconds, what was noted is written.
EVERY_SECONDS: Final = 0.25
#: So many notes wait while the store takes none; those after them are not kept, as the log says.
MOST_WAITING: Final = 100_000
#: By the name of a path's parameter.
_TARGETS: Final = {"customer_id": Target.CUSTOMER, "action_id": Target.ACTION}


class Auditor(Background):
    """Keeps what was noted until a thread has written it: a request never waits for it.

    Parameters
    ----------
    write : callable
        Keeps entries for good.
    clock : callable
        Returns the present moment, aware.

    Notes
    -----
    A process that is killed loses what it noted within the last quarter of a second. What was
    changed is kept with its author in the tables of tags, consents, feedback and erasures all the
    same.
    """

    def __init__(
        self, write: Callable[[Sequence[AuditEntry]], None], clock: Callable[[], datetime]
    ) -> None:
        super().__init__("audit")
        self._write = write
        self.clock = clock
        self._waiting: SimpleQueue[AuditEntry] = SimpleQueue()

    def note(self, entry: AuditEntry) -> None:
        """Take a call to be written."""
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(entry)
        else:
            log().error("a call is not in the audit log", route=entry.route, status=entry.status)

    def close(self) -> None:
        """Write what waits, and end."""
        super().close()
        self.flush()

    def flush(self) -> None:
        """Write what waits; where the store takes none, it goes on waiting."""
        taken: list[AuditEntry] = []
        try:
            while True:
                taken.append(self._waiting.get_nowait())
        except Empty:
            pass
        if not taken:
            return
        try:
            self._write(taken)
        except NbaError as error:
            log().error("the audit log waits", calls=len(taken), error=type(error).__name__)
            for entry in taken:
                self.note(entry)

    def _run(self) -> None:
        while not self._ending.wait(EVERY_SECONDS):
            self.flush()


class Audit:
    """ASGI middleware that notes each call about a customer, an action or a clerk's list.

    Routes say in the request's state who called (`caller`), whom a body or an answer
    named (`concerned`), and of which day a list was (`list_day`).

    Parameters
    ----------
    app : ASGIApp
    auditor : Auditor
    """

    def __init__(self, app: ASGIApp, auditor: Auditor) -> None:
        self._app = app
        self._auditor = auditor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            if "caller" in state:
                self._note(scope, state, status)

    def _note(self, scope: Scope, state: dict[str, Any], status: int) -> None:
        caller, day = state["caller"], state.get("list_day")
        for kind, target in _targets(scope, state, day):
            self._auditor.note(
                AuditEntry(
                    self._auditor.clock(),
                    caller.name,
                    str(caller.scope),
                    caller.subject,
                    scope["method"],
                    getattr(scope.get("route"), "path", "(none)"),
                    status,
                    kind,
                    target,
                    day if kind is Target.LIST else None,
                )
            )


def concerns(request: Request, kind: Target, targets: Iterable[str]) -> None:
    """Say whom a request is about beside what its path names."""
    request.state.concerned = [(kind, one) for one in dict.fromkeys(targets)]


def _targets(scope: Scope, state: dict[str, Any], day: date | None) -> list[tuple[Target, str]]:
    found = [
        (_TARGETS[name], str(value))
        for name, value in scope.get("path_params", {}).items()
        if name in _TARGETS
    ]
    if day is not None:
        found.append((Target.LIST, str(scope["path_params"]["clerk_id"])))
    return list(dict.fromkeys([*found, *state.get("concerned", ())]))
