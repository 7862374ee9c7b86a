"""What customers decide and clerks note: tags, consent, erasure, quota."""

from __future__ import annotations

from datetime import UTC, date
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from nba.errors import InputRefusedError, NotFoundError
from nba.schema.tables import EARLIEST
from nba.schema.words import TagSource
from nba.serving.auth import Caller, CallerDep, ServicesDep
from nba.serving.conditional import (
    CHANGED,
    NOT_MODIFIED,
    Precondition,
    PreconditionDep,
    entity_tag,
    is_known,
    unchanged,
)
from nba.serving.errors import documented
from nba.serving.paths import RawPathRoute
from nba.serving.routes.customers import CustomerId, card_of, show_tag, unknown_customer
from nba.serving.rows import AHEAD
from nba.serving.schemas import (
    ChannelQuota,
    ConsentBody,
    ConsentState,
    ErasureReceipt,
    Id,
    QuotaState,
    TagBody,
    TagList,
)
from nba.serving.services import Services
from nba.serving.shapes import TagFact
from nba.stores.access import Scope
from nba.stores.people import Consent, Tag
from nba.stores.tombstones import Receipt

router = APIRouter(prefix="/v1", tags=["customers"], route_class=RawPathRoute)

TagName = Annotated[Id, Path(description="The tag's name.")]
_TAGS = documented(401, 403, 404, 422)
_ADMIN = documented(401, 403, 404, 422)


@router.get("/customers/{customer_id}/tags", response_model=TagList, responses=_TAGS)
def read_tags(customer_id: CustomerId, caller: CallerDep, services: ServicesDep) -> TagList:
    """Return the tags that stand."""
    caller.require_customer(customer_id)
    return TagList(customer_id=customer_id, tags=card_of(services, customer_id).tags)


@router.get(
    "/customers/{customer_id}/tags/{tag}", response_model=TagList, responses=_TAGS | NOT_MODIFIED
)
def read_tag(
    *,
    customer_id: CustomerId,
    tag: TagName,
    caller: CallerDep,
    services: ServicesDep,
    request: Request,
    response: Response,
) -> TagList | Response:
    """Return one tag, if it stands; its `ETag` is what `If-Match` of a change names."""
    caller.require_customer(customer_id)
    found = _standing(services, customer_id, tag)
    if found is None:
        raise NotFoundError(
            f"the customer {customer_id!r} has no tag {tag!r}",
            next_step="read all tags of the customer",
        )
    mark = _tag_etag(found)
    if is_known(request, mark):
        return unchanged(mark)
    response.headers["ETag"] = mark
    return TagList(customer_id=customer_id, tags=[found])


def _standing(services: Services, customer_id: str, tag: str) -> TagFact | None:
    return next((fact for fact in card_of(services, customer_id).tags if fact.tag == tag), None)


def _tag_etag(fact: TagFact) -> str:
    return entity_tag(fact.model_dump(mode="json"))


def _require_tag(
    services: Services, customer_id: str, tag: str, expected: Precondition
) -> tuple[TagFact | None, int | None]:
    """Return the tag that stands, and the mark that holds a change to what was expected of it."""
    mark = services.store.tag_mark(customer_id, tag) if expected.is_given else None
    standing = _standing(services, customer_id, tag)
    expected.require(_tag_etag(standing) if standing is not None else None)
    return standing, mark


@router.put(
    "/customers/{customer_id}/tags/{tag}", response_model=TagList, responses=_TAGS | CHANGED
)
def put_tag(
    *,
    customer_id: CustomerId,
    tag: TagName,
    body: TagBody,
    caller: CallerDep,
    services: ServicesDep,
    expected: PreconditionDep,
    response: Response,
) -> TagList:
    """Set a tag; setting it again as it stands changes nothing.

    With `If-Match` only the tag that was read is changed, with `If-None-Match: *` only a tag that
    does not stand yet is set; otherwise nothing is changed (412).
    """
    caller.require_customer(customer_id)
    mark = _require_tag(services, customer_id, tag, expected)[1]
    now = services.clock().astimezone(UTC)
    expires_at = None
    if body.expires_at is not None:
        expires_at = services.aware(body.expires_at).astimezone(UTC)
        if expires_at <= now:
            raise InputRefusedError(
                "a tag cannot expire in the past",
                expected="an `expires_at` after now, or none",
                found=body.expires_at.isoformat(),
                next_step="delete the tag to remove it",
            )
    services.store.put_tag(
        customer_id,
        Tag(tag, body.value, TagSource.CLERK, now, expires_at),
        author=caller.name,
        mark=mark,
    )
    stands = [one for one in services.store.tags(customer_id, now) if one.tag == tag]
    shown = [show_tag(one, services) for one in stands]
    if shown:
        response.headers["ETag"] = _tag_etag(shown[0])
    return TagList(customer_id=customer_id, tags=shown)


