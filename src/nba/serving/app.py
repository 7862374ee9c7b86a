"""The app factory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

import nba
from nba.serving import errors
from nba.serving.answers import Answers
from nba.serving.attempts import WrongKeys
from nba.serving.errors import Problem
from nba.serving.middleware import Guard, LimitBody, Metrics, Observe
from nba.serving.page import PageFiles
from nba.serving.routes import (
    clerks,
    customers,
    events,
    feedback,
    people,
    plans,
    platform,
    posts,
    team,
)
from nba.serving.services import Services
from nba.serving.settling import Settler, settled_book

DESCRIPTION = """
Each clerk, each day: whom to contact, what to bring, when, in which mode, and why.

Errors are RFC 9457 problem details. Ids are text, and leading zeros count. Lists are paged by
cursor. Writes carry an id chosen by the client: the same id with the same content changes
nothing, with other content it is a conflict.
"""


def create_app(services: Services) -> FastAPI:
    """Return the HTTP service over `services`.

    Parameters
    ----------
    services : Services
        The store, the ports and the access rule; closing them is the caller's.

    Notes
    -----
    While the app runs, a thread works lists up to date; without it, whoever asks for one does.
    """
    settler = Settler(services.store, lambda clerk_id: settled_book(services, clerk_id))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        settler.start()
        yield
        settler.close()

    app = FastAPI(title="nba", version=nba.__version__, description=DESCRIPTION, lifespan=lifespan)
    services = replace(services, on_change=services.on_change or settler.wake, answers=Answers())
    app.state.services = services
    app.state.metrics = Metrics()
    app.state.wrong_keys = WrongKeys()
    errors.install(app)
    app.add_middleware(LimitBody)
    app.add_middleware(Guard)
    app.add_middleware(Observe, metrics=app.state.metrics)
    for module in (clerks, posts, team, customers, people, feedback, events, plans, platform):
        app.include_router(module.router)
    if services.preview is not None:
        app.include_router(plans.preview_router)
    if services.page is not None:
        hosts = services.clerk_page.frame_ancestors
        app.mount("/", PageFiles(services.page, hosts), name="page")
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, object]:
    """Return the OpenAPI document, with the problem schema that all errors share."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas |= schema.pop("$defs", {})
        schemas["Problem"] = schema
        app.openapi_schema = document
    return app.openapi_schema
