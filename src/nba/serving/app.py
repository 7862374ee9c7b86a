"""The app factory."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

import nba
from nba.serving import errors, webhooks
from nba.serving.answers import LEAST_ZIPPED, Answers
from nba.serving.attempts import WrongKeys
from nba.serving.audit import Audit, Auditor
from nba.serving.contract import DESCRIPTION, openapi, operation_id
from nba.serving.freshness import Refresher
from nba.serving.middleware import Guard, LimitBody, Metrics, Observe
from nba.serving.page import PageFiles
from nba.serving.quick import QuickEvents, QuickRoute
from nba.serving.routes import (
    clerks,
    customers,
    events,
    feedback,
    people,
    plans,
    platform,
    posts,
    sidebar,
    team,
)
from nba.serving.services import Services
from nba.serving.settling import Settler, settled_book

#: For how long a thread that computes keeps the interpreter from those that answer: each call of
#: theirs into a database gives it away, and five milliseconds, Python's own, add up.
_SWITCH_SECONDS: Final = 0.0005


def create_app(services: Services) -> FastAPI:
    """Return the HTTP service over `services`.

    Parameters
    ----------
    services : Services
        The store, the ports and the access rule; closing them is the caller's.

    Notes
    -----
    While the app runs, a thread works lists up to date; without it, whoever asks for one does.
    Another writes the audit log; without it, `app.state.auditor.flush()` does. A third brings
    features online of whoever was heard of; without it, `app.state.refresher.once()` does.
    """
    settler = Settler(services.store, lambda clerk_id: settled_book(services, clerk_id))
    auditor = Auditor(lambda calls: services.store.keep_calls(calls), services.clock)
    refresher = None
    if services.fresh is not None and services.lock is not None:
        refresher = Refresher(
            services.store,
            services.fresh,
            services.clock,
            services.lock,
            services.leave_seconds,
        )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(_SWITCH_SECONDS)
        settler.start()
        auditor.start()
        if refresher is not None:
            refresher.start()
        yield
        if refresher is not None:
            refresher.close()
        settler.close()
        auditor.close()

    app = FastAPI(
        title="nba",
        version=nba.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        generate_unique_id_function=operation_id,
        webhooks=webhooks.router,
    )
    services = replace(services, on_change=services.on_change or settler.wake, answers=Answers())
    app.state.services = services
    app.state.metrics = Metrics()
    app.state.wrong_keys = WrongKeys()
    app.state.auditor = auditor
    app.state.refresher = refresher
    errors.install(app)
    app.add_middleware(Audit, auditor=auditor)
    app.add_middleware(LimitBody)
    app.add_middleware(Guard)
    app.add_middleware(Observe, metrics=app.state.metrics)
    modules = (clerks, posts, team, customers, sidebar, people, feedback, events, plans, platform)
    routers = [module.router for module in modules]
    if services.preview is not None:
        routers.append(plans.preview_router)
    for router in routers:
        app.include_router(router)
    app.router.routes[:0] = [QuickRoute(), QuickEvents(events.route)]
    app.state.routes = [route for router in routers for route in router.routes]
    if services.page is not None:
        hosts = services.clerk_page.frame_ancestors
        files = GZipMiddleware(PageFiles(services.page, hosts), minimum_size=LEAST_ZIPPED)
        app.mount("/", files, name="page")
    app.openapi = lambda: openapi(app)  # type: ignore[method-assign]
    return app
