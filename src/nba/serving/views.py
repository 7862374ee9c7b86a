"""Published actions as the API shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from nba.serving.schemas import (
    Candidate,
    ClosedAction,
    Door,
    ListedAction,
    Name,
    Offer,
    PlanHeader,
    Product,
    Reason,
)
from nba.serving.services import Services
from nba.serving.shapes import OfferFacts, Person, ProductFacts

_SAME = (
    "action_id",
    "as_of",
    "clerk_id",
    "rank",
    "customer_id",
    "mode",
    "action_type",
    "channel",
    "content_id",
    "minutes",
    "value",
    "uplift",
    "p_repurchase_30d",
    "talking_point",
)
#: What models conclude: it is not said of who refused profiling.
_UNSAID: Final = {"value": None, "uplift": None, "p_repurchase_30d": None}
_CLOSED = ("action_id", "customer_id", "mode", "minutes", "kind", "reason")
_MOMENTS = ("contact_from", "contact_to", "expires_at")


def show_actions(rows: Sequence[Mapping[str, Any]], services: Services) -> list[ListedAction]:
    """Return rows of the plan's action columns with who it is about and what is brought.

    Windows and expiry carry the offset of the store's time zone. Of who refused profiling no
    value is said.
    """
    refused = _who_refused(rows, services)
    rows = [{**row, **_UNSAID} if row["customer_id"] in refused else row for row in rows]
    context = _Context.of(rows, services)
    return [_show(row, context, services) for row in rows]


def _who_refused(rows: Sequence[Mapping[str, Any]], services: Services) -> set[str]:
    """Return who refused profiling: they are listed with what rests on no profile alone."""
    kinds = services.unprofiled
    asked = {str(row["customer_id"]) for row in rows if row.get("action_type") in kinds}
    told = services.store.profiling_of(asked)
    for one in asked - told.keys():
        state = services.cards.state(one)
        told[one] = state is None or state.consent_profiling
    return {one for one in asked if not told[one]}


def show_closed(rows: Sequence[Mapping[str, Any]], services: Services) -> list[ClosedAction]:
    """Return actions that were dealt with, with the feedback that closed them."""
    people = services.cards.people(sorted({str(row["customer_id"]) for row in rows}))
    names = action_names(services)
    return [
        ClosedAction(
            **{name: row[name] for name in _CLOSED},
            person=people.get(row["customer_id"], Person()),
            action_name=names.get(str(row["action_type"])),
            ts=services.local(row["ts"]),
            until=services.local(row["until"]) if row["until"] else None,
        )
        for row in rows
    ]


def action_names(services: Services) -> dict[str, Name]:
    """Return the names of action types."""
    types = services.catalogue.actions if services.catalogue else ()
    return {one.action_type: Name(zh=one.name.zh, en=one.name.en) for one in types}


def window_moment(
    row: Mapping[str, Any], name: str, services: Services, zone: ZoneInfo | None = None
) -> datetime | None:
    """Return a moment of a plan's row by the clocks of the clerk's store.

    Parameters
    ----------
    row : mapping of str to object
    name : str
        Of the column; an empty one gives None.
    services : Services
    zone : ZoneInfo, optional
        Of the clerk's store, where it is known already.
    """
    if row.get(name) is None:
        return None
    zone = zone or services.zone_of_clerk(row.get("clerk_id"))
    return services.aware(row[name]).astimezone(zone)


@dataclass(frozen=True)
class _Context:
    """What the actions of an answer name, read at once."""

    people: Mapping[str, Person]
    products: Mapping[str, ProductFacts]
    offers: Mapping[str, OfferFacts]
    sold_out: Mapping[str, set[str]]
    names: Mapping[str, Name]
    zones: Mapping[str | None, ZoneInfo]
    now: datetime

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], services: Services) -> _Context:
        cards = services.cards
        people = {str(row["customer_id"]) for row in rows}
        products = {one for row in rows for one in row.get("product_ids") or ()}
        offers = {str(row["content_id"]) for row in rows if row.get("content_id")}
        return cls(
            people=cards.people(sorted(people)) if people else {},
            products=cards.products(sorted(products)) if products else {},
            offers=cards.offers(sorted(offers)) if offers else {},
            sold_out=sold_out_of({str(row.get("clerk_id")) for row in rows}, services),
            names=action_names(services),
            zones={one: services.zone_of_clerk(one) for one in {r.get("clerk_id") for r in rows}},
            now=services.clock(),
        )


def sold_out_of(clerk_ids: set[str], services: Services) -> dict[str, set[str]]:
    """Return what the store of each clerk has no more, as it was told since the night."""
    clerks = {clerk_id: services.cards.clerk(clerk_id) for clerk_id in sorted(clerk_ids)}
    stores = {clerk_id: one.store_id for clerk_id, one in clerks.items() if one is not None}
    gone = {one: services.store.sold_out(one) for one in set(stores.values()) if one is not None}
    return {clerk_id: gone.get(str(store_id), set()) for clerk_id, store_id in stores.items()}


def _show(row: Mapping[str, Any], context: _Context, services: Services) -> ListedAction:
    zone = context.zones[row.get("clerk_id")]
    moments = {name: window_moment(row, name, services, zone) for name in _MOMENTS}
    expires_at = moments["expires_at"]
    return ListedAction(
        **{name: row.get(name) for name in _SAME},
        **moments,
        person=context.people.get(row["customer_id"], Person()),
        action_name=context.names.get(str(row.get("action_type"))),
        products=[
            Product(product_id=one, **dict(context.products.get(one, ProductFacts())))
            for one in row.get("product_ids") or ()
            if one not in context.sold_out.get(str(row.get("clerk_id")), ())
        ],
        offer=_offer(row.get("content_id"), context.offers, services),
        reasons=[Reason.model_validate(reason) for reason in row.get("reasons") or ()],
        expired=expires_at is not None and expires_at <= context.now,
        status=row.get("status", "new"),
    )


def _offer(
    offer_id: str | None, offers: Mapping[str, OfferFacts], services: Services
) -> Offer | None:
    found = offers.get(offer_id) if offer_id is not None else None
    if found is None:
        return None
    starts_at = services.local(found.starts_at) if found.starts_at else None
    return Offer(**{**dict(found), "starts_at": starts_at}, offer_id=str(offer_id))


def show_plan(header: Mapping[str, Any], services: Services) -> PlanHeader:
    """Return a plan's header as the API shows it."""
    age_days = services.age_days(header["as_of"])
    known = {
        **header,
        "published_at": services.local(header["published_at"]),
        "age_days": age_days,
        "stale": age_days != 0,
    }
    return PlanHeader(**{name: known[name] for name in PlanHeader.model_fields})


#: What is said of a candidate beside its factors.
_PLAIN = frozenset(
    {"action_type", "mode", "stage", "why", "need", "category", "value", "minutes", "door"}
    | {"door_zh", "door_en", "opens_on", "price_per_minute"}
)


def show_candidates(
    rows: Sequence[Mapping[str, Any]], services: Services, *, profiled: bool
) -> list[Candidate]:
    """Return candidates as the API shows them; without profiling, without what models said."""
    names = action_names(services)
    return [
        Candidate(
            action_type=row["action_type"],
            action_name=names.get(row["action_type"]),
            mode=row["mode"],
            open=not row["door"],
            door=Door(
                code=row["door"],
                zh=row["door_zh"],
                en=row["door_en"],
                opens_on=row["opens_on"],
            )
            if row["door"]
            else None,
            need=row["need"] if profiled else None,
            category=row["category"] if profiled else None,
            value=_finite(row["value"]) if profiled else None,
            minutes=row["minutes"],
            factors={name: _finite(row[name]) for name in row if name not in _PLAIN}
            if profiled
            else {},
        )
        for row in rows
    ]


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