@router.delete(
    "/customers/{customer_id}/tags/{tag}",
    status_code=204,
    response_class=Response,
    responses=_TAGS | CHANGED,
)
def delete_tag(
    *,
    customer_id: CustomerId,
    tag: TagName,
    caller: CallerDep,
    services: ServicesDep,
    expected: PreconditionDep,
) -> Response:
    """Remove a tag, wherever it came from; its history is kept. `If-Match` as when it is set."""
    caller.require_customer(customer_id)
    known, mark = _require_tag(services, customer_id, tag, expected)
    if known is not None:
        services.store.remove_tag(
            customer_id,
            tag,
            at=services.clock().astimezone(UTC),
            value=known.value,
            author=caller.name,
            mark=mark,
        )
    return Response(status_code=204)


@router.put("/customers/{customer_id}/consent", response_model=ConsentState, responses=_ADMIN)
def put_consent(
    customer_id: CustomerId, body: ConsentBody, caller: CallerDep, services: ServicesDep
) -> ConsentState:
    """Record what a customer allows, effective at once; answers with what stands."""
    caller.require()
    _known_customer(services, customer_id)
    consent_at = services.aware(body.consent_at).astimezone(UTC)
    if consent_at < EARLIEST.replace(tzinfo=UTC):
        raise InputRefusedError(
            "a consent cannot be that old",
            expected=f"a `consent_at` between {EARLIEST:%Y-%m-%d} and now",
            found=body.consent_at.isoformat(),
            next_step="check the client's clock",
        )
    if consent_at > services.clock().astimezone(UTC) + AHEAD:
        raise InputRefusedError(
            "a consent cannot come from the future",
            expected="a `consent_at` of now or earlier",
            found=body.consent_at.isoformat(),
            next_step="check the client's clock and time zone",
        )
    given = Consent(body.consent_contact, body.consent_profiling, consent_at)
    stands = services.store.put_consent(customer_id, given, author=caller.name)
    services.changed()
    return ConsentState(
        customer_id=customer_id,
        consent_contact=stands.consent_contact,
        consent_profiling=stands.consent_profiling,
        consent_at=services.local(stands.consent_at),
    )


@router.delete("/customers/{customer_id}", response_model=ErasureReceipt, responses=_ADMIN)
def erase_customer(
    customer_id: CustomerId, caller: CallerDep, services: ServicesDep
) -> ErasureReceipt:
    """Erase a customer and answer with the receipt; again, with the same receipt.

    Lists, plans, feedback, events, tags and consents forget the customer at once. Everything
    else that is kept follows with the next nightly job, or with `nba erase`; until then
    `completed_at` is null. A tombstone keeps the customer out for good.
    """
    caller.require()
    if services.store.receipt(customer_id) is None:
        _known_customer(services, customer_id)
    receipt = services.store.erase(customer_id, by=caller.name)
    services.changed()
    return _show_receipt(receipt, services)


@router.get("/quotas/{customer_id}", response_model=QuotaState, responses=_ADMIN)
def read_quota(customer_id: CustomerId, caller: CallerDep, services: ServicesDep) -> QuotaState:
    """Return the contacts that the platform still allows this month, by channel."""
    _require_quota_reader(caller, customer_id)
    _known_customer(services, customer_id)
    today = services.local(services.clock()).date()
    return QuotaState(
        customer_id=customer_id,
        month=f"{today:%Y-%m}",
        channels=_quotas(services, customer_id, today),
    )


def _require_quota_reader(caller: Caller, customer_id: str) -> None:
    if caller.scope is not Scope.MARKETER:
        caller.require_customer(customer_id)


def _quotas(services: Services, customer_id: str, today: date) -> list[ChannelQuota]:
    ledger = services.store.month_quota(customer_id, today)
    return [
        ChannelQuota(
            channel=channel,
            limit=limit,
            reserved=reserved,
            spent=spent,
            remaining=max(0, limit - reserved - spent),
        )
        for channel, limit, reserved, spent in ledger
    ]


def _known_customer(services: Services, customer_id: str) -> None:
    known = services.cards.owner(customer_id) is not None
    if not known or services.store.receipt(customer_id) is not None:
        raise unknown_customer(customer_id)


def _show_receipt(receipt: Receipt, services: Services) -> ErasureReceipt:
    done = receipt.completed_at
    return ErasureReceipt(
        receipt_id=receipt.receipt_id,
        erased_at=services.local(receipt.erased_at),
        completed_at=None if done is None else services.local(done),
        counts=receipt.counts,
        requested_by=receipt.requested_by,
    )
