"""The plan that stands, and what a changed policy would do."""

from __future__ import annotations

from fastapi import APIRouter

from nba.serving.auth import CallerDep, ServicesDep
from nba.serving.errors import documented
from nba.serving.pages import no_plan
from nba.serving.paths import RawPathRoute
from nba.serving.schemas import PlanHeader, PreviewBody, PreviewResult
from nba.serving.views import show_plan
from nba.stores.access import Scope

router = APIRouter(prefix="/v1", tags=["plans"], route_class=RawPathRoute)


@router.get("/plans/current", response_model=PlanHeader, responses=documented(401, 403, 404))
def current_plan(caller: CallerDep, services: ServicesDep) -> PlanHeader:
    """Return the newest published plan's day, versions and counts."""
    caller.require(Scope.MARKETER, Scope.STORE, Scope.CLERK)
    header = services.store.current_plan()
    if header is None:
        raise no_plan(None)
    return show_plan(header, services)


preview_router = APIRouter(prefix="/v1", tags=["plans"], route_class=RawPathRoute)


@preview_router.post(
    "/plans/preview", response_model=PreviewResult, responses=documented(401, 403, 404, 413, 422)
)
def preview_plan(body: PreviewBody, caller: CallerDep, services: ServicesDep) -> PreviewResult:
    """Return what changed policy files would change in the current plan; leaves no trace."""
    caller.require(Scope.MARKETER)
    assert services.preview is not None
    return PreviewResult(difference=dict(services.preview(body.model_dump(exclude_none=True))))
