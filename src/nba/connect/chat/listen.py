"""The address to which the platform sends its callbacks: `nba chat listen`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from nba.connect.chat.callbacks import LARGEST, Envelope, fields_of, take
from nba.connect.chat.port import ChatPlatform
from nba.errors import NbaError, NotPermittedError
from nba.logs import log
from nba.wiring import Wiring

PATH = "/chat/callback"


def listener(
    wiring: Wiring,
    envelope: Envelope,
    platform: ChatPlatform,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """Return an app that answers the platform's check of the address, and takes callbacks.

    Parameters
    ----------
    wiring : Wiring
    envelope : Envelope
    platform : ChatPlatform
        Greets new friends.
    clock : callable
        Returns the present moment, aware.
    """
    app = FastAPI(title="nba chat callbacks", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get(PATH)
    def check(request: Request) -> PlainTextResponse:
        query = dict(request.query_params)
        try:
            return PlainTextResponse(envelope.open(query, query.get("echostr", ""), clock()))
        except NotPermittedError as error:
            return _refused(error)

    @app.post(PATH)
    async def told(request: Request) -> PlainTextResponse:
        from starlette.concurrency import run_in_threadpool

        body = await request.body()
        if len(body) > LARGEST:
            return PlainTextResponse("too large", status_code=413)
        return await run_in_threadpool(_take, dict(request.query_params), body)

    def _take(query: dict[str, str], body: bytes) -> PlainTextResponse:
        try:
            outer = fields_of(body.decode("utf-8", errors="replace"))
            fields = fields_of(envelope.open(query, outer.get("Encrypt", ""), clock()))
        except NotPermittedError as error:
            return _refused(error)
        try:
            taken = take(wiring, fields, platform)
        except NbaError as error:
            # the platform sends it again
            log().error("callback not taken", error=type(error).__name__)
            return PlainTextResponse("try again", status_code=503)
        log().info("callback", what=taken.event, new=taken.is_new, welcomed=taken.welcomed)
        return PlainTextResponse("success")

    return app


def _refused(error: NotPermittedError) -> PlainTextResponse:
    log().warning("callback refused", why=error.what)
    return PlainTextResponse("refused", status_code=403)
