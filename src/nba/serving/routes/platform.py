"""Health, readiness, metrics: for the platform, without keys and without personal data."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import nba
from nba.errors import UnavailableError
from nba.serving.auth import ServicesDep
from nba.serving.errors import documented
from nba.serving.middleware import Metrics
from nba.serving.schemas import Health, LastNight, Readiness
from nba.stores.nightly_runs import NightlyRun

router = APIRouter(tags=["platform"])


@router.get("/healthz", response_model=Health)
async def health() -> Health:
    """Say that the process answers."""
    return Health(version=nba.__version__)


@router.get("/readyz", response_model=Readiness, responses=documented(503))
def readiness(services: ServicesDep) -> Readiness:
    """Say whether the store answers and a plan is published; `degraded` says what to look at."""
    header = services.store.current_plan()
    if header is None:
        raise UnavailableError(
            "the service has no plan to serve",
            expected="a published plan",
            next_step="run `nba run`",
        )
    night, refused = services.store.last_night(), services.store.refused_rows()
    problems: list[Literal["night_failed", "rows_refused"]] = []
    if night is not None and night.has_failed(services.clock()):
        problems.append("night_failed")
    if refused:
        problems.append("rows_refused")
    return Readiness(
        ready=True,
        status="degraded" if problems else "ready",
        problems=problems,
        store=True,
        plan_as_of=header["as_of"],
        outbox_waiting=services.store.backlog()[0],
        outbox_refused=refused,
        last_night=None if night is None else _last_night(night),
    )


def _last_night(night: NightlyRun) -> LastNight:
    return LastNight(
        as_of=night.as_of,
        state=night.state,
        began_at=night.began_at,
        ended_at=night.ended_at,
        step=(night.failure.step or None) if night.failure else None,
        error=night.failure.error if night.failure else None,
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request, services: ServicesDep) -> Response:
    """Return metrics in the Prometheus text format."""
    kept: Metrics = request.app.state.metrics
    waiting, _ = services.store.backlog()
    kept.outbox_waiting.set(waiting)
    kept.outbox_refused.set(services.store.refused_rows())
    night = services.store.last_night()
    if night is not None:
        kept.night_failed.set(night.has_failed(services.clock()))
        kept.night_began.set(night.began_at.timestamp())
    header = services.store.current_plan()
    if header is not None:
        age = services.clock() - header["published_at"]
        kept.plan_age_seconds.set(max(0, age.total_seconds()))
    return Response(generate_latest(kept.registry), media_type=CONTENT_TYPE_LATEST)
