"""Tokens for a sidebar of the chat app."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request

from nba.errors import UnavailableError
from nba.serving.audit import concerns
from nba.serving.auth import CallerDep, ServicesDep
from nba.serving.errors import documented
from nba.serving.paths import RawPathRoute
from nba.serving.routes.customers import known_by, unknown_customer
from nba.serving.schemas import SidebarBody, SidebarToken
from nba.stores.audit import Target

router = APIRouter(prefix="/v1", tags=["customers"], route_class=RawPathRoute)


@router.post(
    "/sidebar-tokens",
    response_model=SidebarToken,
    responses=documented(401, 403, 404, 422, 503),
)
def make_sidebar_token(
    body: SidebarBody, caller: CallerDep, services: ServicesDep, request: Request
) -> SidebarToken:
    """Return a short-lived token that shows one customer's card in a sidebar of the chat app.

    The chat app's own server asks for it, with a key of the clerk, the store or an admin, and
    opens `path` in the frame: no key ever reaches the browser. The token speaks for the clerk in
    charge, about this customer alone.
    """
    owner = services.cards.owner(known_by(body.external_id, caller, services))
    if owner is None or owner.clerk_id is None:
        raise unknown_customer(body.external_id)
    if services.sidebar is None:
        raise UnavailableError("this service makes no tokens for a sidebar")
    concerns(request, Target.CUSTOMER, [owner.customer_id])
    token, ends = services.sidebar.issue(owner.customer_id, owner.clerk_id)
    return SidebarToken(
        token=token,
        customer_id=owner.customer_id,
        expires_at=services.local(ends),
        path=f"/#sidebar={token}&customer={quote(owner.customer_id, safe='')}",
    )
