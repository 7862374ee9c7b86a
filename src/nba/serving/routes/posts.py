"""Posts to groups and moments: what a clerk is to publish today, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path

from nba.errors import ConflictError, NotFoundError, UsageError
from nba.schema.words import FeedbackKind
from nba.serving.auth import CallerDep, ServicesDep
from nba.serving.errors import documented
from nba.serving.pages import no_plan
from nba.serving.paths import RawPathRoute
from nba.serving.routes.clerks import ClerkId, require_known
from nba.serving.routes.feedback import told_at
from nba.serving.schemas import FeedbackReceipt, Id, Offer, Post, PostFeedback, PostList
from nba.serving.services import Services
from nba.serving.views import window_moment
from nba.stores.feedback import Feedback, post_contact, post_id

router = APIRouter(prefix="/v1", tags=["posts"], route_class=RawPathRoute)

Audience = Annotated[Id, Path(description="Whom a post is for: `group:ID` or `moments:CLERK`.")]
_CLOSES = (FeedbackKind.SENT, FeedbackKind.SKIPPED)


@router.get(
    "/clerks/{clerk_id}/posts",
    response_model=PostList,
    responses=documented(401, 403, 404, 422),
)
def list_posts(clerk_id: ClerkId, caller: CallerDep, services: ServicesDep) -> PostList:
    """Return what a clerk is to post to groups and moments on the plan's day."""
    require_known(caller, services, clerk_id)
    day = _plan_day(services)
    rows = services.books.posts(clerk_id, day) if services.books else []
    ids = [row["content_id"] for row in rows if row["content_id"]]
    offers = services.cards.offers(ids) if ids else {}
    posts = []
    for row in rows:
        found = offers.get(row["content_id"])
        offer = Offer(**dict(found), offer_id=row["content_id"]) if found else None
        posts.append(_show(row, offer, day, services))
    return PostList(clerk_id=clerk_id, as_of=day, posts=posts)


def _plan_day(services: Services) -> date:
    header = services.store.current_plan()
    if header is None:
        raise no_plan(None)
    day: date = header["as_of"]
    return day


def _show(row: Mapping[str, Any], offer: Offer | None, day: date, services: Services) -> Post:
    told = services.store.feedback(post_id(row["audience"], day))
    kinds = [one["kind"] for one in told if one["kind"] in _CLOSES]
    start, end = (window_moment(row, name, services) for name in ("contact_from", "contact_to"))
    return Post(
        audience=row["audience"],
        topic=row["topic"],
        channel=row["channel"],
        mode=row["mode"],
        offer=offer,
        members=row["members"],
        minutes=row["minutes"],
        contact_from=start,
        contact_to=end,
        status=kinds[-1] if kinds else "new",
    )


@router.post(
    "/clerks/{clerk_id}/posts/{audience}/feedback",
    response_model=FeedbackReceipt,
    responses=documented(401, 403, 404, 409, 422),
)
def give_post_feedback(
    *,
    clerk_id: ClerkId,
    audience: Audience,
    body: PostFeedback,
    caller: CallerDep,
    services: ServicesDep,
) -> FeedbackReceipt:
    """Say that a post went out or not; what went out becomes one contact per member.

    The same `feedback_id` again changes nothing, and a post counts once.
    """
    require_known(caller, services, clerk_id)
    day = _plan_day(services)
    rows = services.books.posts(clerk_id, day) if services.books else []
    if audience not in {row["audience"] for row in rows}:
        raise NotFoundError(
            f"the clerk {clerk_id!r} has no post for {audience!r} today",
            expected=", ".join(row["audience"] for row in rows) or "no post",
            next_step="read the clerk's posts again",
        )
    if body.kind not in _CLOSES:
        raise UsageError("a post is sent or skipped", expected="sent, skipped", found=body.kind)
    ts = told_at(body.ts, services)
    entry = Feedback(body.feedback_id, post_id(audience, day), clerk_id, ts, body.kind, body.reason)
    members = services.books.post_members(audience, day) if services.books else []
    with services.store.writing() as writer:
        outcome = writer.record_post(entry, [post_contact(entry, row) for row in members])
    if outcome == "conflict":
        raise ConflictError(
            f"the feedback {body.feedback_id!r} is already recorded with other content",
            expected="the same content, or a new feedback_id",
            next_step="use a new feedback_id for new feedback",
        )
    return FeedbackReceipt(feedback_id=body.feedback_id, action_id=entry.action_id, status=outcome)
