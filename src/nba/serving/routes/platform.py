"""Health, readiness, metrics: for the platform, without keys and without personal data."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import nba
from nba.errors import UnavailableError
from nba.serving.auth import ServicesDep
from nba.serving.errors import documented
from nba.serving.middleware import Metrics
from nba.serving.schemas import Health, Readiness

router = APIRouter(tags=["platform"])


@router.get("/healthz", response_model=Health)
async def health() -> Health:
    """Say that the process answers."""
    return Health(version=nba.__version__)


@router.get("/readyz", response_model=Readiness, responses=documented(503))
def readiness(services: ServicesDep) -> Readiness:
    """Say whether the store answers and a plan is published."""
    header = services.store.current_plan()
    if header is None:
        raise UnavailableError(
            "the service has no plan to serve",
            expected="a published plan",
            next_step="run `nba run`",
        )
    waiting, _ = services.store.backlog()
    return Readiness(ready=True, store=True, plan_as_of=header["as_of"], outbox_waiting=waiting)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request, services: ServicesDep) -> Response:
    """Return metrics in the Prometheus text format."""
    kept: Metrics = request.app.state.metrics
    waiting, _ = services.store.backlog()
    kept.outbox_waiting.set(waiting)
    header = services.store.current_plan()
    if header is not None:
        age = services.clock() - header["published_at"]
        kept.plan_age_seconds.set(max(0, age.total_seconds()))
    return Response(generate_latest(kept.registry), media_type=CONTENT_TYPE_LATEST)
