"""A customer's card, next best actions and products."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response

from nba.errors import NotFoundError, UnavailableError
from nba.schema.words import TagSource
from nba.serving.answers import Ready
from nba.serving.audit import concerns
from nba.serving.auth import Caller, CallerDep, ServicesDep
from nba.serving.conditional import NOT_MODIFIED
from nba.serving.errors import documented
from nba.serving.pages import NEW, as_lines, as_text, joined
from nba.serving.paths import RawPathRoute
from nba.serving.schemas import (
    CustomerActions,
    CustomerProducts,
    CustomerWhy,
    Id,
    KnownCustomer,
    LiveCard,
    News,
)
from nba.serving.services import LiveScores, Services
from nba.serving.shapes import CustomerCard, CustomerState, ProductScore, TagFact
from nba.serving.views import show_actions, show_candidates
from nba.stores.audit import Target
from nba.stores.database import may_wait
from nba.stores.laid import LaidAction, LaidCard, LaidList, as_heard
from nba.stores.lists import Slice
from nba.stores.people import CustomerMark, Tag
from nba.stores.standing import Standing

router = APIRouter(prefix="/v1", tags=["customers"], route_class=RawPathRoute)

CustomerId = Annotated[Id, Path(description="The customer.")]
_READ = documented(401, 403, 404, 422)


#: How long an answer may be kept where nothing was heard of the customer.
_KEEP: Final = timedelta(minutes=5)


@router.get("/customers/{customer_id}", response_model=LiveCard, responses=_READ | NOT_MODIFIED)
def read_card(
    customer_id: CustomerId, caller: CallerDep, services: ServicesDep, request: Request
) -> Response:
    """Return a customer's card.

    Without the customer's consent to profiling it holds nothing that a model or rule
    concluded about them.
    """
    caller.require_customer(customer_id)
    fresh = services.fresh.moment(customer_id) if services.fresh is not None else 0
    mark = services.store.customer_mark(customer_id)
    key, now = ("card", customer_id, mark, fresh), services.clock()
    ready = services.answers.get(key, now)
    if ready is None:
        card = services.store.laid_card(customer_id, as_heard(mark, fresh), services.definitions)
        is_laid = card is not None and card.holds(now)
        if card is None or not is_laid:
            card = make_card(customer_id, mark, fresh, services)
        until = now + _KEEP if card.until is None else min(now + _KEEP, card.until)
        made = Ready.of_text(card.text, until=until, is_laid=is_laid)
        ready = services.answers.put(key, made)
    return ready.answer(request)


def make_card(customer_id: str, mark: CustomerMark, moment: int, services: Services) -> LaidCard:
    """Return a customer's card as it stands; `NotFoundError` where nobody does.

    Parameters
    ----------
    customer_id : str
    mark : CustomerMark
        What is known beyond the night.
    moment : int
        When the customer's features were computed.
    services : Services
    """
    now = services.clock()
    standing = services.store.standing(customer_id, mark, services.day_begins)
    card = _with_standing(services.cards.card(customer_id), customer_id, standing, services)
    news = [_show_news(item, services) for item in standing.news]
    content = LiveCard.model_construct(**dict(card), news=news)
    ends = [tag.expires_at for tag in content.tags if tag.expires_at and tag.expires_at > now]
    text = content.model_dump_json().encode()[:-1]
    return LaidCard(as_heard(mark, moment), now, min(ends, default=None), text)


@router.get(
    "/external-ids/{external_id}",
    response_model=KnownCustomer,
    responses=_READ,
)
def find_external_id(
    external_id: Annotated[Id, Path(description="The chat platform's id of a customer.")],
    caller: CallerDep,
    services: ServicesDep,
    request: Request,
) -> KnownCustomer:
    """Return which customer the chat platform knows by an id, for a sidebar of the chat app."""
    customer_id = known_by(external_id, caller, services)
    concerns(request, Target.CUSTOMER, [customer_id])
    return KnownCustomer(customer_id=customer_id)


def known_by(external_id: str, caller: Caller, services: Services) -> str:
    """Return the customer whom the chat platform knows by an id.

    Raises
    ------
    NotPermittedError
        Where the caller may not see them, or there is nobody whom the caller may see.
    NotFoundError
        Where nobody has the id, or who had it was erased.
    """
    customer_id = services.cards.by_external_id(external_id)
    caller.require_external_id(external_id, customer_id)
    if customer_id is None or services.store.erased_among([customer_id]):
        raise unknown_customer(external_id)
    return customer_id


def _show_news(item: Mapping[str, Any], services: Services) -> News:
    return News(**{**item, "ts": services.local(item["ts"])})


@router.get("/customers/{customer_id}/actions", response_model=CustomerActions, responses=_READ)
def next_actions(
    customer_id: CustomerId, caller: CallerDep, services: ServicesDep, request: Request
) -> Response:
    """Return the next best actions for one customer: what stands on the list, then the rest.

    Anybody in the book is rescored by last night's models and rules, with features as they are
    now; where nothing was heard of them since, the night has done so already. Where features are
    not fresh yet, within a second of what was heard, and for who refused profiling, only the list
    counts. An action that is on no list has no rank. Who is held out gets no advice here either.
    """
    caller.require_customer(customer_id)
    key, now = _quiet(services, customer_id), services.clock()
    ready = None if key is None else services.answers.get(key, now)
    if ready is not None:
        return ready.plain()
    standing = _standing_of(services, customer_id)
    state = _state_of(services, customer_id, standing)
    if not state.consent_contact or state.is_blocked:
        nobody = CustomerActions(customer_id=customer_id, rescored=False, actions=[])
        return Ready.of(nobody).plain()
    planned = _planned(services, customer_id)
    listed = {row["action_id"] for row in planned}
    on_list = [as_text(one) for one in show_actions(planned, services)]
    others = _others(services, customer_id, state, standing)
    rest = [one for one in others or () if one.action_id not in listed]
    statuses = [row["status"] for row in planned] + [NEW] * len(rest)
    content = CustomerActions(customer_id=customer_id, rescored=others is not None, actions=[])
    shown = [*on_list, *rest]
    head = joined(content.model_dump_json().encode(), as_lines(shown, statuses, now))[:-1]
    ends = [one.expires_at for one in shown if one.expires_at and one.expires_at > now]
    made = Ready(head, "", min([now + _KEEP, *ends]))
    owner = services.cards.owner(customer_id)
    is_own = owner is not None and all(row["clerk_id"] == owner.clerk_id for row in planned)
    if key is not None and is_own and others is not None and not standing.news:
        services.answers.put(key, made)
    return made.plain()


def _quiet(services: Services, customer_id: str) -> Hashable | None:
    """Return what differs as soon as the next actions of a customer may; None: that is not told.

    It is told where last night's features stand and the list of the customer's clerk is settled.
    """
    owner = services.cards.owner(customer_id)
    if services.live is None or owner is None or owner.clerk_id is None:
        return None
    if services.live.knows_today(customer_id):
        return None
    book = services.store.book(owner.clerk_id)
    if book is None or not book.is_settled:
        return None
    mark = services.store.customer_mark(customer_id)
    return ("next", customer_id, mark, book, services.store.stock_mark(owner.store_id or ""))


def _others(
    services: Services, customer_id: str, state: CustomerState, standing: Standing
) -> Sequence[LaidAction] | None:
    """Return what models and rules say of a customer; None where they cannot be asked now.

    Parameters
    ----------
    services : Services
    customer_id : str
    state : CustomerState
    standing : Standing
    """
    live = services.live
    if live is None or not state.consent_profiling or services.store.mark() is None:
        return None
    if not live.knows_today(customer_id):
        if standing.news:
            return None
        laid = services.store.laid_actions(customer_id, services.definitions)
        if laid is not None and _is_in_stock(laid, customer_id, services):
            return laid.actions
    may_wait()
    rows = live.actions(customer_id)
    if rows is None:
        return None
    return [as_text(one) for one in show_actions([{**row, "rank": None} for row in rows], services)]


def _is_in_stock(laid: LaidList, customer_id: str, services: Services) -> bool:
    """Whether nothing that actions bring was sold out since they were laid ready."""
    brought = {product_id for one in laid.actions for product_id in one.product_ids}
    owner = services.cards.owner(customer_id) if brought else None
    if owner is None or owner.store_id is None:
        return True
    return brought.isdisjoint(services.store.sold_out(owner.store_id))


@router.get(
    "/customers/{customer_id}/why",
    response_model=CustomerWhy,
    responses=documented(401, 403, 404, 422, 503),
)
def explain_candidates(
    *,
    customer_id: CustomerId,
    caller: CallerDep,
    services: ServicesDep,
    action_type: Annotated[Id | None, Query(description="Only this one.")] = None,
) -> CustomerWhy:
    """Say of every action type why it is open to a customer or not, and what its value is made of.

    By last night's models and rules, for anybody in the book. Each closed door has its reason
    in both languages and, where waiting opens it, the day.
    """
    caller.require_customer(customer_id)
    state = _state_of(services, customer_id)
    rows = services.live.why(customer_id) if services.live is not None else None
    mark = services.store.mark()
    if rows is None or mark is None:
        raise UnavailableError(
            "the models for rescoring are not ready",
            expected="a published plan that is kept here",
            next_step="try again in some seconds",
        )
    if action_type is not None:
        rows = [row for row in rows if row["action_type"] == action_type]
    if not rows:
        raise NotFoundError(
            "there is nothing to explain",
            expected="a customer of the plan's day, and an action type of the catalogue",
            next_step="leave `action_type` away to see all",
        )
    heard = services.store.news(customer_id, services.day_begins(mark[0]))
    return CustomerWhy(
        customer_id=customer_id,
        as_of=mark[0],
        heard_since=bool(heard),
        price_per_minute=rows[0]["price_per_minute"],
        candidates=show_candidates(rows, services, profiled=state.consent_profiling),
    )


def _live(services: Services, customer_id: str, state: CustomerState) -> LiveScores | None:
    """Return who rescores the customer, where what is known of them still holds."""
    mark = services.store.mark()
    if services.live is None or mark is None or not state.consent_profiling:
        return None
    if services.live.knows_today(customer_id):
        return services.live
    heard = services.store.news(customer_id, services.day_begins(mark[0]))
    return None if heard else services.live


def _planned(services: Services, customer_id: str) -> list[dict[str, Any]]:
    part = Slice(
        "customer_id",
        customer_id,
        unprofiled=services.unprofiled,
        services=services.serving_types,
    )
    return services.store.open_actions(None, part, since=services.day_begins)[1]


@router.get("/customers/{customer_id}/products", response_model=CustomerProducts, responses=_READ)
def ranked_products(
    *,
    customer_id: CustomerId,
    caller: CallerDep,
    services: ServicesDep,
    category: Annotated[Id | None, Query()] = None,
    min_price: Annotated[float | None, Query(ge=0)] = None,
    max_price: Annotated[float | None, Query(ge=0)] = None,
    in_stock: Annotated[bool, Query(description="Only what is known to be in stock.")] = False,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> CustomerProducts:
    """Return ranked products for one customer."""
    caller.require_customer(customer_id)
    card = card_of(services, customer_id)
    live = _live(services, customer_id, card.state)
    fresh = None if live is None else live.products(customer_id)
    ranked = card.affinity if fresh is None else fresh
    chosen = [
        product
        for product in ranked
        if (category is None or product.category == category)
        and _within(product, min_price, max_price)
        and (not in_stock or (product.on_hand or 0) > 0)
    ]
    return CustomerProducts(
        customer_id=customer_id, rescored=fresh is not None, products=chosen[:limit]
    )


def _within(product: ProductScore, low: float | None, high: float | None) -> bool:
    if low is None and high is None:
        return True
    price = product.price
    return price is not None and (low is None or price >= low) and (high is None or price <= high)


def card_of(services: Services, customer_id: str) -> CustomerCard:
    """Return the card with what the operational store knows better: consents and tags.

    Raises
    ------
    NotFoundError
        When nothing is known about the customer, or nothing any more.
    """
    standing = _standing_of(services, customer_id)
    return _with_standing(services.cards.card(customer_id), customer_id, standing, services)


def _state_of(
    services: Services, customer_id: str, standing: Standing | None = None
) -> CustomerState:
    """Return what holds about a customer, as `card_of` does."""
    standing = standing or _standing_of(services, customer_id)
    state = services.cards.state(customer_id)
    if state is None or standing.is_erased:
        raise unknown_customer(customer_id)
    return _state_now(state, standing)


def _standing_of(services: Services, customer_id: str) -> Standing:
    mark = services.store.customer_mark(customer_id)
    return services.store.standing(customer_id, mark, services.day_begins)


def _with_standing(
    card: CustomerCard | None, customer_id: str, standing: Standing, services: Services
) -> CustomerCard:
    """Return a card with what is known beyond the night; `NotFoundError` where nobody stands.

    Parameters
    ----------
    card : CustomerCard or None
    customer_id : str
    standing : Standing
    services : Services
    """
    if card is None or standing.is_erased:
        raise unknown_customer(customer_id)
    state = _state_now(card.state, standing)
    tags = merge_tags(card.tags, standing, services)
    card = card.model_copy(update={"state": state, "tags": tags})
    return card if state.consent_profiling else _without_profile(card)


def _state_now(state: CustomerState, standing: Standing) -> CustomerState:
    """Return the state with consents and blocks that came in over the API."""
    changes: dict[str, bool] = {"is_blocked": True} if standing.is_blocked else {}
    if standing.consent is not None:
        changes["consent_contact"] = standing.consent.consent_contact
        changes["consent_profiling"] = standing.consent.consent_profiling
    return state.model_copy(update=changes) if changes else state


def merge_tags(known: Sequence[TagFact], standing: Standing, services: Services) -> list[TagFact]:
    """Return tags by name; what clerks set or removed over the API is newer."""
    tags = {fact.tag: fact for fact in known if fact.tag not in standing.changed_tags}
    tags |= {tag.tag: show_tag(tag, services) for tag in standing.tags}
    return [tags[name] for name in sorted(tags)]


def show_tag(tag: Tag, services: Services) -> TagFact:
    """Return a tag as the API shows it."""

    def local(moment: datetime | None) -> datetime | None:
        return None if moment is None else services.local(moment)

    return TagFact(
        tag=tag.tag,
        value=tag.value,
        source=tag.source,
        ts=services.local(tag.ts),
        expires_at=local(tag.expires_at),
    )


def unknown_customer(customer_id: str) -> NotFoundError:
    """Return the error for a customer that nothing is known about."""
    return NotFoundError(
        f"there is no customer {customer_id!r}",
        expected="a customer_id that the lake knows",
        next_step="check the id; ids are text, and leading zeros count",
    )


def _without_profile(card: CustomerCard) -> CustomerCard:
    own = [tag for tag in card.tags if tag.source in (TagSource.CLERK, TagSource.IMPORT)]
    return card.model_copy(
        update={
            "behaviour": {},
            "timing": None,
            "affinity": [],
            "modes": [],
            "needs": [],
            "tags": own,
        }
    )
